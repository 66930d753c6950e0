"""Executes one SQL file on a connection, statement by statement.

One statement is sent at a time: a string of several is one implicit transaction even in autocommit, and its
run-time errors carry no position (PostgreSQL manual, "Multiple Statements in a Simple Query").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg2

from newel.database.journal import write
from newel.database.journal.state import HalfDone
from newel.errors import ConnectionFailed, DependencyError, Location, NewelError, PermissionDenied
from newel.migrate.execute import doubt
from newel.migrate.execute.doubt import Question
from newel.migrate.execute.retry import Tell, retrying
from newel.migrate.execute.stop import held_back, raise_pending
from newel.project.files import SqlFile
from newel.project.source import excerpt, locate
from newel.project.sql.statements import Statement, checksums, sets_session

_RUNS_OUTSIDE = ("2D000", "25001")
"""A CALL or DO that ends transactions itself; REINDEX or CLUSTER of what the catalog alone knows to be partitioned."""
_REFUSED_IN_TRANSACTION = (*_RUNS_OUTSIDE, "55P04")
_OUTSIDE = "It needs a file that does not run in one transaction. Put at its top:  -- newel: no-transaction"


class Done(NamedTuple):
    """What of a file has been done: the number of its statements, and their checksum."""

    statements: int
    checksum: str


def run_in_transaction(cursor: Any, file: SqlFile) -> Done:
    """Execute a transactional file in the transaction the caller has open.

    Deferred constraints are checked at its end, where an error can still name the file.
    """
    done = Done(0, "")
    for number, statement, checksum in checksums(file.statements()):
        execute(cursor, file, statement)
        done = Done(number, checksum)
    check_deferred(cursor, file.path)
    return done


def check_deferred(cursor: Any, path: str) -> None:
    """Check deferred constraints at the end of a file, where an error can still name it."""
    try:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg2.Error as error:
        what = f"a deferred constraint fails at the end of the file: {server_words(error)}"
        raise NewelError(what, where=Location(path)) from error


def run_one_by_one(
    cursor: Any,
    file: SqlFile,
    execution: int,
    stopped: HalfDone | None,
    done: Callable[[int], None],
    tell: Tell,
) -> Done:
    """Execute a file statement by statement, on a connection in autocommit mode.

    Each statement is recorded in the journal: one that may run in a transaction shares it with its record,
    so it is never in doubt; one that may not is recorded as begun before it, and if the process dies then,
    `doubt` asks the catalog. `stopped` is where an earlier execution ended. One that a lock stops is tried again.
    """
    number, checksum = 0, ""
    for number, statement, checksum in checksums(file.statements()):
        if stopped and number <= stopped.statements_done:
            if number == stopped.statements_done and checksum != stopped.done_checksum:
                raise _changed_behind_us(file, number)
            if sets_session(statement):
                execute(cursor, file, statement)
            continue
        in_doubt = stopped is not None and stopped.statement_begun == number
        with held_back():
            if statement.needs_autocommit:
                _run_autocommit(cursor, file, execution, number, statement, in_doubt, tell)
                write.finish_statement(cursor, execution, number, checksum)
            else:
                _run_with_record(cursor, file, execution, number, statement, checksum, tell)
        done(number)
    if stopped and number < stopped.statements_done:
        raise _changed_behind_us(file, stopped.statements_done)
    return Done(number, checksum)


def _run_with_record(
    cursor: Any,
    file: SqlFile,
    execution: int,
    number: int,
    statement: Statement,
    checksum: str,
    tell: Tell,
) -> None:
    """Run a statement and its journal record in one transaction, or neither.

    One that PostgreSQL turns out to refuse in a transaction is rolled back whole and run again outside, once: what
    it has committed would be done twice.
    """

    def together() -> None:
        try:
            cursor.execute("BEGIN")
            execute(cursor, file, statement)
            write.finish_statement(cursor, execution, number, checksum)
            cursor.execute("COMMIT")
        except BaseException:  # an interrupt as well: psycopg2 knows nothing of this transaction
            with suppress(psycopg2.Error):  # a lost connection has rolled back already
                cursor.execute("ROLLBACK")
            raise

    try:
        retrying(together, lambda: None, tell)
    except NewelError as error:
        if getattr(error.__cause__, "pgcode", None) not in _RUNS_OUTSIDE:
            raise
    else:
        return
    write.begin_statement(cursor, execution, number)
    execute(cursor, file, statement)
    write.finish_statement(cursor, execution, number, checksum)


def _run_autocommit(
    cursor: Any,
    file: SqlFile,
    execution: int,
    number: int,
    statement: Statement,
    in_doubt: bool,
    tell: Tell,
) -> None:
    question, where = doubt.question_of(statement), locate(file.data, statement.start, file.path)
    with _patience(cursor, statement):
        if in_doubt and doubt.settle(cursor, question):
            return
        doubt.require_no_leftovers(cursor, question, where)
        # A name that is taken, or free, already makes the statement fail or do nothing: no trace of ours to settle.
        begun = in_doubt or doubt.will_leave_a_trace(cursor, question)
        if begun:
            write.begin_statement(cursor, execution, number)
        try:
            _run_outside(cursor, file, statement, question, tell)
        except NewelError as error:
            if begun and not isinstance(error, ConnectionFailed):
                _clear(cursor, execution, question)
            raise
        doubt.require_valid_index(cursor, question, where)


def _clear(cursor: Any, execution: int, question: Question) -> None:
    """Take away the INVALID index that a refused build leaves: the file may build another one when it is mended."""
    with suppress(
        NewelError, psycopg2.Error
    ):  # the statement's own error counts; what is left stays in doubt
        if question.kind == "index" and question.makes:
            doubt.settle(cursor, question)
        if doubt.will_leave_a_trace(cursor, question):
            write.forget_statement(cursor, execution)


def _run_outside(cursor: Any, file: SqlFile, statement: Statement, question: Question, tell: Tell) -> None:
    stopped = False

    def attempt() -> None:
        if not (stopped and doubt.settle(cursor, question)):
            execute(cursor, file, statement)

    def leave() -> None:
        nonlocal stopped
        stopped = True  # by a deadlock, which may have left an INVALID index

    retrying(attempt, leave, tell)


@contextmanager
def _patience(cursor: Any, statement: Statement) -> Iterator[None]:
    """Let a CONCURRENTLY, and the DROP of what one left, wait for as long as it takes.

    Nobody queues behind it, and giving up it would leave an INVALID index.
    """
    if not statement.concurrent:
        yield
        return
    cursor.execute("SELECT current_setting('lock_timeout')")
    lock_timeout = cursor.fetchone()[0]
    cursor.execute("SET lock_timeout TO 0")
    try:
        yield
    finally:
        with suppress(psycopg2.Error):  # a lost connection
            cursor.execute("SET lock_timeout TO %s", (lock_timeout,))


def execute(cursor: Any, file: SqlFile, statement: Statement, prefix: str = "") -> None:
    """Send one statement of a file, with an EXPLAIN before it if `prefix` is one.

    Raises NewelError with the place that the server points at, or ConnectionFailed or PermissionDenied.
    """
    try:
        if statement.copy_data:
            cursor.copy_expert(statement.text, _Slice(file.data, *statement.copy_data))
        else:
            cursor.execute(prefix + statement.text)
    except psycopg2.Error as error:
        raise _statement_error(file, statement, error, len(prefix)) from error
    raise_pending()


class _Slice:
    """A file object over a part of the SQL file, so that a large COPY block is not copied in memory."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data, self.position, self.end = data, start, end

    def read(self, size: int = -1) -> bytes:
        stop = self.end if size < 0 else min(self.position + size, self.end)
        part = self.data[self.position : stop]
        self.position = stop
        return part


