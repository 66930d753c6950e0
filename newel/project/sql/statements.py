"""Statements of a SQL text, split by PostgreSQL's own parser.

Two facts shape it: the parser needs about 16 times the size of its text, so a large file is read in windows
that end behind a parsed statement; and the data of `COPY ... FROM stdin` is no SQL, so it is cut out first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from newel.errors import NewelError
from newel.project.source import excerpt, locate
from newel.project.sql import parser
from newel.project.sql.parser import ParseError, enum_name, kind_of, node_of, parse

WINDOW = 256 * 1024
"""How many bytes the parser is given at once, at least; a longer statement gets what it needs."""

_BOM = b"\xef\xbb\xbf"
_BLANKS = re.compile(rb"(?:[ \t\r\n\f\v]+|--[^\r\n]*)*")
_WORD = re.compile(rb"[A-Za-z_]+")
_LINE_REST = re.compile(rb"[ \t\r]*(?:--[^\n]*)?(?:\n|\Z)")
_STATEMENT_END = re.compile(rb";" + _LINE_REST.pattern)
_COPY_END = re.compile(rb"^\\\.[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
_QUOTED = rb"""(?:[^;'"]|'[^']*'|"[^"]*")*"""
_COPY = re.compile(
    rb"(?<![^;\r\n/])[ \t]*copy\b" + _QUOTED + rb"?\bfrom\s+std(?:in|out)\b" + _QUOTED + rb";", re.IGNORECASE
)
_CONCURRENT_INDEX = re.compile(r"create\s+(unique\s+)?index\s+concurrently\b", re.IGNORECASE)

# The first keywords of every statement that can be transaction control or unable to run in a transaction.
# Only these are parsed into a tree when a file is read; an INSERT of a megabyte is not.
_WORTH_A_TREE = frozenset(
    b"ABORT ALTER BEGIN CLUSTER COMMIT COPY CREATE DISCARD DROP END PREPARE REINDEX RELEASE ROLLBACK "
    b"SAVEPOINT START VACUUM".split()
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: byte offsets into its file, line and column of its first token, and how it may run."""

    source: bytes = field(repr=False)
    start: int
    end: int
    line: int
    keyword: str
    needs_autocommit: bool = False
    concurrent: bool = False
    """It says CONCURRENTLY: it blocks nobody while it waits, and leaves something half done if it gives up."""
    copy_data: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """The SQL without the comment before it and the semicolon behind it."""
        return self.source[self.start : self.end].decode("utf-8")


def split(data: bytes, path: str) -> Iterator[Statement]:
    """Yield the statements of `data` in order.

    Raises NewelError with file, line and column for a syntax error, a psql command or transaction control.
    """
    position = len(_BOM) if data.startswith(_BOM) else 0
    counted, line = 0, 1
    while position < len(data):
        spans, position, copy_data = _next_window(data, position, path)
        for number, (start, end) in enumerate(spans, 1):
            line += data.count(b"\n", counted, start)
            counted = start
            yield _statement(data, path, start, end, line, copy_data if number == len(spans) else None)


def checksums(statements: Iterable[Statement]) -> Iterator[tuple[int, Statement, str]]:
    """Number the statements from 1, each with the SHA-256 of all up to it, in hexadecimal; COPY data counts."""
    digest = hashlib.sha256()
    for number, statement in enumerate(statements, 1):
        digest.update(statement.source[statement.start : statement.end] + b"\0")
        if statement.copy_data:
            digest.update(
                memoryview(statement.source)[slice(*statement.copy_data)]
            )  # it may be most of the file
        yield number, statement, digest.hexdigest()


def sets_session(statement: Statement) -> bool:
    """Say whether a statement does nothing but set the session: SET, RESET, or pg_dump's SELECT set_config()."""
    if statement.keyword != "SELECT":
        return statement.keyword in ("SET", "RESET")
    tree = (
        parse(statement.text) if b"set_config" in statement.source[statement.start : statement.end] else None
    )
    return tree is not None and all(_sets_config(node_of(item.res_target.val)) for item in tree.target_list)


def _sets_config(node: Any) -> bool:
    return kind_of(node) == "FuncCall" and node.funcname[-1].string.sval == "set_config"


def _next_window(
    data: bytes, position: int, path: str
) -> tuple[list[tuple[int, int]], int, tuple[int, int] | None]:
    """Split one window: the spans of its statements, where the next begins, and the last one's COPY data."""
    size = WINDOW
    while True:
        cut = _STATEMENT_END.search(data, position + size)
        window_end = cut.end() if cut else len(data)
        for copy in _COPY.finditer(data, position, window_end):
            spans = _spans(data, position, copy.end(), path)
            if spans and _reads_stdin(data[slice(*spans[-1])]):
                copy_start, copy_end, after = _copy_data(data, copy.end(), path)
                return spans, after, (copy_start, copy_end)
        spans = _spans(data, position, window_end, path)
        if spans is not None:
            return spans, window_end, None
        size *= 2


def _spans(data: bytes, start: int, end: int, path: str) -> list[tuple[int, int]] | None:
    """Return (start, end) of each statement in data[start:end], or None if the last one goes on behind it."""
    window = data[start:end]
    try:
        found = parser.spans(window)
    except ParseError as error:
        if error.unfinished and end < len(data):
            return None
        before = window.decode("utf-8", "replace")[: error.position]
        raise _syntax_error(data, path, start + len(before.encode()), error.message) from None
    if found and end < len(data) and start + sum(found[-1]) == end:
        return None  # no semicolon ended it: the window was cut behind one in a comment
    return [(skip_blanks(data, start + at), _trim(data, start + at + length)) for at, length in found]


def _statement(
    data: bytes, path: str, start: int, end: int, line: int, copy_data: tuple[int, int] | None
) -> Statement:
    word = _WORD.match(data, start, end)
    keyword = word.group().upper() if word else b""
    needs_autocommit = concurrent = False
    if keyword in _WORTH_A_TREE:
        text = data[start:end].decode("utf-8")
        tree = parse(text)
        kind = kind_of(tree)
        if kind == "TransactionStmt" and not enum_name(tree, "kind").endswith("_PREPARED"):
            raise _refused(
                data,
                path,
                start,
                f"{text} does not belong in a migration file: newel opens and ends the transaction, and transaction "
                "control in the file would defeat its rollback",
                "Take the statement out."
                if keyword in (b"SAVEPOINT", b"RELEASE", b"PREPARE")
                else "Take the statement out. A file that must not run in one transaction says so in its first "
                "lines:  -- newel: no-transaction",
            )
        if kind == "IndexStmt" and tree.concurrent and not tree.idxname:
            raise _refused(
                data,
                path,
                start,
                "CREATE INDEX CONCURRENTLY without a name: if it is interrupted, nobody can tell whether this index "
                "is there, and running it again would build a second one",
                "Give the index a name:  CREATE INDEX CONCURRENTLY name ON ...",
            )
        if kind == "CopyStmt" and copy_data is None and not tree.filename:
            what = (
                "COPY ... FROM stdin without a semicolon and data lines behind it"
                if tree.is_from
                else "COPY ... TO stdout, which nobody would read"
            )
            raise _refused(data, path, start, what, None)
        if kind == "DiscardStmt" and enum_name(tree, "target") == "DISCARD_ALL":
            what = "DISCARD ALL would give up the lock that keeps other runs away"
            raise _refused(data, path, start, what, "Use RESET ALL, DISCARD TEMP or DISCARD PLANS.")
        concurrent = _is_concurrent(kind, tree) if kind else bool(_CONCURRENT_INDEX.match(text))
        needs_autocommit = concurrent or _needs_autocommit(kind, tree)
    return Statement(data, start, end, line, keyword.decode(), needs_autocommit, concurrent, copy_data)


def _refused(data: bytes, path: str, at: int, what: str, cure: str | None) -> NewelError:
    return NewelError(what, where=locate(data, at, path), excerpt=excerpt(data, at), cure=cure)


def _is_concurrent(kind: str, tree: Any) -> bool:
    match kind:
        case "IndexStmt" | "DropStmt":
            return bool(tree.concurrent)
        case "ReindexStmt":
            return any(item.def_elem.defname == "concurrently" for item in tree.params)
        case "AlterTableStmt":
            return any(
                command.alter_table_cmd.HasField("def")
                and getattr(command.alter_table_cmd, "def").partition_cmd.concurrent
                for command in tree.cmds
            )
        case _:
            return False


def _needs_autocommit(kind: str, tree: Any) -> bool:
    """Say whether PostgreSQL refuses the statement in a transaction block, beside those that say CONCURRENTLY.

    These are the callers of PreventInTransactionBlock() in PostgreSQL's src/backend. REINDEX and CLUSTER of a
    partitioned table are refused too, which only the catalog knows: such a file says no-transaction itself.
    """
    options = {item.def_elem.defname for item in getattr(tree, "params", ()) or getattr(tree, "options", ())}
    match kind:
        case "TransactionStmt" | "VacuumStmt":
            return kind == "TransactionStmt" or bool(tree.is_vacuumcmd)
        case (
            "CreatedbStmt" | "DropdbStmt" | "CreateTableSpaceStmt" | "DropTableSpaceStmt" | "AlterSystemStmt"
        ):
            return True
        case "ReindexStmt":
            whole = ("REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE")
            return enum_name(tree, "kind") in whole
        case "ClusterStmt":
            return not tree.HasField("relation")
        case "AlterDatabaseStmt":
            return "tablespace" in options
        case "CreateSubscriptionStmt" | "DropSubscriptionStmt" | "AlterSubscriptionStmt":
            return True
        case _:
            return False


def _reads_stdin(statement: bytes) -> bool:
    if statement[:4].upper() != b"COPY":
        return False
    tree = parse(statement.decode("utf-8"))
    return kind_of(tree) == "CopyStmt" and bool(tree.is_from) and not tree.filename


def _copy_data(data: bytes, statement_end: int, path: str) -> tuple[int, int, int]:
    """Return where the data lines begin and end, and where SQL goes on behind the line with backslash dot."""
    line_rest = _LINE_REST.match(data, statement_end)
    if line_rest is None:
        raise _refused(
            data,
            path,
            statement_end,
            "something follows COPY ... FROM stdin on its line; the data begins on the next one",
            "Move what follows behind the line \\. that ends the data.",
        )
    end = _COPY_END.search(data, line_rest.end())
    return (line_rest.end(), end.start(), end.end()) if end else (line_rest.end(), len(data), len(data))


def _syntax_error(data: bytes, path: str, offset: int, message: str) -> NewelError:
    if data[offset : offset + 1] == b"\\":
        what = "a psql command: the file is sent to the server, which knows SQL only"
        return _refused(data, path, offset, what, "Write it as SQL, or leave it out.")
    return _refused(data, path, offset, message, None)


def skip_blanks(data: bytes, position: int) -> int:
    """Return the offset of the first token at or behind `position`; block comments nest in PostgreSQL."""
    if position == 0 and data.startswith(_BOM):
        position = len(_BOM)
    while True:
        blanks = _BLANKS.match(data, position)
        position = blanks.end() if blanks else position
        if data[position : position + 2] != b"/*":
            return position
        depth, position = 1, position + 2
        for mark in re.compile(rb"/\*|\*/").finditer(data, position):
            depth += 1 if mark.group() == b"/*" else -1
            position = mark.end()
            if depth == 0:
                break


def _trim(data: bytes, end: int) -> int:
    while data[end - 1 : end].isspace():
        end -= 1
    return end
