"""What a driver carries out: the steps of a run, each with its row of the journal and its file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import session_sql
from newel.database.journal import write
from newel.database.journal.state import DatabaseState
from newel.errors import NewelError
from newel.migrate.events import (
    Listener,
    Resumed,
    Retrying,
    Stamped,
    StatementDone,
    StepFinished,
    StepStarted,
    StoredSql,
)
from newel.migrate.execute import runner
from newel.migrate.execute.retry import retrying
from newel.migrate.plan import Step
from newel.migrate.planned import Planned
from newel.project.project import Project

AutocommitBlock = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Work:
    """What a driver carries out.

    It takes one step after the other from `steps`: what runs before a step and behind its commit runs then.
    For each it opens a transaction, calls `execute` with what leaves and re-enters that transaction, writes the
    version rows and commits.
    """

    steps: Iterator[Step]
    execute: Callable[[AutocommitBlock], None]
    planned: Planned


@dataclass
class Progress:
    """How far a run is: the step that is running, its journal row, and the steps that are done."""

    step: Step | None = None
    execution: int = 0
    whole: bool = True
    """The step runs in one transaction; a half-done one does not, even if its file could by now."""
    started: float = 0.0
    done: list[Step] = field(default_factory=list)
    error: NewelError | None = None

    def current(self) -> Step:
        """Return the step that is running."""
        if self.step is None:
            raise NewelError("an Alembic script ran outside a run of newel")
        return self.step

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the first error: on a lost connection what ends the transaction raises one of its own over it."""
        try:
            yield
        except NewelError as error:
            self.error = self.error or error
            raise


def stamping(
    project: Project, planned: Planned, connection: Connection, listener: Listener, progress: Progress
) -> Work:
    """Record each step as done without running it."""

    def one_by_one() -> Iterator[Step]:
        for step in planned.steps:
            progress.step = step
            yield step
            listener(Stamped(step))

    def execute(_: AutocommitBlock) -> None:
        step = progress.current()
        record = planned.records[step.revision.id]
        with connection.cursor() as cursor:
            write.stamp(cursor, record, step.direction, project.settings.environment)

    return Work(one_by_one(), execute, planned)


def running(
    project: Project,
    planned: Planned,
    state: DatabaseState,
    connection: Connection,
    listener: Listener,
    progress: Progress,
) -> Work:
    """Run each step's file, with its row of the journal begun before it and ended in its transaction."""
    environment = project.environment
    policy = environment.policy
    session = session_sql(
        environment.search_path, lock_timeout=policy.lock_timeout, statement_timeout=policy.statement_timeout
    )
    half_done = {(item.revision, item.direction): item for item in state.half_done}

    def one_by_one() -> Iterator[Step]:
        for number, step in enumerate(planned.steps, 1):
            progress.step, progress.started = step, time.perf_counter()
            stopped = half_done.get((step.revision.id, step.direction))
            progress.whole = planned.file(step).transactional and not stopped
            if (
                planned.stored(step) and step.revision.id not in planned.approvals
            ):  # it was shown to whoever approved
                listener(StoredSql(step, planned.file(step).text))
            listener(StepStarted(step, number, len(planned.steps)))
            with connection.cursor() as cursor:
                cursor.execute(session)
                progress.execution = write.begin(
                    cursor,
                    planned.records[step.revision.id],
                    step.direction,
                    environment.name,
                    stopped,
                    planned.approvals.get(step.revision.id),
                    locked=project.environments.locking.enabled,
                )
            connection.commit()
            yield step
            progress.done.append(step)
            progress.step, progress.execution = None, 0
            listener(StepFinished(step, time.perf_counter() - progress.started))

    def execute(autocommit_block: AutocommitBlock) -> None:
        step, execution = progress.current(), progress.execution
        file, stopped = planned.file(step), half_done.get((step.revision.id, step.direction))

        def tell(error: NewelError, attempt: int, pause: float) -> None:
            listener(Retrying(step, error.what.splitlines()[0], attempt, pause))

        with connection.cursor() as cursor, progress.kept():
            if progress.whole:
                done = retrying(lambda: runner.run_in_transaction(cursor, file), connection.rollback, tell)
            else:
                if stopped:
                    listener(Resumed(step, stopped.statements_done))
                with autocommit_block(), progress.kept():
                    done = runner.run_one_by_one(
                        cursor,
                        file,
                        execution,
                        stopped,
                        lambda number: listener(StatementDone(step, number)),
                        tell,
                    )
            write.succeed(cursor, execution, planned.records[step.revision.id], step.direction, done)

    return Work(one_by_one(), execute, planned)
