"""Runs an upgrade or downgrade through Alembic from Python, with newel's errors instead of Alembic's."""

from __future__ import annotations

from configparser import Error as ConfigParserError
from typing import Any

from newel.errors import FileMissing, NewelError
from newel.migrate.events import Listener
from newel.migrate.request import Request
from newel.project.project import Project


def through_alembic(
    project: Project, request: Request, listener: Listener, *, sql: bool = False, connection: Any = None
) -> None:
    """Run a request as `alembic upgrade` or `downgrade` would, in this process.

    `connection` is an SQLAlchemy Engine or Connection to use instead of the configured database. With `sql`
    the script is printed. Raises NewelError and its kinds.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    from newel.migrate import alembic_env

    if not (project.root / "alembic" / "env.py").is_file():
        raise FileMissing(
            "there is no alembic/env.py, through which newel runs revisions",
            cure="git checkout alembic/env.py",
        )
    config = Config(str(project.root / "alembic.ini"))
    try:
        file_config = config.file_config
    except ConfigParserError as error:
        raise NewelError(f"alembic.ini cannot be read: {error}".replace("\n", " ")) from error
    # Alembic hands the folder to ConfigParser as it is, which stumbles over a % in its name.
    file_config.set("DEFAULT", "here", str(project.root).replace("%", "%%"))
    config.attributes.update(
        {
            alembic_env.LISTENER: listener,
            alembic_env.APPROVALS: request.approvals,
            alembic_env.ENVIRONMENT: project.settings.environment if project.settings.named else None,
        }
    )
    if connection is not None:
        config.attributes["connection"] = connection
    try:
        if request.stamp:
            command.stamp(config, request.target, sql=sql, purge=request.purge)
        elif request.command == "downgrade":
            command.downgrade(config, request.target, sql=sql)
        else:
            command.upgrade(config, request.target, sql=sql)
    except CommandError as error:
        if isinstance(error.__cause__, NewelError):
            raise error.__cause__ from error.__cause__.__cause__
        raise NewelError(str(error)) from error
    if alembic_env.CALLED not in config.attributes:
        raise NewelError(
            "nothing was run: alembic/env.py is not newel's",
            cure="It reads:  from newel.migrate.alembic_env import run  and, below it,  run()",
        )
