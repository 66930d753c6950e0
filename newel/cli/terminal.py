"""How output looks: tables, durations, colour on a terminal only (NO_COLOR is heeded), JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

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


def count(number: int, noun: str) -> str:
    """Return `1 revision`, `2 revisions`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table. On a terminal it keeps to the width, in a pipe no line is ever broken."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        right = column in ("duration", "statements", "id")
        table.add_column(column, justify="right" if right else "left", no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())


def print_json(value: Any) -> None:
    """Print a value as JSON; what JSON has no word for is printed as its string."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))
