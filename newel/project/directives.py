"""Directives: comment lines at the top of a SQL file that begin with `-- newel:`. See docs/file-format.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from newel.errors import NewelError
from newel.project.source import excerpt, locate
from newel.project.sql.statements import skip_blanks

_LINE = re.compile(rb"^(?:\xef\xbb\xbf)?[ \t]*--[ \t]*newel:[ \t]*([^\r\n]*)", re.MULTILINE)
FORMS = {
    "no-transaction": ("", r""),
    "irreversible": ("<reason>", r"(\S.*)"),
    "lossy": ("<table[.column]> <reason>", r'((?:"[^"]*"|[^\s"])+)\s+(\S.*)'),
    "allow": ("<rule>: <reason>", r"([a-z][a-z0-9-]*):\s*(\S.*)"),
}
"""Each directive's name, with what follows it in words and as a pattern."""
_DOWN_ONLY = ("irreversible", "lossy")
_ONCE = ("no-transaction", "irreversible")


@dataclass(frozen=True)
class Directives:
    """What a file says of itself. `lossy` and `allow` are pairs of a name and the reason given for it."""

    no_transaction: bool = False
    irreversible: str | None = None
    lossy: tuple[tuple[str, str], ...] = ()
    allow: tuple[tuple[str, str], ...] = ()


def read_directives(data: bytes, path: str) -> Directives:
    """Read the directives of a file.

    Raises NewelError with line and column for one that is misspelt, not of its form, given twice, below the
    first statement, or in a file of the wrong direction.
    """
    top_end = skip_blanks(data, 0)
    found: dict[str, list[tuple[str, ...]]] = {name: [] for name in FORMS}
    for line in _LINE.finditer(data):

        def refuse(what: str, at: int = line.start(1)) -> NoReturn:
            raise NewelError(what, where=locate(data, at, path), excerpt=excerpt(data, at))

        name, _, rest = line.group(1).decode("utf-8", "replace").strip().partition(" ")
        if line.start() >= top_end:
            refuse(
                "a directive below the first statement has no effect; it belongs to the comments at the top of the file"
            )
        if name not in FORMS:
            near = get_close_matches(name, FORMS, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"newel knows {', '.join(FORMS)}."
            refuse(f"unknown directive `{name}`; {hint}")
        words, pattern = FORMS[name]
        match = re.fullmatch(pattern, rest.strip())
        if match is None:
            refuse(f"directive `{name}` reads `{f'-- newel: {name} {words}'.strip()}`")
        if name in _DOWN_ONLY and not path.endswith(".down.sql"):
            refuse(f"directive `{name}` speaks of rolling back, so it belongs in the down file")
        if name in _ONCE and found[name]:
            refuse(f"directive `{name}` is given twice")
        found[name].append(match.groups())
    return Directives(
        no_transaction=bool(found["no-transaction"]),
        irreversible=found["irreversible"][0][0] if found["irreversible"] else None,
        lossy=tuple((table, reason) for table, reason in found["lossy"]),
        allow=tuple((rule, reason) for rule, reason in found["allow"]),
    )
