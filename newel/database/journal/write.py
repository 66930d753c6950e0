"""Writing executions: started, each statement of a file that does not run in one transaction, and the end."""

from __future__ import annotations

import socket
from typing import Any

from newel.database.connection import APPLICATION_NAME
from newel.database.journal.records import Record
from newel.database.journal.state import Direction, HalfDone
from newel.database.lock import HELD
from newel.errors import ConnectionFailed

_AS_LOGIN = """\
SET LOCAL transaction_read_only TO off; SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE TO DEFAULT;"""
"""A file may act as another role, which need not be allowed to write here, and make the session read-only.

What it has set is back behind the commit.
"""

_MINE = "WHERE id = %s AND backend = pg_catalog.pg_backend_pid()"
"""The row of an execution, if it is still the same server process that began it and took the lock."""


def begin(
    cursor: Any,
    record: Record,
    direction: Direction,
    environment: str,
    stopped: HalfDone | None,
    approval: str | None,
    *,
    locked: bool,
) -> int:
    """Write that an execution has started, with what the one that it continues had done; return its id.

    The commit of this row need not be flushed to disk at once: WAL is flushed in order, so whatever the
    execution itself commits takes the row along, and if it commits nothing, nothing is lost with the row.

    Raises ConnectionFailed if this server process does not hold the lock, although the run is `locked`.
    """
    values = {
        **execution_values(record, direction, environment, "started"),
        "approval": approval,
        "statements_done": stopped.statements_done if stopped else 0,
        "statement_begun": stopped.statement_begun if stopped else None,
        "done_checksum": stopped.done_checksum if stopped else None,
    }
    cursor.execute(
        "SET TRANSACTION READ WRITE; SET LOCAL synchronous_commit TO off; "
        f"INSERT INTO newel.journal ({', '.join(values)}) SELECT {', '.join(['%s'] * len(values))} "
        f"WHERE {HELD if locked else 'true'} RETURNING id",
        tuple(values.values()),
    )
    row = cursor.fetchone()
    if row is None:
        raise _another_session()
    return int(row[0])


def begin_statement(cursor: Any, execution: int, number: int) -> None:
    """Write, before it runs, that statement `number` (from 1) is begun: one that may leave a doubt."""
    _update(cursor, execution, {"statement_begun": number})


def forget_statement(cursor: Any, execution: int) -> None:
    """Write that the statement that was begun came to nothing."""
    _update(cursor, execution, {"statement_begun": None})


def finish_statement(cursor: Any, execution: int, number: int, done_checksum: str) -> None:
    """Write that the statements up to `number` are done, with the checksum of their texts."""
    _update(
        cursor,
        execution,
        {"statements_done": number, "statement_begun": None, "done_checksum": done_checksum},
    )


def succeed(cursor: Any, execution: int, record: Record, direction: Direction, done: tuple[int, str]) -> None:
    """Write that an execution is done; belongs in the transaction of the revision itself.

    `done` is the number of its statements and their checksum.
    """
    _update(
        cursor,
        execution,
        {
            **(record.values() if direction == "up" else {}),
            "result": "applied" if direction == "up" else "rolled back",
            "statements_done": done[0],
            "statement_begun": None,
            "done_checksum": done[1],
        },
        ", finished_at = clock_timestamp()",
    )


def fail(cursor: Any, execution: int, error: str) -> bool:
    """Write that an execution failed, in a transaction of its own.

    Returns False, and writes nothing, if it has succeeded after all: the interruption came behind its commit.
    """
    cursor.execute(
        f"{_AS_LOGIN} UPDATE newel.journal SET result = 'failed', finished_at = clock_timestamp(), error = %s "
        "WHERE id = %s AND result = 'started'",
        (_writable(cursor, error), execution),
    )
    return bool(cursor.rowcount)


def _writable(cursor: Any, text: str) -> str:
    """Write the letters of a text as escapes where the encoding of the database may lack them: it cites the file."""
    if cursor.connection.info.parameter_status("server_encoding") in ("UTF8", "SQL_ASCII"):
        return text
    return text.encode("ascii", "backslashreplace").decode()


def stamp(cursor: Any, record: Record, direction: Direction, environment: str) -> None:
    """Write that a revision was stamped: up as applied, down as not applied. Nothing was run."""
    _insert(
        cursor,
        {**execution_values(record, direction, environment, "stamped"), **kept_values(record, direction)},
    )


def forget(cursor: Any, revision: str, slug: str, environment: str) -> None:
    """Write that a revision, of which the checkout may know nothing, was stamped as not applied."""
    _insert(cursor, _execution(revision, slug, "down", environment, "stamped"))


def repair(cursor: Any, record: Record, environment: str) -> None:
    """Write that the changed files of an applied revision were reviewed: they are the recorded ones from now on."""
    _insert(cursor, {**execution_values(record, "up", environment, "repaired"), **kept_values(record, "up")})


def _execution(
    revision: str, slug: str, direction: Direction, environment: str, result: str
) -> dict[str, Any]:
    return {
        "revision": revision,
        "slug": slug,
        "direction": direction,
        "environment": environment,
        "result": result,
        "application": APPLICATION_NAME,
        "host": socket.gethostname(),
    }


def execution_values(record: Record, direction: Direction, environment: str, result: str) -> dict[str, Any]:
    """Return the values of a journal row that any execution of a revision has, by column."""
    return {
        **_execution(record.revision.id, record.revision.slug, direction, environment, result),
        "up_checksum": record.up.checksum if record.up else None,
        "down_checksum": record.down.checksum,
    }


def kept_values(record: Record, direction: Direction) -> dict[str, Any]:
    """Return what the row of a revision that is applied without being run has besides."""
    if direction == "down":
        return {}
    return {**record.values(), "done_checksum": record.up.statements_checksum if record.up else None}


def _insert(cursor: Any, values: dict[str, Any]) -> None:
    cursor.execute(
        f"INSERT INTO newel.journal ({', '.join(values)}, finished_at) "
        f"VALUES ({', '.join(['%s'] * len(values))}, clock_timestamp())",
        tuple(values.values()),
    )


def _update(cursor: Any, execution: int, values: dict[str, Any], also: str = "") -> None:
    assignments = ", ".join(f"{name} = %s" for name in values)
    cursor.execute(
        f"{_AS_LOGIN} UPDATE newel.journal SET {assignments}{also} {_MINE}", (*values.values(), execution)
    )
    if cursor.rowcount != 1:
        raise _another_session()


def _another_session() -> ConnectionFailed:
    return ConnectionFailed(
        "another server process answers now than the one that took the lock, so nothing keeps other runs away",
        cure="A pooling proxy, such as PgBouncer in transaction mode, hands each transaction to a process of its "
        "choice. Name the server itself in DATABASE_DIRECT_URL, which newel prefers, and run the same command again.",
    )
