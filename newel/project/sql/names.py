"""Names as SQL needs them written, and the words that a name is made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from newel.project.sql.parser import ParseError, spans

LONGEST = 63
"""Bytes of an identifier: PostgreSQL cuts what is longer."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


def quoted(*parts: str) -> str:
    """Return a name of one or more parts as a statement needs it: in quotes what is a keyword or not lower case."""
    return ".".join(_quoted(part) for part in parts)


def is_identifier(name: str) -> bool:
    """Say whether a revision may be named so: lower-case letters, digits and _, a letter first, at most 63."""
    return _IDENTIFIER.fullmatch(name) is not None and len(name) <= LONGEST


def nearest_identifier(name: str) -> str | None:
    """Return the identifier that a name comes nearest to (`Add-User Profiles`: add_user_profiles), if any."""
    plain = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))
    ascii_only = "".join(letter for letter in plain if not unicodedata.combining(letter)).lower()
    words = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")
    if words[:1].isdigit():
        words = f"add_{words}"
    return words[:LONGEST].rstrip("_") or None


def words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case."""
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def same_word(one: str, other: str) -> bool:
    """Say whether two words are one, in the singular or in the plural."""
    return one == other or one in _plurals(other) or other in _plurals(one)


def places_of(name: Sequence[str], words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where the words of a name stand among `words`, as the first index and the one behind the last."""
    for start in range(len(words) - len(name) + 1) if name else ():
        if all(same_word(*pair) for pair in zip(name, words[start : start + len(name)], strict=True)):
            yield start, start + len(name)


def shortened(name: str, taken: set[str]) -> str:
    """Return a name of at most 63 bytes that is not among `taken`: cut, and numbered from 2 where it has to be."""
    for number in range(1, len(taken) + 2):
        end = "" if number == 1 else f"_{number}"
        found = name.encode()[: LONGEST - len(end)].decode("utf-8", "ignore") + end
        if found not in taken:
            return found
    raise AssertionError("more names than there are taken ones were tried")


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name):
        try:
            spans(f"TABLE {name}".encode())
        except ParseError:  # a keyword
            pass
        else:
            return name
    return '"' + name.replace('"', '""') + '"'


def _plurals(word: str) -> set[str]:
    return {f"{word}s", f"{word}es", *([f"{word[:-1]}ies"] if word.endswith("y") else [])}
