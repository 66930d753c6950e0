"""From settings to a connection: the configured database, or the embedded server started for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import connect, describe
from newel.errors import ConnectionFailed
from newel.project.settings import Settings


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


def reach(settings: Settings, root: Path, environ: Mapping[str, str], *, create: bool) -> Reached:
    """Say how the database is reached; the embedded server is started, and with `create` made if it is not there.

    Raises ConnectionFailed if it is not there and shall not be made.
    """
    if settings.connection is not None:
        return Reached(settings.connection, describe(settings.connection), embedded=False)
    from newel.database import server

    if not create and server.status(root).data is None:
        raise ConnectionFailed(
            f"{settings.environment} has no database yet: no connection settings, and no embedded server",
            cure="Make it with  newel up  (or make db-migrate-up).",
        )
    running = server.start(root, environ)
    if create:
        server.ensure_database(running, settings.database)
    words = f"{settings.database} on the embedded PostgreSQL {running.binaries.version}"
    url = running.url(settings.database)
    return Reached(running.params(settings.database), words, True, url, running.started)
