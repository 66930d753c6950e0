"""newel's own tables, in a schema of their own: the version rows, the journal of executions, the marker.

The version rows are Alembic's (schema newel, table alembic_version). The journal has one row an execution of
a revision; the marker names the environment that the database belongs to. Looking creates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from newel.database.connection import APPLICATION_NAME

SCHEMA = "newel"
VERSION_TABLE = "newel.alembic_version"
JOURNAL = "newel.journal"
MARKER = "newel.environment"

HALF_DONE = """\
FROM (SELECT DISTINCT ON (revision) * FROM newel.journal ORDER BY revision, id DESC) last
WHERE result IN ('started', 'failed') AND (statements_done > 0 OR statement_begun IS NOT NULL)"""
"""The rows of half-done revisions: the last of each, if it did not end well and yet left something done."""

_AS_LOGIN = "SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE TO DEFAULT;"
"""A file may act as another role, which need not be allowed to write here. Its role is back behind the commit."""

Direction = Literal["up", "down"]
Result = Literal["started", "applied", "rolled back", "failed", "stamped"]

TABLES: dict[str, str] = {
    VERSION_TABLE: """\
CREATE TABLE newel.alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)""",
    JOURNAL: """\
CREATE TABLE newel.journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision text NOT NULL,
    slug text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('up', 'down')),
    environment text NOT NULL,
    result text NOT NULL CHECK (result IN ('started', 'applied', 'rolled back', 'failed', 'stamped')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    statements_done integer NOT NULL DEFAULT 0,
    statement_begun integer,
    done_checksum text,
    checksum text,
    error text,
    executed_by text NOT NULL DEFAULT session_user,
    application text NOT NULL
)""",
    MARKER: """\
CREATE TABLE newel.environment (
    name text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    set_by text NOT NULL DEFAULT session_user,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
)""",
}
"""The definition of each table. `statement_begun` and `done_checksum` serve to go on in a half-done file."""


@dataclass(frozen=True)
class AppliedRevision:
    """A revision that is applied, as the journal tells it."""

    revision: str
    slug: str
    at: datetime
    stamped: bool


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

    @property
    def applied_ids(self) -> tuple[str, ...]:
        """The ids of the applied revisions in order of application."""
        return tuple(item.revision for item in self.applied)


@dataclass(frozen=True)
class Execution:
    """One row of the journal."""

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

    @property
    def seconds(self) -> float | None:
        """How long it took, or None if it never finished."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None


def read_state(cursor: Any) -> DatabaseState:
    """Read marker, version rows and applied revisions; a database without newel's tables has none."""
    cursor.execute("SELECT t FROM unnest(%s) t WHERE pg_catalog.to_regclass(t) IS NOT NULL", (list(TABLES),))
    tables = frozenset(row[0] for row in cursor.fetchall())
    environment, version_rows, applied = None, frozenset[str](), tuple[AppliedRevision, ...]()
    half_done = tuple[HalfDone, ...]()
    if MARKER in tables:
        cursor.execute("SELECT name FROM newel.environment")
        row = cursor.fetchone()
        environment = row[0] if row else None
    if VERSION_TABLE in tables:
        cursor.execute("SELECT version_num FROM newel.alembic_version")
        version_rows = frozenset(row[0] for row in cursor.fetchall())
    if JOURNAL in tables:
        cursor.execute(
            """
            SELECT revision, slug, finished_at, result = 'stamped'
              FROM (SELECT DISTINCT ON (revision) * FROM newel.journal
                     WHERE result IN ('applied', 'rolled back', 'stamped') ORDER BY revision, id DESC) last
             WHERE direction = 'up' ORDER BY id
            """
        )
        applied = tuple(AppliedRevision(*row) for row in cursor.fetchall())
        half_done = tuple(HalfDone(*row) for row in _half_done(cursor))
    return DatabaseState(environment, version_rows, applied, half_done, tables)


def _half_done(cursor: Any) -> Sequence[tuple[Any, ...]]:
    """Read the half-done revisions.

    A row that a killed process left as started counts: who holds the lock knows that nobody runs it now.
    """
    cursor.execute(
        f"SELECT revision, slug, direction, statements_done, statement_begun, done_checksum {HALF_DONE} ORDER BY id"
    )
    return list(cursor.fetchall())


def create_missing(cursor: Any, state: DatabaseState) -> None:
    """Create what of newel's schema is missing. Needs CREATE on the database only where the schema is missing."""
    if state.tables >= set(TABLES):
        return
    cursor.execute("SELECT pg_catalog.to_regnamespace(%s)", (SCHEMA,))
    if cursor.fetchone()[0] is None:
        cursor.execute("CREATE SCHEMA newel")
    for name, definition in TABLES.items():
        if name not in state.tables:
            cursor.execute(definition)


