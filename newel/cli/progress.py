"""Lines of output as the work goes on, and how far it is: on a terminal only, in a line that the next one replaces."""

from __future__ import annotations

import os
import sys


class Lines:
    """Lines of output as they come; on a terminal, one more that shows what is running, whose place the next takes.

    Whoever read along may have gone: that ends no run half-way.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.open = False

    def say(self, line: str) -> None:
        """Print a line in the place of the one that shows what is running; nothing, if quiet."""
        if self.quiet:
            return
        clear = "\r\033[K" if self.open else ""
        self.open = False
        self._print(clear + line)

    def show(self, line: str) -> None:
        """Show what is running, on a terminal only."""
        if not self.quiet and sys.stdout.isatty():
            self._print(f"{chr(13) if self.open else ''}\033[K{line}", end="")
            self.open = True

    def end(self) -> None:
        """Leave the line that shows what is running, so that what follows stands on its own."""
        if self.open:
            self._print("")
            self.open = False

    @staticmethod
    def _print(line: str, end: str = "\n") -> None:
        try:
            print(line, end=end, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def bar(done: int, total: int, width: int = 24) -> str:
    """Return how far something is: `[######------]  50 %`."""
    share = min(done / total, 1.0) if total else 1.0
    full = int(share * width)
    return f"[{'#' * full}{'-' * (width - full)}] {int(share * 100):>3} %"
