"""SIGINT (Ctrl-C) and SIGTERM (a container's runtime) end a run behind the statement that is running.

The driver's call returns when the statement does, and only then does Python see the signal. A statement that is
recorded on its own is let come to its record; anywhere else the signal is an exception at once.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from newel.errors import Interrupted, Terminated


class Sigterm(KeyboardInterrupt):
    """The process was asked to end."""


_KINDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Sigterm}
_BY_DEFAULT = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class _Signals:
    """Signals are the process's, so this is too: whether they are held back, and the one that came meanwhile."""

    held_back = False
    pending: type[KeyboardInterrupt] | None = None


def interrupted(
    stop: KeyboardInterrupt, what: str = "newel stopped behind the statement that was running"
) -> Interrupted:
    """Word what ended a run."""
    kind = Terminated if isinstance(stop, Sigterm) else Interrupted
    return kind(f"interrupted; {what}")


@contextmanager
def stoppable() -> Iterator[None]:
    """Take SIGINT and SIGTERM for the length of a run, unless the program has handlers of its own for them."""
    taken = {
        number: handler
        for number, handler in _BY_DEFAULT.items()
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) == handler
    }
    _Signals.pending, _Signals.held_back = None, False
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Let what is inside come to its end before a signal ends the run."""
    _Signals.held_back = True
    try:
        yield
    finally:
        _Signals.held_back = False
    raise_pending()


def raise_pending() -> None:
    """Raise the signal that came, unless it is held back.

    psycopg2 drops what is raised while it hands on a notice, so it is asked behind each statement as well.
    """
    if _Signals.pending and not _Signals.held_back:
        raise _Signals.pending


def pause(seconds: float) -> None:
    """Sleep; a signal ends the run now, also inside held_back()."""
    before, _Signals.held_back = _Signals.held_back, False
    try:
        raise_pending()
        time.sleep(seconds)
    finally:
        _Signals.held_back = before


def _stop(number: int, _: object) -> None:
    _Signals.pending = _KINDS[signal.Signals(number)]
    raise_pending()
