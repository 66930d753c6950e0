"""How many rows a seed file inserts, updates, deletes and skips, as the server counts them.

The first three come from the statistics of the running transaction. What ON CONFLICT and MERGE pass over stands in no
statistics; EXPLAIN ANALYZE, which executes its statement, tells it (PostgreSQL manual, "EXPLAIN").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from newel.database.journal.tables import SCHEMA
from newel.errors import NewelError
from newel.project.sql.statements import Statement

EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) "
"""In front of a statement: it is executed all the same, and gives its plan instead of its rows."""

_SYSTEM = (SCHEMA, "pg_catalog", "pg_toast", "information_schema")
_MAY_SKIP = re.compile(rb"\b(?:on\s+conflict|merge)\b", re.IGNORECASE)

Counts = dict[int, tuple[int, int, int]]


@dataclass(frozen=True)
class Tally:
    """Rows of one seed file, in whatever table, also those that a trigger writes.

    `skipped` are those that a statement offered and ON CONFLICT or MERGE passed over. The others are None if the
    server does not count rows (`track_counts`).
    """

    inserted: int | None
    updated: int | None
    deleted: int | None
    skipped: int


def counts(cursor: Any) -> Counts:
    """Return the rows inserted, updated and deleted by relation: differences of it belong to one transaction."""
    cursor.execute(
        "SELECT relid, schemaname::text, n_tup_ins, n_tup_upd, n_tup_del FROM pg_catalog.pg_stat_xact_all_tables "
        "WHERE n_tup_ins <> 0 OR n_tup_upd <> 0 OR n_tup_del <> 0"
    )
    return {
        relation: (inserted, updated, deleted)
        for relation, schema, inserted, updated, deleted in cursor.fetchall()
        if schema not in _SYSTEM and not schema.startswith(("pg_temp", "pg_toast_temp"))
    }


def tally(cursor: Any, before: Counts, skipped: int) -> Tally:
    """Return what has happened since `before` in this transaction."""
    cursor.execute("SELECT pg_catalog.current_setting('track_counts') = 'on'")
    if not cursor.fetchone()[0]:
        return Tally(None, None, None, skipped)
    after = counts(cursor)
    inserted, updated, deleted = (
        sum(now[kind] - before.get(relation, (0, 0, 0))[kind] for relation, now in after.items())
        for kind in range(3)
    )
    return Tally(inserted, updated, deleted, skipped)


def may_skip(statement: Statement) -> bool:
    """Say whether a statement may pass rows over: INSERT ... ON CONFLICT, MERGE, or WITH and one of them.

    It may say so of another INSERT or WITH, that only speaks of it in a string; all of them can be explained.
    """
    return statement.keyword in ("INSERT", "MERGE", "WITH") and bool(
        _MAY_SKIP.search(statement.source, statement.start, statement.end)
    )


def skipped_rows(cursor: Any) -> int:
    """Return the rows that the explained statement passed over; the cursor holds its plan.

    Raises NewelError where a rule turns the statement into one that EXPLAIN does not execute, such as NOTIFY.
    """
    plans = cursor.fetchone()[0]
    if any(not isinstance(item, dict) for item in plans):
        raise NewelError(
            "a rule of its table adds a command such as NOTIFY, and newel cannot count the rows of such a statement",
            cure="Write it without ON CONFLICT and MERGE.",
        )
    return sum(_skipped(item["Plan"]) for item in plans)


def _skipped(node: dict[str, Any]) -> int:
    own = node.get("Tuples Skipped", 0)
    if node.get("Conflict Resolution") == "NOTHING":
        own += node.get("Conflicting Tuples", 0)
    own += node.get("Rows Removed by Conflict Filter", 0)
    return int(own) + sum(_skipped(item) for item in node.get("Plans", ()))
