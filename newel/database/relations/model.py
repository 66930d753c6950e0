"""What there is to see in a database: relations, columns, constraints, indexes, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from newel.database.connection import quote_identifier
from newel.errors import NewelError

RelationKind = Literal["table", "partitioned table", "view", "materialized view", "foreign table", "sequence"]
ConstraintKind = Literal["primary key", "unique", "check", "exclude"]
OnDelete = Literal["no action", "restrict", "cascade", "set null", "set default"]


def name_in_words(*parts: str) -> str:
    """Join names with dots as SQL takes them behind one another, quoted where they have to be."""
    return ".".join(
        part if re.fullmatch(r"[a-z_][a-z0-9_]*", part) else quote_identifier(part) for part in parts
    )


_SHORT = (
    (r"^character varying", "varchar"),
    (r"^(time(?:stamp)?)(\(\d\))? with time zone", r"\1tz\2"),
    (r"^(time(?:stamp)?)(\(\d\))? without time zone", r"\1\2"),
)


def short_type(name: str) -> str:
    """Return what everybody writes for PostgreSQL's longest names of types: varchar, timestamptz, timestamp."""
    for long, short in _SHORT:
        name = re.sub(long, short, name)
    return name


@dataclass(frozen=True)
class Column:
    """One column. `default` is also the expression of a generated column."""

    name: str
    type: str
    nullable: bool
    default: str | None
    generated: Literal["stored", "virtual"] | None
    identity: Literal["always", "by default"] | None
    collation: str | None
    """Only where it is not the type's own."""
    comment: str | None


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table alone. `definition` is PostgreSQL's own, such as `UNIQUE (email)`."""

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...]
    definition: str


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key from `schema.table` to another table, or the same."""

    name: str
    schema: str
    table: str
    columns: tuple[str, ...]
    references_schema: str
    references_table: str
    references_columns: tuple[str, ...]
    on_update: OnDelete
    on_delete: OnDelete
    definition: str


@dataclass(frozen=True)
class Index:
    """An index. `definition` is what stands behind its method: columns, INCLUDE, WHERE. `bytes` is its size."""

    name: str
    schema: str
    table: str
    method: str
    columns: tuple[str, ...]
    """Names and expressions of the key, in order."""
    predicate: str | None
    definition: str
    unique: bool
    primary: bool
    of_constraint: bool
    """It was made by a primary key, unique or exclude constraint."""
    valid: bool
    """False for what a broken-off CREATE INDEX CONCURRENTLY left: it costs writes and serves no query."""
    attached: bool
    """It is a partition's part of an index of the partitioned table."""
    scans: int
    bytes: int
    comment: str | None


@dataclass(frozen=True)
class Relation:
    """A table or view. Sizes are bytes; those of a partitioned table are its partitions' together.

    `rows` is the server's estimate, None where it has none.
    """

    schema: str
    name: str
    kind: RelationKind
    owner: str
    persistence: Literal["permanent", "unlogged"]
    comment: str | None
    rows: int | None
    bytes: int
    table_bytes: int
    index_bytes: int
    partition_key: str | None
    partition_of: str | None
    """The partitioned table that it belongs to, as `identity` writes it."""
    partition_bound: str | None
    inherits: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Schema and name as SQL takes them."""
        return name_in_words(self.schema, self.name)


@dataclass(frozen=True)
class Table:
    """A relation that has columns, with all that belongs to it."""

    relation: Relation
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    foreign_keys: tuple[ForeignKey, ...]
    referenced_by: tuple[ForeignKey, ...]
    indexes: tuple[Index, ...]
    partitions: tuple[Relation, ...]
    """The partitions directly below a partitioned table."""


def folded(tables: Sequence[Table]) -> tuple[Table, ...]:
    """Return the tables without the partitions of others."""
    return tuple(table for table in tables if table.relation.partition_of is None)


def named(tables: Sequence[Table], names: Sequence[str]) -> tuple[Table, ...]:
    """Return the tables of these names, each with or without its schema, quoted or not.

    Raises NewelError for a name that no table has, with the nearest there is.
    """
    found = [table for name in names for table in _of_name(tables, name)]
    return tuple(dict.fromkeys(found))


def _of_name(tables: Sequence[Table], name: str) -> Iterator[Table]:
    forms = {form: None for table in tables for form in _forms(table.relation)}
    if name in forms:
        yield from (table for table in tables if name in _forms(table.relation))
        return
    near = get_close_matches(name, forms, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise NewelError(
        f"there is no table {name}{hint}", cure="newel tables shows those there are." if not near else None
    )


def _forms(relation: Relation) -> tuple[str, ...]:
    """The ways to write a relation's name."""
    schema, name = relation.schema, relation.name
    return (name, f"{schema}.{name}", relation.identity, name_in_words(name))
