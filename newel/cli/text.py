"""Text for a terminal: control characters made visible, the width that it takes there, and lines that fit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, hides or turns round what stands beside it: control and bidi characters, line separators."""

_BETWEEN = re.compile(r"[_.,(:]+")


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write characters that a terminal would obey as Python does: a comment may hold `\x1b[2J`.

    With `lines`, line ends stay.
    """
    if lines:
        return "\n".join(visible(line) for line in text.splitlines())
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


def width(text: str) -> int:
    """Return the columns that a text takes on a terminal: East Asian letters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Fill a text up with spaces; `right` puts it at the right side."""
    filling = " " * (columns - width(text))
    return filling + text if right else text + filling


def cut(text: str, columns: int) -> str:
    """Return a text, or its beginning with three dots where it takes more columns."""
    return text if width(text) <= columns else f"{text[: _fitting(text, columns - 3)]}..."


def wrap(text: str, columns: int) -> list[str]:
    """Break a text into lines of at most so many columns: at its line ends, at spaces, else within a word.

    What is broken keeps the indentation of its first line, if that is no more than a quarter of the columns.
    """
    return [line for part in text.split("\n") for line in _wrapped(part, columns)]


def _wrapped(text: str, columns: int) -> Iterator[str]:
    blank = len(text) - len(text.lstrip(" "))
    indent = " " * blank if blank <= columns // 4 else ""
    while width(text) > columns:
        at = _break(text, _fitting(text, columns))
        yield text[:at].rstrip()
        text = indent + text[at:].lstrip(" ")
    yield text.rstrip()


def _break(text: str, fits: int) -> int:
    """Return where to break: at the last space, else behind the last sign between words of a name, else anywhere."""
    space = text.rfind(" ", 1, fits + 1)
    if text[: max(space, 0)].strip():
        return space
    return max((found.end() for found in _BETWEEN.finditer(text, 0, fits)), default=0) or fits


def _fitting(text: str, columns: int) -> int:
    """Return how many characters fit; one at least."""
    used = 0
    for index, character in enumerate(text):
        used += _columns(character)
        if used > columns:
            return max(index, 1)
    return len(text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
