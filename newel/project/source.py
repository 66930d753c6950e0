"""Places in the text of a file: line and column of a byte offset, and the excerpt an error shows."""

from __future__ import annotations

from newel.errors import Location

_WIDTH = 100


def locate(data: bytes, offset: int, path: str) -> Location:
    """Return the line and column (from 1, in characters) of byte `offset`."""
    line_start = data.rfind(b"\n", 0, offset) + 1
    column = len(data[line_start:offset].decode("utf-8", "replace").lstrip("\ufeff")) + 1
    return Location(path, data.count(b"\n", 0, offset) + 1, column)


def excerpt(data: bytes, offset: int) -> str:
    """Return the source line around byte `offset` with a caret under it, cut to about 100 characters."""
    line_start = data.rfind(b"\n", 0, offset) + 1
    line_end = data.find(b"\n", offset)
    before = _tail(data[line_start:offset])
    after = data[offset : min(len(data) if line_end < 0 else line_end, offset + 4 * _WIDTH)]
    rest = after.decode("utf-8", "replace").rstrip()[: max(_WIDTH - len(before), 20)]
    line = data.count(b"\n", 0, offset) + 1
    number = f"{line:>6} | "
    return f"{number}{before}{rest}\n{' ' * (len(number) - 2)}| {' ' * len(before)}^"


def _tail(prefix: bytes) -> str:
    text = prefix[-4 * _WIDTH :].decode("utf-8", "replace").lstrip("\ufeff").replace("\t", " ")
    return text if len(text) <= _WIDTH * 3 // 4 else "..." + text[-_WIDTH // 2 :]
