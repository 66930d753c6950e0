"""A file that was changed after it was applied: what counts, what is refused, and what is not looked at."""

from __future__ import annotations

import subprocess
import sys

import pytest
from made import table

from newel.database.journal.records import UP_TEXT_LIMIT
from newel.errors import DependencyError, NewelError
from newel.project import stubs
from newel.project.graph import load_revisions

UP, DOWN = "CREATE TABLE one (id int);\nCREATE INDEX ON one (id);\n", "DROP TABLE one;\n"


@pytest.fixture
def two(made, database):
    """Two applied revisions, one of development that is applied last, and one that is pending."""
    made.pair("000001_one", UP, DOWN)
    made.pair("000002_two", *table("two"))
    made.pair("000003_three", *table("three"), folder="development")
    made.run("upgrade", "head", database.engine())
    made.pair("000004_four", *table("four"))
    return made


def file(made, name, direction="up", folder="."):
    return made.root / "sql" / "migrations" / folder / f"{name}.{direction}.sql"


def refused(made, database, command="upgrade", target="head"):
    """Return the refusal of a run, which runs nothing."""
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT count(*) FROM newel.journal")
        before = cursor.fetchone()
        with pytest.raises(DependencyError, match="was changed after") as caught:
            made.run(command, target, database.engine())
        cursor.execute("SELECT count(*) FROM newel.journal")
        assert cursor.fetchone() == before
    assert caught.value.exit_code == 5
    return caught.value


@pytest.mark.parametrize(
    "up",
    [
        f"-- newel: allow destructive: reviewed\n/* why */ {UP}-- the end\n",
        UP.replace("\n", "\r\n"),
        UP.replace(" ", "  ").replace(";", "\n  -- so be it\n;"),
        f"\ufeff{UP}",
        UP.rstrip(";\n"),
    ],
    ids=["comments", "line ends", "white space", "byte order mark", "last semicolon"],
)
def test_what_lies_between_the_tokens_does_not_count(two, database, rows, up):
    file(two, "000001_one").write_bytes(up.encode())
    file(two, "000001_one", "down").write_text(f"-- newel: lossy one it goes\n\n{DOWN}")
    two.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('four') IS NOT NULL") == [(True,)]


@pytest.mark.parametrize(
    ("direction", "text", "shown"),
    [
        ("up", UP.replace("int)", "bigint)"), "one.up.sql:1: changed\n    -CREATE TABLE one (id int);\n"),
        ("up", f"{UP}SELECT 1;\n", "one.up.sql:3: added\n    +SELECT 1;"),
        ("up", UP.splitlines()[0], "one.up.sql:2 as it was applied: removed"),
        ("up", "", "one.up.sql:1 as it was applied: removed"),
        ("up", "CREATE TABEL one ();", "one.up.sql:1:8: syntax error"),
        ("up", "SELECT '\udcff';", "byte 0xff is not valid UTF-8"),
        ("down", "DROP TABLE IF EXISTS one;\n", "one.down.sql:1: changed\n    -DROP TABLE one;\n"),
    ],
)
def test_a_changed_statement_of_an_applied_file_refuses_an_upgrade_with_the_difference(
    two, database, rows, direction, text, shown
):
    file(two, "000001_one", direction).write_bytes(text.encode(errors="surrogateescape"))
    error = refused(two, database)
    assert str(error.where) == f"sql/migrations/000001_one.{direction}.sql"
    assert shown in str(error.excerpt)
    assert "newel repair 000001" in str(error.cure)
    assert rows(database, "SELECT to_regclass('four')") == [(None,)]


def test_several_changed_files_are_counted_and_all_named_in_the_cure(two, database):
    file(two, "000001_one").write_text("SELECT 1;\n")
    file(two, "000001_one", "down").write_text("SELECT 1;\n")
    file(two, "000003_three", folder="development").write_text("SELECT 1;\n")
    error = refused(two, database)
    assert "and 2 more" in error.what
    assert "newel repair 000001 000003" in str(error.cure)


def test_an_upgrade_with_nothing_pending_reads_no_file(two, database):
    two.run("upgrade", "head", database.engine())
    for path in (two.root / "sql" / "migrations").rglob("*.sql"):
        path.unlink()
        path.mkdir()  # nobody can read a folder as a file, root included
    assert two.run("upgrade", "head", database.engine()) == []
    assert two.run("upgrade", "2", database.engine()) == []


def test_a_file_that_cannot_be_read_is_not_called_changed(two, database):
    file(two, "000001_one").unlink()
    file(two, "000001_one").mkdir()
    with pytest.raises(NewelError, match="cannot read the file") as caught:
        two.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql"


def test_a_rollback_is_refused_for_a_changed_down_file_of_what_it_takes_back(two, database):
    file(two, "000003_three", "down", "development").write_text("SELECT 1;\n")
    assert "three.down.sql:1: changed" in str(refused(two, database, "downgrade", "-1").excerpt)


def test_a_rollback_heeds_neither_changed_up_files_nor_other_revisions(two, database, rows):
    file(two, "000003_three", folder="development").write_text("SELECT 1;\n")
    for direction in ("up", "down"):
        file(two, "000001_one", direction).write_text("SELECT 1;\n")
    two.run("downgrade", "2", database.engine())
    assert rows(database, "SELECT to_regclass('three')") == [(None,)]


