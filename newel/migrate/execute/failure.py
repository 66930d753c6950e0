"""A run that failed: its error in words, the journal's row of it, and what of the run stays."""

from __future__ import annotations

from contextlib import suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import mask, server_refusal
from newel.database.journal import write
from newel.errors import ConnectionFailed, DependencyError, NewelError
from newel.migrate.execute.stop import interrupted
from newel.migrate.execute.work import Progress
from newel.migrate.plan import Step


def worded(error: BaseException) -> BaseException:
    """Word what the server refused newel itself: a journal row, a version row, the connection."""
    refusal = getattr(error, "orig", None) or error  # SQLAlchemy's errors wrap the driver's
    if isinstance(refusal, psycopg2.Error):
        failure = server_refusal(refusal, "newel could not record what it did")
        failure.__cause__ = refusal
        return failure
    if isinstance(error, KeyboardInterrupt):
        return interrupted(error)
    return error


def record_failure(connection: Connection, progress: Progress, error: BaseException) -> None:
    """Write the failure in a transaction of its own. A lost connection leaves the row as started."""
    if not progress.execution or connection.closed:
        return
    with suppress(psycopg2.Error):
        connection.rollback()
        with connection.cursor() as cursor:
            failed = write.fail(cursor, progress.execution, mask(str(error) or type(error).__name__))
        connection.commit()
        if not failed and progress.step is not None:
            progress.done.append(progress.step)
            progress.step = None


def with_context(error: NewelError, progress: Progress, *, stays: bool) -> None:
    """Add to a failure what this run has done before, whether it stays, and what to do."""
    lines = [error.cure] if error.cure else []
    if progress.step is not None and not isinstance(error, DependencyError):
        step = progress.step
        name = f"{step.revision.id}_{step.revision.slug}"
        if isinstance(error, ConnectionFailed) and progress.error is None:
            lines.append(f"Whether {name} was committed is not known; newel status tells.")
        elif progress.whole:
            lines.append(f"{name} was rolled back whole.")
        else:
            lines.append(
                f"{name} does not run in one transaction: its statements before this one stay, and the same command "
                "goes on behind them."
            )
    if isinstance(error, ConnectionFailed):
        lines.append("Once the server answers, run the same command again.")
    if progress.done:
        verb = "applied" if progress.done[-1].direction == "up" else "rolled back"
        lines.append(f"Before it, this run has {verb} {ids(progress.done)}{'; that stays' if stays else ''}.")
    error.cure = "\n".join(lines) or None


def ids(steps: list[Step]) -> str:
    """Name steps by their ids, or many of them by the first and the last."""
    named = [step.revision.id for step in steps]
    return ", ".join(named) if len(named) <= 5 else f"{len(named)} revisions, {named[0]} to {named[-1]}"
