"""A run against a database: lock, plan, check everything, then one step after the other.

Who opens and commits the transaction of each step, and keeps the version rows, is a driver's part: Alembic's
own loop for `alembic upgrade` (alembic_env), or newel's for `newel up` (direct). All else is here, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database import journal
from newel.database.connection import Notices, mask, server_refusal, session_sql
from newel.database.journal import DatabaseState, Direction
from newel.database.lock import migration_lock
from newel.errors import ConnectionFailed, DependencyError, Interrupted, NewelError
from newel.migrate import runner
from newel.migrate.events import (
    Listener,
    Noticed,
    Resumed,
    Stamped,
    StatementDone,
    StepFinished,
    StepStarted,
    Waiting,
)
from newel.migrate.plan import Step
from newel.migrate.request import Request, look, pending_steps
from newel.migrate.state import check_half_done
from newel.project import stubs
from newel.project.files import SqlFile, read
from newel.project.project import Project

AutocommitBlock = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Work:
    """What a driver carries out.

    It takes one step after the other from `steps`: what runs before a step and behind its commit runs then.
    For each it opens a transaction, calls `execute` with what leaves and re-enters that transaction, writes the
    version rows and commits.
    """

    steps: Iterator[Step]
    execute: Callable[[AutocommitBlock], None]


Driver = Callable[[Work], None]


@dataclass
class Progress:
    """How far a run is: the step that is running, its journal row, and the steps that are done."""

    step: Step | None = None
    execution: int = 0
    started: float = 0.0
    done: list[Step] = field(default_factory=list)
    error: NewelError | None = None


def run_request(
    project: Project, request: Request, connection: Connection, listener: Listener, drive: Driver
) -> None:
    """Bring the database to the request's target.

    Pending work is looked for before the lock is taken, and again behind it, when another run may have done it.

    Raises NewelError and its kinds; what was applied before a failure stays, and the error says so.
    """
    if _nothing_to_do(project, look(connection), request):
        return
    locking = project.environments.locking
    seconds = locking.timeout_seconds if locking.enabled else None
    with (
        _notices(connection, listener),
        migration_lock(connection, seconds, lambda holder: listener(Waiting(holder))),
    ):
        state = look(connection)
        if _nothing_to_do(project, state, request):
            return
        steps = pending_steps(project, state, request)
        if not request.stamp:
            check_half_done(state, steps)
        files = {} if request.stamp else read_files(project, steps)
        _prepare(project, connection, state, request)
        progress = Progress()
        try:
            if request.stamp:
                drive(_stamping(project, steps, connection, listener, progress))
            else:
                drive(_running(project, steps, state, connection, listener, files, progress))
        except BaseException as error:
            failure = progress.error or _worded(error)
            _record_failure(connection, progress, failure)
            if isinstance(failure, NewelError):
                raise _with_context(failure, progress, files) from failure.__cause__
            raise


def _nothing_to_do(project: Project, state: DatabaseState, request: Request) -> bool:
    """Say whether a run may end here. What looks half done may be running: only the lock's holder can tell."""
    return not (pending_steps(project, state, request) or state.half_done or request.purge)


def read_files(project: Project, steps: tuple[Step, ...]) -> dict[str, SqlFile]:
    """Read and check every file of the steps, and the scripts that lead to them, before the first one runs."""
    problems = stubs.check(project.root, project.revisions)
    if problems:
        raise problems[0]
    files = {}
    for step in steps:
        path = step.path
        files[path] = file = read(project.root, path)
        if file.directives.irreversible:
            raise NewelError(
                f"{path} is irreversible: {file.directives.irreversible}",
                cure="Nothing was rolled back. Go forward with a new revision, or restore a backup.",
            )
    return files


def _prepare(project: Project, connection: Connection, state: DatabaseState, request: Request) -> None:
    """Create what is missing of newel's schema, label the database, and commit.

    An open transaction would make Alembic take it for the caller's, roll all back and end well.
    """
    environment = project.settings.environment
    try:
        with connection.cursor() as cursor:
            journal.create_missing(cursor, state)
            if state.environment is None:
                journal.set_environment(cursor, environment)
            if request.stamp:
                for item in state.half_done:  # whatever was half done is as it is stamped now
                    direction: Direction = "up" if item.revision in state.applied_ids else "down"
                    journal.stamp(cursor, item.revision, item.slug, direction, environment)
            if request.purge:
                slugs = {item.revision: item.slug for item in state.applied}
                for revision in reversed(state.applied_ids):
                    journal.stamp(cursor, revision, slugs[revision], "down", environment)
        connection.commit()
    except psycopg2.Error as error:
        connection.rollback()
        raise server_refusal(error, "cannot make newel's schema") from error


def _stamping(
    project: Project, steps: tuple[Step, ...], connection: Connection, listener: Listener, progress: Progress
) -> Work:
    """Record each step as done without running it."""

    def one_by_one() -> Iterator[Step]:
        for step in steps:
            progress.step = step
            yield step
            listener(Stamped(step))

    def execute(_: AutocommitBlock) -> None:
        step = _step_of(progress)
        with connection.cursor() as cursor:
            journal.stamp(
                cursor, step.revision.id, step.revision.slug, step.direction, project.settings.environment
            )

    return Work(one_by_one(), execute)