def test_goto_heeds_all_that_stays_and_the_down_files_of_what_goes(made, database, rows):
    made.pair("000001_one", UP, DOWN)
    made.pair("000004_four", *table("four"))
    made.run("upgrade", "head", database.engine())
    made.pair("000003_three", *table("three"), folder="development")
    file(made, "000004_four").write_text("CREATE TABLE four (n text);\n")
    if made.way == "direct":  # Alembic has no command that goes both ways
        file(made, "000001_one").write_text("SELECT 1;\n")
        refused(made, database, "goto", "3")
        file(made, "000001_one").write_text(UP)
        file(made, "000004_four", "down").write_text("SELECT 1;\n")
        refused(made, database, "goto", "3")
        file(made, "000004_four", "down").write_text(table("four")[1])
    made.run("goto", "3", database.engine())
    made.run("upgrade", "head", database.engine())  # what is applied anew is what the file says now
    assert rows(
        database, "SELECT attname FROM pg_attribute WHERE attrelid = 'four'::regclass AND attnum > 0"
    ) == [("n",)]


def test_a_stamped_revision_is_held_to_what_its_files_said_then(made, database):
    made.pair("000001_one", *table("one"))
    made.run("goto", "head", database.engine(), stamp=True)
    made.pair("000002_two", *table("two"))
    file(made, "000001_one").write_text("SELECT 1;\n")
    refused(made, database)


def test_a_revision_of_another_environment_is_not_compared(two, database, new_database):
    production = new_database(environment="production")
    two.run("upgrade", "2", production.engine(), "production")
    file(two, "000003_three", folder="development").write_text("SELECT 1;\n")
    two.run("upgrade", "head", production.engine(), "production")


def test_a_revision_that_was_rolled_back_may_change(two, database):
    two.run("downgrade", "2", database.engine())
    file(two, "000003_three", folder="development").write_text("CREATE TABLE three (n text);\n")
    two.run("upgrade", "head", database.engine())


def test_a_renamed_revision_is_refused_even_with_nothing_pending(two, database):
    two.run("upgrade", "head", database.engine())
    for direction in ("up", "down"):
        path = file(two, "000002_two", direction)
        path.rename(path.with_name(f"000002_deux.{direction}.sql"))
    stubs.write(two.root, load_revisions(two.root))
    with pytest.raises(
        DependencyError, match="holds 000002_two, but this checkout calls 000002 deux"
    ) as caught:
        two.run("upgrade", "head", database.engine())
    assert "newel repair 000002" in str(caught.value.cure)


def test_a_deleted_pair_is_a_revision_that_the_checkout_lacks(two, database):
    for direction in ("up", "down"):
        file(two, "000001_one", direction).unlink()
    stubs.write(two.root, load_revisions(two.root))
    with pytest.raises(DependencyError, match="000001"):
        two.run("upgrade", "head", database.engine())


def test_of_an_up_file_above_the_limit_the_statements_are_compared_and_not_shown(made, database, rows):
    values = ",\n".join(f"({number}, '{'x' * 80}')" for number in range(UP_TEXT_LIMIT // 90 + 100))
    up = f"CREATE TABLE big (id int, t text);\nINSERT INTO big VALUES\n{values};\n"
    assert len(up) > UP_TEXT_LIMIT
    path = made.pair("000001_big", up, "DROP TABLE big;\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT up_sql, down_sql IS NOT NULL FROM newel.journal") == [(None, True)]
    made.pair("000002_two", *table("two"))
    path.write_text(f"-- a comment\n{up.replace(';', ' ; -- and another', 1)}")
    made.run("upgrade", "head", database.engine())
    made.pair("000003_three", *table("three"))
    path.write_text(up.replace("(5, ", "(6, "))
    assert "above 1 MB" in str(refused(made, database).excerpt)


def test_a_comment_may_hold_letters_that_the_databases_encoding_lacks(made, new_database, rows):
    database = new_database(encoding="LATIN1")
    made.pair("000001_one", f"-- → ž\n{UP}", f"-- → ž\n{DOWN}")
    made.run("upgrade", "head", database.engine())
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    file(made, "000001_one").write_text(f"-- → ž\n{UP.replace('int', 'bigint')}")
    made.pair("000003_three", *table("three"))
    assert "one.up.sql:2: changed" in str(refused(made, database).excerpt)


def to_first_form(rows, database):
    """Give the journal the form that newel 0.1.0 made."""
    rows(
        database,
        "ALTER TABLE newel.journal DROP COLUMN branch, DROP COLUMN down_revision, DROP COLUMN depends_on, "
        "DROP COLUMN down_checksum, DROP COLUMN up_sql, DROP COLUMN down_sql, DROP COLUMN down_transactional, "
        "DROP COLUMN approval, DROP COLUMN backend, DROP COLUMN host",
    )
    rows(database, "ALTER TABLE newel.journal RENAME up_checksum TO checksum")
    rows(database, "UPDATE newel.journal SET done_checksum = NULL, statements_done = 0")


def test_what_newel_0_1_0_applied_is_held_to_its_checksum_alone(made, database, rows):
    path = made.pair("000001_one", UP, DOWN)
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "1", database.engine())
    to_first_form(rows, database)
    made.run("upgrade", "2", database.engine())
    made.pair("000003_three", *table("three"))
    made.run("upgrade", "3", database.engine())
    made.pair("000004_four", *table("four"))
    path.write_text(f"-- a comment\n{UP}")
    assert "kept its SHA-256 alone" in str(refused(made, database).excerpt)


@pytest.mark.parametrize("made", ["alembic"], indirect=True)
def test_plain_alembic_refuses_a_changed_file_with_255(two, database):
    file(two, "000001_one").write_text("SELECT 1;\n")
    environ = {"DATABASE_URL": database.url, "MIGRATION_ENV": "development", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "alembic.config", "upgrade", "head"],
        cwd=two.root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 255
    assert "sql/migrations/000001_one.up.sql:1: changed" in done.stderr + done.stdout
