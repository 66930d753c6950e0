"""CSV files of rows: records and their lines, and each fault with its place."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.errors import FileMissing, Location, NewelError
from newel.project.csv_file import CsvFile, fields, read_csv, records

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@pytest.fixture
def read(tmp_path: Path):
    """Read the bytes of a file."""

    def of(data: bytes) -> CsvFile:
        (tmp_path / "x.csv").write_bytes(data)
        return read_csv(tmp_path, "x.csv", ("x",))

    return of


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@given(
    rows=st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=6),
    line_end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)
def test_what_pythons_writer_writes_is_read_as_it_was(folder: Path, rows, line_end, bom):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
    (folder / "x.csv").write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode())
    found = list(records(folder, "x.csv"))
    assert [fields("x.csv", line, record) for line, record in found] == rows
    lines = text.getvalue().split("\n")
    assert all(lines[line - 1].startswith('"') for line, _ in found)


def test_plain_fields_and_empty_ones_are_read(read):
    found = read(b'id,name,note\r\n1,,""\r\n2,"a ""b"", c",\r\n')
    assert (found.columns, found.size) == (("id", "name", "note"), 38)
    assert fields("x", 1, b'2,"a ""b"", c",') == ["2", 'a "b", c', ""]


@pytest.mark.parametrize(
    ("data", "line", "column", "what"),
    [
        (b'id,name\n1,"Ann\n2,Bob\n', 2, 3, "the quote that opens here is never closed"),
        (b'id,name\n1,"Ann\n2,"Bob\n', 2, 3, "the quote that opens here closes in line 3, and `Bob` follows it"),
        (b'id,name\n1,"Ann\n2,"Bob"\n', 2, 3, "the quote that opens here closes in line 3, and `Bob\"` follows it"),
        (b'id,name\n1,"a"b"\n', 2, 3, "the quote that opens here closes in line 2, and `b\"` follows"),
        (b'id,name\n1,"a" ,\n', 2, 3, "closes in line 2, and ` ` follows it instead of a comma"),
        (b'id,name\n1,5" pipe\n2,6" pipe\n', 2, 4, "a quote in the middle of a field that has none around it"),
        (b"id,name\n1\n", 2, 1, "the row has 1 field, and the header names 2 columns"),
        (b'id,name\n1,"x\ny"\n1,2,3\n', 4, 1, "the row has 3 fields, and the header names 2 columns"),
        (b"id,name\n1,a\n\n2,b\n", 3, 1, "an empty line"),
        (b"id,name\n1,a\n\\.\n2,b\n", 3, 1, "a line that is `\\.` alone"),
        (b'id,name\n1,"a\n\\.\n"\n', 3, 1, "a line that is `\\.` alone"),
        (b"id,name\n1,a\rb\n", 2, 4, "a carriage return outside quotes"),
        (b"id,name\r1,a\r", 1, 8, "a carriage return outside quotes"),
        (b"id,name\n1,a\r\n", 2, 1, "the line ends otherwise than the first one"),
        (b"id,name\n1,a\0\n", 2, 4, "a NUL byte"),
        (b"id,name\n1,J\xfcrgen\n", 2, 4, "byte 0xfc is not valid UTF-8"),
        (b"id,id\n", 1, 1, "the header names id twice"),
        (b"id,\n", 1, 1, "column 2 of the header has no name"),
        (b"", 1, None, "the file is empty"),
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_its_line(read, data: bytes, line: int, column: int | None, what: str):
    with pytest.raises(NewelError) as refused:
        read(data)
    assert what in refused.value.what
    assert refused.value.where == Location("x.csv", line, column)


def test_a_file_that_is_gone_is_missing(tmp_path: Path):
    with pytest.raises(FileMissing):
        read_csv(tmp_path, "gone.csv", ("x",))


def test_reading_tells_how_far_it_is(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes(b"id\n" + b"1234567\n" * 300_000)
    told: list[int] = []
    read_csv(tmp_path, "x.csv", ("x",), told.append)
    assert told == sorted(told)
    assert len(told) == 2
