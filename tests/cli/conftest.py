"""Fixtures of the command-line tests: a small project with a database of its own, and a role with a password."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_project import REPOSITORY, Project, Role

from newel.database.connection import connect
from newel.errors import NewelError
from newel.testing import Database


@pytest.fixture
def empty_project(tmp_path: Path, database: Database) -> Project:
    """A project without a revision, in a folder whose name holds a space."""
    root = tmp_path / "a project"
    (root / "alembic" / "versions").mkdir(parents=True)
    (root / "sql" / "migrations").mkdir(parents=True)
    shutil.copy(REPOSITORY / "alembic.ini", root)
    shutil.copy(REPOSITORY / "alembic" / "env.py", root / "alembic")
    project = Project(root, database)
    project.environments(development={}, staging={}, production={})
    return project


@pytest.fixture
def project(empty_project: Project) -> Project:
    """A project of three mainline revisions, 000001, 000002 and 000004, and 000003 for development alone."""
    empty_project.pair("000001", "first")
    empty_project.pair("000002", "second")
    empty_project.pair("000003", "sample", folder="development")
    empty_project.pair("000004", "fourth")
    empty_project.stubs()
    return empty_project


@pytest.fixture
def role(database: Database) -> Iterator[Callable[[str], Role]]:
    """Make a role without privileges that the server asks for a password: `role("s3cr@t")`."""
    connection = database.connect()
    name = f"role_of_{database.name}"
    rules = database.server.data / "pg_hba.conf"
    before = rules.read_text()

    def execute(command: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(command)

    def make(password: str) -> Role:
        execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        rules.write_text(f"local all {name} scram-sha-256\n{before}")
        execute("SELECT pg_reload_conf()")
        made = Role(name, password, database)
        while _lets_in(database, name):  # the server heeds the signal in its own time
            pass
        return made

    yield make
    rules.write_text(before)
    execute("SELECT pg_reload_conf()")
    execute(f"DROP OWNED BY {name} CASCADE")
    execute(f"DROP ROLE {name}")


def _lets_in(database: Database, name: str) -> bool:
    try:
        connect({**database.server.params(database.name), "user": name, "password": "a wrong one"}).close()
    except NewelError:
        return False
    return True
