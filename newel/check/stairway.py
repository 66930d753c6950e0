"""The stairway: every revision up, down and up again, with the catalog compared after each step.

A down file that forgets a function, a grant, a default or a comment is found, which a run without an error
does not show. Works on the database it is given, which has to be a throwaway one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.catalog.difference import CatalogDifference, difference
from newel.database.catalog.snapshot import Catalog, snapshot
from newel.errors import NewelError
from newel.migrate.direct import run_direct
from newel.migrate.plan import Command
from newel.migrate.request import Request
from newel.project.files import read
from newel.project.graph import Revision
from newel.project.project import Project


@dataclass(frozen=True)
class Climb:
    """One revision's result. `outcome` is what was compared last: a difference there is a fault."""

    revision: Revision
    outcome: Literal["holds", "down differs", "second up differs", "irreversible"]
    difference: CatalogDifference | None = None

    def __str__(self) -> str:
        words = {
            "holds": "up, down and up give the same catalog",
            "down differs": f"{self.revision.down} does not restore what was there before {self.revision.up}",
            "second up differs": f"{self.revision.up} gives another catalog when it runs again behind its down file",
            "irreversible": f"{self.revision.down} says it is irreversible",
        }[self.outcome]
        return f"{self.revision.id}_{self.revision.slug}: {words}\n{self.difference or ''}".rstrip()


def climb(project: Project, runs: Connection, looks: Connection) -> Iterator[Climb]:
    """Take each revision of the project's environment up, down and up, and yield what came of it.

    Two connections to one empty throwaway database: one to run, one in autocommit mode to look.
    Raises NewelError if a file fails, unless a down file was found wanting before: then the climb ends there.
    """

    free = project.on_throwaway()

    def run(command: Command, target: str) -> None:
        run_direct(free, Request(command, target), runs, lambda _: None)

    for revision in project.environment_revisions:
        before = _catalog(looks)
        run("upgrade", "+1")
        if read(project.root, revision.down).directives.irreversible:
            yield Climb(revision, "irreversible")
            continue
        after = _catalog(looks)
        run("downgrade", "-1")
        left = difference(before, _catalog(looks))
        if left:
            yield Climb(revision, "down differs", left)
        try:
            run("upgrade", "+1")
        except NewelError:
            if not left:
                raise
            return  # what the down file left is in the way, and so are the revisions behind it
        again = difference(after, _catalog(looks))
        if again and not left:
            yield Climb(revision, "second up differs", again)
        elif not left:
            yield Climb(revision, "holds")


def _catalog(connection: Connection) -> Catalog:
    """Return the catalog without the order of columns: PostgreSQL cannot put a dropped one back in its place."""
    return snapshot(connection).without("column order")
