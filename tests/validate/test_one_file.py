"""The static checks of one file that was read already."""

from __future__ import annotations

import pytest

from newel.project.files import read
from newel.validate.file import validate_file


@pytest.mark.parametrize(
    ("name", "sql", "found"),
    [
        ("x.up.sql", "SELECT 1;\nDROP TABLE t;\n", [("destructive", "warning", 2)]),
        ("x.up.sql", "-- newel: allow destructive: meant\nDROP TABLE t;\n", []),
        ("x.down.sql", "DROP TABLE t;\n", []),
        ("x.up.sql", "-- nothing\n", [("empty", "warning", 1)]),
        ("x.down.sql", "-- nothing\n", [("empty", "warning", 1)]),
        ("x.down.sql", "-- newel: irreversible the rows are gone\n", []),
        ("x.up.sql", "-- newel: allow destruction: meant\nDROP TABLE t;\n",
         [("directives", "error", 1), ("destructive", "warning", 2)]),
    ],
)  # fmt: skip
def test_a_file_is_checked_by_itself(tmp_path, name, sql, found):
    (tmp_path / name).write_text(sql)
    said = [(item.rule, item.severity, item.where.line) for item in validate_file(read(tmp_path, name))]
    assert said == found
