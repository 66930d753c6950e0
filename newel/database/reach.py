"""From settings to a connection: the configured database, or the embedded server started for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer.databases import create_database
from newel.database.connection import connect, describe
from newel.errors import ConnectionFailed, NewelError
from newel.project.settings import DEFAULT_ENVIRONMENT, Settings

if TYPE_CHECKING:
    from newel.database.embedded.server import Server


@dataclass(frozen=True)
class Reached:
    """A database that can be connected to. `url` is ready to paste behind psql, and holds no password."""

    params: Mapping[str, str] = field(repr=False)
    words: str
    embedded: bool
    url: str | None = None
    server_started: bool = False

    def connect(self) -> Connection:
        """Open a connection. Raises ConnectionFailed or PermissionDenied."""
        return connect(self.params)


def is_there(settings: Settings, root: Path) -> bool:
    """Say whether there is a database to look at: one is configured, or the embedded server was made before.

    Raises NewelError for an environment other than development without connection settings.
    """
    if settings.connection is not None:
        return True
    if settings.environment != DEFAULT_ENVIRONMENT:
        raise NewelError(
            f"{settings.environment} has no connection settings, and the embedded server is for "
            f"{DEFAULT_ENVIRONMENT} only",
            cure="Set DATABASE_URL, or DATABASE_HOST and its kin, in the process environment or in "
            f"env/{settings.environment}.env.",
        )
    from newel.database.embedded import server

    return server.status(root).data is not None


def reach(settings: Settings, root: Path, environ: Mapping[str, str], *, create: bool) -> Reached:
    """Say how the database is reached; the embedded server is started, and with `create` made if it is not there.

    Raises ConnectionFailed if it is not there and shall not be made.
    """
    if settings.connection is None and not is_there(settings, root) and not create:
        raise ConnectionFailed(
            f"{settings.environment} has no database yet: no connection settings, and no embedded server",
            cure="Make it with  newel up  (or make db-migrate-up).",
        )
    reached = reach_server(settings, root, environ)
    if create and reached.embedded:
        create_database(reached.params)
    return reached


def reach_server(settings: Settings, root: Path, environ: Mapping[str, str]) -> Reached:
    """Say how the database is or will be reached, whether it is there or not.

    The embedded server is made and started. Raises NewelError as is_there() does.
    """
    if settings.connection is not None:
        return Reached(settings.connection, describe(settings.connection), embedded=False)
    is_there(settings, root)
    from newel.database.embedded import server

    running = server.start(root, environ)
    return _embedded(running, settings)


def reach_running(settings: Settings, root: Path) -> Reached:
    """Say how the database is reached as things are: the embedded server is not started.

    Raises ConnectionFailed if it does not run.
    """
    if settings.connection is not None:
        return Reached(settings.connection, describe(settings.connection), embedded=False)
    made = is_there(settings, root)
    from newel.database.embedded import server

    running = server.running(root)
    if running is None:
        raise ConnectionFailed(
            f"the embedded server of {settings.environment} {'is stopped' if made else 'was not made yet'}",
            cure="newel server start  starts it."
            if made
            else "Make it with  newel up  (or make db-migrate-up).",
        )
    return _embedded(running, settings)


def _embedded(running: Server, settings: Settings) -> Reached:
    words = f"{settings.database} on the embedded PostgreSQL {running.binaries.version}"
    url = running.url(settings.database)
    return Reached(running.params(settings.database), words, True, url, running.started)
