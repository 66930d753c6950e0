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
from newel.project.sql.names import quoted
from newel.project.sql.parser import enum_name, kind_of, node_of, parse
from newel.project.tables.objects import Column, Name, Objects, Table

_WORTH_READING = re.compile(
    rb"\b(?:create|alter|drop)\b[^;]*\b(?:table|index|schema|view|sequence|type|domain)\b", re.IGNORECASE
)
_WORTH_A_TREE = re.compile(
    r"(?:create|alter|drop)\b[^;(]*?\b(?:table|index|schema|view|sequence|type|domain)\b", re.IGNORECASE
)
_SERIAL = {"serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8",
           "smallserial": "int2", "serial2": "int2"}  # fmt: skip
_LIKE_INDEXES = 1 << 6  # CREATE_TABLE_LIKE_INDEXES of PostgreSQL's parsenodes.h
_RELATIONS = (
    "OBJECT_VIEW",
    "OBJECT_MATVIEW",
    "OBJECT_SEQUENCE",
    "OBJECT_TYPE",
    "OBJECT_DOMAIN",
    "OBJECT_INDEX",
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
        if statement.keyword in ("CREATE", "ALTER", "DROP") and _WORTH_A_TREE.match(statement.text)
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
            _add_table_as(found, tree, revision)
        case "AlterTableStmt" if table := found.find(tree.relation):
            for item in tree.cmds:
                table = _altered(found, table, item.alter_table_cmd)
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
        schema, name, revision, partitioned=tree.HasField("partspec"), partition=tree.HasField("partbound")
    )
    for parent in (found.find(item.range_var) for item in tree.inh_relations):
        if parent is not None:
            table = replace(table, columns=table.columns + parent.columns)
            if table.partition:
                table = replace(table, key=parent.key, indexed=parent.indexed)
    for element in map(node_of, tree.table_elts):
        match kind_of(element):
            case "ColumnDef":
                table = _with_column(table, element)
            case "Constraint":
                table = _with_constraint(table, element)
            case "TableLikeClause" if like := found.find(element.relation):
                table = replace(table, columns=table.columns + like.columns)
                if element.options & _LIKE_INDEXES:
                    table = replace(table, key=like.key, indexed=table.indexed | like.indexed)
    found.tables[schema, name] = table
    found.taken[schema, name] = revision


def _add_table_as(found: Objects, tree: Any, revision: str) -> None:
    schema, name = found.name_of(tree.into.rel)
    found.taken[schema, name] = revision
    if enum_name(tree, "objtype") != "OBJECT_TABLE" or (schema, name) in found.tables:
        return
    names = [item.string.sval for item in tree.into.col_names]
    query = node_of(tree.query)
    if not names and kind_of(query) == "SelectStmt":
        names = [target for item in query.target_list if (target := _name_of_target(item.res_target))]
    found.tables[schema, name] = Table(schema, name, revision, tuple(map(Column, names)))


def _name_of_target(target: Any) -> str:
    value = node_of(target.val)
    return target.name or (value.fields[-1].string.sval if kind_of(value) == "ColumnRef" else "")


def _with_column(table: Table, definition: Any) -> Table:
    constraints = [item.constraint for item in definition.constraints]
    kinds = {enum_name(item, "contype"): item for item in constraints}
    kind = _type(definition.type_name)
    identity = kinds.get("CONSTR_IDENTITY")
    column = Column(
        definition.colname,
        _SERIAL.get(kind, kind) or None,
        "CONSTR_GENERATED" in kinds or (identity is not None and identity.generated_when == "a"),
        kind in _SERIAL or "CONSTR_DEFAULT" in kinds,
    )
    others = tuple(item for item in table.columns if item.name != column.name)
    table = replace(table, columns=(*others, column))
    for constraint in constraints:
        table = _with_constraint(table, constraint, (column.name,))
    return table


def _type(type_name: Any) -> str:
    parts = [part.string.sval for part in type_name.names]
    return quoted(*(parts[1:] if parts[:1] == ["pg_catalog"] else parts)) + (
        "[]" if type_name.array_bounds else ""
    )


def _with_constraint(table: Table, constraint: Any, column: tuple[str, ...] = ()) -> Table:
    kind = enum_name(constraint, "contype")
    columns = tuple(item.string.sval for item in constraint.keys) or column
    if kind in ("CONSTR_PRIMARY", "CONSTR_UNIQUE") and columns:
        table = replace(table, indexed=table.indexed | {columns[0]})
        return replace(table, key=columns) if kind == "CONSTR_PRIMARY" else table
    return table


def _altered(found: Objects, table: Table, command: Any) -> Table:
    match enum_name(command, "subtype"):
        case "AT_AddColumn":
            return _with_column(table, getattr(command, "def").column_def)
        case "AT_DropColumn":
            columns = tuple(item for item in table.columns if item.name != command.name)
            key = () if command.name in table.key else table.key
            return replace(table, columns=columns, key=key, indexed=table.indexed - {command.name})
        case "AT_AlterColumnType":
            changed = _type(getattr(command, "def").column_def.type_name)
            return replace(
                table,
                columns=tuple(
                    replace(item, type=changed) if item.name == command.name else item
                    for item in table.columns
                ),
            )
        case "AT_AddConstraint":
            return _with_constraint(table, getattr(command, "def").constraint)
        case "AT_AttachPartition":
            if attached := found.find(getattr(command, "def").partition_cmd.name):
                found.tables[attached.schema, attached.name] = replace(attached, partition=True)
        case "AT_DetachPartition":
            if detached := found.find(getattr(command, "def").partition_cmd.name):
                found.tables[detached.schema, detached.name] = replace(detached, partition=False)
    return table


def _add_index(found: Objects, tree: Any, revision: str) -> None:
    schema, name = found.name_of(tree.relation)
    if tree.idxname:
        found.taken[schema, tree.idxname] = revision
    first = tree.index_params[0].index_elem.name
    if first and (table := found.tables.get((schema, name))) and not tree.HasField("where_clause"):
        found.tables[schema, name] = replace(table, indexed=table.indexed | {first})


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
            found.taken.pop(gone, None)
            found.tables.pop(gone, None)


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
        )
    elif kind in ("OBJECT_TABLE", *_RELATIONS) and name:
        _move(found, (schema, name), (schema, tree.newname))


def _move(found: Objects, old: Name, new: Name) -> None:
    if old in found.taken:
        found.taken[new] = found.taken.pop(old)
    if old in found.tables:
        found.tables[new] = replace(found.tables.pop(old), schema=new[0], name=new[1])


def _name(found: Objects, parts: Sequence[Any]) -> Name:
    names = [part.string.sval for part in parts]
    return (names[-2] if len(names) > 1 else found.default), names[-1]
