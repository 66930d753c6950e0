"""CSV files of rows, as COPY reads them: records with their lines, and the faults that COPY passes over or misplaces.

COPY takes a quote in the middle of a field for the beginning of a quoted part, and servers before PostgreSQL 18 end
the data in silence at a line `\\.`. So a file is read here first, a record at a time, whatever its size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from newel.errors import FileMissing, Location, NewelError
from newel.project.files import unreadable
from newel.project.source import excerpt, locate

BOM = b"\xef\xbb\xbf"
_QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')
_FIELD = re.compile(rb"(?:(?P<quoted>" + _QUOTED.pattern + rb')|(?P<plain>[^",\r\n]*+))(?P<end>,|\Z)')
_STRAY = re.compile(rb'["\r]')
_DOUBLED = (
    'A field that holds a quote or a comma stands in quotes, and a quote inside is doubled: "5"" pipe".'
)
_STEP = 1 << 20

Advance = Callable[[int], None]
"""Called now and then with how many bytes of a file are done."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that was read whole and found sound. `table` is where its rows go; `size` in bytes."""

    path: str
    table: tuple[str, ...]
    """Schema and name, or the name alone."""
    columns: tuple[str, ...]
    size: int

    @property
    def header(self) -> Location:
        """Where the columns are named."""
        return Location(self.path, 1)


def read_csv(root: Path, path: str, table: tuple[str, ...], advance: Advance = lambda _: None) -> CsvFile:
    """Read and check one CSV file; `path` is relative to `root`.

    Raises FileMissing, and NewelError with the line for a broken quote, a row of more or fewer fields than the
    header, a column that is named twice, an empty line, NUL and what is not UTF-8.
    """
    columns: tuple[str, ...] = ()
    for line, record in records(root, path, advance):
        if columns:
            given = len(fields(path, line, record)) if b'"' in record else record.count(b",") + 1
            if given != len(columns):
                raise _refused(path, line, record, 0, _other_number(given, len(columns)), _DOUBLED)
        else:
            columns = _header(path, line, record)
    if not columns:
        raise NewelError(
            "the file is empty", where=Location(path, 1), cure="Its first line names the columns: id,email"
        )
    return CsvFile(path, table, columns, (root / path).stat().st_size)


def records(root: Path, path: str, advance: Advance = lambda _: None) -> Iterator[tuple[int, bytes]]:
    """Yield the first line's number and the text of each record, without its line end. Raises as read_csv() does."""
    try:
        with (root / path).open("rb") as file:
            yield from _records(path, _counted(file, advance))
    except FileNotFoundError:
        raise FileMissing("the file does not exist", where=Location(path)) from None
    except OSError as error:
        raise unreadable(path, error) from error


def fields(path: str, line: int, record: bytes) -> list[str]:
    """Take a record apart. Raises NewelError with line and column for a broken quote."""
    found: list[str] = []
    at = 0
    while True:
        field = _FIELD.match(record, at)
        if field is None:
            raise _broken(path, line, record, at)
        text = field["plain"] if field["quoted"] is None else field["quoted"][1:-1].replace(b'""', b'"')
        found.append(text.decode())
        if not field["end"]:
            return found
        at = field.end()


def record_excerpt(line: int, record: bytes) -> str:
    """Return the first line of a record, with its number, as an error shows it."""
    before = b"\n" * (line - 1)
    return excerpt(before + record, len(before))


def _counted(lines: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    done = told = 0
    for line in lines:
        yield line.removeprefix(BOM) if not done else line
        done += len(line)
        if done - told >= _STEP:
            told = done
            advance(done)


def _records(path: str, lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Put lines together: a record ends with a line up to which the number of quotes is even."""
    begun: list[bytes] = []
    first, odd, line_end = 1, False, b""
    for number, line in enumerate(lines, 1):
        _check_line(path, number, line)
        odd ^= line.count(b'"') % 2 == 1
        begun.append(line)
        if odd:
            continue
        ending = line[len(line.rstrip(b"\r\n")) :] if line.endswith(b"\n") else b""
        ending = b"\r\n" if ending.endswith(b"\r\n") else ending[-1:]
        record = b"".join(begun).removesuffix(ending)
        line_end = line_end or ending
        if not record:
            raise _refused(path, first, record, 0, "an empty line, which is no row", "Take it out.")
        if ending and ending != line_end:
            what = "the line ends otherwise than the first one, and COPY takes LF or CRLF, not both"
            raise _refused(path, first, record, 0, what, None)
        if b"\r" in record and b'"' not in record:
            raise _broken(path, first, record, record.index(b"\r"))
        yield first, record
        begun, first = [], number + 1
    if begun:
        fields(path, first, b"".join(begun))  # a number of quotes that is odd is a quote that is broken


def _check_line(path: str, number: int, line: bytes) -> None:
    if b"\0" in line:
        what = "a NUL byte, which no text can hold"
        raise _refused(
            path, number, line.replace(b"\0", b" "), line.index(b"\0"), what, "Save the file as UTF-8."
        )
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError as error:
            what = f"byte 0x{line[error.start]:02x} is not valid UTF-8"
            raise _refused(path, number, line, error.start, what, "Save the file as UTF-8.") from None
    if line[:2] == b"\\." and not line[2:].strip(b"\r\n"):
        what = "a line that is `\\.` alone: servers before PostgreSQL 18 take it for the end of the data"
        raise _refused(path, number, line, 0, what, 'Write it in quotes: "\\."')


def _header(path: str, line: int, record: bytes) -> tuple[str, ...]:
    columns = fields(path, line, record)
    for number, column in enumerate(columns):
        if not column.strip():
            raise _refused(path, line, record, 0, f"column {number + 1} of the header has no name", None)
        if column in columns[:number]:
            raise _refused(path, line, record, 0, f"the header names {column} twice", None)
    return tuple(columns)


def _other_number(given: int, named: int) -> str:
    return f"the row has {given} field{'s' * (given != 1)}, and the header names {named} column{'s' * (named != 1)}"


def _broken(path: str, line: int, record: bytes, at: int) -> NewelError:
    """Say what is wrong with the field at an offset of a record."""
    if record[at : at + 1] != b'"':
        stray = _STRAY.search(record, at)
        at = stray.start() if stray else at
        if record[at : at + 1] == b"\r":
            return _refused(path, line, record, at, "a carriage return outside quotes", None)
        return _refused(
            path, line, record, at, "a quote in the middle of a field that has none around it", _DOUBLED
        )
    closed = _QUOTED.match(record, at)
    if closed is None:
        return _refused(path, line, record, at, "the quote that opens here is never closed", _DOUBLED)
    end = line + record.count(b"\n", 0, closed.end())
    follows = re.split(rb"[,\r\n]", record[closed.end() : closed.end() + 20])[0].decode("utf-8", "replace")
    what = f"the quote that opens here closes in line {end}, and `{follows}` follows it instead of a comma"
    return _refused(path, line, record, at, what, _DOUBLED)


def _refused(path: str, line: int, record: bytes, at: int, what: str, cure: str | None) -> NewelError:
    before = b"\n" * (line - 1)
    text, offset = before + record, len(before) + at
    return NewelError(what, where=locate(text, offset, path), excerpt=excerpt(text, offset), cure=cure)
