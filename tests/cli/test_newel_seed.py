"""`newel seed`: SQL and CSV files, each in one transaction, safe to run again, with every row accounted for."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest
from small_project import REPOSITORY, Project

USERS = """\
CREATE TABLE app.users (
    id serial PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name varchar(10) CHECK (name <> 'nobody'),
    boss integer REFERENCES app.users,
    loud text GENERATED ALWAYS AS (upper(email)) STORED
);
"""
OTHERS = """\
CREATE TABLE app.notes (note text);
CREATE UNIQUE INDEX ON app.notes (note) WHERE note <> '';
CREATE VIEW app.names AS SELECT name FROM app.users;
CREATE TABLE app.coded (code integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what json);
"""
ENVIRONMENT = {"search_path": ["app", "public"]}


@pytest.fixture
def app(empty_project: Project) -> Project:
    """A project with the tables of an application, applied."""
    empty_project.pair(
        "000001", "app", up=f"CREATE SCHEMA app;\n{USERS}{OTHERS}", down="DROP SCHEMA app CASCADE;"
    )
    empty_project.stubs()
    empty_project.environments(development=ENVIRONMENT, production=ENVIRONMENT)
    assert empty_project.newel("up").code == 0
    return empty_project


def tallies(project: Project) -> dict[str, tuple[int, int, int, int]]:
    """Run the seeds and return the rows inserted, updated, deleted and skipped of each file."""
    told = project.newel("seed", "--json")
    assert told.code == 0, told.out
    kinds = ("inserted", "updated", "deleted", "skipped")
    return {
        item["file"].removeprefix("sql/seeds/"): tuple(item[kind] for kind in kinds)
        for item in told.json["files"]
    }


def refused(project: Project, code: int = 1) -> str:
    """Run the seeds, which have to be refused before anything of them is run."""
    before = rows(project)
    with project.nothing_changes():
        shown = project.newel("seed")
    assert shown.code == code, shown.err
    assert rows(project) == before
    return shown.err


def rows(project: Project) -> list[Any]:
    return project.rows("SELECT id, email, name, boss FROM app.users ORDER BY id")


def test_base_is_run_first_and_a_second_run_skips_every_row(app: Project):
    app.write(
        "sql/seeds/base/010_root.sql",
        "INSERT INTO users (email) VALUES ('root'), ('guest') ON CONFLICT (email) DO NOTHING;",
    )
    app.write("sql/seeds/development/users.csv", 'email,name,boss\na,Ann,1\n"b, c","",\n')
    first = app.newel("seed")
    assert first.code == 0, first.err
    assert re.search(r"^base/010_root.sql +2 +0 +0 +\d+ ms$", first.out, re.MULTILINE)
    assert re.search(r"^development/users.csv +2 +0 +0 +\d+ ms$", first.out, re.MULTILINE)
    assert re.search(r"^2 seed files in .*: 4 inserted, 0 updated, 0 skipped$", first.out, re.MULTILINE)
    assert "\033" not in first.out
    assert [row[1:] for row in rows(app)] == [
        ("root", None, None),
        ("guest", None, None),
        ("a", "Ann", 1),
        ("b, c", "", None),
    ]
    assert tallies(app) == {
        "base/010_root.sql": (0, 0, 0, 2),
        "development/users.csv": (0, 0, 0, 2),
    }


def test_a_changed_cell_updates_its_row_alone(app: Project):
    app.write("sql/seeds/base/users.csv", "id,email,name\n1,a,Ann\n2,b,Bob\n")
    app.newel("seed")
    app.write("sql/seeds/base/users.csv", "id,email,name\n1,a,Anna\n2,b,Bob\n3,c,\n")
    assert tallies(app) == {"base/users.csv": (1, 1, 0, 1)}
    assert rows(app) == [(1, "a", "Anna", None), (2, "b", "Bob", None), (3, "c", None, None)]


def test_the_applications_next_row_gets_a_free_number(app: Project):
    app.write("sql/seeds/base/users.csv", "id,email\n7,a\n3,b\n")
    app.write("sql/seeds/base/coded.csv", 'code,what\n5,"{""a"": 1}"\n')
    assert tallies(app) == {"base/coded.csv": (1, 0, 0, 0), "base/users.csv": (2, 0, 0, 0)}
    app.execute("INSERT INTO app.users (email) VALUES ('c')")
    app.execute("INSERT INTO app.coded (what) VALUES ('1')")
    assert app.rows("SELECT max(id) FROM app.users") == [(8,)]
    assert app.rows("SELECT max(code) FROM app.coded") == [(6,)]
    assert tallies(app) == {"base/coded.csv": (0, 0, 0, 1), "base/users.csv": (0, 0, 0, 2)}
    app.execute("INSERT INTO app.users (email) VALUES ('d')")
    assert app.rows("SELECT max(id) FROM app.users") == [(9,)]  # the sequence was not moved back


def test_a_table_is_found_by_its_folder_too_and_its_notices_are_shown(app: Project):
    app.write("sql/seeds/base/app/010_users.csv", "email\r\na\r\n")
    app.write("sql/seeds/base/note.sql", "DO $$ BEGIN RAISE NOTICE 'so %', 100; END $$;")
    shown = app.newel("seed", DATABASE_URL=app.database.url)
    assert shown.code == 0, shown.err
    assert "        NOTICE:  so 100" in shown.out
    assert [row[1] for row in rows(app)] == ["a"]


def test_deleted_rows_are_told(app: Project):
    app.execute("INSERT INTO app.notes VALUES ('x'), ('y')")
    app.write("sql/seeds/base/x.sql", "DELETE FROM notes WHERE note = 'x';")
    shown = app.newel("seed")
    assert "deleted 1 row" in shown.out
    assert "1 deleted" in shown.lines[-1]


def test_no_seeds_at_all_is_said_without_a_database(empty_project: Project):
    (empty_project.root / "sql/seeds/base").mkdir(parents=True)
    shown = empty_project.newel("seed", DATABASE_URL="postgresql:///nowhere?host=/nowhere")
    assert (shown.code, shown.out) == (
        0,
        "development: there are no seeds; they lie in sql/seeds/base and sql/seeds/development\n",
    )


def test_pending_revisions_are_told_and_the_seeds_run(app: Project):
    app.pair("000002", "later")
    app.stubs()
    app.write("sql/seeds/base/users.csv", "email\na\n")
    shown = app.newel("seed")
    assert shown.code == 0
    assert "warning: 1 revision pending, and seeds are written for the last one" in shown.out
    assert app.newel("seed", "--json").json["pending"] == ["000002"]


# What is refused before anything runs


@pytest.mark.parametrize(
    ("path", "text", "place", "what"),
    [
        ("users.csv", "emial\na\n", ":1:", "users has no column `emial`; did you mean `email`?"),
        ("users.csv", "Email\na\n", ":1:", "did you mean `email`?"),
        ("users.csv", "email;name\na;b\n", ":1:", "the columns are separated by commas"),
        ("users.csv", "email,loud\na,A\n", ":1:", "column `loud` is generated"),
        ("users.csv", "name\nAnn\n", ":1:", "the header names no key"),
        ("notes.csv", "note\nx\n", ":1:", "The table needs a primary key or a unique constraint"),
        ("names.csv", "name\nx\n", ":1:", "app.names is a view"),
        ("user.csv", "email\na\n", ":1:", "there is no table user; did you mean app.users?"),
        ("app/user.csv", "email\na\n", ":1:", "there is no table app.user; did you mean app.users?"),
        ("newel/journal.csv", "id\n1\n", ":1:", "there is no table newel.journal"),
        ("pg_class.csv", "oid\n1\n", ":1:", "there is no table pg_class"),
        ("users.csv", 'email,name\na,x\nb,"y\nc,z\n', ":3:3:", "the quote that opens here is never closed"),
        ("users.csv", "email,name\na,x\nb\n", ":3:1:", "the row has 1 field, and the header names 2 columns"),
        ("x.sql", "SELECT 1;\nSELEC 2;\n", ":2:1:", "syntax error"),
        ("x.sql", "SELECT 1;\nCOMMIT;\n", ":2:1:", "transaction control"),
        ("x.sql", "VACUUM;\n", ":1:1:", "a seed file runs in one transaction"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_refused_with_its_line_before_the_first_one_runs(
    app: Project, path: str, text: str, place: str, what: str
):
    app.write("sql/seeds/base/000_first.sql", "INSERT INTO users (email) VALUES ('first');")
    app.write(f"sql/seeds/development/{path}", text)
    said = refused(app)
    assert f"sql/seeds/development/{path}{place}" in said
    assert what in said


def test_a_missing_file_is_said_before_anything_runs(app: Project):
    app.write("sql/seeds/base/first.sql", "INSERT INTO users (email) VALUES ('first');")
    app.environments(development={**ENVIRONMENT, "seed_files": ["development/gone.csv"]})
    said = refused(app, 2)
    assert "env/environments.json:9:" in said
    assert "lists the seed development/gone.csv" in said


def test_destructive_statements_are_refused_where_the_environment_forbids_them(app: Project):
    app.write("sql/seeds/base/000_first.sql", "INSERT INTO users (email) VALUES ('first');")
    app.write("sql/seeds/base/x.sql", "SELECT 1;\nTRUNCATE notes;\n")
    app.environments(development={**ENVIRONMENT, "config": {"allow_destructive_operations": False}})
    said = refused(app, 4)
    assert "sql/seeds/base/x.sql:2:1: development does not allow destructive statements" in said


def test_a_database_of_another_environment_is_refused(app: Project):
    app.write("sql/seeds/base/x.sql", "INSERT INTO users (email) VALUES ('a');")
    before = rows(app)
    shown = app.newel("seed", "--env", "production")
    assert (shown.code, rows(app)) == (1, before)
    assert "the database belongs to development, but this command is for production" in shown.err


def test_a_database_without_any_revision_is_refused(empty_project: Project):
    empty_project.write("sql/seeds/base/x.sql", "CREATE TABLE t ();")
    with empty_project.nothing_changes():
        shown = empty_project.newel("seed")
    assert shown.code == 5
    assert "no revision has been applied to this database yet" in shown.err


# What fails while it runs


def test_a_seed_that_fails_half_way_leaves_nothing_of_itself_and_keeps_the_files_before_it(app: Project):
    app.write(
        "sql/seeds/base/010_good.sql", "INSERT INTO users (email) VALUES ('good') ON CONFLICT DO NOTHING;"
    )
    app.write(
        "sql/seeds/base/020_bad.sql",
        "INSERT INTO users (email) VALUES ('half');\n\n"
        "INSERT INTO users (email, name) VALUES ('x', 1/0) ON CONFLICT DO NOTHING;\n",
    )
    app.write("sql/seeds/base/030_never.sql", "INSERT INTO users (email) VALUES ('never');")
    shown = app.newel("seed")
    assert shown.code == 1
    assert "error: sql/seeds/base/020_bad.sql:3:1: division by zero (22012)" in shown.err
    assert "020_bad.sql was rolled back whole." in shown.err
    assert "Before it, sql/seeds/base/010_good.sql was run; that stays." in shown.err
    assert "The same command may be run again" in shown.err
    assert [row[1] for row in rows(app)] == ["good"]
    told = app.newel("seed", "--json")
    assert (told.code, told.json["error"]["line"]) == (1, 3)
    assert [item["file"] for item in told.json["files"]] == ["sql/seeds/base/010_good.sql"]
    app.write("sql/seeds/base/020_bad.sql", "INSERT INTO users (email) VALUES ('mended');")
    assert tallies(app)["base/010_good.sql"] == (0, 0, 0, 1)


def test_the_server_points_at_the_same_place_in_a_statement_that_is_counted(app: Project):
    app.write(
        "sql/seeds/base/x.sql",
        "-- ü\nINSERT INTO users (email)\nSELECT 'ä', nope FROM users ON CONFLICT DO NOTHING;\n",
    )
    assert 'sql/seeds/base/x.sql:3:13: column "nope" does not exist' in refused(app)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("id,email,name\n1,a,\n2,b,much too long\n", 3, 'value too long for type character varying(10) (22001)'),
        ("id,email,name\n1,\"a\nb\",\nx,b,\n", 4, 'invalid input syntax for type integer: "x"'),
        ("id,email,name\n1,a,\n2,\"b\n\nx\",much too long\n3,c,\n", 3, "value too long"),
        ("id,email\n1,a\n2,\n3,c\n", 3, 'null value in column "email"'),
        ("email,name\na,\nb,x\n,y\n", 4, "email is the key by which a row is found again, and is empty here"),
        ("email,name\na,\nb,x\na,y\n", 4, "email has the same value as in line 2"),
        ("email,name\n\"a\n\",\nb,x\nc,nobody\nd,y\n", 5, "violates check constraint"),
        ("email,name\na,nobody\n", 2, "violates check constraint"),
        ("id,email,boss\n1,a,\n2,b,1\n3,c,9\n4,d,1\n", 4, "violates foreign key constraint"),
        ("id,email\n1,a\n2,b\n3,a\n", 4, "duplicate key value violates unique constraint"),
    ],
)  # fmt: skip
def test_a_row_that_the_table_does_not_take_is_named_with_its_line(
    app: Project, text: str, line: int, what: str
):
    app.write("sql/seeds/base/users.csv", text)
    said = refused(app)
    assert f"sql/seeds/base/users.csv:{line}: " in said
    assert what in said
    assert f"\n{line:>6} | {text.splitlines()[line - 1]}\n" in said
    assert "users.csv was rolled back whole." in said


def test_a_row_may_refer_to_one_further_down(app: Project):
    app.write("sql/seeds/base/users.csv", "id,email,boss\n1,a,2\n2,b,\n")
    assert tallies(app) == {"base/users.csv": (2, 0, 0, 0)}


def test_a_fault_behind_such_a_row_names_no_wrong_line(app: Project):
    app.write("sql/seeds/base/users.csv", "id,email,name,boss\n1,a,,3\n2,b,,\n3,c,nobody,\n")
    said = refused(app)
    assert re.search(r"users\.csv: .*violates check constraint", said)


def test_a_deferred_constraint_names_the_file(app: Project):
    app.execute("ALTER TABLE app.users ALTER CONSTRAINT users_boss_fkey DEFERRABLE INITIALLY DEFERRED")
    app.write("sql/seeds/base/users.csv", "id,email,boss\n1,a,9\n")
    shown = app.newel("seed")
    assert shown.code == 1
    assert "users.csv: a deferred constraint fails at the end of the file" in shown.err
    assert rows(app) == []


def test_a_table_that_is_locked_is_not_waited_for_longer_than_the_policy_says(app: Project):
    app.write("sql/seeds/base/users.csv", "email\na\n")
    app.environments(development={**ENVIRONMENT, "config": {"lock_timeout": "50ms"}})
    connection = app.database.connect()
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("LOCK app.users")
    shown = app.newel("seed")
    connection.rollback()
    assert shown.code == 1
    assert "canceling statement due to lock timeout (55P03)" in shown.err
    assert app.newel("seed").code == 0


def test_a_role_that_may_not_write_ends_with_4(app: Project, role):
    app.write("sql/seeds/base/users.csv", "email\na\n")
    reader = role("s3cret")
    app.execute(f"GRANT USAGE ON SCHEMA app, newel TO {reader.name}")
    app.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA newel, app TO {reader.name}")
    shown = app.newel("seed", DATABASE_URL=reader.url())
    assert shown.code == 4
    assert "permission denied for table users (42501)" in shown.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_behind_its_statement_and_leaves_nothing_of_the_file(app: Project, number: int):
    app.write("sql/seeds/base/010_a.sql", "INSERT INTO users (email) VALUES ('a') ON CONFLICT DO NOTHING;")
    app.write(
        "sql/seeds/base/020_b.sql",
        "INSERT INTO users (email) VALUES ('b');\nSELECT pg_advisory_xact_lock(4711);\nSELECT 1;\n",
    )
    app.environments(development={**ENVIRONMENT, "config": {"lock_timeout": "0"}})
    connection = app.database.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(4711)")
        process = app.start("seed")
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE objid = 4711 AND NOT granted)"
        while app.rows(waiting) == [(False,)]:
            assert process.poll() is None, process.communicate()
        process.send_signal(number)
        cursor.execute("SELECT pg_advisory_unlock(4711)")
    _, said = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert "Before it, sql/seeds/base/010_a.sql was run; that stays." in said
    assert [row[1] for row in rows(app)] == ["a"]


def test_a_role_that_may_not_use_the_schema_or_make_temporary_tables_ends_with_4(app: Project, role):
    app.write("sql/seeds/base/app/users.csv", "email\na\n")
    writer = role("s3cret")
    app.execute(f"GRANT USAGE ON SCHEMA newel TO {writer.name}")
    app.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA newel TO {writer.name}")
    shown = app.newel("seed", DATABASE_URL=writer.url())
    assert (shown.code, "users.csv: permission denied for schema app (42501)" in shown.err) == (4, True)
    app.execute(f"GRANT USAGE ON SCHEMA app TO {writer.name}")
    app.execute(f'REVOKE TEMPORARY ON DATABASE "{app.database.name}" FROM PUBLIC')
    shown = app.newel("seed", DATABASE_URL=writer.url())
    assert (shown.code, "users.csv: permission denied to create temporary tables" in shown.err) == (4, True)


def test_validate_finds_what_is_wrong_with_seeds(app: Project):
    app.write("sql/seeds/base/users.csv", 'email\n"a\n')
    app.write("sql/seeds/development/x.sql", "SELEC 1;")
    app.environments(development={}, staging={"seed_files": ["gone.sql"]})
    found = app.newel("validate", "--json")
    assert [(item["file"], item["line"], item["rule"]) for item in found.json if item["rule"] == "seeds"] == [
        ("env/environments.json", 6, "seeds"),
        ("sql/seeds/base/users.csv", 2, "seeds"),
        ("sql/seeds/development/x.sql", 1, "seeds"),
    ]
    assert found.code == 2


# How it looks


def test_on_a_terminal_of_80_columns_every_line_fits_and_long_work_has_a_bar(app: Project):
    app.write(f"sql/seeds/base/010_{'a_long_name_' * 8}.sql", "SELECT pg_sleep(0.7);\nSELECT 1;\n")
    app.write("sql/seeds/base/users.csv", "email\na\n")
    shown = on_a_terminal(app, "seed")
    lines = re.sub(r"\033\[[0-9;]*[mK]", "", shown).replace("\r", "\n").splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any(re.match(r"\.\.\.[a-z_]*_long_name_\.sql +0 +0 +0 ", line) for line in lines)
    assert any(re.match(r"\[#+-*\] +\d+ %  running base/010_a_long_name", line) for line in lines)


def test_in_a_pipe_there_is_no_bar(app: Project):
    app.write("sql/seeds/base/x.sql", "SELECT pg_sleep(0.7);\nSELECT 1;\n")
    shown = app.newel("seed")
    assert not {"[", "\r", "\033"} & set(shown.out)


def on_a_terminal(project: Project, *arguments: str) -> str:
    """Run the command on a terminal of 80 columns and return what it shows."""
    leader, follower = pty.openpty()
    variables = {**project.variables({}), "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "newel.cli.main", *arguments],
        cwd=project.root,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 4096):
            shown += part
    except OSError:  # Linux says so at the end
        pass
    os.close(leader)
    assert process.wait(30) == 0
    return shown.decode()


# This repository's own


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_the_seeds_of_this_repository_fit_its_last_revision_and_change_nothing_twice(
    database_at, environment: str, tmp_path
):
    for name in ("alembic", "sql", "env"):
        shutil.copytree(REPOSITORY / name, tmp_path / "copy" / name)
    shutil.copy(REPOSITORY / "alembic.ini", tmp_path / "copy")
    project = Project(tmp_path / "copy", database_at("head", environment), {"MIGRATION_ENV": environment})
    first = tallies(project)
    assert first["base/010_support_account.sql"] == (3, 0, 0, 0)
    assert any(path.startswith("development/") for path in first) == (environment == "development")
    again = tallies(project)
    assert again.keys() == first.keys()
    assert {item[:3] for item in again.values()} == {(0, 0, 0)}
