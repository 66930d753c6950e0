"""Whether a database's state fits the project: environment, version rows, journal. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from newel.database.journal import DatabaseState
from newel.errors import DependencyError, NewelError
from newel.migrate.plan import Step, check_applied
from newel.project.graph import heads
from newel.project.project import Project


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


def check_consistent(project: Project, state: DatabaseState) -> None:
    """Refuse a database whose version rows and journal disagree, or that holds what the checkout lacks."""
    revisions = project.environment_revisions
    known = {revision.id for revision in revisions}
    unknown = sorted(state.version_rows - known)
    check_applied(
        revisions,
        (*state.applied_ids, *(item for item in unknown if item not in state.applied_ids)),
        [revision.id for revision in project.revisions],
    )
    expected = expected_version_rows(project, state)
    if expected != state.version_rows:
        raise DependencyError(
            f"the version rows say {_words(state.version_rows)}, the journal says {_words(expected)}: "
            "something other than newel's alembic/env.py wrote one of them",
            cure="Find out which revisions are applied in truth (newel status, newel log), then record it without "
            "running anything:  alembic stamp --purge REVISION",
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


def expected_version_rows(project: Project, state: DatabaseState) -> frozenset[str]:
    """Return the version rows that the applied revisions of the journal give."""
    applied = frozenset(state.applied_ids)
    return frozenset(heads([item for item in project.environment_revisions if item.id in applied]))


def _words(rows: frozenset[str]) -> str:
    return ", ".join(sorted(rows)) or "nothing is applied"
