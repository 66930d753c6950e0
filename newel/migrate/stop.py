"""SIGTERM, which a container's runtime sends, ends a run as Ctrl-C does: behind the statement that is running.

The driver's call returns when the statement does, and Python raises then: so nothing is broken off half-way.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from newel.errors import Interrupted, Terminated


class Sigterm(KeyboardInterrupt):
    """The process was asked to end."""


def interrupted(
    stop: KeyboardInterrupt, what: str = "newel stopped behind the statement that was running"
) -> Interrupted:
    """Word what ended a run."""
    kind = Terminated if isinstance(stop, Sigterm) else Interrupted
    return kind(f"interrupted; {what}")


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Sigterm on SIGTERM, unless the program has a handler of its own for it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise Sigterm

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
