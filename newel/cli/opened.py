"""A database opened to look at it: whose it is, and a note where it is another environment's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.cli.terminal import coloured
from newel.cli.text import visible
from newel.database.reach import Reached, reach
from newel.database.relations.read import looking
from newel.database.server_info import read_label
from newel.project.project import Project


@dataclass(frozen=True)
class Opened:
    """A connection, and the keys that every document about the database begins with."""

    reached: Reached
    connection: Connection
    environment: str
    label: str | None

    @property
    def head(self) -> dict[str, Any]:
        """The keys `environment`, `database` and `label`."""
        return {"environment": self.environment, "database": self.reached.words, "label": self.label}

    @property
    def words(self) -> str:
        """The environment and its database in a line."""
        return f"{self.environment}: {self.reached.words}"


@contextmanager
def opened(project: Project) -> Iterator[Opened]:
    """Open the project's database; nothing is created. Says on standard error if its label is another environment's."""
    reached = reach(project.settings, project.root, os.environ, create=False)
    connection = reached.connect()
    try:
        with looking(connection, "cannot read the database's label") as cursor:
            label = read_label(cursor)
        environment = project.settings.environment
        note_label(label, environment)
        yield Opened(reached, connection, environment, label)
    finally:
        connection.close()


def note_label(label: str | None, environment: str) -> None:
    """Say that the database belongs to another environment, if it does. Looking is not refused."""
    if label not in (None, environment):
        whose = visible(f"the database belongs to {label}, but this command is for {environment}")
        print(f"{coloured('note:', 'yellow', sys.stderr)} {whose}", file=sys.stderr)
