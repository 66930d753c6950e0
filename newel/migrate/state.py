"""Whether a database's state fits the project: environment, version rows, journal. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from newel.database.journal.state import DatabaseState
from newel.errors import DependencyError, NewelError
from newel.migrate.plan import Step, check_applied
from newel.project.files import MIGRATIONS
from newel.project.graph import Revision, heads
from newel.project.project import Project


def known_revisions(project: Project, state: DatabaseState) -> tuple[Revision, ...]:
    """Return the environment's revisions, and those of the journal that the checkout lacks, in number order.

    A revision that lies in the checkout, but not in this environment's list, is none of them.
    """
    stored = stored_revisions(project, state)
    return tuple(sorted((*project.environment_revisions, *stored), key=lambda revision: revision.id))


def stored_revisions(project: Project, state: DatabaseState) -> tuple[Revision, ...]:
    """Return the applied revisions that the checkout lacks and whose down SQL the journal keeps, in number order."""
    here = {revision.id for revision in project.revisions}
    return tuple(
        Revision(
            item.revision,
            item.slug,
            item.branch,
            _path(item.branch, item.revision, item.slug, "up"),
            _path(item.branch, item.revision, item.slug, "down"),
            item.down_revision,
            item.depends_on,
        )
        for item in sorted(state.applied, key=lambda item: item.revision)
        if item.kept and item.revision not in here
    )


def _path(branch: str | None, revision: str, slug: str, direction: str) -> str:
    folder = f"{MIGRATIONS}/{branch}" if branch else MIGRATIONS
    return f"{folder}/{revision}_{slug}.{direction}.sql"


def check_environment(project: Project, state: DatabaseState, *, changes: bool) -> None:
    """Refuse a database of another environment, and to change one that nothing labels.

    An unlabelled database reached through DATABASE_* could be anyone's: MIGRATION_ENV or --env has to name
    its environment before the first change. The embedded server is development's alone.
    """
    settings = project.settings
    if state.environment is None:
        if changes and settings.connection is not None and not settings.named:
            raise NewelError(
                f"the database has no environment yet, and none was named; {settings.environment} was only assumed",
                cure=f"If it is {settings.environment}'s, say so:  MIGRATION_ENV={settings.environment}  (or --env "
                f"{settings.environment}) in front of the same command. The database keeps the label.",
            )
    elif state.environment != settings.environment:
        raise NewelError(
            f"the database belongs to {state.environment}, but this command is for {settings.environment}",
            cure=f"Set MIGRATION_ENV={state.environment}, or reach the right database. If the label is wrong:  "
            f"newel env set {settings.environment}",
        )


def check_used(project: Project, state: DatabaseState) -> None:
    """Refuse to change the rows of a database of another environment, or of one that no run has labelled yet."""
    check_environment(project, state, changes=True)
    if state.environment is None:
        raise DependencyError(
            "no revision has been applied to this database yet, so it is not known to be this project's",
            cure="Apply the revisions first:  newel up",
        )


def check_consistent(project: Project, revisions: Sequence[Revision], state: DatabaseState) -> None:
    """Refuse a database whose version rows and journal disagree, or that holds what `revisions` lack."""
    known = {revision.id for revision in revisions}
    unknown = sorted(state.version_rows - known)
    check_applied(
        revisions,
        (*state.applied_ids, *(item for item in unknown if item not in state.applied_ids)),
        [revision.id for revision in project.revisions],
    )
    _check_names(revisions, state)
    check_version_rows(revisions, state)


def check_version_rows(revisions: Sequence[Revision], state: DatabaseState) -> None:
    """Refuse version rows that are not those which the journal's applied revisions give."""
    expected = expected_version_rows(revisions, state)
    if expected != state.version_rows:
        raise DependencyError(
            f"the version rows say {_words(state.version_rows)}, the journal says {_words(expected)}: "
            "something other than newel's alembic/env.py wrote one of them",
            cure="Find out which revisions are applied in truth (newel status, newel log), then record it without "
            "running anything:  alembic stamp --purge REVISION",
        )


def _check_names(revisions: Sequence[Revision], state: DatabaseState) -> None:
    """Refuse a checkout that has another revision under an applied number."""
    slugs = {revision.id: revision.slug for revision in revisions}
    for item in state.applied:
        if slugs[item.revision] != item.slug:
            raise DependencyError(
                f"the database holds {item.revision}_{item.slug}, but this checkout calls {item.revision} "
                f"{slugs[item.revision]}",
                cure=f"If it is another revision, bring the checkout up to date (git pull). If it was only renamed:  "
                f"newel repair {item.revision}",
            )


def check_half_done(state: DatabaseState, steps: Sequence[Step]) -> None:
    """Refuse a plan that leaves a half-done revision as it is, or goes the other way before it is finished."""
    for item in state.half_done:
        position = next(
            (
                number
                for number, step in enumerate(steps)
                if (step.revision.id, step.direction) == (item.revision, item.direction)
            ),
            None,
        )
        if position is None or any(step.direction != item.direction for step in steps[:position]):
            again = f"newel up {item.revision}" if item.direction == "up" else "newel down"
            word = "applied" if item.direction == "up" else "rolled back"
            raise DependencyError(
                f"{item.revision}_{item.slug} is half {word}: a run stopped in statement {item.statements_done + 1}",
                cure=f"Finish it first:  {again}\nOr undo its statements by hand, and record what is there then:  "
                "alembic stamp REVISION",
            )


def expected_version_rows(revisions: Sequence[Revision], state: DatabaseState) -> frozenset[str]:
    """Return the version rows that the applied revisions of the journal give."""
    applied = frozenset(state.applied_ids)
    return frozenset(heads([item for item in revisions if item.id in applied]))


def _words(rows: frozenset[str]) -> str:
    return ", ".join(sorted(rows)) or "nothing is applied"
