"""What a down file loses, from its parse trees and its `lossy` directives; and how many rows that is in a database.

What only the catalog knows is not in it: rows that a foreign key deletes or TRUNCATE ... CASCADE empties along, and
columns of a type that is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from newel.database.connection import quote_identifier, server_refusal
from newel.project.files import SqlFile
from newel.project.parser import ParseError, enum_name, kind_of, node_of, parse, spans
from newel.project.statements import Statement

_MAY_LOSE = frozenset(("ALTER", "CREATE", "DELETE", "DROP", "MERGE", "TRUNCATE", "UPDATE", "WITH"))
_CONFLICT = re.compile(rb"\bon\s+conflict\b", re.IGNORECASE)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_PART = r'"(?:[^"]|"")+"|[^".]+'


@dataclass(frozen=True)
class Loss:
    """Rows of a table, or values of one of its columns, that a rollback loses.

    Names are as PostgreSQL takes them, quoted where needed. The table `app.*` stands for every table of a schema.
    `reason` is what the file's `lossy` directive says of it.
    """

    table: str
    column: str | None
    extent: Literal["all", "some"]
    reason: str | None = None

    def __str__(self) -> str:
        return self.table if self.column is None else f"{self.table}.{self.column}"


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


def losses(file: SqlFile) -> tuple[Loss, ...]:
    """Return what a down file loses, each table and column once, in the order of the file.

    A DO block is not looked into, nor is a statement that is nested too deeply for a tree.
    """
    stated = [loss for statement in file.statements() for loss in _of_statement(statement)]
    directed = [_of_directive(word, reason, stated) for word, reason in file.directives.lossy]
    merged: dict[tuple[str, str | None], Loss] = {}
    for loss in (*directed, *stated):
        key = (loss.table, loss.column)
        merged[key] = _both(merged[key], loss) if key in merged else loss
    return tuple(merged.values())


def estimate(cursor: Any, losses: Sequence[Loss], *, count: bool) -> list[Estimate]:
    """Return how much each loss takes of what is there: by the planner's statistics, or counted.

    Names are resolved by the session's search_path. What is not there gives no estimate, and two losses of one table
    or column give one. Neither a missing permission nor a timeout fails; the estimate then says so. Raises
    ConnectionFailed if the connection is lost.
    """
    found: dict[tuple[int, str | None], tuple[_Target, Loss]] = {}
    for loss in losses:
        for target in _targets(cursor, loss):
            named = replace(loss, table=target.name) if loss.table.endswith(".*") else loss
            key = (target.oid, target.column)
            found[key] = (target, _both(found[key][1], named) if key in found else named)
    return [_estimate(cursor, target, loss, count) for target, loss in found.values()]


def _both(first: Loss, second: Loss) -> Loss:
    """Make one of two losses of the same thing: all wins over some, and each reason is kept."""
    reasons = dict.fromkeys(loss.reason for loss in (first, second) if loss.reason)
    extent: Literal["all", "some"] = "all" if "all" in (first.extent, second.extent) else "some"
    return replace(first, extent=extent, reason="; ".join(reasons) or None)


def _of_directive(word: str, reason: str, stated: Sequence[Loss]) -> Loss:
    """Read `table` or `table.column`: as a statement's loss if one has that name, else by the number of parts."""
    parts = [_unquoted(part) for part in re.findall(_PART, word)]
    if not re.fullmatch(rf"(?:{_PART})(?:\.(?:{_PART}))*", word):
        parts = [word]
    *table, last = parts
    column = Loss(_name(*table), _quoted(last), "some", reason)
    if len(parts) > 2 or any((loss.table, loss.column) == (column.table, column.column) for loss in stated):
        return column
    return Loss(_name(*parts), None, "some", reason)


def _of_statement(statement: Statement) -> Iterator[Loss]:
    text = statement.source[statement.start : statement.end]
    if statement.keyword in _MAY_LOSE or (statement.keyword == "INSERT" and _CONFLICT.search(text)):
        tree = parse(statement.text)
        if tree is not None:
            yield from _of_tree(tree)


def _of_tree(tree: Any) -> Iterator[Loss]:
    fields = tree.DESCRIPTOR.fields_by_name
    if "with_clause" in fields:
        for item in tree.with_clause.ctes:
            yield from _of_tree(node_of(item.common_table_expr.ctequery))
    match kind_of(tree):
        case "DropStmt" if enum_name(tree, "remove_type") in ("OBJECT_TABLE", "OBJECT_MATVIEW"):
            for item in tree.objects:
                yield Loss(_name(*(part.string.sval for part in item.list.items)), None, "all")
        case "DropStmt" if enum_name(tree, "remove_type") == "OBJECT_SCHEMA":
            if enum_name(tree, "behavior") == "DROP_CASCADE":
                yield from (Loss(f"{_name(item.string.sval)}.*", None, "all") for item in tree.objects)
        case "TruncateStmt":
            yield from (Loss(_table(item.range_var), None, "all") for item in tree.relations)
        case "AlterTableStmt" if enum_name(tree, "objtype") == "OBJECT_TABLE":
            yield from _of_alter(tree)
        case "DeleteStmt":
            yield Loss(_table(tree.relation), None, _extent(tree))
        case "UpdateStmt":
            yield from _of_set(tree.relation, tree.target_list, _extent(tree))
        case "InsertStmt":
            yield from _of_set(tree.relation, tree.on_conflict_clause.target_list, "some")
        case "MergeStmt":
            for clause in (item.merge_when_clause for item in tree.merge_when_clauses):
                if enum_name(clause, "command_type") == "CMD_DELETE":
                    yield Loss(_table(tree.relation), None, "some")
                if enum_name(clause, "command_type") == "CMD_UPDATE":
                    yield from _of_set(tree.relation, clause.target_list, "some")
        case "CreateTableAsStmt":
            yield from _of_tree(node_of(tree.query))


def _of_alter(tree: Any) -> Iterator[Loss]:
    for command in (item.alter_table_cmd for item in tree.cmds):
        subtype = enum_name(command, "subtype")
        if subtype in ("AT_DropColumn", "AT_AlterColumnType"):
            extent: Literal["all", "some"] = "all" if subtype == "AT_DropColumn" else "some"
            yield Loss(_table(tree.relation), _quoted(command.name), extent)


def _of_set(relation: Any, targets: Any, extent: Literal["all", "some"]) -> Iterator[Loss]:
    yield from (Loss(_table(relation), _quoted(item.res_target.name), extent) for item in targets)


def _extent(tree: Any) -> Literal["all", "some"]:
    return "some" if tree.HasField("where_clause") else "all"


def _table(relation: Any) -> str:
    return _name(*(part for part in (relation.schemaname, relation.relname) if part))


def _name(*parts: str) -> str:
    """Put a name together; a database before the schema can only be the one that is connected to."""
    return ".".join(_quoted(part) for part in parts[-2:])


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name):
        try:
            spans(f"TABLE {name}".encode())
        except ParseError:  # a keyword
            pass
        else:
            return name
    return quote_identifier(name)


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()


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
    c.relname = part[cardinality(part)] AND
    CASE cardinality(part) WHEN 1 THEN pg_table_is_visible(c.oid) ELSE n.nspname = part[1] END
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


def _targets(cursor: Any, loss: Loss) -> list[_Target]:
    schema = loss.table.removesuffix(".*")
    query = _TARGETS + (_ONE if schema == loss.table else _SCHEMA)
    cursor.execute(query, {"table": schema, "column": loss.column})
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
