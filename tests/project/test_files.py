"""Names of SQL files, and what a file may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from newel.errors import NewelError, PermissionDenied
from newel.project import files
from newel.project.graph import find_revisions


@pytest.fixture
def tree(tmp_path: Path):
    """Make files under sql/migrations, and say what is wrong with their names."""
    (tmp_path / files.MIGRATIONS).mkdir(parents=True)

    def made(*names: str) -> list[str]:
        for name in names:
            path = tmp_path / files.MIGRATIONS / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("SELECT 1;\n")
        return [str(problem) for problem in find_revisions(tmp_path)[1]]

    return made


@pytest.mark.parametrize(
    "name",
    [
        "000010_x.up.SQL",
        "10_x.up.sql",
        "000010-x.up.sql",
        "000010_X.up.sql",
        "000010_x.sql",
        "0000010_x.up.sql",
        "000010_x y.up.sql",
        "notes.sql",
    ],
)
def test_a_file_of_another_form_is_never_passed_over_in_silence(tree, name):
    (problem,) = tree(name)
    assert problem.startswith(f"sql/migrations/{name}: ")


@pytest.mark.parametrize("name", ["README.md", ".000001_x.up.sql.swp", ".gitkeep"])
def test_other_files_are_ignored(tree, name):
    assert tree(name) == []


def test_a_number_is_unique_in_the_whole_tree(tree):
    pair = ("000001_one.up.sql", "000001_one.down.sql")
    other = ("development/000001_dev.up.sql", "development/000001_dev.down.sql")
    (problem,) = tree(*pair, *other)
    assert "number 000001 is taken by sql/migrations/000001_one.up.sql" in problem


def test_a_branch_stands_on_the_highest_mainline_revision_below_it(tmp_path, tree):
    names = [
        "000001_a",
        "000002_b",
        "development/000003_c",
        "000004_d",
        "development/000005_e",
        "staging/000006_f",
    ]
    assert tree(*(f"{name}.{way}.sql" for name in names for way in ("up", "down"))) == []
    revisions, _ = find_revisions(tmp_path)
    assert [(item.branch, item.down_revision, item.depends_on) for item in revisions] == [
        (None, None, None),
        (None, "000001", None),
        ("development", None, "000002"),
        (None, "000002", None),
        ("development", "000003", "000004"),
        ("staging", None, "000004"),
    ]


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"SELECT 1;\nSELECT 'a\xff';\n", ":2:10", "0xff is not valid UTF-8"),
        ("SELECT 1;\n-- é".encode("latin-1"), ":2:4", "not valid UTF-8"),
        (b"SELECT 1;\n\0SELECT 2;\n", ":2:1", "NUL"),
        ("SELECT 1;".encode("utf-16"), ":1:1", "not valid UTF-8"),
        (b"x" * ((1 << 20) - 1) + "é".encode()[:1], ":1:", "not valid UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(tmp_path, data, place, words):
    (tmp_path / "x.up.sql").write_bytes(data)
    with pytest.raises(NewelError) as caught:
        files.read(tmp_path, "x.up.sql")
    assert place in str(caught.value.where)
    assert words in caught.value.what


def test_a_letter_across_two_chunks_is_read_whole(tmp_path):
    (tmp_path / "x.up.sql").write_bytes(b"-- " + b"x" * ((1 << 20) - 4) + "é\nSELECT 1;\n".encode())
    assert [item.text for item in files.read(tmp_path, "x.up.sql").statements()] == ["SELECT 1"]


def test_a_file_that_may_not_be_read_is_a_question_of_permission():
    error = files.unreadable("x.up.sql", PermissionError(13, "Permission denied"))
    assert isinstance(error, PermissionDenied)
    assert (str(error), error.exit_code) == ("x.up.sql: cannot read the file: Permission denied", 4)


def test_a_file_larger_than_a_window_is_split_as_often_as_it_is_asked(tmp_path):
    (tmp_path / "x.up.sql").write_text("INSERT INTO t VALUES ('some words');\n" * 10_000)
    file = files.read(tmp_path, "x.up.sql")
    assert file.kept is None
    assert sum(1 for _ in file.statements()) == sum(1 for _ in file.statements()) == 10_000
