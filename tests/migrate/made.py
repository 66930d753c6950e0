"""A small project of its own, run directly or through Alembic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from newel.migrate.direct import run_direct
from newel.migrate.events import Event
from newel.migrate.invoke import through_alembic
from newel.migrate.request import Request
from newel.project import stubs
from newel.project.graph import load_revisions
from newel.project.project import load_project

TABLE = "CREATE TABLE {0} (id int);\n", "DROP TABLE {0};\n"


def table(name: str) -> tuple[str, str]:
    return TABLE[0].format(name), TABLE[1].format(name)


class MadeProject:
    """A small project of its own in a temporary folder."""

    def __init__(self, root: Path, source: Path, way: str) -> None:
        self.root, self.way = root, way
        (root / "alembic").mkdir(parents=True)
        (root / "sql" / "migrations").mkdir(parents=True)
        shutil.copy(source / "alembic.ini", root)
        shutil.copy(source / "alembic" / "env.py", root / "alembic")
        self.environments({"development": {}, "staging": {}, "production": {}})

    def environments(self, described: dict[str, Any], **top: Any) -> None:
        """Write env/environments.json."""
        (self.root / "env").mkdir(exist_ok=True)
        text = json.dumps({"environments": described, **top}, indent=2)
        (self.root / "env" / "environments.json").write_text(text)

    def pair(self, name: str, up: str, down: str = "SELECT 1;\n", folder: str = "") -> Path:
        """Write `NNNNNN_slug` as a pair of files, derive the scripts, and return the path of the up file."""
        base = self.root / "sql" / "migrations" / folder
        base.mkdir(exist_ok=True)
        (base / f"{name}.up.sql").write_text(up)
        (base / f"{name}.down.sql").write_text(down)
        stubs.write(self.root, load_revisions(self.root))
        return base / f"{name}.up.sql"

    def run(
        self,
        command: Any,
        target: str,
        database: Any,
        environment: str = "development",
        events: list[Event] | None = None,
        **options: Any,
    ) -> list[Event]:
        """Run a request on an engine or connection, directly or through Alembic, and return its events."""
        events = [] if events is None else events
        project = load_project(self.root, {}, environment)
        if self.way == "direct" and isinstance(database, Engine) and not options:
            connection = database.raw_connection()
            try:
                run_direct(project, Request(command, target), connection.driver_connection, events.append)
            finally:
                connection.close()
        elif command == "goto" and not options:  # Alembic has no such command
            for part in ("downgrade", "upgrade"):
                through_alembic(project, Request(part, target), events.append, connection=database)
        else:
            through_alembic(project, Request(command, target, **options), events.append, connection=database)
        return events
