"""The backup before a run: `backup_required` of the policy."""

from __future__ import annotations

import os

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import parse_dsn

from newel.database.dump import dump
from newel.errors import NewelError
from newel.migrate.events import BackedUp
from newel.migrate.plan import Step
from newel.project.project import Project


def back_up(project: Project, connection: Connection, first: Step) -> BackedUp:
    """Dump the database before the first step of a run, on a connection of pg_dump's own. Raises as dump() does."""
    settings = project.settings
    # What psycopg2 was given. info.dsn_parameters has libpq's defaults too, and pg_dump's libpq may know fewer.
    given = {name: value for name, value in parse_dsn(connection.dsn).items() if value}
    given.pop("client_encoding", None)  # the dump is in the database's own
    if connection.info.password:
        given["password"] = connection.info.password  # the dsn has it blanked
    label = f"{settings.environment}-before-{first.direction}-{first.revision.id}"
    try:
        made = dump(given, project.root / settings.backups, label, os.environ)
    except NewelError as error:
        nothing_run = "Nothing was run. The variable BACKUP_DIR names the folder for backups."
        error.cure = f"{error.cure}\n{nothing_run}" if error.cure else nothing_run
        raise
    return BackedUp(str(made.path), made.size, made.restore)
