"""What a down file loses, from its parse trees and its `lossy` directives.

What only the catalog knows is not in it: rows that a foreign key deletes or TRUNCATE ... CASCADE empties along, and
columns of a type that is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from newel.project.files import SqlFile
from newel.project.sql.names import quoted
from newel.project.sql.parser import enum_name, kind_of, node_of, parse
from newel.project.sql.statements import Statement

_MAY_LOSE = frozenset(("ALTER", "CREATE", "DELETE", "DROP", "MERGE", "TRUNCATE", "UPDATE", "WITH"))
_CONFLICT = re.compile(rb"\bon\s+conflict\b", re.IGNORECASE)
_PART = r'"(?:[^"]|"")+"|[^".]+'


@dataclass(frozen=True)
class Loss:
    """Rows of a table, or values of one of its columns, that a rollback loses.

    Names are as PostgreSQL takes them, quoted where needed. The table `app.*` stands for every table of a schema.
    `reason` is what the file's `lossy` directive says of it.
    """

    table: str
    column: str | None
    extent: Literal["all", "some"]
    reason: str | None = None

    def __str__(self) -> str:
        return self.table if self.column is None else f"{self.table}.{self.column}"


def losses(file: SqlFile) -> tuple[Loss, ...]:
    """Return what a down file loses, each table and column once, in the order of the file.

    A DO block is not looked into, nor is a statement that is nested too deeply for a tree.
    """
    stated = [loss for statement in file.statements() for loss in of_statement(statement)]
    directed = [_of_directive(word, reason, stated) for word, reason in file.directives.lossy]
    merged: dict[tuple[str, str | None], Loss] = {}
    for loss in (*directed, *stated):
        key = (loss.table, loss.column)
        merged[key] = both(merged[key], loss) if key in merged else loss
    return tuple(merged.values())


def both(first: Loss, second: Loss) -> Loss:
    """Make one of two losses of the same thing: all wins over some, and each reason is kept."""
    reasons = dict.fromkeys(loss.reason for loss in (first, second) if loss.reason)
    extent: Literal["all", "some"] = "all" if "all" in (first.extent, second.extent) else "some"
    return replace(first, extent=extent, reason="; ".join(reasons) or None)


def in_schema(table: str, default: str) -> str:
    """Return the name of a Loss's table with its schema: `default` where it names none."""
    parts = re.findall(_PART, table)
    return table if len(parts) > 1 else f"{quoted(default)}.{table}"


def _of_directive(word: str, reason: str, stated: Sequence[Loss]) -> Loss:
    """Read `table` or `table.column`: as a statement's loss if one has that name, else by the number of parts."""
    parts = [_unquoted(part) for part in re.findall(_PART, word)]
    if not re.fullmatch(rf"(?:{_PART})(?:\.(?:{_PART}))*", word):
        parts = [word]
    *table, last = parts
    column = Loss(_name(*table), quoted(last), "some", reason)
    if len(parts) > 2 or any((loss.table, loss.column) == (column.table, column.column) for loss in stated):
        return column
    return Loss(_name(*parts), None, "some", reason)


def of_statement(statement: Statement) -> Iterator[Loss]:
    """Yield what a statement loses: rows it deletes, values it overwrites, tables and columns it drops."""
    text = statement.source[statement.start : statement.end]
    if statement.keyword in _MAY_LOSE or (statement.keyword == "INSERT" and _CONFLICT.search(text)):
        tree = parse(statement.text)
        if tree is not None:
            yield from _of_tree(tree)


def _of_tree(tree: Any) -> Iterator[Loss]:
    fields = tree.DESCRIPTOR.fields_by_name
    if "with_clause" in fields:
        for item in tree.with_clause.ctes:
            yield from _of_tree(node_of(item.common_table_expr.ctequery))
    match kind_of(tree):
        case "DropStmt" if enum_name(tree, "remove_type") in ("OBJECT_TABLE", "OBJECT_MATVIEW"):
            for item in tree.objects:
                yield Loss(_name(*(part.string.sval for part in item.list.items)), None, "all")
        case "DropStmt" if enum_name(tree, "remove_type") == "OBJECT_SCHEMA":
            if enum_name(tree, "behavior") == "DROP_CASCADE":
                yield from (Loss(f"{_name(item.string.sval)}.*", None, "all") for item in tree.objects)
        case "TruncateStmt":
            yield from (Loss(_table(item.range_var), None, "all") for item in tree.relations)
        case "AlterTableStmt" if enum_name(tree, "objtype") == "OBJECT_TABLE":
            yield from _of_alter(tree)
        case "DeleteStmt":
            yield Loss(_table(tree.relation), None, _extent(tree))
        case "UpdateStmt":
            yield from _of_set(tree.relation, tree.target_list, _extent(tree))
        case "InsertStmt":
            yield from _of_set(tree.relation, tree.on_conflict_clause.target_list, "some")
        case "MergeStmt":
            for clause in (item.merge_when_clause for item in tree.merge_when_clauses):
                if enum_name(clause, "command_type") == "CMD_DELETE":
                    yield Loss(_table(tree.relation), None, "some")
                if enum_name(clause, "command_type") == "CMD_UPDATE":
                    yield from _of_set(tree.relation, clause.target_list, "some")
        case "CreateTableAsStmt":
            yield from _of_tree(node_of(tree.query))


def _of_alter(tree: Any) -> Iterator[Loss]:
    for command in (item.alter_table_cmd for item in tree.cmds):
        subtype = enum_name(command, "subtype")
        if subtype in ("AT_DropColumn", "AT_AlterColumnType"):
            extent: Literal["all", "some"] = "all" if subtype == "AT_DropColumn" else "some"
            yield Loss(_table(tree.relation), quoted(command.name), extent)


def _of_set(relation: Any, targets: Any, extent: Literal["all", "some"]) -> Iterator[Loss]:
    yield from (Loss(_table(relation), quoted(item.res_target.name), extent) for item in targets)


def _extent(tree: Any) -> Literal["all", "some"]:
    return "some" if tree.HasField("where_clause") else "all"


def _table(relation: Any) -> str:
    return _name(*(part for part in (relation.schemaname, relation.relname) if part))


def _name(*parts: str) -> str:
    """Put a name together; a database before the schema can only be the one that is connected to."""
    return quoted(*parts[-2:])


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()
