"""What a database holds, so that two runs of the same work can be compared: schema, rows, state of newel.

What may differ between two undisturbed runs is written down so that it does not: the time of day, the order of
rows, and which number of a sequence a row got. So a row that others refer to is named by its other columns.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from newel.cli.main import main
from newel.database.catalog.difference import difference
from newel.database.catalog.snapshot import Catalog, snapshot

USERS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'newel')"
TABLES = f"""
SELECT c.oid::regclass::text, array_agg(quote_ident(a.attname) ORDER BY a.attnum)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind = 'r' AND {USERS} GROUP BY c.oid"""
SERIALS = """
SELECT d.refobjid::regclass::text, quote_ident(a.attname), d.objid::regclass::text
  FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"""
REFERENCES = """
SELECT f.conrelid::regclass::text, quote_ident(a.attname), f.confrelid::regclass::text, quote_ident(b.attname)
  FROM pg_constraint f JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
  JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[1]
 WHERE f.contype = 'f' AND cardinality(f.conkey) = 1 AND f.conparentid = 0"""
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid OR NOT indisready ORDER BY 1"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
PENDING = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhdetachpending"
DATABASES = "SELECT datname FROM pg_database WHERE datname LIKE 'nasty%%' ORDER BY 1"


@dataclass(frozen=True)
class Picture:
    """A database after a run. `left_over` names what nobody may leave: it has to be empty."""

    catalog: Catalog
    rows: dict[str, list[str]]
    invalid_indexes: tuple[str, ...]
    databases: tuple[str, ...]
    revisions: tuple[tuple[str, str], ...]
    left_over: tuple[str, ...]


def take(connection: Any, since: datetime, root: Path, environment: str, url: str) -> Picture:
    """Look at a database in autocommit mode; times from `since` on are those of the run."""
    with connection.cursor() as cursor:

        def rows(query: str) -> list[Any]:
            cursor.execute(query)
            return list(cursor.fetchall())

        serials = rows(SERIALS)
        left_over = [f"{count} advisory locks" for (count,) in rows(LOCKS) if count]
        left_over += [f"{name} is being detached" for (name,) in rows(PENDING)]
        left_over += [
            f"{sequence} is behind {table}.{column}"
            for table, column, sequence in serials
            if rows(f"SELECT max({column}) > (SELECT last_value FROM {sequence}) FROM {table}")[0][0]
        ]
        data = _data(rows, since, {(table, column) for table, column, _ in serials})
        invalid = tuple(row[0] for row in rows(INVALID))
        databases = tuple(row[0] for row in rows(DATABASES))
    states, problem = status(root, environment, url)
    left_over += [problem] if problem else []
    left_over += [f"{revision} {state}" for revision, state in states if state not in ("applied", "pending")]
    return Picture(snapshot(connection), data, invalid, databases, states, tuple(left_over))


def differences(expected: Picture, found: Picture) -> list[str]:
    """Say in words how a database differs from that of an undisturbed run."""
    words = list(found.left_over)
    schema = difference(expected.catalog, found.catalog)
    if expected.catalog != found.catalog:
        words.append(f"the schema differs: {schema}")
    for table in sorted(expected.rows.keys() | found.rows.keys()):
        before, after = expected.rows.get(table), found.rows.get(table)
        if before != after:
            only = [row for row in after or [] if row not in (before or [])]
            lacks = [row for row in before or [] if row not in (after or [])]
            words.append(
                f"{table}: {len(before or [])} rows expected, {len(after or [])} found; more: {only[:3]}, "
                f"missing: {lacks[:3]}"
            )
    for name in ("invalid_indexes", "databases", "revisions"):
        if getattr(expected, name) != getattr(found, name):
            words.append(f"{name}: {getattr(expected, name)} expected, {getattr(found, name)} found")
    return words


def _data(rows: Any, since: datetime, serials: set[tuple[str, str]]) -> dict[str, list[str]]:
    """Return every row of every table, sorted, with a number of a sequence replaced by the row that it names."""
    tables = dict(rows(TABLES))
    source = {(table, column): (to, other) for table, column, to, other in rows(REFERENCES)}
    content = {
        name: rows(f"SELECT {', '.join(columns)} FROM ONLY {name}") for name, columns in tables.items()
    }
    written: dict[str, list[str]] = {}
    names: dict[tuple[str, str], dict[Any, str]] = {}

    def origin(table: str, column: str) -> tuple[str, str]:
        while (table, column) in source:
            table, column = source[table, column]
        return table, column

    def canonical(table: str, column: str, value: Any) -> str:
        if isinstance(value, datetime) and value.tzinfo and value >= since:
            return "a time of the run"
        of = origin(table, column)
        if value is None or of not in serials:
            return repr(value)
        return "its number" if of == (table, column) else f"<{named(*of).get(value)}>"

    def named(table: str, column: str) -> dict[Any, str]:
        if (table, column) not in names:
            at = tables[table].index(column)
            texts = write(table)
            names[table, column] = {row[at]: text for row, text in zip(content[table], texts, strict=True)}
        return names[table, column]

    def write(table: str) -> list[str]:
        if table not in written:
            written[table] = [
                ", ".join(
                    canonical(table, column, value) for column, value in zip(tables[table], row, strict=True)
                )
                for row in content[table]
            ]
        return written[table]

    return {table: sorted(write(table)) for table in tables}


def status(root: Path, environment: str, url: str) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Each revision with its state as `newel status` tells it, and what is wrong, if anything."""
    out = io.StringIO()
    variables = {"DATABASE_URL": url, "MIGRATION_ENV": environment}
    with patch.dict(os.environ, variables), redirect_stdout(out), redirect_stderr(out):
        code = main(["status", "--json", "--config", str(root / "alembic.ini")])
    document = json.loads(out.getvalue())
    problem = document.get("problem") or document.get("error") if code else None
    return tuple((row["revision"], row["state"]) for row in document.get("revisions", ())), problem and str(
        problem
    )
