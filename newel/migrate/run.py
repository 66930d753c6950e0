"""A run against a database: lock, plan, check everything, then one step after the other.

Who opens and commits the transaction of each step, and keeps the version rows, is a driver's part: Alembic's
own loop for `alembic upgrade` (alembic_env), or newel's for `newel up` (direct). All else is here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import Notices, server_refusal
from newel.database.journal import tables, write
from newel.database.journal.state import DatabaseState
from newel.database.lock import migration_lock
from newel.errors import NewelError
from newel.migrate.changes import check_unchanged
from newel.migrate.events import Listener, Noticed, Waiting
from newel.migrate.failure import record_failure, with_context, worded
from newel.migrate.planned import plan_run, read_record
from newel.migrate.request import Request, look, pending_steps
from newel.migrate.stop import interrupted, terminable
from newel.migrate.work import Progress, Work, running, stamping
from newel.project.project import Project

Driver = Callable[[Work], None]


def run_request(
    project: Project, request: Request, connection: Connection, listener: Listener, drive: Driver
) -> None:
    """Bring the database to the request's target.

    Pending work is looked for before the lock is taken, and again behind it, when another run may have done it.

    Raises NewelError and its kinds; what was applied before a failure stays, and the error says so.
    """
    try:
        with terminable(), _notices(connection, listener):
            _run(project, request, connection, listener, drive)
    except KeyboardInterrupt as stop:
        raise interrupted(stop) from stop


def _run(
    project: Project, request: Request, connection: Connection, listener: Listener, drive: Driver
) -> None:
    if _nothing_to_do(project, look(connection), request):
        return
    locking = project.environments.locking
    seconds = locking.timeout_seconds if locking.enabled else None
    with migration_lock(connection, seconds, lambda holder: listener(Waiting(holder))):
        state = look(connection)
        if _nothing_to_do(project, state, request):
            return
        planned = plan_run(project, connection, state, request)
        _prepare(project, connection, state, request)
        if not request.stamp:
            with connection.cursor() as cursor:
                check_unchanged(project, cursor, state.applied_ids, planned.steps)
            connection.rollback()
        progress = Progress()
        try:
            if request.stamp:
                drive(stamping(project, planned, connection, listener, progress))
            else:
                drive(running(project, planned, state, connection, listener, progress))
        except BaseException as error:
            failure = progress.error or worded(error)
            record_failure(connection, progress, failure)
            if isinstance(failure, NewelError):
                raise with_context(failure, progress, planned) from failure.__cause__
            raise


def _nothing_to_do(project: Project, state: DatabaseState, request: Request) -> bool:
    """Say whether a run may end here. What looks half done may be running: only the lock's holder can tell."""
    return not (pending_steps(project, state, request) or state.half_done or request.purge)


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
