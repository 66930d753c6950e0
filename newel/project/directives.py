"""Directives: comment lines at the top of a SQL file that begin with `-- newel:`. See docs/file-format.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from newel.errors import NewelError
from newel.project.source import excerpt, locate

_LINE = re.compile(rb"^[ \t]*--[ \t]*newel:[ \t]*([^\r\n]*)", re.MULTILINE)
_TOP = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*(?:--[^\n]*)?(?:\n|\Z))*")
_NAMES = {"no-transaction": "", "irreversible": "<reason>", "lossy": "<table[.column]> <reason>"}
_NAMES["allow"] = "<rule>: <reason>"


@dataclass(frozen=True)
class Directives:
    """What a file says of itself. `lossy` and `allow` are pairs of a name and the reason given for it."""

    no_transaction: bool = False
    irreversible: str | None = None
    lossy: tuple[tuple[str, str], ...] = ()
    allow: tuple[tuple[str, str], ...] = ()


def read_directives(data: bytes, path: str) -> Directives:
    """Read the directives of a file.

    Raises NewelError with line and column for one that is misspelt, lacks its reason, stands below the first
    statement, or does not fit the direction of the file.
    """
    top = _TOP.match(data)
    top_end = top.end() if top else 0
    no_transaction, irreversible = False, None
    lossy: list[tuple[str, str]] = []
    allow: list[tuple[str, str]] = []
    for line in _LINE.finditer(data):
        words = line.group(1).decode("utf-8", "replace").split()
        name = words[0] if words else ""

        def refuse(what: str, at: int = line.start(1)) -> NoReturn:
            raise NewelError(what, where=locate(data, at, path), excerpt=excerpt(data, at))

        if line.start() >= top_end:
            refuse(
                "a directive below the first statement has no effect; it belongs to the comment lines "
                "at the top of the file"
            )
        if name not in _NAMES:
            near = get_close_matches(name, _NAMES, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"newel knows {', '.join(_NAMES)}."
            refuse(f"unknown directive `{name}`; {hint}")
        if _NAMES[name] and len(words) < 1 + len(_NAMES[name].split()):
            refuse(f"directive `{name}` is incomplete; it reads `-- newel: {name} {_NAMES[name]}`")
        if name in ("irreversible", "lossy") and not path.endswith(".down.sql"):
            refuse(f"directive `{name}` speaks of rolling back, so it belongs in the down file")
        if name == "no-transaction":
            no_transaction = True
        elif name == "irreversible":
            irreversible = " ".join(words[1:])
        elif name == "lossy":
            lossy.append((words[1], " ".join(words[2:])))
        else:
            allow.append((words[1].rstrip(":"), " ".join(words[2:])))
    return Directives(no_transaction, irreversible, tuple(lossy), tuple(allow))
