"""PostgreSQL's own parser, libpg_query, through postgast: the only module that knows postgast.

Offsets are bytes, error positions are characters. postgast's own split() drops the offsets, so its binding of
pg_query_split_with_parser is called as it is.
"""

from __future__ import annotations

from typing import Any


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
    from postgast.native import lib

    result = lib.pg_query_split_with_parser(text)
    try:
        if result.error:
            error = result.error.contents
            raise ParseError(error.message.decode("utf-8", "replace"), max(error.cursorpos - 1, 0))
        found = (result.stmts[index].contents for index in range(result.n_stmts))
        return [(item.stmt_location, item.stmt_len) for item in found]
    finally:
        lib.pg_query_free_split_result(result)


def parse(sql: str) -> Any:
    """Return the parse tree of one statement (a message of libpg_query's protobuf), or None.

    None means that the tree is nested deeper than protobuf reads (100 levels); PostgreSQL itself takes such
    a statement.
    """
    from google.protobuf.message import DecodeError
    from postgast import parse as parse_tree

    try:
        tree = parse_tree(sql)
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
