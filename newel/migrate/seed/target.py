"""The table that a CSV file's rows go to, with its columns and the key by which a row is found again."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from newel.database.connection import quote_identifier
from newel.database.journal.tables import SCHEMA
from newel.errors import NewelError
from newel.project.csv_file import CsvFile

_TABLE = """
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(%s)"""

_NAMES = """
SELECT n.nspname::text, c.relname::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')"""

_COLUMNS = """
SELECT attname::text, pg_catalog.format_type(atttypid, atttypmod), attgenerated <> '', attidentity = 'a',
       pg_catalog.pg_get_serial_sequence(%s, attname::text)
  FROM pg_catalog.pg_attribute
 WHERE attrelid = %s::pg_catalog.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""

# What ON CONFLICT cannot go by: a constraint that is deferrable or WITHOUT OVERLAPS, a partial index, an expression.
_KEYS = """
SELECT ARRAY(SELECT a.attname::text
               FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
              WHERE k.place <= i.indnkeyatts ORDER BY k.place)
  FROM pg_catalog.pg_index i
 WHERE i.indrelid = %s::pg_catalog.oid AND i.indisunique AND NOT i.indisexclusion AND i.indimmediate AND i.indisvalid
   AND i.indpred IS NULL AND i.indexprs IS NULL
 ORDER BY i.indisprimary DESC, i.indexrelid"""

_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
}


@dataclass(frozen=True)
class Column:
    """A column of the table: its type as SQL text, and the sequence that it owns, if any."""

    name: str
    type: str
    generated: bool
    always: bool
    """GENERATED ALWAYS AS IDENTITY: an INSERT has to say that it means it, and an UPDATE may not."""
    sequence: str | None


@dataclass(frozen=True)
class Target:
    """Where the rows go: the table, the columns that the file gives, in its order, and the key's names among them."""

    table: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]


def find_target(cursor: Any, file: CsvFile) -> Target:
    """Find the table by the session's search_path, and hold the header to it.

    Raises NewelError for a table or column that is not there, with the nearest name, for a column that is generated,
    and for a header without a key, since running it again would double the rows.
    """
    oid, table = _table(cursor, file)
    cursor.execute(_COLUMNS, (table, oid))
    there = {row[0]: Column(*row) for row in cursor.fetchall()}
    for name in file.columns:
        if name not in there:
            raise NewelError(
                f"{'.'.join(file.table)} has no column `{name}`{_nearest(name, there)}", where=file.header
            )
        if there[name].generated:
            raise NewelError(
                f"column `{name}` is generated: the server computes it, and takes no value",
                where=file.header,
                cure="Take the column out of the file.",
            )
    cursor.execute(_KEYS, (oid,))
    keys = [tuple(row[0]) for row in cursor.fetchall()]
    key = next((item for item in keys if set(item) <= set(file.columns)), None)
    if key is None:
        those = ", or ".join(" and ".join(item) for item in dict.fromkeys(keys))
        raise NewelError(
            "the header names no key, so running the file again would add each row again",
            where=file.header,
            cure=f"Add the column of a primary key or unique constraint:  {those}"
            if keys
            else "The table needs a primary key or a unique constraint. Without one, write the seed as SQL.",
        )
    return Target(table, tuple(there[name] for name in file.columns), key)


def _table(cursor: Any, file: CsvFile) -> tuple[int, str]:
    cursor.execute(_TABLE, (".".join(quote_identifier(part) for part in file.table),))
    row = cursor.fetchone()
    if row is None or row[1] in (SCHEMA, "pg_catalog"):
        raise _no_table(cursor, file)
    oid, schema, name, kind = row
    if kind not in ("r", "p"):
        raise NewelError(
            f"{schema}.{name} is {_KINDS.get(kind, 'no table')}, and a CSV file's rows go into a table",
            where=file.header,
            cure="Write the seed as SQL.",
        )
    return oid, f"{quote_identifier(schema)}.{quote_identifier(name)}"


def _no_table(cursor: Any, file: CsvFile) -> NewelError:
    cursor.execute(_NAMES)
    tables = [row for row in cursor.fetchall() if not row[0].startswith("pg_") and row[0] != SCHEMA]
    *schema, name = file.table
    near = get_close_matches(name, [table for _, table in tables], 1)
    found = [".".join(row) for row in tables if near and row[1] == near[0] and row[0] != "information_schema"]
    hint = f"; did you mean {found[0]}?" if found else ""
    cure = "Its name is that of the file, or of the folder below base and the environment's folder, and the file."
    if not schema:
        cure += " Without a folder it is looked for by `search_path` of env/environments.json."
    return NewelError(f"there is no table {'.'.join(file.table)}{hint}", where=file.header, cure=cure)


def _nearest(name: str, names: dict[str, Column]) -> str:
    if len(names) > 1 and any(mark in name for mark in ";\t|"):
        return "; the columns are separated by commas"
    near = get_close_matches(name.strip().lower(), names, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; it has {', '.join(names)}."
