"""What the up files of a project leave behind, as far as their statements say: tables, taken names, schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from newel.project.sql.names import quoted

Name = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True)
class Column:
    """A column: its type as pg_type names it (`int4`), None where no statement tells."""

    name: str
    type: str | None = None
    generated: bool = False
    default: bool = False
    virtual: bool = False
    """It is generated and not stored."""


@dataclass(frozen=True)
class Owned:
    """What goes with a table under a name of its own: a constraint with an index, an index, or a sequence."""

    label: str
    """What PostgreSQL ends the name with where it chooses it: pkey, key, excl, idx or seq."""
    columns: tuple[str, ...]
    """Empty for an expression."""


@dataclass(frozen=True)
class Table:
    """A table, and the revision whose up file makes it."""

    schema: str
    name: str
    made_by: str
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    """The columns of the primary key, if that finds a row by their equality: none of one WITHOUT OVERLAPS."""
    typed: bool = False
    """It is a table OF a type, which gives it its columns."""
    partitioned: bool = False
    partition: bool = False
    indexed: frozenset[str] = frozenset()
    """The first columns of its indexes, those of constraints included."""
    owned: Mapping[str, Owned] = field(default_factory=dict)
    """By their names, which are in the table's schema."""

    def __str__(self) -> str:
        return quoted(self.schema, self.name)

    def column(self, name: str) -> Column | None:
        """Return the column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Objects:
    """What a row of up files leaves behind: tables, every taken name of a relation or type, and schemas."""

    tables: dict[Name, Table] = field(default_factory=dict)
    taken: dict[Name, str] = field(default_factory=dict)
    """Names of tables, constraints with an index, indexes, views, sequences and types, each with its revision."""
    schemas: dict[str, str] = field(default_factory=dict)
    default: str = "public"
    """The schema of names that have none."""

    def find(self, relation: Any) -> Table | None:
        """Return the table that a RangeVar of a parse tree means."""
        return self.tables.get(self.name_of(relation))

    def owner(self, name: Name) -> Table | None:
        """Return the table that an index, a constraint or a sequence of that name goes with."""
        schema, own = name
        return next(
            (table for table in self.tables.values() if table.schema == schema and own in table.owned), None
        )

    def name_of(self, relation: Any) -> Name:
        """Return the whole name that a RangeVar of a parse tree means."""
        return relation.schemaname or self.default, relation.relname
