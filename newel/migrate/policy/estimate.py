"""How many rows a rollback loses in a database: by the planner's statistics, or counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from newel.database.connection import server_refusal
from newel.validate.losses import Loss, both


@dataclass(frozen=True)
class Estimate:
    """How many rows, or values that are not null, a loss takes at most; None if nobody knows.

    `note` says why rows that should be counted are not.
    """

    loss: Loss
    rows: int | None
    exact: bool
    note: str | None = None

    def __str__(self) -> str:
        what = "rows" if self.loss.column is None else "values"
        if self.rows is None:
            amount = f"{what} unknown ({self.note or 'never analysed; --count counts them'})"
        else:
            some = "some of " if self.loss.extent == "some" and self.rows else ""
            number = f"{self.rows:,}" if self.exact else f"about {_rounded(self.rows):,}"
            amount = f"{some}{number} {what.removesuffix('s') if self.rows == 1 else what}"
            amount += f" ({self.note})" if self.note else ""
        return f"{self.loss}: {amount}" + (f"; {self.loss.reason}" if self.loss.reason else "")


def estimate(cursor: Any, losses: Sequence[Loss], *, count: bool) -> list[Estimate]:
    """Return how much each loss takes of what is there: by the planner's statistics, or counted.

    Names are resolved by the session's search_path, and the server is asked under another, since anybody may have put
    into one of its schemas a function that fits better than PostgreSQL's own. What is not there gives no estimate, and
    two losses of one table or column give one. Neither a missing permission nor a timeout fails; the estimate then says
    so. Raises ConnectionFailed if the connection is lost.
    """
    found: dict[tuple[int, str | None], tuple[_Target, Loss]] = {}
    with _own_names(cursor) as schemas:
        for loss in losses:
            for target in _targets(cursor, loss, schemas):
                named = replace(loss, table=target.name) if loss.table.endswith(".*") else loss
                key = (target.oid, target.column)
                found[key] = (target, both(found[key][1], named) if key in found else named)
        return [_estimate(cursor, target, loss, count) for target, loss in found.values()]


@contextmanager
def _own_names(cursor: Any) -> Iterator[list[str]]:
    """Take the session's search_path away for a while, and hand on the schemas that it led to.

    With SET and not SET LOCAL: a connection that is handed over may be in autocommit mode.
    """
    cursor.execute(
        "SELECT pg_catalog.current_schemas(true)::pg_catalog.text[], pg_catalog.current_setting('search_path')"
    )
    schemas, search_path = cursor.fetchone()
    cursor.execute("SET search_path TO pg_catalog, pg_temp")
    try:
        yield schemas
    finally:
        with suppress(psycopg2.Error):  # a lost connection, or a transaction that only a rollback ends
            cursor.execute("SELECT pg_catalog.set_config('search_path', %s, false)", (search_path,))


@dataclass(frozen=True)
class _Target:
    """A table in the database, with the column that is meant, and what keeps us from counting."""

    oid: int
    schema: str
    table: str
    name: str
    column: str | None
    obstacle: str | None


# Not to_regclass(): it fails where USAGE on the schema is missing.
_TARGETS = """
SELECT c.oid, n.nspname, c.relname, format('%%I.%%I', n.nspname, c.relname), a.attname,
    CASE
        WHEN NOT has_schema_privilege(n.oid, 'USAGE') OR NOT CASE
            WHEN a.attnum IS NULL THEN has_any_column_privilege(c.oid, 'SELECT')
            ELSE has_column_privilege(c.oid, a.attnum, 'SELECT') END
        THEN 'no permission to count them'
        WHEN row_security_active(c.oid) THEN 'row-level security keeps this user from counting them'
    END
FROM (SELECT parse_ident(%(table)s) AS part, (parse_ident(%(column)s))[1] AS attribute) wanted
CROSS JOIN pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a
    ON a.attrelid = c.oid AND a.attname = wanted.attribute AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND (attribute IS NULL OR a.attnum IS NOT NULL) AND
