"""Reading the executions, for those who look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from newel.database.journal.state import DatabaseState, Direction
from newel.database.lock import IS_LOCK

Result = Literal["started", "applied", "rolled back", "failed", "stamped", "repaired"]

_FIRST_FORM = (
    "id, revision, slug, direction, environment, result, started_at, finished_at, statements_done, error, "
    "executed_by, application"
)
_COLUMNS = (
    f"{_FIRST_FORM}, host, up_checksum, down_checksum, approval, result = 'started' "
    f"AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = backend AND {IS_LOCK})"
)


@dataclass(frozen=True)
class Execution:
    """One row of the journal. `executed_by` is the database's user, `application` names newel's version."""

    id: int
    revision: str
    slug: str
    direction: Direction
    environment: str
    result: Result
    started_at: datetime
    finished_at: datetime | None
    statements_done: int
    error: str | None
    executed_by: str
    application: str
    host: str | None = None
    up_checksum: str | None = None
    down_checksum: str | None = None
    approval: str | None = None
    running: bool = False
    """The server process that began it holds the lock; one that is started and not running was interrupted."""

    @property
    def seconds(self) -> float | None:
        """How long it took, or None if it never finished."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None


def read_executions(cursor: Any, state: DatabaseState, limit: int | None = None) -> Sequence[Execution]:
    """Return the journal, newest first."""
    cursor.execute(f"SELECT {_columns(state)} FROM newel.journal ORDER BY id DESC LIMIT %s", (limit,))
    return [Execution(*row) for row in cursor.fetchall()]


def read_interrupted(cursor: Any, state: DatabaseState) -> Sequence[Execution]:
    """Return the revisions' last executions that did not end well: failed, or started and never finished."""
    cursor.execute(
        f"SELECT {_columns(state)} FROM (SELECT DISTINCT ON (revision) * FROM newel.journal "
        "WHERE result <> 'repaired' ORDER BY revision, id DESC) last "
        "WHERE result IN ('started', 'failed') ORDER BY id"
    )
    return [Execution(*row) for row in cursor.fetchall()]


def _columns(state: DatabaseState) -> str:
    return _FIRST_FORM if state.first_form else _COLUMNS
