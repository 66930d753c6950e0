"""Makes a migration project in a temporary folder, with the embedded server that newel starts for it.

The server is the one a user gets: fsync on, settings untouched. NEWEL_PG_BIN picks its binaries. When the
block ends, the server is stopped and everything is removed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from newel.database.administer.databases import create_database
from newel.database.embedded import places, server
from newel.database.embedded.server import Server
from newel.project import stubs
from newel.project.files import MIGRATIONS
from newel.project.graph import load_revisions

CHECKOUT = Path(__file__).resolve().parents[1]
NEWEL = (sys.executable, "-m", "newel.cli.main")
ALEMBIC = (sys.executable, "-m", "alembic")


@dataclass(frozen=True)
class Pair:
    """One revision to write: the SQL of its two files."""

    slug: str
    up: str
    down: str


@dataclass(frozen=True)
class MadeProject:
    """A project on disk and its running server."""

    root: Path
    server: Server

    def environ(self, database: str) -> dict[str, str]:
        """The variables for newel and alembic: nothing of the caller's settings, and a database of this server."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "DATABASE_", "MIGRATION_", "PYTHONDONTWRITEBYTECODE"))
        }
        path = [str(CHECKOUT), *filter(None, [kept.get("PYTHONPATH")])]
        return kept | {
            "PYTHONPATH": os.pathsep.join(path),
            # Modules are compiled once, as after an installation, and go with the rest.
            "PYTHONPYCACHEPREFIX": str(self.root / "pycache"),
            "DATABASE_NAME": database,
        }

    def psql(self, database: str) -> list[str]:
        """The psql beside the server's programs, quiet and without the user's psqlrc."""
        program = str(self.server.binaries.tool("psql"))
        return [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.server.url(database)]

    def new_database(self, name: str) -> str:
        """Make an empty database and write it to disk, so that no later measurement pays for it."""
        create_database(self.server.params(name))
        self._administer("CHECKPOINT")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database that is no longer needed."""
        self._administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _administer(self, command: str) -> None:
        connection = psycopg2.connect(**self.server.params("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(command)
        finally:
            connection.close()


@contextmanager
def made_project(pairs: Sequence[Pair]) -> Iterator[MadeProject]:
    """Write a project of these revisions, numbered from 1, start its server, and yield both."""
    root = Path(tempfile.mkdtemp(prefix="newel-bench-")).resolve()
    try:
        root.chmod(0o711)  # as root the server runs as another user, who has to pass through
        _write(root, pairs)
        try:
            yield MadeProject(root, server.start(root, os.environ))
        finally:
            server.stop(root)
    finally:
        _remove(root)


def _write(root: Path, pairs: Sequence[Pair]) -> None:
    for folder in (MIGRATIONS, "alembic/versions", "env"):
        (root / folder).mkdir(parents=True)
    for path in ("alembic.ini", "alembic/env.py"):
        shutil.copyfile(CHECKOUT / path, root / path)
    environments = {"environments": {"development": {}}}
    (root / "env/environments.json").write_text(json.dumps(environments))
    for number, pair in enumerate(pairs, 1):
        name = f"{MIGRATIONS}/{number:06}_{pair.slug}"
        (root / f"{name}.up.sql").write_text(pair.up)
        (root / f"{name}.down.sql").write_text(pair.down)
    stubs.write(root, load_revisions(root))


def _remove(root: Path) -> None:
    """Remove the project and what the server may have of it outside: its socket's folder and copied programs."""
    for folder in places.SOCKETS.glob(f"newel-*-{places.key(root)}"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(places.SHARED / places.key(root), ignore_errors=True)
    with suppress(OSError):  # other projects' data lie there, or it was never made
        places.SHARED.rmdir()
    shutil.rmtree(root, ignore_errors=True)
