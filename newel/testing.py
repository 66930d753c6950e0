"""Fixtures for a project's tests: a throwaway PostgreSQL, and databases at any revision.

In tests/conftest.py:  pytest_plugins = ["newel.testing"]

One server serves the whole session. A database at a revision is made once, as a template, and copied for
each test. No fixture touches the configured database.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from alembic.config import Config
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from newel.database.embedded.server import Server

_numbers = itertools.count(1)


@dataclass
class Database:
    """A throwaway database. Connections are closed, and the database dropped, when the test ends."""

    server: Server
    name: str
    root: Path
    environment: str
    opened: list[Connection] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        """The database as a libpq URI, for psql and DATABASE_URL."""
        return self.server.url(self.name)

    @property
    def psql(self) -> Path | None:
        """The psql beside the server, if its binaries include one."""
        path = self.server.binaries.folder / "psql"
        return path if path.is_file() else None

    def connect(self) -> Connection:
        """Open a psycopg2 connection in autocommit mode."""
        from newel.database.connection import connect

        connection = connect(self.server.params(self.name))
        connection.autocommit = True
        self.opened.append(connection)
        return connection

    def engine(self) -> Any:
        """Return an SQLAlchemy engine without a pool, as Alembic and pytest-alembic take it."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        from newel.database.connection import connect

        params = self.server.params(self.name)
        return create_engine("postgresql+psycopg2://", creator=lambda: connect(params), poolclass=NullPool)

    def up(self, target: str = "head") -> None:
        """Apply the environment's revisions up to a target."""
        self._run("upgrade", target)

    def down(self, target: str = "-1") -> None:
        """Take back the revision applied last, or all behind a target."""
        self._run("downgrade", target)

    def _run(self, command: Any, target: str) -> None:
        from newel.database.connection import connect
        from newel.migrate.direct import run_direct
        from newel.migrate.request import Request
        from newel.project.project import load_project

        project = load_project(self.root, {}, self.environment).on_throwaway()
        connection = connect(self.server.params(self.name))
        try:
            run_direct(project, Request(command, target), connection, lambda _: None)
        finally:
            connection.close()

    def close(self) -> None:
        """Close what connect() has opened."""
        while self.opened:
            self.opened.pop().close()


def alembic_config_for(root: Path, environment: str) -> Config:
    """Return Alembic's Config for one environment, for pytest-alembic: its script folders alone are seen."""
    from alembic.config import Config

    from newel.migrate.alembic_env import ENVIRONMENT, LISTENER, THROWAWAY
    from newel.project.project import load_project

    revisions = load_project(root, {}, environment).environment_revisions
    folders = sorted({str((root / revision.script).parent) for revision in revisions})
    config = Config(str(root / "alembic.ini"))
    config.set_main_option("recursive_version_locations", "false")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(folders).replace("%", "%%"))
    config.attributes[ENVIRONMENT] = environment
    config.attributes[LISTENER] = lambda _: None
    config.attributes[THROWAWAY] = True
    return config


@pytest.fixture(scope="session")
def project_root(pytestconfig: pytest.Config) -> Path:
    """The folder of alembic.ini: pytest's root directory, unless a project overrides this fixture."""
    return pytestconfig.rootpath


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL of its own for the whole session; NEWEL_PG_BIN picks its binaries."""
    from newel.database.embedded.server import throwaway

    with throwaway(os.environ) as running:
        yield running


@pytest.fixture
def new_database(server: Server, project_root: Path) -> Iterator[Callable[..., Database]]:
    """Make databases: `new_database(template="template0", environment="development", encoding="UTF8")`."""
    made: list[Database] = []

    def make(
        template: str = "template0", environment: str = "development", encoding: str = "UTF8"
    ) -> Database:
        name = f"test_{next(_numbers)}"
        other = "" if encoding == "UTF8" else f"ENCODING '{encoding}' LOCALE 'C'"
        strategy = "STRATEGY file_copy" if server.binaries.major >= 15 else ""  # half the time of the other
        _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" {other} {strategy}')
        made.append(Database(server, name, project_root, environment))
        return made[-1]

    yield make
    for database in made:
        database.close()
        _administer(server, f'DROP DATABASE IF EXISTS "{database.name}" WITH (FORCE)')


@pytest.fixture
def database(new_database: Callable[..., Database]) -> Database:
    """A new empty database."""
    return new_database()


@pytest.fixture
def database_at(
    new_database: Callable[..., Database],
    templates: Callable[[str, str], str],
) -> Callable[..., Database]:
    """Make a database with an environment's revisions applied: `database_at("000004")`, `database_at("head")`."""

    def make(target: str, environment: str = "development") -> Database:
        if target == "base":
            return new_database(environment=environment)
        return new_database(templates(target, environment), environment)

    return make


@pytest.fixture(scope="session")
def templates(server: Server, project_root: Path) -> Callable[[str, str], str]:
    """Make the template database of a target and environment, once a session."""
    names: dict[tuple[str, str], str] = {}

    def template(target: str, environment: str) -> str:
        key = (target, environment)
        if key not in names:
            name = f"template_{next(_numbers)}"
            _administer(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
            Database(server, name, project_root, environment).up(target)
            names[key] = name
        return names[key]

    return template


def _administer(server: Server, command: str) -> None:
    from newel.database.connection import connect

    connection = connect(server.params("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(command)
    finally:
        connection.close()
