"""A run against a database: plan, check everything, lock, then one step after the other.

Who opens and commits the transaction of each step, and keeps the version rows, is a driver's part: Alembic's
own loop for `alembic upgrade` (alembic_env), or newel's for `newel up` (direct). All else is here, once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.blockers import Blocker, Watch, watch
from newel.database.connection import Notices, server_refusal, session_sql
from newel.database.dump import dump
from newel.database.journal import tables, write
from newel.database.journal.state import DatabaseState
from newel.database.lock import migration_lock
from newel.errors import DependencyError, NewelError
from newel.migrate import approval
from newel.migrate.approval import Ask, Proposal
from newel.migrate.changes import check_unchanged
from newel.migrate.events import BackedUp, Blocked, Listener, Losing, Noticed, TakingBack, Waiting
from newel.migrate.failure import ids, record_failure, with_context, worded
from newel.migrate.losses import estimate, losses
from newel.migrate.plan import Step
from newel.migrate.planned import Planned, plan_run, read_record
from newel.migrate.policy import check_policy
from newel.migrate.request import Request, look, pending_steps
from newel.migrate.retry import is_worth_retrying
from newel.migrate.stop import interrupted, stoppable
from newel.migrate.takeback import to_take_back
from newel.migrate.work import Progress, Work, running, stamping
from newel.project.project import Project

Driver = Callable[[Work], None]


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
        with stoppable(), _notices(connection, listener):
            state = look(connection)
            if _something_to_do(project, state, request):
                approved = _approval(project, request, connection, state, listener, ask)
                locking = project.environments.locking
                seconds = locking.timeout_seconds if locking.enabled else None
                with migration_lock(connection, seconds, lambda holder: listener(Waiting(holder))):
                    _run(project, request, connection, listener, drive, approved)
    except KeyboardInterrupt as stop:
        raise interrupted(stop) from stop


def _run(
    project: Project,
    request: Request,
    connection: Connection,
    listener: Listener,
    drive: Driver,
    approved: tuple[Proposal, Mapping[str, str]] | None,
) -> None:
    """Run what is still to be done now that nobody else runs."""
    state = look(connection)
    if not _something_to_do(project, state, request):
        return
    planned = _checked(project, request, connection, state, listener if approved is None else lambda _: None)
    if approval.is_needed(project.environment.policy, planned) and not request.stamp:
        planned = replace(planned, approvals=_still_approved(project, connection, request, planned, approved))
    if project.environment.policy.backup_required and planned.steps and not request.stamp:
        listener(_backup(project, connection, planned))
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
        auto_rollback = project.environment.policy.auto_rollback_on_failure
        if is_worth_retrying(failure) and seen.last:
            failure.cure = "\n".join(("Blocked by:", *_words(seen.last), failure.cure or ""))
        with_context(failure, progress, planned, auto_rollback=auto_rollback)
        if auto_rollback and progress.done:
            _take_back(project, connection, listener, drive, planned, progress.done, failure)
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
) -> None:
    """Roll back what the failed run had applied, as far as that loses nothing, and add to the failure how far."""
    lines = [failure.cure] if failure.cure else []
    progress = Progress()
    try:
        state = look(connection)
        back, kept = to_take_back(planned, done, state, failure)
        listener(TakingBack(back.steps, kept))
        drive(running(project, back, state, connection, listener, progress))
        lines += [f"It has taken back {ids(progress.done)}."] if progress.done else []
        lines += [f"{kept[0].upper()}{kept[1:]}."] if kept else []
    except NewelError as error:
        record_failure(connection, progress, error)
        lines.append(f"Taking it back failed too, after {ids(progress.done) or 'nothing'}: {error.what}")
    failure.cure = "\n".join(lines)


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
    if state.applied and not state.first_form:
        with connection.cursor() as cursor:
            check_unchanged(project, cursor, state.applied_ids, planned.steps)
        connection.rollback()
    check_policy(project.environment, planned, connection, listener)
    return planned


def _approval(
    project: Project,
    request: Request,
    connection: Connection,
    state: DatabaseState,
    listener: Listener,
    ask: Ask | None,
) -> tuple[Proposal, Mapping[str, str]] | None:
    """Have the run approved before it takes the lock, if the policy asks for it."""
    policy = project.environment.policy
    if request.stamp or not approval.may_be_needed(policy):
        return None
    planned = _checked(project, request, connection, state, listener)
    if not planned.steps or not approval.is_needed(policy, planned):
        return None
    _tell_losses(project, request, connection, planned, listener)
    proposal = _proposal(project, connection, request, planned)
    return proposal, approval.approve(proposal, request.approvals, ask)


def _tell_losses(
    project: Project, request: Request, connection: Connection, planned: Planned, listener: Listener
) -> None:
    """Say which rows and values the rollbacks lose, before anybody is asked."""
    lost = [loss for step in planned.steps if step.direction == "down" for loss in losses(planned.file(step))]
    if lost:
        with connection.cursor() as cursor:
            cursor.execute(session_sql(project.environment.search_path))
            estimates = estimate(cursor, lost, count=request.count)
        connection.rollback()
        if estimates:
            listener(Losing(tuple(str(item) for item in estimates)))


def _backup(project: Project, connection: Connection, planned: Planned) -> BackedUp:
    """Dump the database before anything runs, on a connection of pg_dump's own."""
    info, settings = connection.info, project.settings
    params = {**info.dsn_parameters, **({"password": info.password} if info.password else {})}
    first = planned.steps[0]
    label = f"{settings.environment}-before-{first.direction}-{first.revision.id}"
    made = dump(params, project.root / settings.backups, label, os.environ)
    return BackedUp(str(made.path), made.size, made.restore)


def _proposal(project: Project, connection: Connection, request: Request, planned: Planned) -> Proposal:
    params = connection.info.dsn_parameters
    return approval.propose(project.environment.name, params, request.target, planned)


def _still_approved(
    project: Project,
    connection: Connection,
    request: Request,
    planned: Planned,
    approved: tuple[Proposal, Mapping[str, str]] | None,
) -> Mapping[str, str]:
    """Return the approvals, if what was approved is what is about to run."""
    if planned.steps and (
        approved is None or approved[0] != _proposal(project, connection, request, planned)
    ):
        raise DependencyError(
            "what is to be done has changed since it was approved: another run, or another checkout of the files",
            cure="Nothing was run. Run the same command again, and approve what it is now.",
        )
    return approved[1] if approved else {}


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
def _notices(connection: Connection, listener: Listener) -> Iterator[None]:
    """Tell the listener of every notice; a connection handed over gets its own list back."""
    before = connection.notices
    connection.notices = Notices(lambda text: listener(Noticed(text)))
    try:
        yield
    finally:
        connection.notices = before
