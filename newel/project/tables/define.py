"""What the parts of CREATE TABLE, ALTER TABLE and CREATE INDEX make of a table, and the names that go with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from newel.project.sql.names import LONGEST, quoted
from newel.project.sql.parser import enum_name, kind_of, node_of
from newel.project.tables.objects import Column, Name, Objects, Owned, Table

_SERIAL = {"serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8",
           "smallserial": "int2", "serial2": "int2"}  # fmt: skip
_LABELS = {"CONSTR_PRIMARY": "pkey", "CONSTR_UNIQUE": "key", "CONSTR_EXCLUSION": "excl"}


def given_name(table: Table, words: Sequence[str], label: str, taken: Collection[Name]) -> str:
    """Return the name that PostgreSQL gives an index or a sequence without one: `users_email_key`."""
    for number in range(len(taken) + 1):
        end = f"_{label}{number or ''}"
        first, second = table.name.encode(), "_".join(words).encode()
        while len(first) + len(second) + (1 if words else 0) > LONGEST - len(end):
            if len(first) > len(second):
                first = first[:-1]
            else:
                second = second[:-1]
        parts = [part.decode("utf-8", "ignore") for part in ((first, second) if words else (first,))]
        name = "_".join(parts) + end
        if (table.schema, name) not in taken:
            return name
    raise AssertionError("more names than there are taken ones were tried")


def own(found: Objects, table: Table, part: Owned, revision: str, name: str, words: Sequence[str]) -> Table:
    """Return the table with what goes with it under `name`, or under the name that PostgreSQL makes of `words`."""
    name = name or given_name(table, words, part.label, found.taken)
    found.taken[table.schema, name] = revision
    return replace(table, owned={**table.owned, name: part})


def disown(found: Objects, table: Table, names: Collection[str]) -> Table:
    """Return the table without what goes with it under these names, which are free then."""
    for name in names:
        found.taken.pop((table.schema, name), None)
    return replace(table, owned={name: part for name, part in table.owned.items() if name not in names})


def like_indexes(found: Objects, table: Table, other: Table, revision: str) -> Table:
    """Return the table with indexes and key as those of another one, under names of its own."""
    for part in other.owned.values():
        if part.label != "seq":
            words = () if part.label == "pkey" else [column or "expr" for column in part.columns]
            table = own(found, table, part, revision, "", words)
    return replace(table, key=other.key or table.key, indexed=table.indexed | other.indexed)


def with_column(found: Objects, table: Table, definition: Any, revision: str) -> Table:
    """Return the table with a column, its constraints and its sequence."""
    constraints = [item.constraint for item in definition.constraints]
    kinds = {enum_name(item, "contype"): item for item in constraints}
    kind = _type(definition.type_name)
    identity, generated = kinds.get("CONSTR_IDENTITY"), kinds.get("CONSTR_GENERATED")
    column = Column(
        definition.colname,
        _SERIAL.get(kind, kind) or None,
        generated is not None or (identity is not None and identity.generated_when == "a"),
        kind in _SERIAL or "CONSTR_DEFAULT" in kinds,
        generated is not None and generated.generated_kind == "v",
    )
    others = tuple(item for item in table.columns if item.name != column.name)
    table = replace(table, columns=(*others, column))
    if kind in _SERIAL or identity is not None:
        table = _with_sequence(found, table, column.name, revision)
    for constraint in constraints:
        table = with_constraint(found, table, constraint, revision, (column.name,))
    return table


def with_constraint(
    found: Objects, table: Table, constraint: Any, revision: str, column: tuple[str, ...] = ()
) -> Table:
    """Return the table with a constraint of it, or of one of its columns; one without an index changes nothing."""
    label = _LABELS.get(enum_name(constraint, "contype"))
    if label is None:
        return table
    elements = [item.list.items[0].index_elem for item in constraint.exclusions]
    keys = [item.string.sval for item in constraint.keys] or list(column)
    words = [*(_words(elements) or keys), *(item.string.sval for item in constraint.including)]
    columns = tuple(item.name for item in elements) or tuple(keys)
    name = constraint.conname
    if constraint.indexname:  # USING INDEX: the index gets the name of the constraint
        index = table.owned.get(constraint.indexname)
        columns = index.columns if index else ()
        table = disown(found, table, [constraint.indexname])
        name = name or constraint.indexname
    table = own(found, table, Owned(label, columns), revision, name, () if label == "pkey" else words)
    if columns and label != "excl":
        table = replace(table, indexed=table.indexed | {columns[0]})
    if label == "pkey":
        table = replace(table, key=() if constraint.without_overlaps else columns)
    return table


def with_index(found: Objects, table: Table, tree: Any, revision: str) -> Table:
    """Return the table with the index of a CREATE INDEX."""
    elements = [item.index_elem for item in tree.index_params]
    if tree.if_not_exists and (table.schema, tree.idxname) in found.taken:
        return table
    words = _words([*elements, *(item.index_elem for item in tree.index_including_params)])
    part = Owned("idx", tuple(item.name for item in elements))
    table = own(found, table, part, revision, tree.idxname, words)
    if elements[0].name and not tree.HasField("where_clause"):
        table = replace(table, indexed=table.indexed | {elements[0].name})
    return table


def altered(found: Objects, table: Table, command: Any, revision: str) -> Table:
    """Return the table as a command of ALTER TABLE leaves it."""
    match enum_name(command, "subtype"):
        case "AT_AddColumn":
            definition = getattr(command, "def").column_def
            if command.missing_ok and table.column(definition.colname):
                return table
            return with_column(found, table, definition, revision)
        case "AT_DropColumn":
            gone = [name for name, part in table.owned.items() if command.name in part.columns]
            table = disown(found, table, gone)
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
        case "AT_AddIdentity":
            return _with_sequence(found, table, command.name, revision)
        case "AT_DropIdentity":
            sequence = Owned("seq", (command.name,))
            return disown(found, table, [name for name, part in table.owned.items() if part == sequence])
        case "AT_AddConstraint":
            return with_constraint(found, table, getattr(command, "def").constraint, revision)
        case "AT_DropConstraint" if command.name in table.owned:
            key = () if table.owned[command.name].label == "pkey" else table.key
            return replace(disown(found, table, [command.name]), key=key)
        case "AT_AddOf" | "AT_DropOf" as subtype:
            return replace(table, typed=subtype == "AT_AddOf")
        case "AT_AttachPartition" | "AT_DetachPartition" as subtype:
            if part := found.find(getattr(command, "def").partition_cmd.name):
                partition = subtype == "AT_AttachPartition"
                found.tables[part.schema, part.name] = replace(part, partition=partition)
    return table


def _with_sequence(found: Objects, table: Table, column: str, revision: str) -> Table:
    return own(found, table, Owned("seq", (column,)), revision, "", [column])


def _words(elements: Sequence[Any]) -> list[str]:
    """Return the words for the elements of an index that its name is made of; none comes twice."""
    words: list[str] = []
    for word in _words_of_elements(elements):
        number = 0
        while f"{word}{number or ''}" in words:
            number += 1
        words.append(f"{word}{number or ''}")
    return words


def _words_of_elements(elements: Sequence[Any]) -> Iterator[str]:
    for element in elements:
        value = node_of(element.expr) if element.HasField("expr") else None
        is_call = value is not None and kind_of(value) == "FuncCall"
        yield element.name or (value.funcname[-1].string.sval if value is not None and is_call else "expr")


def _type(type_name: Any) -> str:
    parts = [part.string.sval for part in type_name.names]
    return quoted(*(parts[1:] if parts[:1] == ["pg_catalog"] else parts)) + (
        "[]" if type_name.array_bounds else ""
    )
