"""How two catalogs differ, and a rendering of it that reads well in a terminal."""

from __future__ import annotations

import difflib
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from newel.database.catalog.snapshot import Catalog, CatalogObject, Key, rank

# "comment on table a.b", where others are "table a.b". What hangs on an object is not counted when it is folded.
JOINING = {
    "comment": " on",
    "grant": " on",
    "security label": " on",
    "extension dependency": " of",
    "default grant": " on",
    "owner": " of",
    "column order": " of table",
}
UNCOUNTED = frozenset({"owner", "column order"})
PLURALS = {"index": "indexes", "policy": "policies", "statistics": "statistics"}
SHOWN_LINES = 4


@dataclass(frozen=True)
class Change:
    """One object before and after; None where it is not there. Folded into its parent's line if `folded`."""

    before: CatalogObject | None
    after: CatalogObject | None
    folded: bool = False
    contents: tuple[tuple[str, int], ...] = ()

    @property
    def object(self) -> CatalogObject:
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def title(self) -> str:
        return f"{self.object.kind}{JOINING.get(self.object.kind, '')} {self.object.identity}".rstrip()


@dataclass(frozen=True)
class CatalogDifference:
    """Every object that two catalogs do not share, a table before what belongs to it. False if there is none."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def missing(self) -> tuple[CatalogObject, ...]:
        return tuple(change.before for change in self.changes if change.before and not change.after)

    @property
    def extra(self) -> tuple[CatalogObject, ...]:
        return tuple(change.after for change in self.changes if change.after and not change.before)

    @property
    def changed(self) -> tuple[tuple[CatalogObject, CatalogObject], ...]:
        return tuple(
            (change.before, change.after) for change in self.changes if change.before and change.after
        )

    def lines(self, width: int = 100) -> list[str]:
        """The difference for a reader: - is missing, + is new, ~ changed. A new or missing table is one line."""
        return [line for change in self.changes if not change.folded for line in _render(change, width)]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def difference(before: Catalog, after: Catalog) -> CatalogDifference:
    """What became of `before`: objects missing from `after`, extra in it, or defined otherwise."""
    known = {**before.by_key, **after.by_key}
    keys = [key for key in known if before.get(key) != after.get(key) and not _explained(key, before, after)]
    new = {key for key in keys if key not in before}
    missing = {key for key in keys if key not in after}
    contents: dict[Key, Counter[str]] = {}
    folded = set()
    for key in keys:
        side = new if key in new else missing if key in missing else set()
        top = _outermost(key, known, side)
        if top != key:
            folded.add(key)
            if key[0] not in UNCOUNTED and not (key[0] == "index" and top[0] == "constraint"):
                contents.setdefault(top, Counter())[key[0]] += 1
    order = {key: place for place, key in enumerate([*before, *(key for key in after if key not in before)])}
    keys.sort(key=lambda key: [order[step] for step in _path(key, known)])
    return CatalogDifference(
        tuple(
            Change(
                before.by_key.get(key),
                after.by_key.get(key),
                key in folded,
                tuple(sorted(contents.get(key, Counter()).items(), key=lambda item: rank(item[0]))),
            )
            for key in keys
        )
    )


def _path(key: Key, known: dict[Key, CatalogObject]) -> list[Key]:
    """From the outermost object down to this one."""
    path = [key]
    while (parent := known[path[0]].parent) is not None and parent in known:
        path.insert(0, parent)
    return path


def _outermost(key: Key, known: dict[Key, CatalogObject], side: set[Key]) -> Key:
    """The furthest ancestor that is new, or missing, together with this object and all between."""
    while key in side and (parent := known[key].parent) in side:
        assert parent is not None
        key = parent
    return key


def _explained(key: Key, before: Catalog, after: Catalog) -> bool:
    """A column that came or went changes the list of columns: only another order of the others is worth a line."""
    if key[0] != "column order" or key not in before or key not in after:
        return False
    old, new = list(_names(before[key])), list(_names(after[key]))
    if set(old) == set(new):
        return False
    return [name for name in old if name in set(new)] == [name for name in new if name in set(old)]


def _names(order: str) -> Iterator[str]:
    """The quoted names in a list of columns; a quoted name may hold a comma."""
    name = ""
    for part in order.split(", "):
        name = f"{name}, {part}" if name else part
        if name.count('"') % 2 == 0:
            yield name
            name = ""


def _render(change: Change, width: int) -> Iterator[str]:
    if change.before and change.after:
        yield from _changed(change.title, change.before.definition, change.after.definition, width)
        return
    head = f"- {change.title} is missing" if change.before else f"+ {change.title} is new"
    if change.contents:
        head += ", with " + ", ".join(_count(kind, count) for kind, count in change.contents)
    yield from _headed(head, change.object.definition, width)


def _count(kind: str, count: int) -> str:
    return f"{count} {kind if count == 1 else PLURALS.get(kind, kind + 's')}"


def _headed(head: str, text: str, width: int) -> Iterator[str]:
    """The definition behind the head if it fits, else below it: wrapped, or its first lines."""
    if text and "\n" not in text and len(head) + 2 + len(text) <= width:
        yield f"{head}: {text}"
        return
    first, *rest = _wrapped(head + (":" if text else ""), width)
    yield first
    yield from (f"    {line}" for line in rest)
    lines = text.splitlines() if "\n" in text else _wrapped(text, width - 4)
    yield from (f"    {line}".rstrip() for line in lines[:SHOWN_LINES])
    if (more := len(lines) - SHOWN_LINES) > 0:
        yield f"    … {_count('more line', more)}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _changed(title: str, before: str, after: str, width: int) -> Iterator[str]:
    if "\n" in before or "\n" in after:
        yield f"~ {title}"
        yield from (f"    {line}".rstrip() for line in _unified(before, after))
        return
    line = f"~ {title}: `{before}` became `{after}`"
    if len(line) <= width:
        yield line
        return
    yield f"~ {title}"
    for word, text in (("was", before), ("now", after)):
        wrapped = _wrapped(text, width - 8) or [""]
        yield f"    {word} {wrapped[0]}".rstrip()
        yield from (f"        {more}" for more in wrapped[1:])


def _unified(before: str, after: str) -> Iterator[str]:
    """A unified diff with one line of context, three dots between its hunks and no header."""
    hunks = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
    for number, line in enumerate(hunks):
        if line.startswith("@@"):
            if number > 2:
                yield "..."
        elif number > 1:
            yield line
