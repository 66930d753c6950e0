"""The steps of a run with the files they need, read and checked before the first one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.journal.records import Record, read_texts
from newel.database.journal.state import DatabaseState
from newel.database.journal.tables import owned_by_login
from newel.errors import FileMissing, NewelError, PermissionDenied
from newel.migrate.plan import Step
from newel.migrate.request import Request, pending_steps
from newel.migrate.state import check_half_done, stored_revisions
from newel.project import stubs
from newel.project.files import SqlFile, read, sql_file
from newel.project.graph import Revision
from newel.project.project import Project


@dataclass(frozen=True)
class Planned:
    """Steps, and what is known of each of their revisions, by its id."""

    steps: tuple[Step, ...]
    records: Mapping[str, Record]
    lacking: tuple[Revision, ...] = ()
    """The applied revisions that the checkout lacks; the journal keeps their down SQL."""
    approvals: Mapping[str, str] = field(default_factory=dict)
    """What the journal says of who approved a revision, where approval was asked for."""

    def file(self, step: Step) -> SqlFile:
        """Return the file that a step runs."""
        record = self.records[step.revision.id]
        if step.direction == "down":
            return record.down
        if record.up is None:
            raise FileMissing(f"{step.path} is not in this checkout")
        return record.up

    def stored(self, step: Step) -> bool:
        """Say whether a step runs the SQL that the journal keeps, since the checkout lacks the file."""
        return step.revision in self.lacking


def plan_run(project: Project, connection: Connection, state: DatabaseState, request: Request) -> Planned:
    """Return the steps of a request and read and check every file of theirs, and the scripts that lead to them.

    Raises NewelError and its kinds for whatever stands in the way; nothing has been changed then.
    """
    steps = pending_steps(project, state, request)
    if not request.stamp:
        check_half_done(state, steps)
    lacking = stored_revisions(project, state)
    stored = _stored_records(connection, [step for step in steps if step.revision in lacking])
    planned = Planned(steps, {**read_records(project, steps), **stored}, lacking)
    if not request.stamp:
        for step in steps:
            check_reversible(planned, step)
    return planned


def read_records(project: Project, steps: Sequence[Step]) -> dict[str, Record]:
    """Read both files of each revision that the checkout holds, once the derived scripts are found to fit."""
    problems = stubs.check(project.root, project.revisions)
    if problems:
        raise problems[0]
    here = {revision.id for revision in project.revisions}
    return {
        step.revision.id: read_record(project, step.revision) for step in steps if step.revision.id in here
    }


def read_record(project: Project, revision: Revision) -> Record:
    """Read and check both files of a revision."""
    return Record(revision, read(project.root, revision.up), read(project.root, revision.down))


def _stored_records(connection: Connection, steps: Sequence[Step]) -> dict[str, Record]:
    """Read the down SQL that the journal keeps. It is run for the journal's owner only: who owns it may write it."""
    if not steps:
        return {}
    ids = [step.revision.id for step in steps]
    with connection.cursor() as cursor:
        owned, texts = owned_by_login(cursor), read_texts(cursor, ids)
    connection.rollback()
    if not owned:
        raise PermissionDenied(
            f"the checkout lacks {', '.join(ids)}, and the SQL kept in the journal is run for its owner only",
            cure="Connect as the owner of newel.journal, or bring the checkout up to date (git pull).",
        )
    records = {}
    for step in steps:
        text = texts[step.revision.id]
        file = sql_file(step.revision.down, text.down or b"")
        file = replace(file, transactional=file.transactional and text.down_transactional is not False)
        records[step.revision.id] = Record(step.revision, None, file)
    return records


def check_reversible(planned: Planned, step: Step) -> None:
    """Refuse to run a down file that says it is irreversible."""
    file = planned.file(step)
    if step.direction == "down" and file.directives.irreversible:
        raise NewelError(
            f"{file.path} is irreversible: {file.directives.irreversible}",
            cure="Nothing was rolled back. Go forward with a new revision, or restore a backup.",
        )
