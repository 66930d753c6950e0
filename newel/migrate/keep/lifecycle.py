"""What stands against dropping a project's database, or making it anew. Looks, and changes nothing but by drop()."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from newel.database.administer import databases
from newel.database.administer.databases import maintenance
from newel.database.administer.facts import Facts, find_database
from newel.database.journal.state import DatabaseState
from newel.database.reach import Reached
from newel.errors import PermissionDenied
from newel.migrate.keep.candidate import check_nobody_runs
from newel.migrate.planned import plan_run
from newel.migrate.policy.checks import check_files, check_window
from newel.migrate.request import Request, look
from newel.migrate.state import check_environment
from newel.project.project import Project
from newel.project.settings import DEFAULT_ENVIRONMENT

PRODUCTION = "production"
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
    with maintenance(reached.params) as connection:
        facts = find_database(connection, reached.params["dbname"])
    if facts is None:
        return None
    with closing(reached.connect()) as connection:
        state = look(connection)
        check_environment(project, state, changes=True)
        check_nobody_runs(connection)
    return Doomed(facts, state)


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


def drop(reached: Reached, doomed: Doomed) -> None:
    """Drop the database; sessions are ended only if there were any when it was looked at.

    Raises PermissionDenied, or NewelError if somebody has connected since, or a run is under way now.
    """
    with closing(reached.connect()) as connection:
        check_nobody_runs(connection)
    with maintenance(reached.params) as connection:
        databases.drop(connection, doomed.facts.name, end_sessions=bool(doomed.facts.sessions))


def create_again(reached: Reached, doomed: Doomed) -> tuple[str, ...]:
    """Create the database as it was, without what was in it; return the settings that this user may not give."""
    with maintenance(reached.params) as connection:
        databases.create(connection, doomed.facts.name, doomed.facts)
        return databases.dress(connection, doomed.facts.name, doomed.facts)
