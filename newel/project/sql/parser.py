"""PostgreSQL's own parser, libpg_query, through postgast: the only module that knows postgast.

Offsets are bytes, error positions are characters. postgast's own split() drops the offsets and its scan() takes
the position from an error, so its bindings of libpg_query are called as they are.
"""

from __future__ import annotations

import re
from typing import Any

_BLANK = re.compile(rb"[^\r\n]")


class ParseError(Exception):
    """The parser's refusal: its message, and the position in characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position

    @property
    def unfinished(self) -> bool:
        """True if more text might mend it: a literal or comment that does not end, or a statement that goes on."""
        return self.message.startswith("unterminated") or self.message.endswith("at end of input")


def spans(text: bytes) -> list[tuple[int, int]]:
    """Return offset and length in bytes of each statement, blanks and comments before it included.

    Raises ParseError.
    """
    try:
        return _spans(text)
    except ParseError as error:
        try:
            return _spans(_without_comments(text))
        except ParseError:
            raise error from None


def _without_comments(text: bytes) -> bytes:
    """Blank the comments out: libpg_query stumbles over those inside `NOT IN`, `NULLS FIRST` and their like."""
    blanked, end = bytearray(), 0
    for start, token_end in scan(text):
        blanked += _BLANK.sub(b" ", text[end:start]) + text[start:token_end]
        end = token_end
    return bytes(blanked) + _BLANK.sub(b" ", text[end:])


def _spans(text: bytes) -> list[tuple[int, int]]:
    from postgast.native import lib

    result = lib.pg_query_split_with_parser(text)
    try:
        _raise_error(result)
        found = (result.stmts[index].contents for index in range(result.n_stmts))
        return [(item.stmt_location, item.stmt_len) for item in found]
    finally:
        lib.pg_query_free_split_result(result)


def scan(sql: str | bytes) -> list[tuple[int, int]]:
    """Return where each token begins and ends, in bytes; comments are none.

    `N'...'` is one token: libpg_query gives two, as it does for `N '...'`, which means something else.
    Raises ParseError for what the scanner refuses, such as a literal that does not end.
    """
    import ctypes

    import postgast
    from postgast.native import lib

    messages = postgast.pg_query_pb2
    number = messages.Token.Value
    result = lib.pg_query_scan(sql.encode() if isinstance(sql, str) else sql)
    try:
        _raise_error(result)
        tokens = messages.ScanResult.FromString(ctypes.string_at(result.pbuf.data, result.pbuf.len)).tokens
    finally:
        lib.pg_query_free_scan_result(result)
    comments = (number("SQL_COMMENT"), number("C_COMMENT"))
    national, literal = number("NCHAR"), number("SCONST")
    found: list[tuple[int, int]] = []
    kind_before = None
    for token in tokens:
        kind, start = token.token, token.start
        if kind == literal and kind_before == national and found[-1] == (start - 1, start):
            start = found.pop()[0]
        if kind not in comments:
            found.append((start, token.end))
        kind_before = kind
    return found


def _raise_error(result: Any) -> None:
    if result.error:
        error = result.error.contents
        raise ParseError(error.message.decode("utf-8", "replace"), max(error.cursorpos - 1, 0))


def parse(sql: str) -> Any:
    """Return the parse tree of one statement (a message of libpg_query's protobuf), or None.

    None means that the tree is nested deeper than protobuf reads (100 levels); PostgreSQL itself takes such
    a statement.
    """
    from google.protobuf.message import DecodeError
    from postgast import PgQueryError
    from postgast import parse as parse_tree

    try:
        try:
            tree = parse_tree(sql)
        except PgQueryError:
            tree = parse_tree(_without_comments(sql.encode()).decode())
    except DecodeError:
        return None
    return node_of(tree.stmts[0].stmt) if tree.stmts else None


def node_of(wrapped: Any) -> Any:
    """Return the message inside a `Node`, which has a field for every kind there is."""
    return getattr(wrapped, wrapped.WhichOneof("node"))


def kind_of(tree: Any) -> str:
    """Return the name of a tree's node, as PostgreSQL's source has it (`IndexStmt`); empty for no tree."""
    return str(tree.DESCRIPTOR.name) if tree is not None else ""


def enum_name(message: Any, name: str) -> str:
    """Return the name of an enum field's value (`DROP_CASCADE`); the numbers change between versions."""
    value = getattr(message, name)
    return str(message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number[value].name)


def first_select(tree: Any) -> Any:
    """Return the first SELECT of a UNION, INTERSECT or EXCEPT, or the SELECT itself."""
    while tree.HasField("larg"):
        tree = tree.larg
    return tree


def into_of(tree: Any) -> Any:
    """Return the IntoClause of SELECT ... INTO, which makes a table; None for a SELECT without one."""
    first = first_select(tree)
    return first.into_clause if first.HasField("into_clause") else None