def _statement_error(
    file: SqlFile, statement: Statement, error: psycopg2.Error, before: int = 0
) -> NewelError:
    """Point at the token the server complains about, or at the statement: run-time errors have no position.

    `before` is how many characters were sent in front of the statement.
    """
    position = int(error.diag.statement_position or 0) - before
    offset = statement.start
    if position > 0:
        offset += len(statement.text[: position - 1].encode())
    return kind_of_refusal(error)(
        server_words(error),
        where=locate(file.data, offset, file.path),
        excerpt=excerpt(file.data, offset),
        cure=_OUTSIDE if file.transactional and error.pgcode in _REFUSED_IN_TRANSACTION else None,
    )


def kind_of_refusal(error: psycopg2.Error) -> type[NewelError]:
    """Return the kind of error that a refused statement is: a lost connection, a permission, or any other."""
    lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and (
        error.pgcode is None or error.pgcode.startswith(("57P0", "08"))
    )
    return ConnectionFailed if lost else PermissionDenied if error.pgcode == "42501" else NewelError


def server_words(error: psycopg2.Error) -> str:
    """Return what the server said: message and SQLSTATE, then DETAIL, HINT and CONTEXT on lines of their own."""
    diagnostics = error.diag
    message = diagnostics.message_primary or " ".join(str(error).split())
    lines = [f"{message} ({error.pgcode})" if error.pgcode else message]
    for label, text in (
        ("DETAIL", diagnostics.message_detail),
        ("HINT", diagnostics.message_hint),
        ("CONTEXT", diagnostics.context),
    ):
        if text:
            lines.append(f"{label}: {text}")
    return "\n".join(lines)


def _changed_behind_us(file: SqlFile, number: int) -> DependencyError:
    return DependencyError(
        f"{file.path}: what was run of it before, up to statement {number}, has another text now; going on behind it "
        "would leave a database that no file describes",
        cure="Put those statements back as they were (git log -p on the file) and run the same command again; "
        "what they lack goes into a revision of its own.",
    )
