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
class DatabaseState:
    """What a database says of itself. `applied` is in order of application."""

    environment: str | None = None
    version_rows: frozenset[str] = frozenset()
    applied: tuple[AppliedRevision, ...] = ()
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


@dataclass(frozen=True)
class HalfDone:
    """Where an execution of a file that does not run in one transaction stopped."""

    statements_done: int
    statement_begun: int | None
    done_checksum: str


def read_state(cursor: Any) -> DatabaseState:
    """Read marker, version rows and applied revisions; a database without newel's tables has none."""
    cursor.execute("SELECT t FROM unnest(%s) t WHERE pg_catalog.to_regclass(t) IS NOT NULL", (list(TABLES),))
    tables = frozenset(row[0] for row in cursor.fetchall())
    environment, version_rows, applied = None, frozenset[str](), tuple[AppliedRevision, ...]()
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
    return DatabaseState(environment, version_rows, applied, tables)


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
    cursor: Any, revision: str, slug: str, direction: Direction, environment: str, checksum: str
) -> int:
    """Write that an execution has started and return its id.

    The commit of this row need not be flushed to disk at once: WAL is flushed in order, so whatever the
    execution itself commits takes the row along, and if it commits nothing, nothing is lost with the row.
    """
    cursor.execute(
        "SET LOCAL synchronous_commit TO off; "
        "INSERT INTO newel.journal (revision, slug, direction, environment, result, checksum, application) "
        "VALUES (%s, %s, %s, %s, 'started', %s, %s) RETURNING id",
        (revision, slug, direction, environment, checksum, APPLICATION_NAME),
    )
    return int(cursor.fetchone()[0])


def begin_statement(cursor: Any, execution: int, number: int) -> None:
    """Write, before it runs, that statement `number` (from 1) is begun: one that may leave a doubt."""
    cursor.execute("UPDATE newel.journal SET statement_begun = %s WHERE id = %s", (number, execution))


def finish_statement(cursor: Any, execution: int, number: int, done_checksum: str) -> None:
    """Write that the statements up to `number` are done, with the checksum of their texts."""
    cursor.execute(
        "UPDATE newel.journal SET statements_done = %s, statement_begun = NULL, done_checksum = %s WHERE id = %s",
        (number, done_checksum, execution),
    )


def succeed(cursor: Any, execution: int, direction: Direction, statements: int) -> None:
    """Write that an execution is done; belongs in the transaction of the revision itself.

    Deferred constraints are checked first: an integrity error (SQLSTATE class 23) is one of theirs. The file may
    have ended as another role, which need not be allowed to write the journal.
    """
    cursor.execute(
        "SET CONSTRAINTS ALL IMMEDIATE; RESET SESSION AUTHORIZATION; RESET ROLE; "
        "UPDATE newel.journal SET result = %s, finished_at = clock_timestamp(), statements_done = %s WHERE id = %s",
        ("applied" if direction == "up" else "rolled back", statements, execution),
    )


def fail(cursor: Any, execution: int, error: str) -> None:
    """Write that an execution failed, in a transaction of its own."""
    cursor.execute(
        "UPDATE newel.journal SET result = 'failed', finished_at = clock_timestamp(), error = %s WHERE id = %s",
        (error, execution),
    )


def stamp(cursor: Any, revision: str, slug: str, direction: Direction, environment: str) -> None:
    """Write that a revision was stamped: up as applied, down as not applied. Nothing was run."""
    cursor.execute(
        "INSERT INTO newel.journal (revision, slug, direction, environment, result, finished_at, application) "
        "VALUES (%s, %s, %s, %s, 'stamped', clock_timestamp(), %s)",
        (revision, slug, direction, environment, APPLICATION_NAME),
    )


def half_done(cursor: Any, revision: str, direction: Direction, execution: int) -> HalfDone | None:
    """Return where the execution of a revision before `execution` stopped, unless it ended well.

    A row that a killed process left as started counts: the caller holds the lock, so nobody runs it now.
    """
    cursor.execute(
        "SELECT direction, result, statements_done, statement_begun, coalesce(done_checksum, '') "
        "FROM newel.journal WHERE revision = %s AND id < %s ORDER BY id DESC LIMIT 1",
        (revision, execution),
    )
    row = cursor.fetchone()
    if row is None or row[0] != direction or row[1] not in ("started", "failed"):
        return None
    return HalfDone(row[2], row[3], row[4]) if row[2] or row[3] else None


def carry_over(cursor: Any, execution: int, stopped: HalfDone) -> None:
    """Write into the row of the execution that goes on what the one before it had done."""
    cursor.execute(
        "UPDATE newel.journal SET statements_done = %s, statement_begun = %s, done_checksum = %s WHERE id = %s",
        (stopped.statements_done, stopped.statement_begun, stopped.done_checksum, execution),
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
