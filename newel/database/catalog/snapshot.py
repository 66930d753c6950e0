"""What a database's schema consists of, taken from pg_catalog: every object with its definition as text.

Two databases with equal catalogs behave the same, rows aside. Not in a snapshot: rows and sequences' positions; what
belongs to the whole cluster (roles, role settings, tablespaces, parameter grants); large objects; members of
extensions, and what initdb made, except for the grants on both; the owner, name and locale of the database; a
collation's version; a subscription's connection string; replication state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from newel.database.catalog import queries
from newel.database.catalog.notes import NOTES

Key = tuple[str, str]
Address = tuple[int, int, int]

# In the order in which a person would read, or create, them; a kind that is missing here comes last.
KINDS = (
    "database", "database setting", "extension", "language", "access method", "schema", "collation", "type", "domain",
    "domain constraint", "foreign-data wrapper", "server", "user mapping", "sequence", "table", "foreign table",
    "column order", "column", "constraint", "index", "statistics", "view", "materialized view", "rule", "policy",
    "function", "procedure", "aggregate", "trigger", "constraint trigger", "event trigger",
)  # fmt: skip
RANKS = {kind: place for place, kind in enumerate(KINDS)}


def rank(kind: str) -> tuple[int, str]:
    """The sort key of a kind."""
    return (RANKS.get(kind, len(RANKS)), kind)


@dataclass(frozen=True)
class CatalogObject:
    """One object: kind and qualified name identify it; the parent is what it disappears with (an index's table)."""

    kind: str
    identity: str
    definition: str
    parent: Key | None = field(default=None, compare=False)

    @property
    def key(self) -> Key:
        return (self.kind, self.identity)


@dataclass(frozen=True)
class Catalog(Mapping[Key, str]):
    """All objects, as a mapping from (kind, identity) to definition, ordered by kind and then by identity.

    Equal and hashable by its objects alone: the server's version (150018 is 15.18) may differ.
    """

    objects: tuple[CatalogObject, ...] = ()
    server_version: int = field(default=0, compare=False)

    @cached_property
    def by_key(self) -> dict[Key, CatalogObject]:
        return {item.key: item for item in self.objects}

    def __getitem__(self, key: Key) -> str:
        return self.by_key[key].definition

    def __iter__(self) -> Iterator[Key]:
        return iter(self.by_key)

    def __len__(self) -> int:
        return len(self.objects)

    def without(self, *kinds: str) -> Catalog:
        """The same without some kinds: "owner" and "grant", say, where two servers have different roles."""
        return Catalog(tuple(item for item in self.objects if item.kind not in kinds), self.server_version)

    def to_json(self) -> dict[str, Any]:
        """A value for json.dumps; `from_json` gives an equal catalog back."""
        rows = [[item.kind, item.identity, item.definition, item.parent] for item in self.objects]
        return {"server_version": self.server_version, "objects": rows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        rows = value["objects"]
        objects = (
            CatalogObject(kind, name, text, parent and tuple(parent)) for kind, name, text, parent in rows
        )
        return cls(tuple(objects), value["server_version"])


@dataclass(frozen=True)
class _Found:
    """A row of the objects query: an object and where it stands in pg_catalog."""

    address: Address
    parent: Address | None
    kind: str
    identity: str
    definition: str | None
    owner: int | None

    @property
    def title(self) -> str:
        return f"{self.kind} {self.identity}".strip()


def snapshot(connection: Connection, exclude_schemas: Collection[str] = frozenset({"newel"})) -> Catalog:
    """The catalog of the connection's database, as its current transaction sees it.

    Needs no privilege beyond CONNECT. The caller's transaction, settings and autocommit are as they were
    afterwards; without one, the snapshot is taken in a transaction of its own that ends here. Waits for sessions that
    hold an ACCESS EXCLUSIVE lock on a view or an index's table, as long as lock_timeout lets it.
    """
    with connection.cursor(cursor_factory=Cursor) as cursor, isolated(connection, cursor):
        parameters = {"excluded": list(exclude_schemas)}
        cursor.execute(queries.objects(connection.server_version), parameters)
        found = [
            _Found((row[0], row[1], row[2]), row[3] and (row[3], row[4], row[5]), *row[6:])
            for row in cursor.fetchall()
        ]
        cursor.execute(NOTES, parameters)
        notes = cursor.fetchall()
        cursor.execute("SELECT oid, quote_ident(rolname) FROM pg_roles")
        roles = dict(cursor.fetchall())
    objects = _assemble(found, notes, roles)
    objects.sort(key=lambda item: (rank(item.kind), item.identity))
    return Catalog(tuple(objects), connection.server_version)


@contextmanager
def isolated(connection: Connection, cursor: Cursor) -> Iterator[None]:
    """A transaction, or a savepoint in the caller's, that is rolled back, and the settings with it.

    Rolling back to a savepoint also gives up the locks that pg_get_viewdef and its like took after it.
    """
    settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in queries.SETTINGS.items())
    if connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
        # Without autocommit psycopg2 sends its own BEGIN first; a second one would only warn.
        begin, end = (
            ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if connection.autocommit else "SELECT"),
            "ROLLBACK",
        )
    else:
        begin = "SAVEPOINT newel_catalog"
        end = "ROLLBACK TO SAVEPOINT newel_catalog; RELEASE SAVEPOINT newel_catalog"
    cursor.execute(f"{begin}; SELECT {settings}")
    try:
        yield
    finally:
        if end == "ROLLBACK" and not connection.autocommit:
            connection.rollback()
        elif not connection.closed:
            cursor.execute(end)


def _assemble(
    found: list[_Found], notes: list[tuple[Any, ...]], roles: Mapping[int, str]
) -> list[CatalogObject]:
    """Resolves addresses into names, and drops what belongs to an extension or hangs on something left out."""
    members = {(note[1], note[2]) for note in notes if note[0] == "member"}
    everything = {item.address: item for item in found}

    def belongs(item: _Found | None) -> bool:
        while item is not None and item.address[:2] not in members:
            if item.parent is None:
                return True
            item = everything.get(item.parent)
        return False

    kept = {item.address: item for item in found if belongs(item)}
    objects = [
        CatalogObject(item.kind, item.identity, item.definition, _parent_key(item.parent, kept))
        for item in kept.values()
        if item.definition is not None
    ]
    objects += [
        CatalogObject(
            "owner", item.title, roles.get(item.owner, str(item.owner)), _parent_key(item.address, kept)
        )
        for item in kept.values()
        if item.owner is not None
    ]
    objects += [item for note in notes if (item := _note(note, kept))]
    return objects


def _parent_key(address: Address | None, kept: Mapping[Address, _Found]) -> Key | None:
    """The nearest object from here upwards that is listed: a view stands in for its unlisted column."""
    while address is not None:
        item = kept[address]
        if item.definition is not None:
            return (item.kind, item.identity)
        address = item.parent
    return None


def _note(note: tuple[Any, ...], kept: Mapping[Address, _Found]) -> CatalogObject | None:
    """A comment, grant or the like on an object that is kept; None for others."""
    kind, catalog, oid, sub, detail, text, outside = note
    bearer = kept.get((catalog, oid, sub))
    if kind == "member" or text is None or (bearer is None and outside is None):
        return None
    title = bearer.title if bearer else outside
    if detail:
        title += f" ({detail})"
    return CatalogObject(kind, title, text, _parent_key(bearer.address, kept) if bearer else None)
