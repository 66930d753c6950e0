"""The tables that the up files make, as far as their statements say: columns, primary key, indexes.

Read without a database, in number order. What a DO block or a function makes is not seen. A name without a schema
is taken to be in the schema that is handed in, whatever a file SETs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from newel.project.files import read, unreadable
from newel.project.graph import Revision
from newel.project.sql.parser import enum_name, first_select, into_of, kind_of, node_of, parse
from newel.project.tables.define import (
    altered,
    disown,
    like_indexes,
    with_column,
    with_constraint,
    with_index,
)
from newel.project.tables.objects import Column, Name, Objects, Table

_WORTH_READING = re.compile(
    rb"\b(?:create|alter|drop)\b[^;]*\b(?:table|index|schema|view|sequence|type|domain)\b|\bselect\b[^;]*\binto\b",
    re.IGNORECASE,
)
_WORTH_A_TREE = re.compile(
    r"(?:create|alter|drop)\b[^;(]*?\b(?:table|index|schema|view|sequence|type|domain)\b|"
    r"(?:select|with)\b.*\binto\b",
    re.IGNORECASE | re.DOTALL,
)
_DEFINING = ("CREATE", "ALTER", "DROP", "SELECT", "WITH")
_LIKE_INDEXES = 1 << 6  # CREATE_TABLE_LIKE_INDEXES of PostgreSQL's parsenodes.h
_RELATIONS = (
    "OBJECT_VIEW",
    "OBJECT_MATVIEW",
    "OBJECT_SEQUENCE",
    "OBJECT_TYPE",
    "OBJECT_DOMAIN",
    "OBJECT_INDEX",
    "OBJECT_FOREIGN_TABLE",
)


def can_see(revision: Revision, other: Revision) -> bool:
    """Say whether a revision can build on another: one of the mainline or of its own branch, with a lower number."""
    return other.branch in (None, revision.branch) and other.id < revision.id


def read_definitions(root: Path, revisions: Iterable[Revision]) -> list[tuple[Revision, Any]]:
    """Return the parse trees of the statements in up files that define tables and what is named beside them.

    Raises what read() raises for a file that cannot be read.
    """
    return [
        (revision, parse(statement.text))
        for revision in revisions
        if _WORTH_READING.search(_bytes(root, revision.up))
        for statement in read(root, revision.up).statements()
        if statement.keyword in _DEFINING and _WORTH_A_TREE.match(statement.text)
    ]


def objects_of(definitions: Iterable[tuple[Revision, Any]], default_schema: str) -> Objects:
    """Return what statements leave behind that run in their order."""
    found = Objects(default=default_schema)
    for revision, tree in definitions:
        apply(found, tree, revision.id)
    return found


def _bytes(root: Path, path: str) -> bytes:
    try:
        return (root / path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def apply(found: Objects, tree: Any, revision: str) -> None:
    """Change `found` as the statement of a parse tree changes the schema; None and other statements change nothing."""
    match kind_of(tree):
        case "CreateStmt" if tree.relation.relpersistence != "t":
            _add_table(found, tree, revision)
        case "CreateTableAsStmt" if tree.into.rel.relpersistence != "t":
            is_table = enum_name(tree, "objtype") == "OBJECT_TABLE"
            _add_table_as(found, tree.into, node_of(tree.query), revision, is_table=is_table)
        case "SelectStmt" if (into := into_of(tree)) is not None and into.rel.relpersistence != "t":
            _add_table_as(found, into, first_select(tree), revision, is_table=True)
        case "CreateForeignTableStmt":
            found.taken[found.name_of(tree.base_stmt.relation)] = revision
        case "AlterTableStmt" if table := found.find(tree.relation):
            for item in tree.cmds:
                table = altered(found, table, item.alter_table_cmd, revision)
            found.tables[table.schema, table.name] = table
        case "IndexStmt":
            _add_index(found, tree, revision)
        case "ViewStmt":
            found.taken[found.name_of(tree.view)] = revision
        case "CreateSeqStmt":
            found.taken[found.name_of(tree.sequence)] = revision
        case "CompositeTypeStmt":
            found.taken[found.name_of(tree.typevar)] = revision
        case "CreateEnumStmt" | "CreateRangeStmt":
            found.taken[_name(found, tree.type_name)] = revision
        case "CreateDomainStmt":
            found.taken[_name(found, tree.domainname)] = revision
        case "DefineStmt" if enum_name(tree, "kind") == "OBJECT_TYPE":
            found.taken[_name(found, tree.defnames)] = revision
        case "CreateSchemaStmt" if tree.schemaname:
            found.schemas[tree.schemaname] = revision
            for item in tree.schema_elts:
                apply(replace(found, default=tree.schemaname), node_of(item), revision)
        case "DropStmt":
            _drop(found, tree)
        case "RenameStmt":
            _rename(found, tree)
        case "AlterObjectSchemaStmt" if enum_name(tree, "object_type") == "OBJECT_TABLE":
            _move(found, found.name_of(tree.relation), (tree.newschema, tree.relation.relname))


def _add_table(found: Objects, tree: Any, revision: str) -> None:
    schema, name = found.name_of(tree.relation)
    if (schema, name) in found.tables:  # IF NOT EXISTS
        return
    table = Table(
        schema,
        name,
        revision,
        typed=tree.HasField("of_typename"),
        partitioned=tree.HasField("partspec"),
        partition=tree.HasField("partbound"),
    )
    for parent in (found.find(item.range_var) for item in tree.inh_relations):
        if parent is not None:
            table = replace(table, columns=table.columns + parent.columns)
            if table.partition:
                table = like_indexes(found, table, parent, revision)
    for element in map(node_of, tree.table_elts):
        match kind_of(element):
            case "ColumnDef":
                table = with_column(found, table, element, revision)
            case "Constraint":
                table = with_constraint(found, table, element, revision)
            case "TableLikeClause" if like := found.find(element.relation):
                table = replace(table, columns=table.columns + like.columns)
                if element.options & _LIKE_INDEXES:
                    table = like_indexes(found, table, like, revision)
    found.tables[schema, name] = table
    found.taken[schema, name] = revision


def _add_table_as(found: Objects, into: Any, query: Any, revision: str, *, is_table: bool) -> None:
    schema, name = found.name_of(into.rel)
    found.taken[schema, name] = revision
    if not is_table or (schema, name) in found.tables:
        return
    names = [item.string.sval for item in into.col_names]
    if not names and kind_of(query) == "SelectStmt":
        names = [target for item in query.target_list if (target := _name_of_target(item.res_target))]
    found.tables[schema, name] = Table(schema, name, revision, tuple(map(Column, names)))


def _name_of_target(target: Any) -> str:
    value = node_of(target.val)
    return target.name or (value.fields[-1].string.sval if kind_of(value) == "ColumnRef" else "")


def _add_index(found: Objects, tree: Any, revision: str) -> None:
    schema, name = found.name_of(tree.relation)
    if table := found.tables.get((schema, name)):
        found.tables[schema, name] = with_index(found, table, tree, revision)
    elif tree.idxname:
        found.taken[schema, tree.idxname] = revision


def _drop(found: Objects, tree: Any) -> None:
    kind = enum_name(tree, "remove_type")
    if kind == "OBJECT_SCHEMA":
        for item in tree.objects:
            found.schemas.pop(item.string.sval, None)
            for gone in [name for name in found.taken if name[0] == item.string.sval]:
                found.taken.pop(gone)
                found.tables.pop(gone, None)
    elif kind in ("OBJECT_TABLE", *_RELATIONS):
        for item in tree.objects:
            parts = item.type_name.names if item.WhichOneof("node") == "type_name" else item.list.items
            gone = _name(found, parts)
            if table := found.tables.pop(gone, None):
                disown(found, table, table.owned)
            elif table := found.owner(gone):
                found.tables[table.schema, table.name] = disown(found, table, [gone[1]])
            found.taken.pop(gone, None)


def _rename(found: Objects, tree: Any) -> None:
    kind = enum_name(tree, "rename_type")
    schema, name = found.name_of(tree.relation)
    if kind == "OBJECT_SCHEMA":
        found.schemas[tree.newname] = found.schemas.pop(tree.subname, "")
        for old in [item for item in found.taken if item[0] == tree.subname]:
            _move(found, old, (tree.newname, old[1]))
    elif kind == "OBJECT_COLUMN" and (table := found.tables.get((schema, name))):

        def new(column: str) -> str:
            return tree.newname if column == tree.subname else column

        found.tables[schema, name] = replace(
            table,
            columns=tuple(replace(item, name=new(item.name)) for item in table.columns),
            key=tuple(map(new, table.key)),
            indexed=frozenset(map(new, table.indexed)),
            owned={
                own: replace(part, columns=tuple(map(new, part.columns))) for own, part in table.owned.items()
            },
        )
    elif kind == "OBJECT_TABCONSTRAINT" and found.owner((schema, tree.subname)):
        _move(found, (schema, tree.subname), (schema, tree.newname))
    elif kind in ("OBJECT_TABLE", *_RELATIONS) and name:
        _move(found, (schema, name), (schema, tree.newname))


def _move(found: Objects, old: Name, new: Name) -> None:
    if table := found.owner(old):
        owned = {new[1] if own == old[1] else own: part for own, part in table.owned.items()}
        found.tables[table.schema, table.name] = replace(table, owned=owned)
    if old in found.taken:
        found.taken[new] = found.taken.pop(old)
    if table := found.tables.pop(old, None):
        found.tables[new] = replace(table, schema=new[0], name=new[1])
        for own in table.owned:
            if (old[0], own) in found.taken:
                found.taken[new[0], own] = found.taken.pop((old[0], own))


def _name(found: Objects, parts: Sequence[Any]) -> Name:
    names = [part.string.sval for part in parts]
    return (names[-2] if len(names) > 1 else found.default), names[-1]