def _running(
    project: Project,
    steps: tuple[Step, ...],
    state: DatabaseState,
    connection: Connection,
    listener: Listener,
    files: dict[str, SqlFile],
    progress: Progress,
) -> Work:
    """Run each step's file, with its row of the journal begun before it and ended in its transaction."""
    environment = project.environment
    policy = environment.policy
    session = session_sql(
        environment.search_path, lock_timeout=policy.lock_timeout, statement_timeout=policy.statement_timeout
    )

    half_done = {(item.revision, item.direction): item for item in state.half_done}

    def one_by_one() -> Iterator[Step]:
        for number, step in enumerate(steps, 1):
            progress.step, progress.started = step, time.perf_counter()
            listener(StepStarted(step, number, len(steps)))
            with connection.cursor() as cursor:
                cursor.execute(session)
                progress.execution = journal.begin(
                    cursor,
                    step.revision.id,
                    step.revision.slug,
                    step.direction,
                    environment.name,
                    files[step.path].checksum,
                    half_done.get((step.revision.id, step.direction)),
                )
            connection.commit()
            yield step
            progress.done.append(step)
            progress.step, progress.execution = None, 0
            listener(StepFinished(step, time.perf_counter() - progress.started))

    def execute(autocommit_block: AutocommitBlock) -> None:
        step, execution = _step_of(progress), progress.execution
        file, stopped = files[step.path], half_done.get((step.revision.id, step.direction))
        with connection.cursor() as cursor, _kept(progress):
            if file.transactional and not stopped:
                count = runner.run_in_transaction(cursor, file)
            else:
                if stopped:
                    listener(Resumed(step, stopped.statements_done))
                with autocommit_block(), _kept(progress):
                    count = runner.run_one_by_one(
                        cursor, file, execution, stopped, lambda number: listener(StatementDone(step, number))
                    )
            journal.succeed(cursor, execution, step.direction, count)

    return Work(one_by_one(), execute)


def _step_of(progress: Progress) -> Step:
    if progress.step is None:
        raise NewelError("an Alembic script ran outside a run of newel")
    return progress.step


@contextmanager
def _notices(connection: Connection, listener: Listener) -> Iterator[None]:
    """Tell the listener of every notice; a connection handed over gets its own list back."""
    before = connection.notices
    connection.notices = Notices(lambda text: listener(Noticed(text)))
    try:
        yield
    finally:
        connection.notices = before


@contextmanager
def _kept(progress: Progress) -> Iterator[None]:
    """Keep the first error: on a lost connection what ends the transaction raises one of its own over it."""
    try:
        yield
    except NewelError as error:
        progress.error = progress.error or error
        raise


def _worded(error: BaseException) -> BaseException:
    """Word what the server refused newel itself: a journal row, a version row, the connection."""
    refusal = getattr(error, "orig", None) or error  # SQLAlchemy's errors wrap the driver's
    if isinstance(refusal, psycopg2.Error):
        worded = server_refusal(refusal, "newel could not record what it did")
        worded.__cause__ = refusal
        return worded
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted; newel stopped behind the statement that was running")
    return error


def _record_failure(connection: Connection, progress: Progress, error: BaseException) -> None:
    """Write the failure in a transaction of its own. A lost connection leaves the row as started."""
    if not progress.execution or connection.closed:
        return
    with suppress(psycopg2.Error):
        connection.rollback()
        with connection.cursor() as cursor:
            failed = journal.fail(cursor, progress.execution, mask(str(error) or type(error).__name__))
        connection.commit()
        if not failed and progress.step is not None:
            progress.done.append(progress.step)
            progress.step = None


def _with_context(error: NewelError, progress: Progress, files: dict[str, SqlFile]) -> NewelError:
    """Add to a failure what of this run stays, and what to do."""
    lines = [error.cure] if error.cure else []
    if progress.step is not None and not isinstance(error, DependencyError):
        step = progress.step
        name = f"{step.revision.id}_{step.revision.slug}"
        if isinstance(error, ConnectionFailed) and progress.error is None:
            lines.append(f"Whether {name} was committed is not known; newel status tells.")
        elif step.path not in files or files[step.path].transactional:
            lines.append(f"{name} was rolled back whole.")
        else:
            lines.append(
                f"{name} does not run in one transaction: its statements before this one stay, and the same command "
                "goes on behind them."
            )
    if progress.done:
        verb = "applied" if progress.done[-1].direction == "up" else "rolled back"
        lines.append(f"Before it, this run has {verb} {_ids(progress.done)}; that stays.")
    error.cure = "\n".join(lines) or None
    return error


def _ids(steps: list[Step]) -> str:
    ids = [step.revision.id for step in steps]
    return ", ".join(ids) if len(ids) <= 5 else f"{len(ids)} revisions, {ids[0]} to {ids[-1]}"
