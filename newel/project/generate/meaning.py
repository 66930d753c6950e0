"""What a revision's name says: which table it makes or works on, which columns, and what its objects are called.

Pure: it compares the words of the name with the tables there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from newel.errors import NewelError
from newel.project.generate.subject import BEFORE_A_TABLE, Subject, find_table, workable
from newel.project.sql.names import LONGEST, quoted, shortened, words_of
from newel.project.tables.objects import Column, Objects, Table

VERBS = ("add", "create", "make", "introduce", "refactor", "implement", "define", "new", "the")
"""Words that do not count at the beginning of a name."""

TAKING = ("drop", "remove", "delete", "rename")
"""Words at its beginning that no template fits which makes something."""

_ENDINGS = {
    "table": (("with", "audit", "columns"), ("with", "audit"), ("table",), ("tables",)),
    "schema": (("schema",),),
    "column": (("column",), ("columns",), ("field",)),
}
_NO_BTREE = frozenset(
    ("aclitem", "box", "cid", "circle", "gtsvector", "json", "jsonpath", "line", "lseg", "path", "pg_snapshot",
     "point", "polygon", "refcursor", "txid_snapshot", "xid", "xml")
)  # fmt: skip
"""Types without a default operator class for B-trees."""

_SYSTEM_COLUMNS = ("cmax", "cmin", "ctid", "tableoid", "xmax", "xmin")
_SQL_NAMES = {"int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT", "varchar": "VARCHAR", "uuid": "UUID"}
_SHOWN = 8

Values = Mapping[str, Callable[[str | None], str]]


@dataclass(frozen=True)
class Meaning:
    """A revision's name beside what there is: `seen` is what the revision can build on, `all` what names are taken."""

    number: str
    name: str
    type: str
    seen: Objects
    all: Objects
    makes_table: bool
    """The template has {{new_table}}, so that is the table that its indexes are on."""

    @property
    def values(self) -> Values:
        """The placeholders, each with what computes its value from the word behind its colon."""
        return {
            "number": lambda _: self.number,
            "name": lambda _: self.name,
            "description": lambda _: self.name.replace("_", " ").strip().capitalize(),
            "title": lambda _: self.title,
            "schema": lambda _: quoted(self.seen.default),
            "new_schema": lambda _: quoted(self.new_schema),
            "new_table": lambda _: quoted(self.seen.default, self.new_table),
            "new_column": lambda word: quoted(self.new_column(word)),
            "table": lambda _: str(self.subject.table),
            "table_schema": lambda _: quoted(self.subject.table.schema),
            "key": lambda alias: _listed(self.key, alias),
            "same_key": lambda alias: " AND ".join(
                f"t.{quoted(part)} = {alias or 'r'}.{quoted(part)}" for part in self.key
            ),
            "column": lambda _: quoted(self.column[0].name),
            "column_chosen": lambda _: _chosen("The column", [self.column[0].name], named=self.column[1]),
            "columns": lambda _: _listed(self.columns[0], None),
            "columns_chosen": lambda _: _chosen("The columns", self.columns[0], named=self.columns[1]),
            "index": lambda word: quoted(self.index(word or "_".join(self.columns[0]))),
            "record": lambda _: quoted(self.subject.table.schema, self.record),
            "old_value": lambda _: quoted(shortened("old_value", set(self.key))),
            "new_value": lambda _: quoted(shortened("new_value", set(self.key))),
            "user_id_type": lambda _: self.user_id_type,
            "references_users": lambda _: self.references_users,
        }

    @property
    def words(self) -> list[str]:
        """The words of the name without the verbs it begins with."""
        return _without_verbs(words_of(self.name))

    @property
    def title(self) -> str:
        """The words of the table or schema that the name is about, as a comment has them."""
        endings = (*_ENDINGS["table"], *_ENDINGS["schema"])
        return " ".join(_without(self.words, endings)).capitalize()

    @property
    def new_table(self) -> str:
        """The table to be made. Raises NewelError where its name is taken."""
        name = "_".join(_without(self.words, _ENDINGS["table"]))
        maker = self.all.taken.get((self.seen.default, name))
        if maker is not None:
            raise NewelError(
                f"{quoted(self.seen.default, name)} is there already: revision {maker} makes it",
                cure=f"Name another table, or change that one:  newel generate add_nickname_to_{name} --type column"
                if (self.seen.default, name) in self.seen.tables
                else "Name another table.",
            )
        return name

    @property
    def new_schema(self) -> str:
        """The schema to be made. Raises NewelError where it exists, or its name is PostgreSQL's or newel's."""
        name = "_".join(_without(self.words, _ENDINGS["schema"]))
        if name in self.all.schemas:
            raise NewelError(f"schema {name} is there already: revision {self.all.schemas[name]} makes it")
        if name in ("public", "information_schema", "newel", "schema") or name.startswith("pg_"):
            owner = "newel" if name == "newel" else "PostgreSQL"
            what = "it names no schema" if name == "schema" else f"{name} is a schema of {owner}'s own"
            raise NewelError(
                f"`{self.name}` cannot be made into a schema: {what}",
                cure="For example:  newel generate add_reporting_schema --type schema",
            )
        return name

    @cached_property
    def subject(self) -> Subject:
        """The table that the name speaks of. Raises NewelError if it speaks of none."""
        found = find_table(self.words, self.seen)
        if found is None:
            raise self._no_table()
        if found.table.partitioned and self.type == "index":
            raise NewelError(
                f"{found.table} is partitioned, and PostgreSQL builds no index on such a table CONCURRENTLY",
                cure="Write the pair by hand: CREATE INDEX ... ON ONLY the table, CONCURRENTLY on each partition, then "
                "ALTER INDEX ... ATTACH PARTITION.",
            )
        return found

    def new_column(self, word: str | None) -> str:
        """Return the column to be added, or `word`. Raises NewelError if the name has none, or the table has it."""
        table, before, behind = self.subject.table, self.subject.before, self.subject.behind
        cut = max((at for at, part in enumerate(before) if part in BEFORE_A_TABLE), default=len(before))
        words = [*before[:cut], *(behind[1:] if behind[:1] == ("table",) else behind)]
        name = word or "_".join(_without(_without_verbs(words), _ENDINGS["column"]))
        if not name or name in ("column", "columns", "field"):
            raise NewelError(
                f"`{self.name}` names no column to add to {table}",
                cure=f"For example:  newel generate add_nickname_to_{_words(table)} --type {self.type}",
            )
        if table.column(name):
            raise NewelError(f"{table} has a column {quoted(name)} already")
        if name in _SYSTEM_COLUMNS:
            raise NewelError(
                f"PostgreSQL gives every table a column {name} of its own, so none can be added",
                cure="Name the column another way.",
            )
        if table.typed:
            raise NewelError(
                f"{table} is a table OF a type, and PostgreSQL adds no column to such a table",
                cure="Write ALTER TYPE ... ADD ATTRIBUTE ... CASCADE into a pair of your own:  "
                f"newel generate {self.name} --type blank",
            )
        return name

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key of the table. Raises NewelError if no up file shows one."""
        table = self.subject.table
        if not table.key:
            raise NewelError(
                f"no up file gives {table} a primary key that type {self.type} could use; "
                "one WITHOUT OVERLAPS does not do",
                cure="Write the pair by hand, or take another type.",
            )
        return table.key

    @cached_property
    def columns(self) -> tuple[list[str], bool]:
        """The columns to index, and whether the name names them. Raises NewelError if none is known."""
        table = self.subject.table
        fit = [column for column in table.columns if _takes_a_btree(column)]
        named = self.subject.names(fit)
        if named:
            return [column.name for column in named], True
        ordinary = [column for column in fit if column.name not in table.key]
        sensible = [column for column in ordinary if column.name not in table.indexed]
        for candidates in (sensible, ordinary, fit):
            if candidates:
                return [candidates[0].name], False
        raise self._no_column("indexed")

    @cached_property
    def column(self) -> tuple[Column, bool]:
        """The column whose values are changed, and whether the name names it. Raises NewelError if none is known."""
        table = self.subject.table
        fit = [column for column in table.columns if column.name not in table.key and not column.generated]
        named = self.subject.names(fit)
        if named:
            return named[0], True
        with_default = [column for column in fit if column.default and not column.name.endswith("_at")]
        for candidates in (with_default, [column for column in fit if column.default], fit):
            if candidates:
                return candidates[0], False
        raise self._no_column("changed")

    def index(self, words: str) -> str:
        """Return a free name for an index: idx_<table>_<words>."""
        if self.makes_table:
            schema, table = self.seen.default, self.new_table
        else:
            schema, table = self.subject.table.schema, self.subject.table.name
        taken = {name for at, name in self.all.taken if at == schema}
        room = max(LONGEST - len(f"idx__{words}".encode()), 8)
        return shortened(f"idx_{table.encode()[:room].decode('utf-8', 'ignore')}_{words}", taken)

    @property
    def record(self) -> str:
        """The name of the table that keeps what a data revision changes. It has no number, which may change."""
        schema = self.subject.table.schema
        taken = {name for at, name in self.all.taken if at == schema}
        return shortened(f"{self.name[: LONGEST - len('_record')]}_record", taken)

    @property
    def user_id_type(self) -> str:
        """The type of a column that holds a user's id: that of the users' primary key."""
        users = self._users()
        kind = users.column(users.key[0]) if users else None
        return _SQL_NAMES.get(kind.type or "", kind.type or "INTEGER") if kind else "INTEGER"

    @property
    def references_users(self) -> str:
        """The foreign key to the users, if the project has such a table; else nothing."""
        users = self._users()
        return f" REFERENCES {users} ({quoted(users.key[0])})" if users else ""

    def _users(self) -> Table | None:
        for name in ("users", "user"):
            found = self.seen.tables.get((self.seen.default, name))
            if found and len(found.key) == 1 and found.column(found.key[0]):
                return found
        return None

    def _no_table(self) -> NewelError:
        tables = sorted(str(table) for table in workable(self.seen))
        if not tables:
            return NewelError(
                f"type {self.type} works on a table, and no up file makes one yet",
                cure="Make one first:  newel generate add_users --type table",
            )
        names = {table.name: str(table) for table in workable(self.seen)}
        near = get_close_matches("_".join(self.words), names, 1) or [
            match for word in self.words for match in get_close_matches(word, names, 1, 0.75)
        ]
        hint = f"did you mean {names[near[0]]}?" if near else f"there are {_some(tables)}."
        example = {"column": "add_nickname_to_{}", "soft_delete": "add_soft_delete_to_{}", "index": "index_{}_email",
                   "data": "migrate_{}_data"}.get(self.type, "change_{}")  # fmt: skip
        shown = next(item for item in workable(self.seen) if not near or item.name == near[0])
        like = example.format(_words(shown))
        return NewelError(
            f"type {self.type} works on a table, and `{self.name}` names none; {hint}",
            cure=f"Put the table's name into the revision's, for example:  newel generate {like} --type {self.type}",
        )

    def _no_column(self, done: str) -> NewelError:
        return NewelError(
            f"no up file shows a column of {self.subject.table} that can be {done}",
            cure="Write the pair by hand.",
        )


def _takes_a_btree(column: Column) -> bool:
    return not column.virtual and (column.type or "").removesuffix("[]") not in _NO_BTREE


def _words(table: Table) -> str:
    return "_".join(words_of(table.name))


def _without_verbs(words: Sequence[str]) -> list[str]:
    first = next((at for at, word in enumerate(words[:-1]) if word not in VERBS), max(len(words) - 1, 0))
    return list(words[first:])


def _without(words: Sequence[str], endings: Sequence[tuple[str, ...]]) -> list[str]:
    for ending in endings:
        if len(words) > len(ending) and tuple(words[-len(ending) :]) == ending:
            return list(words[: -len(ending)])
    return list(words)


def _listed(names: Sequence[str], alias: str | None) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" if alias else quoted(name) for name in names)


def _chosen(what: str, names: Sequence[str], *, named: bool) -> str:
    if named:
        return f"{what} that the revision's name names: {_listed(names, None)}."
    return f"Choose {what.lower()}: the revision's name names none, so {_listed(names, None)} was taken."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
