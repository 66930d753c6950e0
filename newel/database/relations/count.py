"""Counts rows, for as long as that is no burden; otherwise the server's estimate has to do."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import quote_identifier, server_refusal
from newel.database.relations.model import Relation
from newel.database.relations.read import total

TABLE_SECONDS = 3.0
"""How long one table is counted."""
ALL_SECONDS = 30.0
"""How long all of them are counted together."""
_LOCK_SECONDS = 1.0

Reason = Literal[
    "it takes too long",
    "SELECT is not permitted",
    "row-level security hides rows",
    "it is locked",
    "a replica does not hold it",
]
_REASONS: dict[str, Reason] = {
    "57014": "it takes too long",
    "42501": "SELECT is not permitted",
    "55P03": "it is locked",
    "0A000": "a replica does not hold it",
}


@dataclass(frozen=True)
class Counted:
    """A table with its rows: counted if `exact`, else estimated (None without an estimate) for a reason."""

    relation: Relation
    rows: int | None
    exact: bool
    reason: Reason | None = None


def count_tables(
    connection: Connection,
    relations: Sequence[Relation],
    table_seconds: float = TABLE_SECONDS,
    all_seconds: float = ALL_SECONDS,
) -> tuple[Counted, ...]:
    """Count the rows of tables and materialized views, the largest first; a table dropped meanwhile is left out.

    Each is counted in a transaction of its own, so that no lock and no snapshot lasts. A partitioned table has the
    rows of its partitions. Raises ConnectionFailed.
    """
    connection.autocommit = True
    ends = time.monotonic() + all_seconds
    found: list[Counted] = []
    for relation in sorted(
        relations, key=lambda item: item.bytes
    ):  # the small ones are not kept from it by the large
        if relation.kind in ("table", "materialized view"):
            seconds = min(table_seconds, ends - time.monotonic())
            counted = _count(connection, relation, seconds) if seconds > 0 else _slow(relation)
            found += [counted] if counted else []
    found += _partitioned(relations, found)
    return tuple(sorted(found, key=lambda item: (-item.relation.bytes, item.relation.identity)))


def _slow(relation: Relation) -> Counted:
    return Counted(relation, relation.rows, False, "it takes too long")


def _count(connection: Connection, relation: Relation, seconds: float) -> Counted | None:
    """Count one table; rows that row-level security hides would be missing, so it is an error then, as in pg_dump."""
    milliseconds = max(int(seconds * 1000), 1)
    name = f"{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "BEGIN READ ONLY; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL row_security = off; "
                f"SET LOCAL statement_timeout = {milliseconds}; "
                f"SET LOCAL lock_timeout = {min(milliseconds, int(_LOCK_SECONDS * 1000))}"
            )
            cursor.execute(f"SELECT count(*) FROM ONLY {name}")  # noqa: S608 - quoted
            row = cursor.fetchone()
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        return None
    except psycopg2.Error as error:
        if error.pgcode == "55000":  # a materialized view that was never refreshed
            return Counted(relation, 0, True)
        reason = _REASONS.get(error.pgcode or "")
        if reason == "SELECT is not permitted" and "row-level security" in str(error):
            reason = "row-level security hides rows"
        if reason is None:
            raise server_refusal(error, f"cannot count {relation.identity}") from error
        return Counted(relation, relation.rows, False, reason)
    finally:
        if not connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
    return Counted(relation, row[0] if row else None, True)


def _partitioned(relations: Sequence[Relation], found: Sequence[Counted]) -> list[Counted]:
    above = {relation.identity: relation.partition_of for relation in relations}
    parts = defaultdict[str, list[Counted]](list)
    for counted in found:
        parent = counted.relation.partition_of
        while parent is not None:
            parts[parent].append(counted)
            parent = above.get(parent)
    return [
        Counted(
            relation,
            total([part.rows for part in parts[relation.identity]]),
            all(part.exact for part in parts[relation.identity]),
            next((part.reason for part in parts[relation.identity] if part.reason), None),
        )
        for relation in relations
        if relation.kind == "partitioned table"
    ]
