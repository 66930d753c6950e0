"""A run against a database: plan, check everything, lock, then one step after the other.

Who opens and commits the transaction of each step, and keeps the version rows, is a driver's part: Alembic's
own loop for `alembic upgrade` (alembic_env), or newel's for `newel up` (direct). All else is here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.blockers import Blocker, Watch, watch
from newel.database.connection import Notices, describe, server_refusal, session_sql
from newel.database.journal import tables, write
from newel.database.journal.state import DatabaseState
from newel.database.lock import migration_lock
from newel.errors import ConnectionFailed, Interrupted, NewelError, PermissionDenied
from newel.migrate.changes import check_unchanged
from newel.migrate.events import Blocked, Listener, Losing, Noticed, StoredSql, TakingBack, Waiting
from newel.migrate.execute.failure import ids, record_failure, with_context, worded
from newel.migrate.execute.retry import is_worth_retrying
from newel.migrate.execute.stop import interrupted, stoppable
from newel.migrate.execute.work import Progress, Work, running, stamping
from newel.migrate.plan import Step
from newel.migrate.planned import Planned, plan_run, read_record
from newel.migrate.policy import approval
from newel.migrate.policy.approval import Ask, Proposal
from newel.migrate.policy.backup import back_up_before
from newel.migrate.policy.checks import check_files, check_window
from newel.migrate.policy.estimate import estimate
from newel.migrate.policy.takeback import to_take_back
from newel.migrate.request import Request, look, pending_steps
from newel.project.project import Project
from newel.validate.losses import losses

Driver = Callable[[Work], None]
Approved = tuple[Proposal, Mapping[str, str]]
"""What was approved, and what the journal says of it, by revision."""


def run_request(
    project: Project,
    request: Request,
    connection: Connection,
    listener: Listener,
    drive: Driver,
    ask: Ask | None = None,
) -> None:
    """Bring the database to the request's target; `ask` is how a person is asked for approval, if there is one.

    Pending work is looked for before the lock is taken, and again behind it, when another run may have done it.

    Raises NewelError and its kinds; what was applied before a failure stays, and the error says so.
    """
    try:
        with stoppable(), _ours(connection, listener):
            state = look(connection)
            if _something_to_do(project, state, request):
                approved = _approved(project, request, connection, state, listener, ask)
                locking = project.environments.locking
                seconds = locking.timeout_seconds if locking.enabled else None
                with migration_lock(connection, seconds, lambda holder: listener(Waiting(holder))):
                    try:
                        _run(project, request, connection, listener, drive, approved)
                    finally:
                        _reset(connection)
    except KeyboardInterrupt as stop:
        raise interrupted(stop) from stop
    except psycopg2.Error as error:
        with suppress(psycopg2.Error):
            connection.rollback()
        raise server_refusal(error, "cannot look at the database") from error


def _run(
    project: Project,
    request: Request,
    connection: Connection,
    listener: Listener,
    drive: Driver,
    approved: Approved | None,
) -> None:
    """Run what is still to be done now that nobody else runs."""
    state = look(connection)
    if not _something_to_do(project, state, request):
        return
    policy = project.environment.policy
    told = approval.may_be_needed(policy) or bool(request.approvals)
    planned = _checked(project, request, connection, state, (lambda _: None) if told else listener)
    if not request.stamp:
        if approval.is_needed(policy, planned) or request.approvals:
            planned = replace(
                planned, approvals=_still_approved(project, connection, request, planned, approved)
            )
        if policy.backup_required:
            listener(back_up_before(project, connection, planned.steps[0]))
    _prepare(project, connection, state, request)
    progress, seen = Progress(), Watch()
    try:
        if request.stamp:
            drive(stamping(project, planned, connection, listener, progress))
        else:
            with watch(connection, lambda blockers: listener(Blocked(_words(blockers)))) as seen:
                drive(running(project, planned, state, connection, listener, progress))
    except BaseException as error:
        failure = progress.error or worded(error)
        record_failure(connection, progress, failure)
        if not isinstance(failure, NewelError):
            raise
        if is_worth_retrying(failure) and seen.last:
            failure.cure = "\n".join(("Blocked by:", *_words(seen.last), failure.cure or ""))
        takes_back = policy.auto_rollback_on_failure and any(step.direction == "up" for step in progress.done)
        with_context(failure, progress, stays=not takes_back)
        if takes_back:
            words = _take_back(project, connection, listener, drive, planned, progress.done, failure)
            failure.cure = f"{failure.cure}\n{words}"
        raise failure from failure.__cause__


def _words(blockers: tuple[Blocker, ...]) -> tuple[str, ...]:
    return tuple(str(blocker) for blocker in blockers)


def _take_back(
    project: Project,
    connection: Connection,
    listener: Listener,
    drive: Driver,
    planned: Planned,
    done: list[Step],
    failure: NewelError,
) -> str:
    """Roll back what the failed run had applied, as far as that loses nothing, and return how far in words."""
    if isinstance(failure, ConnectionFailed | Interrupted):
        return "That stays: nothing is taken back after a lost connection or an interruption."
    progress = Progress()
    kept = ""
    try:
        connection.rollback()
        state = look(connection)
        back, kept = to_take_back(planned, done, state)
        if back.steps:
            listener(TakingBack(back.steps))
            drive(running(project, back, state, connection, listener, progress))
    except BaseException as error:
        second = progress.error or worded(error)
        record_failure(connection, progress, second)
        if not isinstance(second, NewelError):
            raise
        where = f"{second.where}: " if second.where else ""
        kept = f"taking back more of it failed: {where}{second.what.rstrip('.')}"
    lines = [f"It has taken back {ids(progress.done)}."] if progress.done else []
    return "\n".join([*lines, f"{kept[0].upper()}{kept[1:]}."] if kept else lines)


def _something_to_do(project: Project, state: DatabaseState, request: Request) -> bool:
    """Say whether a run may not end here. What looks half done may be running: only the lock's holder can tell."""
    return bool(pending_steps(project, state, request) or state.half_done or request.purge)


