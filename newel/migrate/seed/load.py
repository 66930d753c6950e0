"""Puts the rows of a CSV file into its table: COPY into a temporary table, then one INSERT ... ON CONFLICT."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg2

from newel.database.connection import quote_identifier
from newel.errors import ConnectionFailed, Location, NewelError
from newel.migrate.execute.runner import kind_of_refusal, server_words
from newel.migrate.execute.stop import raise_pending
from newel.migrate.seed.tally import EXPLAIN, skipped_rows
from newel.migrate.seed.target import Column, Target
from newel.project.csv_file import BOM, Advance, CsvFile, record_excerpt, records

_ROWS = "pg_temp.newel_seed"
_COPY_CONTEXT = re.compile(r"COPY newel_seed, line (\d+)(?:, column (.*))?", re.DOTALL)
_CHUNK = 1 << 17
_WHOLE_NUMBERS = ("smallint", "integer", "bigint")
_OF_THE_MOMENT = ("55P03", "57014", "40P01", "40001")
"""A lock timeout, a statement timeout or cancel, a deadlock, a serialization failure: no row is to blame."""


def load(cursor: Any, root: Path, file: CsvFile, target: Target, advance: Advance) -> int:
    """Put the rows in, in the transaction that is open, and return how many were there already, alike.

    Raises NewelError with the line for a value that its column does not take, a key that is empty or given twice,
    and a row that a constraint refuses.
    """
    row = "row"
    while row in file.columns:
        row += "_"
    number = quote_identifier(row)
    _copy(cursor, root, file, target, number, advance)
    _check_key(cursor, root, file, target, number)
    cursor.execute("SAVEPOINT newel_seed")
    try:
        cursor.execute(EXPLAIN + _insert(target, number))
        skipped = skipped_rows(cursor)
    except psycopg2.Error as error:
        raise_pending()
        raise _row_error(cursor, root, file, target, number, error) from error
    for column in target.columns:
        if column.sequence and column.type in _WHOLE_NUMBERS:
            _move_sequence(cursor, column, column.sequence)
    return skipped


class _Stream:
    """The file for COPY, without its byte order mark. Read whole, it is half the work: the INSERT comes then."""

    def __init__(self, file: Any, advance: Advance) -> None:
        self.file, self.advance = file, advance
        file.seek(len(BOM) if file.read(len(BOM)) == BOM else 0)

    def read(self, _: int = -1) -> bytes:
        data: bytes = self.file.read(_CHUNK)
        self.advance(self.file.tell() // 2)
        return data


def _copy(cursor: Any, root: Path, file: CsvFile, target: Target, number: str, advance: Advance) -> None:
    columns = [f"{quote_identifier(item.name)} {item.type}" for item in target.columns]
    # The session's types and operators are found by the environment's search_path, which the files count on.
    cursor.execute(
        f"CREATE TEMPORARY TABLE newel_seed ({number} bigint GENERATED ALWAYS AS IDENTITY, {', '.join(columns)}) "
        "ON COMMIT DROP"
    )
    names = ", ".join(quote_identifier(item.name) for item in target.columns)
    try:
        with (root / file.path).open("rb") as opened:
            cursor.copy_expert(
                f"COPY {_ROWS} ({names}) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8')",
                _Stream(opened, advance),
            )
    except psycopg2.Error as error:
        raise_pending()
        raise _copy_error(root, file, error) from error
    raise_pending()


def _copy_error(root: Path, file: CsvFile, error: psycopg2.Error) -> NewelError:
    """Name the line that COPY's context names; it counts every line, those inside quotes too, and the row's last."""
    found = _COPY_CONTEXT.search(error.diag.context or "")
    if found is None:
        return kind_of_refusal(error)(server_words(error), where=Location(file.path))
    last = int(found[1])
    fit = (item for item in records(root, file.path) if last <= item[0] + item[1].count(b"\n"))
    what = f"{error.diag.message_primary} ({error.pgcode})" + (f"\ncolumn {found[2]}" if found[2] else "")
    return kind_of_refusal(error)(what, **_place(file, next(fit, None)))


def _check_key(cursor: Any, root: Path, file: CsvFile, target: Target, number: str) -> None:
    """Refuse a key with an empty part, which would find no row again, and one that two rows have."""
    key = [quote_identifier(name) for name in target.key]
    empty = " OR ".join(f"{name} IS NULL" for name in key)
    cursor.execute(f"SELECT pg_catalog.min({number}) FROM {_ROWS} WHERE {empty}")
    [row] = cursor.fetchone()
    words = " and ".join(target.key)
    if row is not None:
        raise NewelError(
            f"{words} is the key by which a row is found again, and is empty here",
            **_place(file, _record(root, file, row)),
        )
    cursor.execute(
        f"SELECT pg_catalog.array_agg({number} ORDER BY {number}) FROM {_ROWS} GROUP BY {', '.join(key)} "
        f"HAVING pg_catalog.count(*) > 1 ORDER BY pg_catalog.min({number}) LIMIT 1"
    )
    twice = cursor.fetchone()
    if twice is not None:
        first, second = (_record(root, file, row) for row in twice[0][:2])
        other = f"in line {first[0]}" if first else "in another line"
        raise NewelError(
            f"{words} has the same value as {other}, and is the key by which a row is found again",
            **_place(file, second),
        )


def _insert(target: Target, number: str, where: str = "") -> str:
    """Return the INSERT of all rows, or of those that `where` is true of.

    Rows are compared by their bytes (`*<>`), so that a type without equality can be compared, and a value that is
    equal and yet looks otherwise counts as changed.
    """
    names = [quote_identifier(item.name) for item in target.columns]
    changed = [
        quote_identifier(item.name)
        for item in target.columns
        if item.name not in target.key and not item.always
    ]
    action = "NOTHING"
    if changed:
        action = (
            f"UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in changed)} "
            f"WHERE ROW({', '.join(f'was.{name}' for name in changed)})::pg_catalog.record "
            "OPERATOR(pg_catalog.*<>) "
            f"ROW({', '.join(f'EXCLUDED.{name}' for name in changed)})::pg_catalog.record"
        )
    overriding = "OVERRIDING SYSTEM VALUE " if any(item.always for item in target.columns) else ""
    return (
        f"INSERT INTO {target.table} AS was ({', '.join(names)}) {overriding}"
        f"SELECT {', '.join(names)} FROM {_ROWS} {where} ORDER BY {number} "
        f"ON CONFLICT ({', '.join(quote_identifier(name) for name in target.key)}) DO {action}"
    )


def _row_error(
    cursor: Any, root: Path, file: CsvFile, target: Target, number: str, error: psycopg2.Error
) -> NewelError:
    """Name the line of the row that the server refuses: it says none, so smaller and smaller parts are tried."""
    kind = kind_of_refusal(error)
    record = None
    if kind is NewelError and error.pgcode not in _OF_THE_MOMENT:
        cursor.execute("ROLLBACK TO SAVEPOINT newel_seed")
        try:
            row = _refused_row(cursor, target, number, error)
        except psycopg2.Error as other:
            raise_pending()
            if kind_of_refusal(other) is ConnectionFailed:
                return ConnectionFailed(server_words(other), where=Location(file.path))
            row = None
        record = None if row is None else _record(root, file, row)
    return kind(server_words(error), **_place(file, record))


def _refused_row(cursor: Any, target: Target, number: str, error: psycopg2.Error) -> int | None:
    """Return the first row that is refused like that; None if a part of the rows fails otherwise than the whole."""
    cursor.execute(f"SELECT pg_catalog.max({number}) FROM {_ROWS}")
    first, last = 1, int(cursor.fetchone()[0])
    while True:
        middle = (first + last) // 2
        cursor.execute("SAVEPOINT newel_part")
        try:
            cursor.execute(_insert(target, number, f"WHERE {number} BETWEEN {first} AND {middle}"))
        except psycopg2.Error as other:
            if _fault(other) != _fault(error):
                return None
            if first == last:
                return first
            cursor.execute("ROLLBACK TO SAVEPOINT newel_part")
            last = middle
        else:
            if first == last:
                return None
            first = middle + 1


def _fault(error: psycopg2.Error) -> tuple[str | None, ...]:
    return error.pgcode, error.diag.table_name, error.diag.constraint_name, error.diag.column_name


def _record(root: Path, file: CsvFile, row: int) -> tuple[int, bytes] | None:
    """Return a row, counted from 1 behind the header, with its first line: quoted fields may hold line ends."""
    return next(islice(records(root, file.path), row, None), None)


def _place(file: CsvFile, record: tuple[int, bytes] | None) -> dict[str, Any]:
    """Return where an error is, with the row itself; the file alone if the row is not known."""
    if record is None:
        return {"where": Location(file.path)}
    return {"where": Location(file.path, record[0]), "excerpt": record_excerpt(*record)}


def _move_sequence(cursor: Any, column: Column, sequence: str) -> None:
    """Move a column's sequence on to the last value that the file gives, never back, so that the next one is free."""
    name = quote_identifier(column.name)
    cursor.execute(
        "SELECT seqincrement > 0, seqmin, seqmax FROM pg_catalog.pg_sequence "
        "WHERE seqrelid = pg_catalog.to_regclass(%s)::pg_catalog.oid",
        (sequence,),
    )
    up, least, greatest = cursor.fetchone()
    function, sign = ("max", "<") if up else ("min", ">")
    cursor.execute(f"SELECT pg_catalog.{function}({name}) FROM {_ROWS}")
    [last] = cursor.fetchone()
    if last is not None and least <= last <= greatest:
        cursor.execute(
            f"SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s) FROM {sequence.replace('%', '%%')} "
            f"WHERE last_value {sign} %s OR (NOT is_called AND last_value = %s)",
            (sequence, last, last, last),
        )
