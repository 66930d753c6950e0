"""A small project in a folder of its own, and the two commands run in it with a controlled environment."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from newel.cli.main import main
from newel.database.catalog.snapshot import Catalog, snapshot
from newel.database.journal.tables import JOURNAL, MARKER, VERSION_TABLE
from newel.testing import Database

REPOSITORY = Path(__file__).parents[2]
STEERING = ("MIGRATION_", "DATABASE_", "PG", "NEWEL_", "ALEMBIC_")
"""Variables that steer the commands begin with one of these; of them PROGRAMS alone is inherited."""
PROGRAMS = "NEWEL_PG_BIN"
"""The PostgreSQL that the suite runs on, whose pg_dump and throwaway servers the commands take as well."""


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output without the blanks around them."""
        return [line.strip() for line in self.out.splitlines()]


@dataclass
class Project:
    """A project on disk, and a database of its own that DATABASE_URL names."""

    root: Path
    database: Database
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the project."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def pair(
        self,
        number: str,
        slug: str,
        *,
        up: str | bytes | None = None,
        down: str | bytes | None = None,
        folder: str | None = None,
    ) -> str:
        """Write a pair of files, which make and drop a table of the slug's name unless told otherwise.

        Returns the path of the up file.
        """
        stem = "/".join(part for part in ("sql/migrations", folder, f"{number}_{slug}") if part)
        self.write(f"{stem}.up.sql", f"CREATE TABLE {slug} (id integer);\n" if up is None else up)
        self.write(f"{stem}.down.sql", f"DROP TABLE {slug};\n" if down is None else down)
        return f"{stem}.up.sql"

    def environments(self, **environments: Any) -> None:
        """Write environments.json."""
        self.write("env/environments.json", json.dumps({"environments": environments}, indent=2))

    def stubs(self) -> None:
        """Write the derived scripts."""
        done = self.newel("stubs")
        assert done.code == 0, done.out + done.err

    def newel(self, *arguments: str, **environ: str | None) -> Result:
        """Run the newel command in this process. A variable of None is taken away."""
        out, err = io.StringIO(), io.StringIO()
        here = Path.cwd()
        os.chdir(self.root)
        try:
            with (
                patch.dict(os.environ, self.variables(environ), clear=True),
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                try:
                    code = main(list(arguments))
                except SystemExit as stop:
                    code = int(stop.code or 0)
        finally:
            os.chdir(here)
        return Result(code, out.getvalue(), err.getvalue())

    def newel_process(self, *arguments: str, **environ: str | None) -> Result:
        """Run the newel command in a process of its own."""
        return self._process("newel.cli.main", arguments, environ)

    def alembic(self, *arguments: str, **environ: str | None) -> Result:
        """Run plain alembic, which is always a process of its own."""
        return self._process("alembic.config", arguments, environ)

    def start(self, *arguments: str, **environ: str | None) -> subprocess.Popen[str]:
        """Start the newel command and return at once."""
        return subprocess.Popen(
            [sys.executable, "-m", "newel.cli.main", *arguments],
            cwd=self.root,
            env=self.variables(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def variables(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The environment variables of a command."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name == PROGRAMS or not name.startswith(STEERING)
        }
        wanted: dict[str, str | None] = {
            **inherited,
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": self.database.url,
            "MIGRATION_ENV": "development",
            **self.environ,
            **changes,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def _process(self, module: str, arguments: tuple[str, ...], environ: Mapping[str, str | None]) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=self.variables(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def applied(self) -> list[str]:
        """The applied revisions in order of application, as `newel status` tells them."""
        found = self.newel("status", "--json", MIGRATION_ENV=None).json["revisions"]
        return [row["revision"] for row in sorted(found, key=lambda row: row["at"] or "") if row["at"]]

    def tables(self) -> set[str]:
        """The names of the tables in schema public."""
        return {row[0] for row in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    def version_rows(self) -> set[str]:
        """The rows of alembic_version."""
        return {row[0] for row in self.rows(f"SELECT version_num FROM {VERSION_TABLE}")}

    def journal(self) -> list[tuple[str, str, str]]:
        """Revision, direction and result of each execution, oldest first."""
        return self.rows(f"SELECT revision, direction, result FROM {JOURNAL} ORDER BY id")

    def rows(self, query: str) -> list[Any]:
        """Return what a query gives on the project's database."""
        connection = self.database.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    def execute(self, command: str) -> None:
        """Execute a command on the project's database."""
        connection = self.database.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(command)
        finally:
            connection.close()

    def picture(self) -> tuple[Catalog, list[Any]]:
        """Everything a refused command has to leave alone: the whole catalog, newel's rows, and the files."""
        connection = self.database.connect()
        try:
            catalog = snapshot(connection, exclude_schemas=frozenset())
        finally:
            connection.close()
        files = {
            path: path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        rows = [
            self.rows(f"SELECT * FROM {table} ORDER BY 1")
            for table in (VERSION_TABLE, JOURNAL, MARKER)
            if ("table", table) in catalog
        ]
        return catalog, [rows, files]

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """Fail if the block changes anything in the database or in the folder."""
        before = self.picture()
        yield
        after = self.picture()
        assert after[0] == before[0]
        assert after[1] == before[1]


@dataclass(frozen=True)
class Role:
    """A role that logs in with a password; its URL holds it."""

    name: str
    password: str
    database: Database

    def url(self, password: str | None = None, scheme: str = "postgresql", name: str | None = None) -> str:
        """The URL of a database for this role, with its own password or another."""
        socket = quote(str(self.database.server.socket_dir), safe="")
        port = self.database.server.port
        secret = quote(self.password if password is None else password, safe="")
        return f"{scheme}://{self.name}:{secret}@/{name or self.database.name}?host={socket}&port={port}"
