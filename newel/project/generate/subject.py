"""The existing table that the words of a name speak of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newel.project.sql.names import places_of, same_word, words_of
from newel.project.tables.objects import Column, Objects, Table

BEFORE_A_TABLE = ("to", "on", "of", "in", "for", "from")
"""Behind the last of these a table is looked for first."""


@dataclass(frozen=True)
class Subject:
    """An existing table that a name speaks of, and the words of the name before and behind it."""

    table: Table
    before: tuple[str, ...]
    behind: tuple[str, ...]

    def names(self, columns: Sequence[Column]) -> list[Column]:
        """Return the columns that the words name, in their order; the longest name wins where several begin."""
        found: list[Column] = []
        for words in (self.before, self.behind):
            at = 0
            while at < len(words):
                fit = [
                    (len(parts), column)
                    for column in columns
                    if (parts := words_of(column.name))
                    and len(parts) <= len(words) - at
                    and all(map(same_word, parts, words[at : at + len(parts)]))
                ]
                length, column = max(fit, key=lambda item: item[0], default=(1, None))
                if column is not None and column not in found:
                    found.append(column)
                at += length
        return found


def workable(seen: Objects) -> list[Table]:
    """Return the tables that a revision may work on: no partitions, which follow their table."""
    return [table for table in seen.tables.values() if not table.partition]


def find_table(words: Sequence[str], seen: Objects) -> Subject | None:
    """Return the table that `words` name, in the singular or plural.

    Behind the last `to`, `on`, `of`, `in`, `for` or `from` a table is looked for first. The longest name wins, then
    one written just so, then the schema of the environment.
    """
    last = max((at for at, word in enumerate(words) if word in BEFORE_A_TABLE), default=-1)
    for start in dict.fromkeys((last + 1, 0)):
        part = words[start:]
        fit = [
            (len(own), own == list(part[first:end]), table.schema == seen.default, -first, table, end)
            for table in workable(seen)
            for own in [words_of(table.name)]
            for first, end in places_of(own, part)
        ]
        if fit:
            *_, first, table, end = max(fit, key=lambda item: item[:4])
            return Subject(table, tuple(words[: start - first]), tuple(part[end:]))
    return None
