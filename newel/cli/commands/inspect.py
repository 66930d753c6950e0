"""`newel tables` and `schema`: what is in the database."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from newel.cli.opened import opened
from newel.cli.terminal import (
    coloured,
    count,
    human_size,
    print_json,
    print_wrapped,
    rows_in_words,
    screen_width,
)
from newel.cli.text import visible, width, wrap
from newel.database.relations.model import (
    Column,
    ForeignKey,
    Index,
    Relation,
    Table,
    folded,
    name_in_words,
    named,
    short_type,
)
from newel.database.relations.read import Other, looking, read_others, read_tables
from newel.project.project import Project

_PARTITIONS_SHOWN = 20


def tables(project: Project, args: argparse.Namespace) -> None:
    """Show tables and views with their columns and constraints: all of them, or those that are named."""
    with opened(project) as database, looking(database.connection, "cannot read the tables") as cursor:
        found = read_tables(cursor)
    shown = named(found, args.tables) if args.tables else found
    if args.json:
        print_json({**database.head, "tables": [_document(table) for table in shown]})
        return
    print(database.words)
    if not shown:
        print("There are no tables.")
    for table in shown if args.tables else folded(shown):
        print()
        _print_table(table)


def schema(project: Project, args: argparse.Namespace) -> None:
    """Show relations and indexes with their sizes; sequences, functions and types by name."""
    with opened(project) as database, looking(database.connection, "cannot read the schema") as cursor:
        found = read_tables(cursor)
        others = read_others(cursor)
    if args.json:
        print_json(
            {
                **database.head,
                "relations": [asdict(table.relation) for table in found],
                "indexes": [asdict(index) for table in found for index in table.indexes],
                "others": [asdict(item) for item in others],
            }
        )
        return
    print(database.words)
    names = sorted({table.relation.schema for table in found} | {item.schema for item in others})
    if not names:
        print("There is nothing in it.")
    for name in names:
        print(f"\n{coloured(f'schema {visible(name_in_words(name))}', 'bold')}")
        _print_schema(
            [table for table in found if table.relation.schema == name],
            [item for item in others if item.schema == name],
        )


def _document(table: Table) -> dict[str, object]:
    """Return a table for --json: the relation's own keys, and lists of what belongs to it."""
    document = asdict(table)
    return {
        **document.pop("relation"),
        **document,
        "partitions": [item.identity for item in table.partitions],
    }


def _print_table(table: Table) -> None:
    relation = table.relation
    name, kind = visible(relation.identity), visible(", ".join(_kind(relation)))
    beside = width(f"{name}  {kind}") <= screen_width()
    print(f"{coloured(name, 'bold')}{f'  {kind}' if beside else ''}")
    below = "" if beside else f"{kind}\n"
    for line in wrap(below + visible(relation.comment or "", lines=True), screen_width() - 2):
        if line:
            print(f"  {line}")
    if table.columns:
        heads, rows = (
            ("column", "type", "null", "default", "comment"),
            [_cells(relation, item) for item in table.columns],
        )
        kept = [index for index in range(5) if index < 3 or any(row[index] for row in rows)]
        print_wrapped(
            [heads[index] for index in kept], [[row[index] for index in kept] for row in rows], indent=2
        )
    else:
        print("  It has no columns.")
    belongings = list(_belongings(table))
    if belongings:
        print()
        print_wrapped(("kind", "name", "definition"), belongings, indent=2, headed=False)


def _kind(relation: Relation) -> Iterator[str]:
    yield f"unlogged {relation.kind}" if relation.persistence == "unlogged" else relation.kind
    if relation.partition_of:
        yield f"partition of {relation.partition_of} {relation.partition_bound}"
    if relation.inherits:
        yield f"inherits {', '.join(relation.inherits)}"


def _cells(relation: Relation, column: Column) -> tuple[str, ...]:
    collation = f" collate {column.collation}" if column.collation else ""
    return (
        column.name,
        short_type(column.type) + collation,
        "yes" if column.nullable else "no",
        _default(relation, column),
        column.comment or "",
    )


