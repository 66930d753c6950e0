"""Bad files: a clear error with file and line, the right exit code, and nothing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_project import Project

UP = "sql/migrations/000005_fifth.up.sql"
DOWN = "sql/migrations/000005_fifth.down.sql"


@pytest.fixture
def applied(project: Project) -> Project:
    """The project with 000001 and 000002 applied."""
    assert project.newel("up", "2").code == 0
    return project


def _remove(project: Project, path: str) -> None:
    (project.root / path).unlink()


def missing_down(project: Project) -> None:
    _remove(project, DOWN)


def missing_up(project: Project) -> None:
    _remove(project, UP)


def unfit_name(project: Project) -> None:
    project.write("sql/migrations/6-Sixth Thing.up.sql", "SELECT 1;\n")


def number_twice(project: Project) -> None:
    project.pair("000005", "other")


def number_twice_across_folders(project: Project) -> None:
    project.pair("000005", "other", folder="development")


def script_differs(project: Project) -> None:
    project.write("alembic/versions/000001_first.py", "# edited by hand\n")


def script_missing(project: Project) -> None:
    _remove(project, "alembic/versions/000005_fifth.py")


def script_without_sql(project: Project) -> None:
    project.write("alembic/versions/by_hand.py", "revision = 'abc'\n")


FIFTH_IS = {
    "nul": b"SELECT 1;\nSELECT 'a\0b';\n",
    "latin": "SELECT 1;\nSELECT 'M\xfcnchen';\n".encode("latin-1"),
    "utf16": "SELECT 1;\n".encode("utf-16"),
    "psql": b"SELECT 1;\n\\set x 1\n",
    "commit": b"SELECT 1;\n  COMMIT;\n",
    "begin": b"SELECT 1;\nSTART TRANSACTION;\n",
    "syntax": b"SELECT 1;\nSELECT FROM WHERE;\n",
    "unfinished": b"SELECT 1;\nSELECT 'no end;\n",
    "bom_crlf": b"\xef\xbb\xbfSELECT 1;\r\nSELEC 2;\r\n",
    "directive": b"-- newel: no-transction\nSELECT 1;\n",
}


def fifth_is(kind: str) -> Callable[[Project], None]:
    def spoil(project: Project) -> None:
        project.write(UP, FIFTH_IS[kind])

    return spoil


CASES: dict[str, tuple[Callable[[Project], None], int, tuple[str, ...]]] = {
    "missing down": (missing_down, 2, (UP, DOWN)),
    "missing up": (missing_up, 2, (UP, DOWN)),
    "number twice": (number_twice, 5, (UP, "sql/migrations/000005_other.up.sql", "newel renumber")),
    "number twice in two folders": (number_twice_across_folders, 5, (UP, "development/000005_other.up.sql")),
    "unfit name": (unfit_name, 1, ("sql/migrations/6-Sixth Thing.up.sql", "000006_sixth_thing.up.sql")),
    "script differs": (script_differs, 1, ("alembic/versions/000001_first.py:1", "newel stubs")),
    "script missing": (script_missing, 1, (UP, "alembic/versions/000005_fifth.py", "newel stubs")),
    "script without sql": (script_without_sql, 1, ("git rm alembic/versions/by_hand.py",)),
    "NUL": (fifth_is("nul"), 1, (f"{UP}:2:10", "NUL")),
    "Latin-1": (fifth_is("latin"), 1, (f"{UP}:2:10", "0xfc", "iconv")),
    "UTF-16": (fifth_is("utf16"), 1, (f"{UP}:1:1", "UTF-8")),
    "psql command": (fifth_is("psql"), 1, (f"{UP}:2:1", "psql command", "     2 | \\set x 1")),
    "COMMIT": (fifth_is("commit"), 1, (f"{UP}:2:3", "COMMIT")),
    "START TRANSACTION": (fifth_is("begin"), 1, (f"{UP}:2:1", "START TRANSACTION")),
    "syntax error": (fifth_is("syntax"), 1, (f"{UP}:2:13", 'syntax error at or near "WHERE"')),
    "unfinished string": (fifth_is("unfinished"), 1, (f"{UP}:2:8", "unterminated")),
    "mark and CRLF": (fifth_is("bom_crlf"), 1, (f"{UP}:2:1", 'syntax error at or near "SELEC"')),
    "directive": (fifth_is("directive"), 1, (f"{UP}:1:11", "did you mean `no-transaction`?")),
}
"""What is wrong, the exit code, and words that the error holds."""


def test_a_misnamed_down_file_is_to_be_renamed_after_its_up_file(applied: Project) -> None:
    applied.pair("000005", "fifth")
    applied.stubs()
    misnamed = "sql/migrations/000005_fifht.down.sql"
    (applied.root / DOWN).rename(applied.root / misnamed)
    with applied.nothing_changes():
        refused = applied.newel("up")
        validated = applied.newel("validate")
    assert refused.code == validated.code == 2
    for said in (refused.err, validated.out):
        assert UP in said
        assert f"git mv {misnamed} {DOWN}" in said
        assert f"git mv {UP}" not in said


def test_a_bad_file_is_refused_before_anything_runs(applied: Project) -> None:
    applied.pair("000005", "fifth")
    applied.stubs()
    sound = applied.root.with_name("sound")
    shutil.copytree(applied.root, sound)
    wrong = []
    with applied.nothing_changes():
        for case, (spoil, code, words) in CASES.items():
            shutil.rmtree(applied.root)
            shutil.copytree(sound, applied.root)
            spoil(applied)
            for command in ("up", "validate"):
                refused = applied.newel(command)
                said = refused.out + refused.err
                if refused.code != code or any(word not in said for word in words):
                    wrong.append((case, command, refused.code, said))
        shutil.rmtree(applied.root)
        shutil.copytree(sound, applied.root)
    assert wrong == []


def test_plain_alembic_refuses_bad_files_alike(applied: Project) -> None:
    applied.pair("000005", "fifth", up="SELECT 1;\nCOMMIT;\n")
    applied.stubs()
    with applied.nothing_changes():
        transaction_control = applied.alembic("upgrade", "head")
    missing_down(applied)
    with applied.nothing_changes():
        missing = applied.alembic("upgrade", "head")
    assert transaction_control.code == missing.code == 255
    assert f"{UP}:2:1" in transaction_control.err
    assert f"{UP}: its down file {DOWN} is missing" in missing.err


def test_an_unreadable_file_is_an_error_with_its_name(applied: Project) -> None:
    applied.pair("000005", "fifth")
    applied.stubs()
    _remove(applied, UP)
    (applied.root / UP).mkdir()
    with applied.nothing_changes():
        refused = applied.newel("up")
    assert refused.code == 1
    assert f"{UP}: cannot read the file" in refused.err


def test_a_bad_file_outside_the_plan_disturbs_nobody(applied: Project) -> None:
    applied.pair("000005", "fifth", up="SELEC 1;\n")
    applied.stubs()
    assert applied.newel("up", "4").code == 0


def test_of_a_failing_file_nothing_stays_and_the_journal_has_the_failure(applied: Project) -> None:
    applied.pair(
        "000005",
        "fifth",
        up="CREATE TABLE half (id integer);\nINSERT INTO first VALUES (1);\nSELECT nope;\nCREATE TABLE rest ();\n",
    )
    applied.stubs()
    assert applied.newel("up", "4").code == 0
    failed = applied.newel("up")
    assert failed.code == 1
    assert f"{UP}:3:8: column" in failed.err
    assert "half" not in applied.tables()
    assert applied.rows("SELECT * FROM first") == []
    assert applied.journal()[-1] == ("000005", "up", "failed")
    assert applied.version_rows() == {"000003", "000004"}
    assert "column" in applied.newel("log", "--json").json[0]["error"]


def test_a_failing_down_file_leaves_its_revision_applied(applied: Project) -> None:
    applied.write("sql/migrations/000002_second.down.sql", "DROP TABLE second;\nDROP TABLE second;\n")
    assert applied.newel("repair", "2").code == 0
    failed = applied.newel("down")
    assert failed.code == 1
    assert "sql/migrations/000002_second.down.sql:2:1" in failed.err
    assert "second" in applied.tables()
    assert applied.applied() == ["000001", "000002"]
    assert applied.journal()[-1] == ("000002", "down", "failed")


def test_an_irreversible_revision_says_why_and_stays(applied: Project) -> None:
    applied.write("sql/migrations/000002_second.down.sql", "-- newel: irreversible the rows are gone\n")
    with applied.nothing_changes():
        refused = applied.newel("down")
    assert refused.code == 1
    assert "the rows are gone" in refused.err


def test_a_permission_that_a_statement_lacks_ends_with_4(applied: Project) -> None:
    applied.pair("000005", "fifth", up="SET LOCAL ROLE pg_monitor;\nCREATE TABLE newel.mine ();\n")
    applied.stubs()
    failed = applied.newel("up")
    assert failed.code == 4
    assert f"{UP}:2:" in failed.err


ENVIRONMENTS = [
    ('{"environments": {\n  "development": {}\n  "staging": {}}}', 1, ":3:3: not valid JSON"),
    ('{"environments": {\n  "development": {"migratons": []}}}', 1, ":2:19: unknown key `migratons`; did you"),
    ('{"environments": {\n  "development": {"config": {"lock_timout": "1s"}}}}', 1, "did you mean `lock_timeout`?"),
    ('{"environments": {"development": {"config": {\n "require_approval": "yes"}}}}', 1, ":2:2: `require_approval`"),
    ('{"environments": {"development": {}},\n"current_environment": "develpment"}', 1, ":2:1: current_environment"),
    ('{"environments": {"development": {}, "development": {}}}', 1, "stands twice"),
    ('{"environment": {}}', 1, ":1:2: unknown key `environment`; did you mean `environments`?"),
    ("", 1, ":1:1: not valid JSON"),
    ("[]", 1, ":1:1: "),
    ('{"environments": {"development": {\n"migrations": ["development/000009_no.up.sql"]}}}', 2, ":2:16: "),
]  # fmt: skip


def test_a_bad_environments_json_is_refused_with_line_and_column(applied: Project) -> None:
    sound = (applied.root / "env/environments.json").read_bytes()
    wrong = []
    with applied.nothing_changes():
        for text, code, words in ENVIRONMENTS:
            applied.write("env/environments.json", text)
            refused = applied.newel("up")
            if refused.code != code or "env/environments.json" not in refused.err or words not in refused.err:
                wrong.append((text, refused.code, refused.err))
        applied.write("env/environments.json", sound)
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        '{"environments": {"development": {}},\n"current_environment": ["development"]}',
        '{"environments": {"development": {"config": {\n"lock_timeout": "9999999999d"}}}}',
    ],
)
def test_a_value_that_makes_no_sense_is_refused_where_it_stands(applied: Project, text: str) -> None:
    applied.write("env/environments.json", text)
    with applied.nothing_changes():
        refused = applied.newel("up")
    assert refused.code == 1
    assert "env/environments.json:2:1: " in refused.err


def test_a_missing_environments_json_ends_with_2(applied: Project) -> None:
    file = applied.root / "env/environments.json"
    file.unlink()
    assert applied.newel("up").code == 2
    file.parent.rmdir()
    assert applied.newel("up").code == 2
    applied.write("env", "a file where a folder belongs")
    refused = applied.newel("up")
    assert refused.code in (1, 2)
    assert "env/environments.json" in refused.err


def test_a_line_of_an_env_file_that_means_nothing_is_refused(applied: Project) -> None:
    applied.write("env/development.env", "DATABASE_USER=app\nDATABASE_HOST db.example\n")
    refused = applied.newel("status")
    assert refused.code == 1
    assert "env/development.env:2" in refused.err
    applied.write("env/development.env", "DATABASE_USER=app\nDATABASE_HSOT=db.example\n")
    refused = applied.newel("status")
    assert refused.code == 1
    assert "did you mean DATABASE_HOST?" in refused.err.replace("`", "")


def test_a_project_whose_folders_are_missing_ends_with_2(applied: Project) -> None:
    (applied.root / "sql").rename(applied.root / "lost")
    refused = applied.newel("up")
    assert refused.code == 2
    assert "sql/migrations" in refused.err


@pytest.mark.parametrize("folder", ['it\'s "mine"', "50% done", "für alle"])
def test_the_folder_may_have_any_name(applied: Project, folder: str) -> None:
    root = applied.root.with_name(folder)
    applied.root.rename(root)
    applied.root = Path(root)
    done = applied.newel("up")
    assert done.code == 0, done.err
