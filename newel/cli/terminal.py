"""How output looks: tables, durations, colour on a terminal only (NO_COLOR is heeded), JSON for machines."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from itertools import zip_longest
from typing import Any, TextIO

from newel.cli.text import cut, pad, visible, width, wrap
from newel.database.connection import mask
from newel.errors import NewelError, PermissionDenied

_RIGHT = (
    "duration",
    "size",
    "table size",
    "index size",
    "rows",
    "inserted",
    "updated",
    "skipped",
    "deleted",
)
_PROSE = ("default", "comment", "definition", "on", "names")
"""The columns whose cells are broken into lines first."""
_NARROWEST, _PROSE_NARROWEST = 8, 20
_IN_A_PIPE = 100
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


def when(at: datetime | None) -> str:
    """Return a time as people read it, in their own zone."""
    if at is None:
        return ""
    with suppress(OSError, OverflowError):
        at = at.astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}"


def human_size(size: float) -> str:
    """Return a number of bytes as people read it: `812 B`, `3.4 MB`."""
    if size < 1000:
        return f"{size} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def rows_in_words(number: int | None, *, exact: bool) -> str:
    """Return a number of rows as people read it: `1,234`, an estimate as `about 1,234`."""
    if number is None:
        return "unknown"
    return f"{number:,}" if exact else f"about {number:,}"


def count(number: int, noun: str) -> str:
    """Return `1 revision`, `2 revisions`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def screen_width() -> int:
    """Return the columns that a line may take: the terminal's, and 100 where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _IN_A_PIPE


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table. On a terminal the column without a heading gives way to keep within the width."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = _widths(columns, shown)
    if sys.stdout.isatty() and "" in columns:
        over = sum(widths) + 2 * (len(widths) - 1) - screen_width()
        widths[columns.index("")] -= max(0, min(over, widths[columns.index("")] - _NARROWEST))
    print(coloured(_line(columns, columns, widths), "bold"))
    for row in shown:
        print(_line(row, columns, widths))


def print_wrapped(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0, headed: bool = True
) -> None:
    """Print an aligned table of which nothing is cut: where it is too wide, cells take more lines."""
    shown = [[visible(cell, lines=True) for cell in row] for row in rows]
    fitting = _widths(columns if headed else [""] * len(columns), shown)
    widths = [min(wide, screen_width()) for wide in fitting]
    over = sum(widths) + 2 * (len(widths) - 1) + indent - screen_width()
    for _ in range(over):
        widest = max(range(len(widths)), key=lambda index: _gives_way(columns[index], widths[index]))
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    if headed:
        print(" " * indent + coloured(_line(columns, columns, widths), "bold"))
    for row in shown:
        cells = [wrap(cell, wide) for cell, wide in zip(row, widths, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            print((" " * indent + _line(line, columns, widths)).rstrip())


def _gives_way(column: str, wide: int) -> tuple[bool, bool, int]:
    """Return a key: the column with the greatest one gives way first."""
    return column in _PROSE and wide > _PROSE_NARROWEST, column not in _RIGHT, wide


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(width(line) for cell in column for line in cell.split("\n"))
        for column in zip(columns, *rows, strict=True)
    ]


def _line(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    fitted = [
        pad(cell if column in _RIGHT else cut(cell, wide), wide, right=column in _RIGHT)
        for cell, column, wide in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(fitted).rstrip()


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
