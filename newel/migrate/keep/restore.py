"""A backup into the place of a project's database: looked at, restored beside it, checked, and only then renamed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer import databases
from newel.database.administer.databases import maintenance
from newel.database.administer.swap import swap
from newel.database.backup.archive import Archive
from newel.database.backup.dump import sha256_of
from newel.database.backup.tools import (
    CONNECTION_LOST,
    Failures,
    child_environment,
    connection_argument,
    run,
)
from newel.database.connection import connect, server_refusal
from newel.database.journal.state import DatabaseState
from newel.database.lock import migration_lock
from newel.errors import ConnectionFailed, NewelError, PermissionDenied
from newel.migrate.execute.stop import held_back, interrupted, stoppable
from newel.migrate.keep.candidate import Restoration, check_nobody_runs
from newel.migrate.request import look
from newel.migrate.state import check_consistent, check_version_rows, known_revisions
from newel.project.files import unreadable
from newel.project.project import Project

Say = Callable[[str], None]

_AS_IT_WAS = "the database is as it was"
_FAILURES: Failures = (
    (
        r'role ".*" does not exist',
        NewelError,
        "Nothing was changed. Create the role first (CREATE ROLE ...), then run the same command again.",
    ),
    (
        r"extension .* is not available|could not open extension control file",
        NewelError,
        "Nothing was changed. The server lacks that extension: install its package there, then try again.",
    ),
    (
        r"permission denied|must be owner|must be member|must be able to SET ROLE|must be superuser",
        PermissionDenied,
        "Nothing was changed. The user who connects makes everything that the backup holds: connect as one who may.",
    ),
    (r"No space left|could not extend file|disk quota", NewelError, "Make room on the server's disk."),
    (CONNECTION_LOST, ConnectionFailed, "Nothing was changed; the same command tries again."),
)
_TIMEOUT_REFUSED = "Command was: SET transaction_timeout = 0;"


@dataclass(frozen=True)
class Restored:
    """What came of it: the state of the database now, where the former one is kept, and what a person should know."""

    state: DatabaseState
    kept: str | None
    drop_kept: str | None
    """The command that drops it."""
    notes: tuple[str, ...]


def restore(
    project: Project,
    asked: Restoration,
    environ: Mapping[str, str],
    say: Say,
    restoring: Callable[[], None] | None = None,
) -> Restored:
    """Restore into a new database, check it, and rename it into place. `restoring` is called twice a second.

    Raises NewelError and its kinds; then the half-made copy is gone and the database is as it was.
    """
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"  # which no name has to be quoted for
    try:
        with stoppable(), _lock(project, asked) as ours:
            return _restore(project, asked, environ, stamp, say, restoring, ours)
    except KeyboardInterrupt as stop:
        raise interrupted(stop, _AS_IT_WAS) from stop
    except psycopg2.Error as error:
        raise server_refusal(error, f"the restore has failed, {_AS_IT_WAS}") from error


@contextmanager
def _lock(project: Project, asked: Restoration) -> Iterator[Connection | None]:
    """Hold the lock of runs on the present database, so that none begins meanwhile."""
    if asked.present is None:
        yield None
        return
    locking = project.environments.locking
    with closing(asked.reached.connect()) as connection:
        check_nobody_runs(connection)
        with connection.cursor() as cursor:
            cursor.execute("SET idle_session_timeout TO 0")  # the session does nothing while pg_restore works
        connection.commit()
        with migration_lock(connection, 0.0 if locking.enabled else None, lambda _: None):
            yield connection


def _restore(
    project: Project,
    asked: Restoration,
    environ: Mapping[str, str],
    stamp: str,
    say: Say,
    restoring: Callable[[], None] | None,
    ours: Connection | None,
) -> Restored:
    params, name = asked.reached.params, asked.name
    with maintenance(params) as connection:
        taken = databases.existing_names(connection)
    copy = databases.derived_name(name, "restore", stamp, taken)
    kept = databases.derived_name(name, "before", stamp, taken)
    made = in_place = False
    try:
        with maintenance(params) as connection, held_back():
            databases.create(connection, copy, asked.present)
            made = True
        say(f"Restoring into {copy} ...")
        _run_pg_restore(asked, {**params, "dbname": copy}, environ, restoring)
        _check_same(asked.archive)
        with closing(connect({**params, "dbname": copy})) as connection:
            state = look(connection)
            notes = _check_copy(project, asked, state)
            notes += (*_analyze(connection), *_leftovers(name, taken))
        notes += _dress(asked, copy)
        say(f"Putting it in the place of {name} ...")
        with held_back():
            if asked.present is None or ours is None:
                with maintenance(params) as connection:
                    databases.rename(connection, copy, name)
            else:
                swap(params, asked.present, copy, kept, ours, ours.close)
            in_place = True
    except BaseException as error:
        if made and not in_place:
            with held_back():
                _discard(params, copy, error)
        if not in_place:
            raise
        if not isinstance(error, KeyboardInterrupt):  # which came too late
            raise
    if asked.present is None:
        return Restored(state, None, None, notes)
    return Restored(state, kept, _dropdb(asked, kept), notes)


def _dress(asked: Restoration, copy: str) -> tuple[str, ...]:
    """Give the copy what belongs to the present database itself; return what this user may not give."""
    if asked.present is None:
        return ()
    with maintenance(asked.reached.params) as connection:
        refused = databases.dress(connection, copy, asked.present)
    return tuple(f"Left out, since {asked.present.user} may not set it:  {item};" for item in refused)


def _run_pg_restore(
    asked: Restoration,
    params: Mapping[str, str],
    environ: Mapping[str, str],
    restoring: Callable[[], None] | None,
) -> None:
    """Run pg_restore to its end, or raise what it says.

    From version 17 on it sets transaction_timeout first, which an older server refuses. There this one error is let
    pass, and so every other one shows at the end only.
    """
    with closing(connect(params)) as connection:
        lacks_timeout = asked.tools.major >= 17 and connection.server_version < 170_000
    command = [str(asked.tools.folder / "pg_restore"), "--no-password"]
    command += [f"--dbname={connection_argument(params, 'restore')}"]
    command += [] if lacks_timeout else ["--exit-on-error"]
    ended = run(
        [*command, str(asked.archive.path.absolute())],
        child_environment(environ, params),
        meanwhile=restoring,
    )
    only_that = (
        re.search(r"errors ignored on restore: 1$", ended.said.rstrip()) and _TIMEOUT_REFUSED in ended.said
    )
    if ended.code and not (lacks_timeout and only_that):
        raise ended.failure(f"the restore of {asked.archive.path} failed, {_AS_IT_WAS}", _FAILURES)


def _check_same(archive: Archive) -> None:
    """Refuse a file that somebody has written since it was checked: what was restored may be something else."""
    try:
        same = sha256_of(archive.path) == archive.sha256
    except OSError as error:
        raise unreadable(str(archive.path), error) from error
    if not same:
        raise NewelError(
            f"{archive.path} has changed since it was looked at, so what was restored is not what was checked",
            cure="Nothing was changed. Run the same command again once nobody writes the file.",
        )


def _check_copy(project: Project, asked: Restoration, state: DatabaseState) -> tuple[str, ...]:
    """Refuse a backup of another environment, or one in which newel's tables disagree; return what is worth knowing.

    A backup may be older or newer than the checkout: that alone is told and refuses nothing.
    """
    environment = project.settings.environment
    if state.environment not in (None, environment):
        raise NewelError(
            f"the backup is of a database of {state.environment}, and this command is for {environment}",
            cure=f"Nothing was changed. Restore it with  --env {state.environment}, or take a backup of {environment}.",
        )
    if state.environment is None and asked.state.environment is not None:
        raise NewelError(
            f"the backup holds no label of newel, and {asked.name} belongs to {asked.state.environment}: without its "
            "label, nothing would protect it any more",
            cure="Nothing was changed. If the backup is this database's, from before newel kept it, restore it with "
            "pg_restore into a database of its own.",
        )
    revisions = known_revisions(project, state)
    if {*state.applied_ids, *state.version_rows} <= {revision.id for revision in revisions}:
        check_version_rows(revisions, state)
    try:
        check_consistent(project, project.environment_revisions, state)
    except NewelError as error:
        return (f"The backup does not fit this checkout: {error.what}.",)
    return ()


def _analyze(connection: Connection) -> tuple[str, ...]:
    """Gather the planner's statistics, which are in no dump before PostgreSQL 18. That it fails is only told."""
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout TO 0")
            cursor.execute("ANALYZE")
    except psycopg2.Error as error:
        return (f"ANALYZE has failed, so the planner knows nothing of the rows yet: {str(error).strip()}",)
    return ()


def _leftovers(name: str, taken: Collection[str]) -> tuple[str, ...]:
    """Tell of the copies that restores which were killed have left."""
    form = re.compile(rf"{re.escape(name)}_restore_\d{{8}}_\d{{6}}(_\d+)?")
    return tuple(
        f"{found} is left of a restore that was broken off; drop it with dropdb."
        for found in sorted(taken)
        if form.fullmatch(found)
    )


def _discard(params: Mapping[str, str], copy: str, error: BaseException) -> None:
    """Drop the half-made copy; if that fails, the error says that it is left."""
    try:
        with maintenance(params) as connection:
            databases.drop(connection, copy, end_sessions=True)
    except (NewelError, psycopg2.Error):
        if isinstance(error, NewelError):
            left = f"The half-made copy {copy} is left on the server; drop it once it can be reached."
            error.cure = f"{error.cure}\n{left}" if error.cure else left


def _dropdb(asked: Restoration, name: str) -> str:
    program = asked.tools.folder / "dropdb"
    return shlex.join(
        [
            str(program) if os.access(program, os.X_OK) else "dropdb",
            f"--maintenance-db={asked.maintenance_url}",
            name,
        ]
    )
