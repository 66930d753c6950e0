"""Lock timeouts and deadlocks: what they stopped is tried again, after pauses that grow.

Between the attempts nothing is held and nothing queues behind the migration, so the application goes on
(PostgreSQL manual, "Explicit Locking": a waiting ALTER TABLE makes every later query wait behind it).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from newel.errors import NewelError
from newel.migrate.execute.stop import pause

ATTEMPTS = 10
"""How often something is tried in all; the pauses between come to a minute, more or less."""

LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.5, 1.6, 15.0

T = TypeVar("T")
Tell = Callable[[NewelError, int, float], None]
"""Called before a pause with what stopped the attempt, its number from 1, and the pause in seconds."""


def is_worth_retrying(error: NewelError) -> bool:
    """Say whether a statement met a lock timeout or a deadlock: another attempt may meet none."""
    return getattr(error.__cause__, "pgcode", None) in (LOCK_NOT_AVAILABLE, DEADLOCK)


def retrying(attempt: Callable[[], T], clear: Callable[[], None], tell: Tell) -> T:
    """Call `attempt` until no lock stops it; `clear` takes back what a stopped one has left.

    Raises the last attempt's error, with how often it was tried.
    """
    for number, seconds in enumerate(islice(_pauses(), ATTEMPTS), 1):
        try:
            return attempt()
        except NewelError as error:
            if not is_worth_retrying(error):
                raise
            if number == ATTEMPTS:
                error.cure = (
                    f"Tried {number} times. When whoever holds the lock is done, run the same command again."
                )
                raise
            clear()
            tell(error, number, seconds)
            pause(seconds)
    raise AssertionError  # ATTEMPTS is at least 1


def _pauses() -> Iterator[float]:
    seconds = _FIRST_PAUSE
    while True:
        yield seconds * random.uniform(0.5, 1.5)  # noqa: S311 - two runs shall not meet again and again
        seconds = min(seconds * _GROWTH, _LONGEST_PAUSE)
