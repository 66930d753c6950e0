"""What the up files of a project leave behind, as far as their statements say: tables, taken names, schemas."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Table:
    """A table, and the revision whose up file makes it."""

    schema: str
    name: str
    made_by: str
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    """The columns of the primary key."""
    partitioned: bool = False
    partition: bool = False
    indexed: frozenset[str] = frozenset()
    """The first columns of its indexes, those of constraints included."""

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
    """Names of tables, indexes, views, sequences and types, each with the revision that makes it."""
    schemas: dict[str, str] = field(default_factory=dict)
    default: str = "public"
    """The schema of names that have none."""

    def find(self, relation: Any) -> Table | None:
        """Return the table that a RangeVar of a parse tree means."""
        return self.tables.get(self.name_of(relation))

    def name_of(self, relation: Any) -> Name:
        """Return the whole name that a RangeVar of a parse tree means."""
        return relation.schemaname or self.default, relation.relname
