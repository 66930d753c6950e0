"""`newel clean`: empties the service's tables in one statement, and nothing else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from small_project import Project

TABLES = """\
CREATE SCHEMA app;
CREATE TABLE app.users (id serial PRIMARY KEY, boss integer REFERENCES app.users);
CREATE TABLE app.notes (user_id integer REFERENCES app.users, note text);
CREATE TABLE "Odd ""table" (id integer GENERATED ALWAYS AS IDENTITY);
CREATE TABLE parted (id integer) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
CREATE VIEW app.names AS SELECT note FROM app.notes;
CREATE MATERIALIZED VIEW app.kept AS SELECT id FROM app.users;
INSERT INTO app.users DEFAULT VALUES;
INSERT INTO app.users (boss) VALUES (1);
INSERT INTO app.notes VALUES (2, 'x');
INSERT INTO "Odd ""table" DEFAULT VALUES;
INSERT INTO parted VALUES (1);
"""
NAMES = ("app.notes", "app.users", '"Odd ""table"', "parted")


@pytest.fixture
def app(empty_project: Project) -> Project:
    """A project whose tables hold rows and refer to each other."""
    empty_project.pair("000001", "app", up=TABLES, down="DROP SCHEMA app CASCADE;")
    empty_project.stubs()
    assert empty_project.newel("up").code == 0
    return empty_project


def counts(project: Project) -> list[int]:
    """Rows of each table, and of newel's journal last."""
    return [project.rows(f"SELECT count(*) FROM {name}")[0][0] for name in (*NAMES, "newel.journal")]


def refused(project: Project, code: int, *arguments: str, **environ: str) -> str:
    before = counts(project)
    with project.nothing_changes():
        shown = project.newel("clean", *arguments, **environ)
    assert shown.code == code, shown.err
    assert counts(project) == before
    return shown.err


def test_every_table_is_emptied_and_its_sequence_starts_anew(app: Project):
    assert counts(app) == [1, 2, 1, 1, 1]
    shown = app.newel("clean", "--yes")
    assert shown.code == 0, shown.err
    assert counts(app) == [0, 0, 0, 0, 1]
    assert app.rows("INSERT INTO app.users DEFAULT VALUES RETURNING id") == [(1,)]
    assert shown.lines[2:6] == [
        "app.notes             1",
        "app.users             2",
        'public.Odd "table     1',
        "public.parted         1",
    ]
    assert "Left alone: app.kept (materialized view), app.names (view)" in shown.out
    assert shown.lines[-1] == "Emptied 4 tables"
    assert app.newel("status", "--json").json["problem"] is None


def test_json_tells_what_was_emptied(app: Project):
    told = app.newel("clean", "--yes", "--json").json
    assert told["environment"] == "development"
    assert told["emptied"][1] == {"table": "app.users", "rows": 2}
    assert told["left_alone"] == ["app.kept (materialized view)", "app.names (view)"]


def test_it_is_refused_where_the_environment_forbids_destruction(app: Project):
    app.environments(development={"config": {"allow_destructive_operations": False}})
    said = refused(app, 4, "--yes")
    assert "development does not allow destructive operations, and this empties every table" in said
    assert "`allow_destructive_operations` of `development` in env/environments.json" in said


def test_without_a_terminal_it_is_refused_unless_told_yes(app: Project):
    assert "there is no terminal to ask on" in refused(app, 1)
    assert app.newel("clean", "--json").json["error"]["exit_code"] == 1
    assert counts(app) == [1, 2, 1, 1, 1]


@pytest.mark.parametrize(("typed", "code"), [("yes", 4), ("the name", 0)])
def test_on_a_terminal_the_databases_name_has_to_be_typed(app: Project, typed: str, code: int):
    before = counts(app)
    name = app.database.name if typed == "the name" else typed
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "newel.cli.main", "clean"],
        cwd=app.root,
        env=app.variables({}),
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(follower)
    os.write(leader, f"{name}\n".encode())
    said, _ = process.communicate(timeout=30)
    os.close(leader)
    assert process.returncode == code, said
    assert f"Type the name of the database, {app.database.name}, to go on" in said
    assert (counts(app) == before) == (code != 0)


def test_a_database_of_another_environment_is_refused(app: Project):
    assert "belongs to development" in refused(app, 1, "--yes", MIGRATION_ENV="staging")


