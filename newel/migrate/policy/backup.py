"""Backups of a project's database: when somebody asks for one, and before a run (`backup_required` of the policy)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import parse_dsn

from newel.database.backup.dump import Dump, dump
from newel.errors import Interrupted, NewelError
from newel.migrate.events import BackedUp
from newel.migrate.execute.stop import interrupted
from newel.migrate.plan import Step
from newel.project.project import Project


def back_up(
    project: Project,
    params: Mapping[str, str],
    label: str = "",
    written: Callable[[int], None] | None = None,
) -> Dump:
    """Dump the database into the folder of backups; the name says the environment. Raises as dump() does."""
    settings = project.settings
    try:
        return dump(
            params, project.root / settings.backups, f"{settings.environment}{label}", os.environ, written
        )
    except Interrupted as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # SIGTERM is one too, and has a code of its own
            raise interrupted(error.__cause__, "nothing of the backup is left") from error
        raise
    except NewelError as error:
        named = "The variable BACKUP_DIR names the folder for backups."
        error.cure = f"{error.cure}\n{named}" if error.cure else named
        raise


def back_up_before(project: Project, connection: Connection, first: Step) -> BackedUp:
    """Dump the database before the first step of a run, on a connection of pg_dump's own. Raises as dump() does."""
    # What psycopg2 was given. info.dsn_parameters has libpq's defaults too, and pg_dump's libpq may know fewer.
    given = {name: value for name, value in parse_dsn(connection.dsn).items() if value}
    given.pop("client_encoding", None)  # the dump is in the database's own
    if connection.info.password:
        given["password"] = connection.info.password  # the dsn has it blanked
    try:
        made = back_up(project, given, f"-before-{first.direction}-{first.revision.id}")
    except NewelError as error:
        error.cure = f"Nothing was run. {error.cure}"
        raise
    return BackedUp(str(made.path), made.size, made.restore)
