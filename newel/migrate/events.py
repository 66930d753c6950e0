"""What happens during a run, told as it happens; the command line prints it, plain Alembic logs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from newel.migrate.plan import Step


@dataclass(frozen=True)
class Waiting:
    """Another run holds the lock."""

    holder: str


@dataclass(frozen=True)
class StepStarted:
    """A step begins: the `number`-th of `total`."""

    step: Step
    number: int
    total: int


@dataclass(frozen=True)
class StoredSql:
    """A rollback is about to run the SQL that the journal keeps, since the checkout lacks the file."""

    step: Step
    sql: str


@dataclass(frozen=True)
class Blocked:
    """The running statement waits for a lock that others hold; each in words."""

    blockers: tuple[str, ...]


@dataclass(frozen=True)
class Retrying:
    """A lock timeout or a deadlock has stopped the `attempt`-th attempt; the next one comes after `pause` seconds."""

    step: Step
    reason: str
    attempt: int
    pause: float


@dataclass(frozen=True)
class StatementDone:
    """Statement `number` of a file that does not run in one transaction is done."""

    step: Step
    number: int


@dataclass(frozen=True)
class Resumed:
    """A half-done file goes on behind statement `number`."""

    step: Step
    number: int


@dataclass(frozen=True)
class Noticed:
    """The server sent a NOTICE or WARNING, or newel has something to say of its own."""

    text: str


@dataclass(frozen=True)
class Warned:
    """The static checks warn of something in a file that is about to run."""

    text: str


@dataclass(frozen=True)
class Losing:
    """A rollback is about to lose rows or values; each table and column in words."""

    losses: tuple[str, ...]


@dataclass(frozen=True)
class BackedUp:
    """A dump was made before anything runs: its path, its size in bytes, and the command that restores it."""

    path: str
    size: int
    restore: str


@dataclass(frozen=True)
class TakingBack:
    """The run has failed, and what it had applied is about to be rolled back; `kept` stays, with the reason."""

    steps: tuple[Step, ...]
    kept: str


@dataclass(frozen=True)
class StepFinished:
    """A step is done and committed, after `seconds`."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Stamped:
    """A revision was recorded as applied or not applied without being run."""

    step: Step


Event = (
    Waiting
    | StepStarted
    | StoredSql
    | Blocked
    | Retrying
    | StatementDone
    | Resumed
    | Noticed
    | Warned
    | Losing
    | BackedUp
    | TakingBack
    | StepFinished
    | Stamped
)
Listener = Callable[[Event], None]

_log = logging.getLogger("newel")


def log_event(event: Event) -> None:
    """Write an event to the `newel` logger: what plain Alembic's users see."""
    match event:
        case Waiting(holder):
            _log.info("Waiting for the lock, held by %s", holder)
        case StoredSql(step, sql):
            _log.info(
                "%s is not in this checkout; the journal keeps its down SQL:\n%s", step.revision.id, sql
            )
        case Blocked(blockers):
            _log.info("Waiting for %s", "; ".join(blockers))
        case Retrying(step, reason, attempt, pause):
            _log.info("%s: %s (attempt %d); again in %.1f s", step.revision.id, reason, attempt, pause)
        case Resumed(step, number):
            _log.info("%s goes on behind statement %d, where it had stopped", step.revision.id, number)
        case Noticed(text):
            _log.info(text)
        case Warned(text):
            _log.warning(text)
        case Losing(losses):
            _log.warning("The rollback loses %s", "; ".join(losses))
        case BackedUp(path, size, restore):
            _log.info("Backup in %s, %d bytes. It is restored by:  %s", path, size, restore)
        case TakingBack(steps, kept):
            _log.info("Taking back %s. %s", ", ".join(step.revision.id for step in steps) or "nothing", kept)
        case StepStarted(step):
            _log.info("%s %s %s", step.direction, step.revision.id, step.revision.slug)
        case StepFinished(step, seconds):
            _log.info("%s %s done in %.0f ms", step.direction, step.revision.id, seconds * 1000)
        case Stamped(step):
            _log.info("Stamped %s %s", step.direction, step.revision.id)
        case StatementDone():
            pass