def set_environment(cursor: Any, name: str) -> None:
    """Label the database as belonging to an environment."""
    cursor.execute(
        "INSERT INTO newel.environment (name) VALUES (%s) ON CONFLICT (only_row) "
        "DO UPDATE SET name = excluded.name, set_at = now(), set_by = session_user",
        (name,),
    )


def begin(
    cursor: Any,
    revision: str,
    slug: str,
    direction: Direction,
    environment: str,
    checksum: str,
    stopped: HalfDone | None,
) -> int:
    """Write that an execution has started, with what the one that it continues had done; return its id.

    The commit of this row need not be flushed to disk at once: WAL is flushed in order, so whatever the
    execution itself commits takes the row along, and if it commits nothing, nothing is lost with the row.
    """
    carried = (
        (stopped.statements_done, stopped.statement_begun, stopped.done_checksum)
        if stopped
        else (0, None, None)
    )
    cursor.execute(
        "SET TRANSACTION READ WRITE; SET LOCAL synchronous_commit TO off; "
        "INSERT INTO newel.journal (revision, slug, direction, environment, result, checksum, application, "
        "statements_done, statement_begun, done_checksum) "
        "VALUES (%s, %s, %s, %s, 'started', %s, %s, %s, %s, %s) RETURNING id",
        (revision, slug, direction, environment, checksum, APPLICATION_NAME, *carried),
    )
    return int(cursor.fetchone()[0])


def begin_statement(cursor: Any, execution: int, number: int) -> None:
    """Write, before it runs, that statement `number` (from 1) is begun: one that may leave a doubt."""
    cursor.execute(
        f"{_AS_LOGIN} UPDATE newel.journal SET statement_begun = %s WHERE id = %s", (number, execution)
    )


def forget_statement(cursor: Any, execution: int) -> None:
    """Write that the statement that was begun came to nothing."""
    cursor.execute(f"{_AS_LOGIN} UPDATE newel.journal SET statement_begun = NULL WHERE id = %s", (execution,))


def finish_statement(cursor: Any, execution: int, number: int, done_checksum: str) -> None:
    """Write that the statements up to `number` are done, with the checksum of their texts."""
    cursor.execute(
        f"{_AS_LOGIN} "
        "UPDATE newel.journal SET statements_done = %s, statement_begun = NULL, done_checksum = %s WHERE id = %s",
        (number, done_checksum, execution),
    )


def succeed(cursor: Any, execution: int, direction: Direction, statements: int) -> None:
    """Write that an execution is done; belongs in the transaction of the revision itself."""
    cursor.execute(
        f"{_AS_LOGIN} "
        "UPDATE newel.journal SET result = %s, finished_at = clock_timestamp(), statements_done = %s WHERE id = %s",
        ("applied" if direction == "up" else "rolled back", statements, execution),
    )


def fail(cursor: Any, execution: int, error: str) -> bool:
    """Write that an execution failed, in a transaction of its own.

    Returns False, and writes nothing, if it has succeeded after all: the interruption came behind its commit.
    """
    cursor.execute(
        "UPDATE newel.journal SET result = 'failed', finished_at = clock_timestamp(), error = %s "
        "WHERE id = %s AND result = 'started'",
        (error, execution),
    )
    return bool(cursor.rowcount)


def stamp(cursor: Any, revision: str, slug: str, direction: Direction, environment: str) -> None:
    """Write that a revision was stamped: up as applied, down as not applied. Nothing was run."""
    cursor.execute(
        "INSERT INTO newel.journal (revision, slug, direction, environment, result, finished_at, application) "
        "VALUES (%s, %s, %s, %s, 'stamped', clock_timestamp(), %s)",
        (revision, slug, direction, environment, APPLICATION_NAME),
    )


def executions(cursor: Any, limit: int | None = None) -> Sequence[Execution]:
    """Return the journal, newest first."""
    cursor.execute(
        "SELECT id, revision, slug, direction, environment, result, started_at, finished_at, statements_done, "
        "error, executed_by FROM newel.journal ORDER BY id DESC LIMIT %s",
        (limit,),
    )
    return [Execution(*row) for row in cursor.fetchall()]


def interrupted(cursor: Any) -> Sequence[Execution]:
    """Return the revisions' last executions that did not end well: failed, or started and never finished."""
    cursor.execute(
        "SELECT id, revision, slug, direction, environment, result, started_at, finished_at, statements_done, "
        "error, executed_by FROM (SELECT DISTINCT ON (revision) * FROM newel.journal ORDER BY revision, id DESC) last "
        "WHERE result IN ('started', 'failed') ORDER BY id"
    )
    return [Execution(*row) for row in cursor.fetchall()]