def _default(relation: Relation, column: Column) -> str:
    """Word a default in short: what SERIAL makes is `serial`, and a literal is not cast to the column's own type."""
    if column.generated:
        return f"generated always as ({column.default}) {column.generated}"
    if column.identity:
        return f"generated {column.identity} as identity"
    default = column.default or ""
    sequence = name_in_words(relation.schema, f"{relation.name}_{column.name}_seq").replace("'", "''")
    if default == f"nextval('{sequence}'::regclass)":
        return "serial"
    literal, cast, to = default.rpartition("::")
    is_literal = re.fullmatch(r"'(?:[^']|'')*'", literal)
    return literal if cast and is_literal and to == column.type.partition("(")[0] else default


def _belongings(table: Table) -> Iterator[tuple[str, str, str]]:
    """Give what stands below the columns: kind, name, and definition in PostgreSQL's words."""
    for constraint in table.constraints:
        words = constraint.definition.removeprefix(f"{constraint.kind.upper()} ")
        yield constraint.kind, constraint.name, words
    for index in table.indexes:
        if index.unique and not index.of_constraint:
            yield "unique index", index.name, f"{index.definition}{'' if index.valid else ' INVALID'}"
    for key in table.foreign_keys:
        yield "foreign key", key.name, key.definition.removeprefix("FOREIGN KEY ")
    for key in table.referenced_by:
        yield "referenced by", key.name, _referring(key)
    if table.relation.partition_key:
        yield "partition by", "", table.relation.partition_key
    for partition in table.partitions[:_PARTITIONS_SHOWN]:
        yield "partition", partition.identity, partition.partition_bound or ""
    if len(table.partitions) > _PARTITIONS_SHOWN:
        yield "", f"and {len(table.partitions) - _PARTITIONS_SHOWN} more; --json lists them all", ""


def _referring(key: ForeignKey) -> str:
    """Word a foreign key from the other side."""
    columns = ", ".join(name_in_words(column) for column in key.columns)
    action = "" if key.on_delete == "no action" else f" ON DELETE {key.on_delete.upper()}"
    return f"{name_in_words(key.schema, key.table)} ({columns}){action}"


def _print_schema(found: Sequence[Table], others: Sequence[Other]) -> None:
    partitions = defaultdict[str | None, int](int)
    for table in found:
        partitions[table.relation.partition_of] += 1
    if found:
        print_wrapped(
            ("relation", "kind", "rows", "size"),
            [
                (
                    table.relation.name,
                    _kind_in_short(table.relation, partitions[table.relation.identity]),
                    "" if table.relation.rows is None else rows_in_words(table.relation.rows, exact=False),
                    human_size(table.relation.bytes) if table.relation.bytes else "",
                )
                for table in folded(found)
            ],
            indent=2,
        )
    indexes = [index for table in found for index in table.indexes if not (index.attached and index.valid)]
    if indexes:
        print()
        print_wrapped(
            ("index", "kind", "on", "size"),
            [
                row
                for table, items in groupby(indexes, key=lambda index: index.table)
                for row in ((table, "", "", ""), *map(_index_cells, items))
            ],
            indent=2,
        )
    names = [(item.kind, item.identity.removeprefix(f"{name_in_words(item.schema)}.")) for item in others]
    if names:
        print()
        print_wrapped(
            ("kind", "names"),
            [
                (kind, ", ".join(name for _, name in items))
                for kind, items in groupby(names, key=lambda item: item[0])
            ],
            indent=2,
            headed=False,
        )


def _kind_in_short(relation: Relation, partitions: int) -> str:
    kind = ", ".join(item for item in _kind(relation) if not item.startswith("inherits"))
    return f"{kind}, {count(partitions, 'partition')}" if relation.kind == "partitioned table" else kind


def _index_cells(index: Index) -> tuple[str, ...]:
    kind = "primary key" if index.primary else "unique" if index.unique else ""
    kind = kind if index.valid else f"{kind} INVALID".strip()
    method = "" if index.method == "btree" else f"{index.method} "
    size = human_size(index.bytes) if index.bytes else ""
    return f"  {index.name}", kind, method + index.definition, size
