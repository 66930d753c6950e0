"""Whether two versions of a SQL file mean the same: they have the same tokens, whatever stands between them.

Comments (directives too), white space and line ends do not count. Everything else does: the case of a keyword,
and each character of a literal, of a function's body in dollar quotes and of COPY data.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile, zip_longest

from newel.project.sql.parser import scan
from newel.project.sql.statements import Statement, split

SHOWN_LINES = 40
"""How many lines of a difference are shown, its head lines included."""
_WIDTH = 120
_CONTEXT = 2
_CONTINUED = re.compile(rb"'\s+'")
_PARTS = re.compile(rb"'[^']*+(?:''[^']*+)*+'")
_PARTS_WITH_ESCAPES = re.compile(rb"'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'", re.DOTALL)

Tokens = tuple[str, ...]
Pair = tuple[Statement | None, Statement | None]


def token_lists(data: bytes, path: str) -> list[tuple[int, Tokens]]:
    """Return the line and the tokens of each statement; each line of COPY data is one, with its line end.

    The semicolon behind a statement is no token of it. CRLF is LF everywhere, in a literal too.
    Raises NewelError as split() does.
    """
    return [(item.line, _tokens(item)) for item in _statements(data, path)]


def same(old: bytes, new: bytes, path: str) -> bool:
    """Say whether two versions of a file have the same statements.

    Raises NewelError as split() does, for either of them.
    """
    pairs = zip_longest(_statements(old, path), _statements(new, path))
    return all(_alike(before, after) for before, after in pairs)


def difference(old: bytes, new: bytes, path: str) -> str:
    """Return the statements that differ, as a unified diff with a head line each; empty if the two are the same.

    A head line has the line in the new file; that of a removed statement, in the old one. What is more than
    SHOWN_LINES is counted. Raises NewelError as split() does, for either of them.
    """
    lines: list[str] = []
    for before, after in _changes(_statements(old, path), _statements(new, path)):
        if after is not None:
            lines.append(f"{path}:{after.line}: {'changed' if before else 'added'}")
        elif before is not None:
            lines.append(f"{path}:{before.line} as it was applied: removed")
        lines += [f"    {line}" for line in _line_difference(_lines(before), _lines(after))]
    if len(lines) > SHOWN_LINES:
        lines[SHOWN_LINES - 1 :] = [f"… and {len(lines) - SHOWN_LINES + 1} more"]
    return "\n".join(lines)


def _statements(data: bytes, path: str) -> list[Statement]:
    return list(split(data.replace(b"\r\n", b"\n"), path))


def _alike(before: Statement | None, after: Statement | None) -> bool:
    """Say whether two statements have the same tokens; those with the same bytes need no scan."""
    if before is None or after is None:
        return False
    return _bytes(before) == _bytes(after) or _tokens(before) == _tokens(after)


def _bytes(statement: Statement) -> tuple[bytes, bytes | None]:
    source, data = statement.source, statement.copy_data
    return source[statement.start : statement.end], None if data is None else source[slice(*data)]


def _tokens(statement: Statement) -> Tokens:
    text, _ = _bytes(statement)
    tokens = (_continued(text[start:end]).decode() for start, end in scan(text))
    return (*tokens, *(f"{line}\n" for line in _copy_lines(statement)))


def _copy_lines(statement: Statement) -> list[str]:
    _, data = _bytes(statement)
    return (data or b"").decode().removesuffix("\n").split("\n") if data else []


def _continued(token: bytes) -> bytes:
    """Return a token with one line end between the parts of a literal that goes on behind a line end.

    The parts stay apart: E'\\1' and '2' below it are two characters, E'\\12' is one.
    """
    if not token.endswith(b"'") or not _CONTINUED.search(token):
        return token
    parts = _PARTS_WITH_ESCAPES if token[:1] in b"eE" else _PARTS
    return token[: token.index(b"'")] + b"\n".join(parts.findall(token))


def _changes(old: list[Statement], new: list[Statement]) -> Iterator[Pair]:
    """Yield the statements that differ, in order: changed, removed (no second) or added (no first)."""
    at_start = _count_shared([_bytes(item) for item in old], [_bytes(item) for item in new])
    old, new = old[at_start:], new[at_start:]
    old_tokens, new_tokens = [_tokens(item) for item in old], [_tokens(item) for item in new]
    for before, after in _pairs(old_tokens, new_tokens):
        if before is None or after is None or old_tokens[before] != new_tokens[after]:
            yield None if before is None else old[before], None if after is None else new[after]


def _pairs(old: list[Tokens], new: list[Tokens]) -> Iterator[tuple[int | None, int | None]]:
    """Yield which statements belong together; those that differ do if their first words are the same.

    Where the first words of all are the same, nothing else is looked for: SequenceMatcher takes a minute for
    some thousand changes.
    """
    old_heads, new_heads = [tokens[:3] for tokens in old], [tokens[:3] for tokens in new]
    if old_heads == new_heads:
        yield from ((index, index) for index in range(len(old)))
        return
    for tag, a, b, c, d in _opcodes(old, new):
        if tag != "replace":
            yield from zip_longest(range(a, b), range(c, d))
            continue
        for _, e, f, g, h in _opcodes(old_heads[a:b], new_heads[c:d]):
            yield from zip_longest(range(a + e, a + f), range(c + g, c + h))


def _opcodes(old: Sequence[Tokens], new: Sequence[Tokens]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, old, new).get_opcodes()


def _lines(statement: Statement | None) -> list[str]:
    """Return the lines of a statement, comments and COPY data included; a long one is cut into several."""
    if statement is None:
        return []
    lines = [*f"{statement.text};".split("\n"), *_copy_lines(statement)]
    return [part for line in lines for part in (_cut(line) if len(line) > _WIDTH else [line])]


def _cut(line: str) -> list[str]:
    parts = [line[at : at + _WIDTH] for at in range(0, len(line), _WIDTH)]
    return [*(f"{part}…" for part in parts[:-1]), parts[-1]]


def _line_difference(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield a unified diff, with three dots between its hunks and no header.

    What is the same at the beginning and the end is taken off first: a statement may have a million lines.
    """
    at_start = max(_count_shared(old, new) - _CONTEXT, 0)
    old, new = old[at_start:], new[at_start:]
    at_end = max(_count_shared(old[::-1], new[::-1]) - _CONTEXT, 0)
    old, new = old[: len(old) - at_end], new[: len(new) - at_end]
    for number, line in enumerate(difflib.unified_diff(old, new, n=_CONTEXT, lineterm="")):
        if line.startswith("@@"):
            if number > 2:
                yield "..."
        elif number > 1:
            yield line.replace("\r", "\\r")


def _count_shared(old: Sequence[object], new: Sequence[object]) -> int:
    """Return how many items at the beginning are equal."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
