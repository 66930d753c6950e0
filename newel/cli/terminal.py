"""How output looks: tables, durations, colour on a terminal only (NO_COLOR is heeded), JSON for machines."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from newel.database.connection import mask
from newel.errors import NewelError, PermissionDenied

_RIGHT = ("duration", "size", "rows", "inserted", "updated", "skipped", "deleted")
_NARROWEST = 8
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return the text in a colour if the stream (standard output by default) is a terminal."""
    stream = stream or sys.stdout
    if not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def duration(seconds: float | None) -> str:
    """Return a duration as people read it: `12 ms`, `3.4 s`, `2 min 05 s`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def human_size(size: float) -> str:
    """Return a number of bytes as people read it: `812 B`, `3.4 MB`."""
    if size < 1000:
        return f"{size} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def count(number: int, noun: str) -> str:
    """Return `1 revision`, `2 revisions`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table. On a terminal the column without a heading gives way to keep within the width."""
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    if sys.stdout.isatty() and "" in columns:
        over = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
        widths[columns.index("")] -= max(0, min(over, widths[columns.index("")] - _NARROWEST))
    print(coloured(_line(columns, columns, widths), "bold"))
    for row in rows:
        print(_line(row, columns, widths))


def _line(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    fitted = [
        f"{cell:>{width}}" if column in _RIGHT else f"{_cut(cell, width):<{width}}"
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(fitted).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


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


def print_json(value: Any) -> None:
    """Print a value as JSON; what JSON has no word for is printed as its string."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def confirm(what: str, name: str, *, yes: bool, as_json: bool) -> None:
    """Have a person type a database's name before what cannot be taken back. `what` is a sentence without its end.

    Raises PermissionDenied if something else is typed, and NewelError where nobody can be asked: no terminal, --json.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise NewelError(
            f"{what}, and there is no terminal to ask on",
            cure="Nothing was changed. If it is meant, add  --yes  (for make: YES=1).",
        )
    print(f"{what}.")
    try:
        typed = input(f"Type the name of the database, {name}, to go on: ").strip()
    except EOFError:
        typed = ""
    if typed != name:
        raise PermissionDenied("not confirmed; nothing was changed")


def error_document(error: NewelError) -> dict[str, Any]:
    """Return an error for --json, without passwords."""
    where = error.where
    return {
        "what": mask(error.what),
        "file": where.path if where else None,
        "line": where.line if where else None,
        "column": where.column if where else None,
        "cure": mask(error.cure) if error.cure else None,
        "exit_code": error.exit_code,
    }
