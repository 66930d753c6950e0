"""Recording that the changed files of applied revisions were reviewed, or that a revision was renamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import server_refusal
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

    A journal of newel 0.1.0 keeps too little to tell more than the name. Raises NewelError for a database of
    another environment.
    """
    check_environment(project, state, changes=False)
    slugs = {item.revision: item.slug for item in state.applied}
    applied = [item for item in project.environment_revisions if item.id in slugs]
    changes = [
        Change(item, item.up, f"It was applied as {item.id}_{slugs[item.id]}.")
        for item in applied
        if slugs[item.id] != item.slug
    ]
    if applied and not state.first_form:
        with connection.cursor() as cursor:
            changes += find_changes(project.root, cursor, applied)
        connection.rollback()
    return changes


def record_reviewed(
    project: Project, connection: Connection, numbers: Sequence[str], waiting: Callable[[str], None]
) -> list[Change]:
    """Record the files of the named revisions as the ones that hold from now on; return what had changed.

    Raises DependencyError for a revision that is not applied and for a checkout that lacks one that is,
    PermissionDenied for a user who may not write the journal, and NewelError for a number that is no revision's.
    """
    wanted = [find_revision(project.environment_revisions, number) for number in numbers]
    locking = project.environments.locking
    with migration_lock(connection, locking.timeout_seconds if locking.enabled else None, waiting):
        state = look(connection)
        changes = [item for item in changed_files(project, connection, state) if item.revision.id in wanted]
        check_known(project.environment_revisions, state.applied_ids)
        for number in wanted:
            if number not in state.applied_ids:
                raise DependencyError(f"{number} is not applied here, so nothing of it is recorded")
        revisions = {change.revision.id: change.revision for change in changes}.values()
        records = [read_record(project, revision) for revision in revisions]
        if records:
            try:
                with connection.cursor() as cursor:
                    tables.create_missing(cursor, state.tables, first_form=state.first_form)
                    tables.check_writers(cursor)
                    for record in records:
                        write.repair(cursor, record, project.settings.environment)
                connection.commit()
            except psycopg2.Error as error:
                raise server_refusal(error, "cannot record it") from error
        return changes
