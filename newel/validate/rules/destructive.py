"""destructive: statements of an up file that destroy data or what others depend on.

bad:   DELETE FROM app.orders;
good:  DELETE FROM app.orders WHERE cancelled_at < '2020-01-01';

bad:   ALTER TABLE app.orders ALTER COLUMN note TYPE varchar(20);
good:  ALTER TABLE app.orders ALTER COLUMN note TYPE text;

bad:   DROP VIEW app.open_orders CASCADE;
good:  DROP INDEX app.orders_note_idx;
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from newel.project.files import SqlFile
from newel.project.sql.parser import enum_name, kind_of, node_of, parse
from newel.project.sql.statements import Statement
from newel.validate.drops import drop
from newel.validate.types import ANY_TEXT, quoted, type_words

RULE = "destructive"
HINT = "If it is meant, say why at the top of the file:  -- newel: allow destructive: <reason>"

# A finding needs one of the first words at the beginning of the statement, and one of the others anywhere.
# Only such a statement is parsed into a tree. The first word is empty where a parenthesis stands before WITH.
_FIRST_WORD = re.compile("ALTER|COPY|CREATE|DELETE|DROP|EXPLAIN|MERGE|PREPARE|REVOKE|TRUNCATE|UPDATE|WITH|")
_WORD = re.compile(rb"\b(?:cascade|delete|drop|merge|truncate|type|update)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Destruction:
    """One thing that a statement destroys, and what it is in words."""

    kind: Literal["drop", "truncate", "delete", "update", "column", "type", "cascade", "unread"]
    what: str
    table: str | None = None
    """The one table or composite type that it is about, as written and quoted: what to_regclass() takes."""
    column: str | None = None
    """The column as pg_attribute has it, without quotes."""
    new_type: str | None = None
    """The type that a column is changed to, as format_type() words it. None for another kind, for a type that
    only the server can word, and where USING computes the values anew: what the old type was tells nothing."""


_CASCADE = Destruction("cascade", "CASCADE takes along whatever depends on it, known or not")
_UNREAD = Destruction("unread", "the statement is nested too deeply to be looked into, and may destroy data")


def find_destructions(file: SqlFile) -> Iterator[tuple[Statement, Destruction]]:
    """Yield what the statements of a file destroy, whatever the file allows. Bodies in strings are not looked into.

    A statement nested so deeply that its tree cannot be read is reported as such.
    """
    for statement in file.statements():
        if _FIRST_WORD.fullmatch(statement.keyword) and _WORD.search(
            file.data, statement.start, statement.end
        ):
            tree = parse(statement.text)
            for destruction in destructions(tree) if tree is not None else [_UNREAD]:
                yield statement, destruction


def destructions(tree: Any) -> Iterator[Destruction]:
    """Yield what a statement destroys, given its parse tree; nothing for one that destroys nothing.

    What can be built again from what is there is none: an index, extended statistics, a constraint, a default.
    """
    match kind_of(tree):
        case "TruncateStmt":
            tables = [_name(item.range_var) for item in tree.relations]
            yield Destruction(
                "truncate", f"empties {', '.join(tables)}", tables[0] if len(tables) == 1 else None
            )
        case "DeleteStmt" if not tree.HasField("where_clause"):
            table = _name(tree.relation)
            yield Destruction("delete", f"deletes every row of {table}", table)
        case "UpdateStmt" if not tree.HasField("where_clause"):
            table = _name(tree.relation)
            yield Destruction("update", f"changes every row of {table}", table)
        case "MergeStmt" if any(_deletes_unasked(item.merge_when_clause) for item in tree.merge_when_clauses):
            table = _name(tree.relation)
            yield Destruction("delete", f"deletes rows of {table} by a WHEN without a condition", table)
        case "AlterTableStmt":
            for item in tree.cmds:
                yield from _alter(tree, item.alter_table_cmd)
        case _:
            what = drop(tree)
            if what is not None:
                yield Destruction("drop", what)
    if kind_of(tree) != "RenameStmt" and _cascades(tree):
        yield _CASCADE
    for inner in _inner_statements(tree):
        yield from destructions(inner)


def _alter(tree: Any, command: Any) -> Iterator[Destruction]:
    table, column = _name(tree.relation), command.name
    subtype = enum_name(command, "subtype")
    where = f"{table}.{quoted(column)}"
    if subtype == "AT_DropColumn":
        word = "attribute" if enum_name(tree, "objtype") == "OBJECT_TYPE" else "column"
        yield Destruction("column", f"drops {word} {where}", table, column)
    if subtype == "AT_AlterColumnType":
        definition = getattr(command, "def").column_def
        new_type = type_words(definition.type_name)
        if definition.HasField("raw_default") and not _is_the_column(
            node_of(definition.raw_default), column, new_type
        ):
            what = f"changes the type of {where}: USING puts another value in the place of each"
            yield Destruction("type", what, table, column)
        elif new_type not in ANY_TEXT:
            what = f"changes the type of {where}: values that do not fit are cut or refused"
            yield Destruction("type", what, table, column, new_type)
    if subtype != "AT_AddColumn" and _cascades(command):
        yield _CASCADE


def _is_the_column(using: Any, column: str, new_type: str | None) -> bool:
    """Say whether an expression is the column itself, or the column cast to its new type."""
    if kind_of(using) == "TypeCast" and type_words(using.type_name) == new_type:
        using = node_of(using.arg)
    return kind_of(using) == "ColumnRef" and bool(using.fields[-1].string.sval == column)


def _deletes_unasked(clause: Any) -> bool:
    return enum_name(clause, "command_type") == "CMD_DELETE" and not clause.HasField("condition")


def _cascades(tree: Any) -> bool:
    return "behavior" in tree.DESCRIPTOR.fields_by_name and enum_name(tree, "behavior") == "DROP_CASCADE"


def _inner_statements(tree: Any) -> Iterator[Any]:
    """Yield the statements that a statement runs, or prepares: those of WITH, EXPLAIN ANALYZE, COPY and so on."""
    if "with_clause" in tree.DESCRIPTOR.fields_by_name:
        for item in tree.with_clause.ctes:
            yield node_of(item.common_table_expr.ctequery)
    match kind_of(tree):
        case "CopyStmt" | "CreateTableAsStmt" | "PrepareStmt" if tree.HasField("query"):
            yield node_of(tree.query)
        case "ExplainStmt" if _analyzes(tree):
            yield node_of(tree.query)


def _analyzes(explain: Any) -> bool:
    given = [item.def_elem for item in explain.options if item.def_elem.defname == "analyze"]
    return bool(given) and not (given[-1].HasField("arg") and _is_off(node_of(given[-1].arg)))


def _is_off(value: Any) -> bool:
    match kind_of(value):
        case "Integer":
            return not value.ival
        case "String":
            return value.sval.lower() in ("false", "off")
        case _:
            return False


def _name(relation: Any) -> str:
    return ".".join(quoted(part) for part in (relation.schemaname, relation.relname) if part)