def test_a_database_without_any_revision_is_refused(empty_project: Project):
    empty_project.execute("CREATE TABLE someones AS SELECT 1 AS a")
    shown = empty_project.newel("clean", "--yes")
    assert shown.code == 5
    assert "no revision has been applied to this database yet" in shown.err
    assert empty_project.rows("SELECT a FROM someones") == [(1,)]


def test_where_there_is_no_table_it_says_so_and_asks_nobody(app: Project):
    app.newel("down", "base")
    app.execute('DROP TABLE IF EXISTS parted, "Odd ""table"')
    shown = app.newel("clean")
    assert shown.code == 0, shown.err
    assert shown.lines[-1] == "There is no table to empty"


def test_a_table_that_somebody_holds_stops_it(app: Project):
    app.environments(development={"config": {"lock_timeout": "50ms"}})
    connection = app.database.connect()
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("LOCK app.notes IN ACCESS SHARE MODE")
    said = refused(app, 1, "--yes")
    connection.rollback()
    assert "cannot empty the tables: canceling statement due to lock timeout (55P03)" in said
    assert "Somebody works with one of the tables" in said


def test_a_role_that_may_not_truncate_ends_with_4(app: Project, role: Any):
    reader = role("s3cret")
    app.execute(f"GRANT USAGE ON SCHEMA app, newel TO {reader.name}")
    app.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA newel TO {reader.name}")
    shown = app.newel("clean", "--yes", DATABASE_URL=reader.url())
    assert shown.code == 4
    assert "permission denied for table notes (42501)" in shown.err
    assert counts(app) == [1, 2, 1, 1, 1]


def test_a_table_of_an_extension_keeps_its_rows_and_its_foreign_key_stops_it(app: Project):
    app.execute(
        "CREATE TABLE theirs AS SELECT 1 AS user_id; CREATE EXTENSION IF NOT EXISTS plpgsql;"
        "ALTER EXTENSION plpgsql ADD TABLE theirs"
    )
    assert app.newel("clean", "--yes").code == 0
    assert app.rows("SELECT user_id FROM theirs") == [(1,)]
    app.execute(
        "INSERT INTO app.users (id) VALUES (1); ALTER TABLE theirs ADD FOREIGN KEY (user_id) REFERENCES app.users"
    )
    said = refused(app, 1, "--yes")
    assert "cannot truncate a table referenced in a foreign key constraint (0A000)" in said


def test_foreign_tables_are_left_alone_as_partitions_too(app: Project):
    app.execute(
        "CREATE FOREIGN DATA WRAPPER none; CREATE SERVER far FOREIGN DATA WRAPPER none;"
        "CREATE FOREIGN TABLE abroad PARTITION OF parted FOR VALUES IN (2) SERVER far"
    )
    told = app.newel("clean", "--yes", "--json").json
    assert [item["table"] for item in told["emptied"]][-1] == "public.part_1"
    assert "public.abroad (foreign table)" in told["left_alone"]
    assert app.rows("SELECT count(*) FROM part_1") == [(0,)]


def test_tables_that_came_since_they_were_shown_are_not_emptied(app: Project):
    from newel.database.connection import connect
    from newel.errors import NewelError
    from newel.migrate.clean import empty_tables, look_at_tables
    from newel.project.project import load_project

    project = load_project(app.root, {"DATABASE_URL": app.database.url}, "development")
    connection = connect(app.database.server.params(app.database.name))
    try:
        seen = look_at_tables(project, connection)
        app.execute("CREATE TABLE later AS SELECT 1 AS a")
        with pytest.raises(NewelError, match="the tables are others than those that were shown"):
            empty_tables(project, connection, seen, lambda _: None)
    finally:
        connection.close()
    assert counts(app) == [1, 2, 1, 1, 1]


def test_a_connection_that_is_lost_while_somebody_is_asked_ends_with_3(
    app: Project, monkeypatch: pytest.MonkeyPatch
):
    def answer(_: str) -> str:
        app.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return app.database.name

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr("builtins.input", answer)
    before = counts(app)
    shown = app.newel("clean")
    assert (shown.code, "cannot empty the tables" in shown.err) == (3, True), shown.err
    assert counts(app) == before


def test_what_others_have_put_into_public_is_not_run(app: Project):
    app.execute(
        "CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'lurked'; END$$"
    )
    shown = app.newel("clean", "--yes")
    assert (shown.code, counts(app)[:4]) == (0, [0, 0, 0, 0]), shown.err