def _checked(
    project: Project, request: Request, connection: Connection, state: DatabaseState, listener: Listener
) -> Planned:
    """Plan the steps, and refuse what stands against them: files, checksums, the environment's policy."""
    planned = plan_run(project, connection, state, request)
    if request.stamp:
        return planned
    check_window(project.environment, connection)
    if state.applied and not state.first_form:
        with connection.cursor() as cursor:
            check_unchanged(project, cursor, state.applied_ids, planned.steps)
        connection.rollback()
    check_files(project.environment, planned, listener, connection)
    return planned


def _approved(
    project: Project,
    request: Request,
    connection: Connection,
    state: DatabaseState,
    listener: Listener,
    ask: Ask | None,
) -> Approved | None:
    """Have the run approved before it takes the lock, if the policy asks for it."""
    policy = project.environment.policy
    if request.stamp or not (approval.may_be_needed(policy) or request.approvals):
        return None
    planned = _checked(project, request, connection, state, listener)
    for step in filter(planned.stored, planned.steps):
        listener(StoredSql(step, planned.file(step).text))
    _tell_losses(project, request, connection, planned, listener)
    if not (approval.is_needed(policy, planned) or request.approvals):
        return None
    up = planned.steps[0].direction == "up"
    settled = [item.id for item in project.revisions if (item.id in state.applied_ids) == up]
    proposal = _proposal(project, connection, request, planned)
    return proposal, approval.approve(proposal, request.approvals, settled, ask)


def _tell_losses(
    project: Project, request: Request, connection: Connection, planned: Planned, listener: Listener
) -> None:
    """Say which rows and values the rollbacks lose, before anybody is asked."""
    lost = [loss for step in planned.steps if step.direction == "down" for loss in losses(planned.file(step))]
    if not lost:
        return
    environment = project.environment
    timeouts = {
        "lock_timeout": environment.policy.lock_timeout,
        "statement_timeout": environment.policy.statement_timeout,
    }
    with connection.cursor() as cursor:
        cursor.execute(session_sql(environment.search_path, **timeouts))
        estimates = estimate(cursor, lost, count=request.count)
    connection.rollback()
    if estimates:
        listener(Losing(tuple(str(item) for item in estimates)))


def _proposal(project: Project, connection: Connection, request: Request, planned: Planned) -> Proposal:
    return Proposal(
        project.environment.name,
        describe(connection.info.dsn_parameters),
        request.command,
        request.target,
        tuple((step, planned.file(step).checksum) for step in planned.steps),
    )


def _still_approved(
    project: Project,
    connection: Connection,
    request: Request,
    planned: Planned,
    approved: Approved | None,
) -> Mapping[str, str]:
    """Return the approvals, if what was approved is what is about to run."""
    if approved is None or approved[0] != _proposal(project, connection, request, planned):
        raise PermissionDenied(
            "what is to be done has changed since it was approved: by another run, or in the files",
            cure="Nothing was run. Run the same command again, and approve what it is now.",
        )
    return approved[1]


def _prepare(project: Project, connection: Connection, state: DatabaseState, request: Request) -> None:
    """Create what is missing of newel's schema, label the database, and commit.

    An open transaction would make Alembic take it for the caller's, roll all back and end well.
    """
    environment = project.settings.environment
    records = {
        revision.id: read_record(project, revision)
        for revision in project.environment_revisions
        if request.stamp and revision.id in {item.revision for item in state.half_done}
    }
    try:
        with connection.cursor() as cursor:
            tables.create_missing(cursor, state.tables, first_form=state.first_form)
            tables.check_writers(cursor)
            if state.environment is None:
                tables.set_environment(cursor, environment)
            if request.stamp:
                for item in state.half_done:  # whatever was half done is as it is stamped now
                    record = records.get(item.revision)
                    if record and item.revision in state.applied_ids:
                        write.stamp(cursor, record, "up", environment)
                    else:
                        write.forget(cursor, item.revision, item.slug, environment)
            if request.purge:
                slugs = {item.revision: item.slug for item in state.applied}
                for revision in reversed(state.applied_ids):
                    write.forget(cursor, revision, slugs[revision], environment)
        connection.commit()
    except psycopg2.Error as error:
        connection.rollback()
        raise server_refusal(error, "cannot make newel's schema") from error


@contextmanager
def _ours(connection: Connection, listener: Listener) -> Iterator[None]:
    """Tell the listener of every notice, and let each revision have its transaction.

    A connection handed over gets its own list of notices back, and its autocommit mode.
    """
    notices, autocommit = connection.notices, connection.autocommit
    connection.notices = Notices(lambda text: listener(Noticed(text)))
    connection.autocommit = False
    try:
        yield
    finally:
        connection.notices = notices
        with suppress(psycopg2.Error):  # a lost connection
            connection.autocommit = autocommit


def _reset(connection: Connection) -> None:
    """Take the files' settings and roles from the session: a connection handed over goes on in its owner's pool."""
    with suppress(psycopg2.Error):  # a lost connection has lost them as well
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute(session_sql(()))
        connection.commit()
