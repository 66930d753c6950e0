"""The script that --sql prints, run by psql, leads where a run against the database leads."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess

import pytest

from newel.database.catalog.difference import difference
from newel.database.catalog.snapshot import snapshot
from newel.migrate.invoke import through_alembic
from newel.migrate.request import Request
from newel.project.graph import heads
from newel.project.project import load_project


@pytest.fixture
def script(project_root):
    """Print the script of a request."""

    def make(environment, command, target):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            project = load_project(project_root, {}, environment)
            through_alembic(project, Request(command, target), lambda _: None, sql=True)
        return printed.getvalue()

    return make


def run_psql(database, sql: str) -> subprocess.CompletedProcess[str]:
    if database.psql is None:
        pytest.fail("these binaries come without psql, so the script cannot be tried")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(
        [database.psql, "-X", "-q", "-d", database.url],
        input=sql,
        capture_output=True,
        text=True,
        env=environ,
    )


def assert_same(one, other):
    """Compare all schemas, newel's own too, and what its tables say apart from times and ids."""
    assert str(difference(snapshot(one.connect(), frozenset()), snapshot(other.connect(), frozenset()))) == ""
    for query in (
        "SELECT version_num FROM newel.alembic_version ORDER BY 1",
        "SELECT name FROM newel.environment",
        "SELECT revision, slug, direction, environment, result, statements_done, up_checksum, down_checksum, "
        "up_sql, down_sql, down_transactional, branch, depends_on, done_checksum, error, application "
        "FROM newel.journal ORDER BY id",
        "SELECT email FROM user_service.users ORDER BY 1"
        if "users" in str(snapshot(one.connect()))
        else "SELECT 1",
    ):
        rows = []
        for database in (one, other):
            with database.connect().cursor() as cursor:
                cursor.execute(query)
                rows.append(cursor.fetchall())
        assert rows[0] == rows[1]


def version_rows(database) -> list[str]:
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT version_num FROM newel.alembic_version ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_a_script_from_base_gives_the_same_database_as_a_run(script, new_database, database_at, environment):
    offline = new_database(environment=environment)
    done = run_psql(offline, script(environment, "upgrade", "head"))
    assert (done.returncode, done.stderr.replace("NOTICE", "").count("ERROR")) == (0, 0)
    assert_same(database_at("head", environment), offline)


def test_scripts_of_a_part_up_and_down_give_the_same_database_as_runs(script, database_at):
    online, offline = database_at("000005"), database_at("000005")
    online.up("head")
    online.down("000006")
    for command, target in (("upgrade", "000005:heads"), ("downgrade", "heads:000006")):
        done = run_psql(offline, script("development", command, target))
        assert done.returncode == 0, done.stderr
    assert_same(online, offline)


def test_a_script_down_to_base_and_up_again_runs(script, database_at, project_root):
    database = database_at("head")
    for command, target in (("downgrade", "head:base"), ("upgrade", "head")):
        done = run_psql(database, script("development", command, target))
        assert done.returncode == 0, done.stderr
    assert version_rows(database) == sorted(
        heads(load_project(project_root, {}, "development").environment_revisions)
    )


@pytest.mark.parametrize(
    ("environment", "target", "complaint"),
    [
        ("production", "000009:head", "the database belongs to development"),
        ("development", "000005:head", "the database is at "),
        ("development", "base:head", "the database is at "),
    ],
)
def test_a_script_stops_on_another_environment_or_starting_state(
    script, database_at, environment, target, complaint
):
    database = database_at("head")
    before = snapshot(database.connect(), frozenset())
    done = run_psql(database, script(environment, "upgrade", target))
    assert done.returncode == 3
    assert complaint in done.stderr
    assert snapshot(database.connect(), frozenset()) == before


def test_a_script_stops_where_a_revision_is_half_done(script, database_at):
    database = database_at("000005")
    with database.connect().cursor() as cursor:
        cursor.execute(
            "INSERT INTO newel.journal (revision, slug, direction, environment, result, statements_done, application) "
            "VALUES ('000006', 'optimize_user_search', 'up', 'development', 'failed', 2, 'newel')"
        )
    done = run_psql(database, script("development", "upgrade", "000005:head"))
    assert done.returncode == 3
    assert "revision 000006 is half done" in done.stderr


def test_a_script_stops_while_another_run_holds_the_lock(script, database):
    from newel.database.lock import KEY

    with database.connect().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        done = run_psql(database, script("development", "upgrade", "head"))
    assert done.returncode == 3
    assert "another run holds the lock" in done.stderr


NASTY = {
    "000001_one": "CREATE SCHEMA app;\nGRANT ALL ON SCHEMA app TO pg_monitor;\nCREATE TABLE t (a text);\n-- the end",
    "000002_role": "SET ROLE pg_monitor;\nCREATE TABLE app.u (a int);\n",
    "000003_copy": "COPY t FROM stdin;\r\n1\r\ntwo\r\n\\.\r\nCOPY t FROM stdin;\r\n\\.\r\n",
    "000004_letters": "INSERT INTO t VALUES ('é') -- a comment\n;\nINSERT INTO t VALUES ('ž:a');\n",
    "000005_alone": (
        "SET lock_timeout TO '4s';\nCREATE INDEX CONCURRENTLY i ON t (a);\n"
        "INSERT INTO t SELECT current_setting('lock_timeout');\n"
    ),
    "000006_set": "SET search_path TO app;\nCREATE TABLE v (a int);\n",
    "000007_next": "CREATE TABLE w (a int);\n",
}


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN2"])
def test_nasty_files_come_out_of_a_script_as_out_of_a_run(made, new_database, encoding):
    for name, up in NASTY.items():
        made.pair(name, "").write_bytes(up.encode())
    online, offline = new_database(encoding=encoding), new_database(encoding=encoding)
    made.run("upgrade", "head", online.engine())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        project = load_project(made.root, {}, "development")
        through_alembic(project, Request("upgrade", "head"), lambda _: None, sql=True)
    done = run_psql(offline, printed.getvalue())
    assert done.returncode == 0, done.stderr
    assert_same(online, offline)
    for database in (online, offline):
        with database.connect().cursor() as cursor:
            cursor.execute("SELECT a FROM public.t ORDER BY ctid")
            assert [row[0] for row in cursor.fetchall()] == ["1", "two", "é", "ž:a", "4s"]


def test_a_script_gives_the_lock_back_where_the_session_goes_on(script, database):
    count = "SELECT 'locks:' || count(*) FROM pg_locks WHERE locktype = 'advisory';"
    done = run_psql(database, f"{script('development', 'upgrade', 'head')}\n{count}")
    assert "locks:0" in done.stdout
