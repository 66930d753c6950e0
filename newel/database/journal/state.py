"""What a database says of itself: its label, its version rows, what is applied and what is half done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from newel.database.journal.tables import IS_FIRST_FORM, JOURNAL, MARKER, TABLES, VERSION_TABLE

Direction = Literal["up", "down"]

LAST_RECORDED = """\
SELECT DISTINCT ON (revision) * FROM newel.journal
 WHERE result IN ('applied', 'stamped', 'repaired') AND direction = 'up' ORDER BY revision, id DESC"""
"""The rows that hold what is recorded of each revision: the last one in which it was applied, stamped or repaired."""

_APPLIED = """\
SELECT revision, finished_at, result = 'stamped'
  FROM (SELECT DISTINCT ON (revision) * FROM newel.journal
         WHERE result IN ('applied', 'rolled back', 'stamped') ORDER BY revision, id DESC) last
 WHERE direction = 'up' ORDER BY id"""
_KEPT = "branch, down_revision, depends_on, down_sql IS NOT NULL"
_NOTHING_KEPT = "NULL, NULL, NULL, false"

HALF_DONE = """\
FROM (SELECT DISTINCT ON (revision) * FROM newel.journal WHERE result <> 'repaired' ORDER BY revision, id DESC) last
WHERE result IN ('started', 'failed') AND (statements_done > 0 OR statement_begun IS NOT NULL)"""
"""The rows of half-done revisions: the last of each, if it did not end well and yet left something done."""


@dataclass(frozen=True)
class AppliedRevision:
    """A revision that is applied, as the journal tells it."""

    revision: str
    slug: str
    at: datetime
    stamped: bool
    branch: str | None = None
    down_revision: str | None = None
    depends_on: str | None = None
    kept: bool = False
    """The journal keeps its down SQL."""


@dataclass(frozen=True)
class HalfDone:
    """Where the last execution of a revision stopped in a file that does not run in one transaction."""

    revision: str
    slug: str
    direction: Direction
    statements_done: int
    statement_begun: int | None
    done_checksum: str | None


@dataclass(frozen=True)
class DatabaseState:
    """What a database says of itself. `applied` is in order of application."""

    environment: str | None = None
    version_rows: frozenset[str] = frozenset()
    applied: tuple[AppliedRevision, ...] = ()
    half_done: tuple[HalfDone, ...] = ()
    tables: frozenset[str] = frozenset()
    first_form: bool = False
    """The journal was made by newel 0.1.0 and lacks columns; the next run that changes something adds them."""

    @property
    def applied_ids(self) -> tuple[str, ...]:
        """The ids of the applied revisions in order of application."""
        return tuple(item.revision for item in self.applied)


def read_state(cursor: Any) -> DatabaseState:
    """Read marker, version rows and applied revisions; a database without newel's tables has none.

    A half-done row that a killed process left as started counts: who holds the lock knows that nobody runs it now.
    """
    cursor.execute(
        f"SELECT t, {IS_FIRST_FORM} FROM pg_catalog.unnest(%s) t WHERE pg_catalog.to_regclass(t) IS NOT NULL",
        (list(TABLES),),
    )
    found = dict(cursor.fetchall())
    environment, version_rows, applied = None, frozenset[str](), tuple[AppliedRevision, ...]()
    half_done = tuple[HalfDone, ...]()
    first_form = found.get(JOURNAL, False)
    if MARKER in found:
        cursor.execute("SELECT name FROM newel.environment")
        row = cursor.fetchone()
        environment = row[0] if row else None
    if VERSION_TABLE in found:
        cursor.execute("SELECT version_num FROM newel.alembic_version")
        version_rows = frozenset(row[0] for row in cursor.fetchall())
    if JOURNAL in found:
        applied = _read_applied(cursor, first_form=first_form)
        cursor.execute(
            "SELECT revision, slug, direction, statements_done, statement_begun, done_checksum "
            f"{HALF_DONE} ORDER BY id"
        )
        half_done = tuple(HalfDone(*row) for row in cursor.fetchall())
    return DatabaseState(environment, version_rows, applied, half_done, frozenset(found), first_form)


def _read_applied(cursor: Any, *, first_form: bool) -> tuple[AppliedRevision, ...]:
    """Read what is applied and what is recorded of it.

    They are put together here and not by a JOIN: before the first ANALYZE the planner takes the journal for a few rows
    and joins each with each, which is half a million comparisons for 1,000 revisions.
    """
    cursor.execute(_APPLIED)
    applied = cursor.fetchall()
    kept = _NOTHING_KEPT if first_form else _KEPT
    cursor.execute(f"SELECT revision, slug, {kept} FROM ({LAST_RECORDED}) recorded")
    recorded = {revision: rest for revision, *rest in cursor.fetchall()}
    return tuple(
        AppliedRevision(revision, recorded[revision][0], at, stamped, *recorded[revision][1:])
        for revision, at, stamped in applied
        if revision in recorded
    )
