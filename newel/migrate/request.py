"""What a run is asked to do, and which steps that takes on a database as it is. Imports no Alembic."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import server_refusal
from newel.database.journal.state import DatabaseState, read_state
from newel.migrate.plan import Command, Step, check_known, plan
from newel.migrate.state import check_consistent, check_environment, known_revisions
from newel.project.project import Project


@dataclass(frozen=True)
class Request:
    """What a run shall do. With `stamp` nothing is executed; `purge` forgets the version rows first."""

    command: Command
    target: str
    stamp: bool = False
    purge: bool = False
    approvals: tuple[str, ...] = ()
    """The revisions that are approved beforehand: `000012`, or `000012@` and the beginning of its checksum."""
    count: bool = False
    """Count the rows that a rollback loses, instead of taking the server's estimate."""


def look(connection: Connection) -> DatabaseState:
    """Read the database's state in a transaction that ends here. Creates nothing.

    All of it is read from one snapshot: version rows from before another run's commit and the journal from after
    it would look like a fault.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return read_state(cursor)
    except psycopg2.Error as error:
        raise server_refusal(error, "cannot read newel's tables") from error
    finally:
        with suppress(psycopg2.Error):
            connection.rollback()


def pending_steps(project: Project, state: DatabaseState, request: Request) -> tuple[Step, ...]:
    """Return the steps of a request, once environment, version rows and journal were found to fit.

    A rollback may take back revisions that the checkout lacks, with the SQL that the journal keeps; nothing is
    applied on top of such a one.
    """
    check_environment(project, state, changes=True)
    if request.purge:
        return plan(project.environment_revisions, (), request.command, request.target)
    may_take_back = request.command != "upgrade" and not request.stamp
    revisions = known_revisions(project, state) if may_take_back else project.environment_revisions
    check_consistent(project, revisions, state)
    steps = plan(revisions, state.applied_ids, request.command, request.target)
    if any(step.direction == "up" for step in steps):
        check_known(project.environment_revisions, state.applied_ids)
    return steps
