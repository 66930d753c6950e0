"""What stands against dropping a project's database, or making it anew. Looks, and changes nothing but by drop()."""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer import databases
from newel.database.administer.databases import MAINTENANCE, maintenance
from newel.database.administer.facts import Facts, find_database
from newel.database.connection import OWN_NAMES
from newel.database.journal.state import DatabaseState
from newel.database.lock import migration_lock
from newel.database.reach import Reached
from newel.errors import NewelError, PermissionDenied
from newel.migrate.keep.candidate import check_nobody_runs
from newel.migrate.planned import plan_run
from newel.migrate.policy.checks import check_files, check_window
from newel.migrate.request import Request, look
from newel.migrate.state import check_environment
from newel.project.project import Project
from newel.project.settings import DEFAULT_ENVIRONMENT

PRODUCTION = "production"
_INVALID = -2
"""The connection limit that PostgreSQL gives a database while it is dropped (DATCONNLIMIT_INVALID_DB)."""
_HOLDS_SOMETHING = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
                  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                     AND d.deptype = 'e'))
"""
WHOLE = Request("upgrade", "head")
"""What a new database is brought to."""


@dataclass(frozen=True)
class Doomed:
    """A database that may be dropped, and what it says of itself."""

    facts: Facts
    state: DatabaseState


def check_may_drop(project: Project) -> None:
    """Refuse to drop a database of production, or of an environment whose policy forbids destruction."""
    environment = project.environment
    if environment.name == PRODUCTION:
        raise PermissionDenied(
            "newel drops no database of production",
            cure="Nothing was changed. Whoever means it drops it on the server, with dropdb.",
        )
    if not environment.policy.allow_destructive_operations:
        raise PermissionDenied(
            f"{environment.name} allows no destructive operations, and to drop its database is one",
            cure="Nothing was changed. `allow_destructive_operations` in env/environments.json says so.",
        )


def check_may_reset(project: Project) -> None:
    """Refuse every environment but development."""
    name = project.settings.environment
    if name != DEFAULT_ENVIRONMENT:
        raise PermissionDenied(
            f"newel reset is for {DEFAULT_ENVIRONMENT} alone, and this command is for {name}",
            cure=f"Nothing was changed. newel reset --env {DEFAULT_ENVIRONMENT}  makes its database anew.",
        )


def find_doomed(project: Project, reached: Reached) -> Doomed | None:
    """Look at the database that is to be dropped; None if it is not there.

    Raises NewelError for one of another environment, one that nothing labels, and while a run is under way.
    """
    name = reached.params["dbname"]
    if name in MAINTENANCE:
        raise PermissionDenied(f"{name} is the server's own database, which newel does not drop")
    with maintenance(reached.params) as connection:
        facts = find_database(connection, name)
    if facts is None:
        return None
    if facts.connection_limit == _INVALID:
        raise NewelError(
            f"{name} is what a DROP DATABASE that was broken off has left, and nobody can connect to it",
            cure=f"Drop it on the server:  dropdb {shlex.quote(name)}",
        )
    with closing(reached.connect()) as connection:
        state = look(connection)
        check_environment(project, state, changes=True)
        _check_ours(project, state, connection)
        check_nobody_runs(connection)
    return Doomed(facts, state)


def _check_ours(project: Project, state: DatabaseState, connection: Connection) -> None:
    """Refuse a database that nothing labels and that is not empty: it may be another service's."""
    if state.environment is not None:
        return
    with connection.cursor() as cursor:
        cursor.execute(OWN_NAMES)
        cursor.execute(_HOLDS_SOMETHING)
        [holds] = cursor.fetchone()
    connection.rollback()
    if holds:
        name = project.settings.environment
        raise PermissionDenied(
            "the database has no label of newel and is not empty, so it may be another service's",
            cure=f"Nothing was changed. If it is this project's {name}, label it first:  newel env set {name}",
        )


def check_new(project: Project, reached: Reached, *, can_ask: bool) -> None:
    """Refuse what the run on a new database would refuse, while the old one is still there.

    That is a fault in the files, the window, an environment that was only assumed, an approval that nobody can give.
    """
    environment = project.environment
    with maintenance(reached.params) as connection:
        planned = plan_run(project, connection, DatabaseState(), WHOLE)
        check_window(environment, connection)
        check_files(environment, planned, lambda _: None, None)
    if environment.policy.require_approval and planned.steps and not can_ask:
        raise PermissionDenied(
            f"{environment.name} asks for approval, and there is no terminal to ask on",
            cure="Nothing was changed. Where nobody can be asked, take the steps one by one:  newel drop, "
            "newel create, newel up --approve ...",
        )


def drop(project: Project, reached: Reached, doomed: Doomed) -> None:
    """Drop the database; sessions are ended only if there were any when it was looked at.

    Looks at it once more, since a person may have been asked meanwhile, and holds the lock of runs. Raises
    PermissionDenied, or NewelError if it is another database by now, somebody has connected, or a run is under way.
    """
    sessions = bool(doomed.facts.sessions)
    with closing(reached.connect()) as ours:
        check_nobody_runs(ours)
        locking = project.environments.locking
        with migration_lock(ours, 0.0 if locking.enabled else None, lambda _: None):
            check_environment(project, look(ours), changes=True)
            _check_same(ours, doomed.facts)
            if not sessions:
                ours.close()  # it would be one; otherwise it is ended with the others
            with maintenance(reached.params) as connection:
                databases.drop(connection, doomed.facts.name, end_sessions=sessions)


def _check_same(connection: Connection, facts: Facts) -> None:
    with connection.cursor() as cursor:
        cursor.execute(OWN_NAMES)
        cursor.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        [oid] = cursor.fetchone()
    connection.rollback()
    if oid != facts.oid:
        raise NewelError(
            f"{facts.name} is another database than the one that was looked at",
            cure="Nothing was changed. Run the same command again, and look at what it names now.",
        )


def create_again(reached: Reached, doomed: Doomed) -> tuple[str, ...]:
    """Create the database as it was, without what was in it; return the settings that this user may not give."""
    with maintenance(reached.params) as connection:
        databases.create(connection, doomed.facts.name, doomed.facts)
        return databases.dress(connection, doomed.facts.name, doomed.facts)