"""
_ONE = """
    c.oid = (SELECT r.oid FROM pg_class r JOIN pg_namespace s ON s.oid = r.relnamespace
              WHERE r.relname = part[cardinality(part)]
                AND CASE cardinality(part) WHEN 1 THEN s.nspname = ANY (%(schemas)s) ELSE s.nspname = part[1] END
              ORDER BY array_position(%(schemas)s, s.nspname::text) LIMIT 1)
"""
_SCHEMA = """
    n.nspname = part[1] AND c.relkind IN ('r', 'p', 'm') AND NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent
        WHERE i.inhrelid = c.oid AND parent.relnamespace = n.oid)
ORDER BY c.relname
"""

# Rows as the planner estimates them: density at the last ANALYZE times today's size. A partitioned table has no rows
# of its own; a foreign table has no size, a view nothing at all.
_ESTIMATE = """
WITH RECURSIVE tree (oid) AS (
    SELECT %(oid)s::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid
), part AS (
    SELECT c.relkind IN ('r', 'm') AND pg_relation_size(c.oid) = 0 AS empty,
        CASE
            WHEN c.reltuples < 0 OR c.relkind = 'v' THEN NULL
            WHEN c.relkind = 'f' THEN c.reltuples
            WHEN c.relpages > 0 THEN
                c.reltuples::float8 / c.relpages * pg_relation_size(c.oid) / current_setting('block_size')::int
        END * (1 - CASE WHEN %(column)s::text IS NULL THEN 0 ELSE s.null_frac END) AS rows
    FROM tree
    JOIN pg_class c USING (oid)
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = %(column)s
        AND NOT s.inherited
    WHERE c.relkind <> 'p'
)
SELECT CASE WHEN bool_and(empty OR rows IS NOT NULL) IS NOT FALSE
    THEN round(coalesce(sum(CASE WHEN empty THEN 0 ELSE rows END), 0))::bigint END,
    bool_and(empty) IS NOT FALSE
FROM part
"""


def _targets(cursor: Any, loss: Loss, schemas: list[str]) -> list[_Target]:
    schema = loss.table.removesuffix(".*")
    query = _TARGETS + (_ONE if schema == loss.table else _SCHEMA)
    cursor.execute(query, {"table": schema, "column": loss.column, "schemas": schemas})
    return [_Target(*row) for row in cursor.fetchall()]


def _estimate(cursor: Any, target: _Target, loss: Loss, count: bool) -> Estimate:
    refusal = target.obstacle
    if count and refusal is None:
        column = sql.SQL("*") if target.column is None else sql.Identifier(target.column)
        query = sql.SQL("SELECT count({}) FROM {}").format(
            column, sql.Identifier(target.schema, target.table)
        )
        row, refusal = _ask(cursor, query, None)
        if row is not None:
            return Estimate(loss, row[0], exact=True)
    row, other = _ask(cursor, _ESTIMATE, {"oid": target.oid, "column": target.column})
    rows, exact = row or (None, False)
    say = (count or rows is None) and not exact
    return Estimate(loss, rows, exact, (refusal or other) if say else None)


def _ask(cursor: Any, query: Any, values: Any) -> tuple[Any, str | None]:
    """Return the row, or None and the server's refusal; a transaction goes on as if the query had not been."""
    connection = cursor.connection
    alone = connection.autocommit and connection.info.transaction_status == TRANSACTION_STATUS_IDLE
    if not alone:
        cursor.execute("SAVEPOINT newel_losses")
    try:
        cursor.execute(query, values)
        answer: tuple[Any, str | None] = (cursor.fetchone(), None)
    except psycopg2.Error as error:
        if connection.closed:
            raise server_refusal(error, "newel could not find out what the rollback loses") from error
        answer = (None, f"not counted: {error.diag.message_primary}")
    if not alone:
        cursor.execute("ROLLBACK TO SAVEPOINT newel_losses; RELEASE SAVEPOINT newel_losses")
    return answer


def _rounded(number: int) -> int:
    """Keep two digits: a sample does not know more."""
    return round(number, 2 - len(str(number)))
