"""Drives a run on a psycopg2 connection alone, without importing Alembic, and keeps Alembic's version rows.

`newel up`, `down` and `goto` come here: at 1,000 revisions Alembic's own loop takes more time than the server.
A test holds both drivers to the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.errors import DependencyError
from newel.migrate.events import Listener
from newel.migrate.execute.work import Work
from newel.migrate.plan import Step
from newel.migrate.policy.approval import Ask
from newel.migrate.request import Request, look
from newel.migrate.run import run_request
from newel.migrate.state import known_revisions
from newel.project.graph import Revision
from newel.project.project import Project


def run_direct(
    project: Project,
    request: Request,
    connection: Connection,
    listener: Listener,
    ask: Ask | None = None,
) -> None:
    """Bring the database to the request's target, one transaction a revision. See run_request()."""

    def drive(work: Work) -> None:
        state = look(connection)
        rows = VersionRows(known_revisions(project, state), state.applied_ids)
        for step in work.steps:
            work.execute(lambda: _autocommit_block(connection))
            with connection.cursor() as cursor:
                rows.write(cursor, step)
            connection.commit()

    run_request(project, request, connection, listener, drive, ask)


@contextmanager
def _autocommit_block(connection: Connection) -> Iterator[None]:
    connection.commit()
    connection.autocommit = True
    try:
        yield
    finally:
        with suppress(psycopg2.Error):  # a lost connection; the statement's own error goes on
            connection.autocommit = False


class VersionRows:
    """The rows of alembic_version: the applied revisions that no other applied one stands on."""

    def __init__(self, revisions: Sequence[Revision], applied: Sequence[str]) -> None:
        done = frozenset(applied)
        self.standing_on = Counter(
            item for revision in revisions if revision.id in done for item in revision.needs
        )

    def write(self, cursor: Any, step: Step) -> None:
        """Write the rows as they are behind a step.

        Raises DependencyError if a row is not there that has to be: somebody else has written the table.
        """
        revision, change = step.revision, 1 if step.direction == "up" else -1
        alone = [item for item in revision.needs if self.standing_on[item] == (0 if change == 1 else 1)]
        self.standing_on.update(dict.fromkeys(revision.needs, change))
        gone, come = (alone, [revision.id]) if change == 1 else ([revision.id], alone)
        if len(gone) == len(come) == 1:
            cursor.execute(
                "UPDATE newel.alembic_version SET version_num = %s WHERE version_num = %s", (*come, *gone)
            )
        else:
            cursor.execute("INSERT INTO newel.alembic_version SELECT unnest(%s::text[])", (come,))
            cursor.execute("DELETE FROM newel.alembic_version WHERE version_num = ANY (%s)", (gone,))
        if cursor.rowcount != len(gone):
            raise DependencyError(
                f"alembic_version lacks a row of {', '.join(gone)}: something else has written it during this run",
                cure="See  newel status",
            )
