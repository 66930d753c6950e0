"""Recording that the changed files of applied revisions were reviewed, or that a revision was renamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.journal import tables, write
from newel.database.journal.state import DatabaseState
from newel.database.lock import migration_lock
from newel.errors import DependencyError
from newel.migrate.changes import Change, find_changes
from newel.migrate.plan import check_known, find_revision
from newel.migrate.planned import read_record
from newel.migrate.request import look
from newel.migrate.state import check_environment
from newel.project.project import Project


def changed_files(project: Project, connection: Connection, state: DatabaseState) -> list[Change]:
    """Return the files of applied revisions that say something else than what was applied, renamed ones included.

    Raises NewelError for a database of another environment, DependencyError for one that holds unknown revisions.
    """
    check_environment(project, state, changes=False)
    if not state.applied or state.first_form:
        return []
    slugs = {item.revision: item.slug for item in state.applied}
    applied = [item for item in project.environment_revisions if item.id in slugs]
    renamed = [
        Change(item, item.up, f"applied as {item.id}_{slugs[item.id]}")
        for item in applied
        if slugs[item.id] != item.slug
    ]
    with connection.cursor() as cursor:
        changes = find_changes(project.root, cursor, applied)
    connection.rollback()
    return [*renamed, *changes]


def record_reviewed(
    project: Project, connection: Connection, numbers: Sequence[str], waiting: Callable[[str], None]
) -> list[Change]:
    """Record the files of the named revisions as the ones that hold from now on; return what had changed.

    Raises DependencyError for a revision that is not applied, and NewelError for one that is none.
    """
    wanted = [find_revision(project.environment_revisions, number) for number in numbers]
    locking = project.environments.locking
    with migration_lock(connection, locking.timeout_seconds if locking.enabled else None, waiting):
        state = look(connection)
        check_known(project.environment_revisions, state.applied_ids)
        for number in wanted:
            if number not in state.applied_ids:
                raise DependencyError(f"{number} is not applied here, so nothing of it is recorded")
        changes = [
            change for change in changed_files(project, connection, state) if change.revision.id in wanted
        ]
        with connection.cursor() as cursor:
            tables.check_writers(cursor)
            for revision in {change.revision.id: change.revision for change in changes}.values():
                write.repair(cursor, read_record(project, revision), project.settings.environment)
        connection.commit()
        return changes
