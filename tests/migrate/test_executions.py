"""What every kind of execution leaves in the journal's columns."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import subprocess

import psycopg2
import pytest
from made import table
from test_stored_rollback import forget

from newel import __version__
from newel.database.journal.executions import read_executions, read_interrupted
from newel.database.lock import migration_lock
from newel.errors import ConnectionFailed, Interrupted, NewelError
from newel.migrate.direct import run_direct
from newel.migrate.events import StatementDone
from newel.migrate.invoke import through_alembic
from newel.migrate.request import Request, look
from newel.project.project import load_project

UP, DOWN = table("one")
LOST = "-- newel: no-transaction\nCREATE TABLE two ();\nSELECT pg_terminate_backend(pg_backend_pid());\n"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def journal(database, rows):
    """Read the journal, oldest first, after looking at what holds for each row of it."""

    def read():
        found = []
        with database.connect().cursor() as cursor:
            cursor.execute("SELECT * FROM newel.journal ORDER BY id")
            names = [column.name for column in cursor.description]
            for values in cursor.fetchall():
                row = dict(zip(names, values, strict=True))
                applied = row["direction"] == "up" and row["result"] in ("applied", "stamped", "repaired")
                assert (row["down_sql"] is not None) == (row["down_transactional"] is not None) == applied, (
                    row
                )
                assert (row["up_sql"] is not None) == applied, row
                if applied:
                    for way in ("up", "down"):
                        text = bytes(row[f"{way}_sql"]).decode()
                        assert sha(text) == row[f"{way}_checksum"]
                assert (row["finished_at"] is None) == (row["result"] == "started")
                assert row["finished_at"] is None or row["finished_at"] >= row["started_at"]
                assert (row["error"] is not None) == (row["result"] == "failed")
                assert row["application"] == f"newel {__version__}"
                assert row["environment"] == "development"
                assert row["executed_by"]
                assert row["backend"]
                found.append(row)
        return found

    return read


def outlines(journal) -> list[tuple]:
    return [(row["revision"], row["direction"], row["result"], row["statements_done"]) for row in journal()]


def test_up_and_down(made, database, journal):
    made.pair("000001_one", f"{UP}SELECT 1;\n", DOWN)
    made.pair("000002_two", *table("two"))
    made.pair("000003_three", *table("three"), folder="development")
    made.run("upgrade", "head", database.engine())
    made.run("downgrade", "base", database.engine())
    assert outlines(journal) == [
        ("000001", "up", "applied", 2),
        ("000002", "up", "applied", 1),
        ("000003", "up", "applied", 1),
        ("000003", "down", "rolled back", 1),
        ("000002", "down", "rolled back", 1),
        ("000001", "down", "rolled back", 1),
    ]
    found = journal()
    assert [(row["branch"], row["down_revision"], row["depends_on"]) for row in found[:3]] == [
        (None, None, None),
        (None, "000001", None),
        ("development", None, "000002"),
    ]
    assert {row["host"] for row in found} == {socket.gethostname()}
    assert (found[5]["up_checksum"], found[5]["down_checksum"]) == (sha(f"{UP}SELECT 1;\n"), sha(DOWN))
    assert all(row["statement_begun"] is None and row["done_checksum"] for row in found)


def test_a_failure_and_what_goes_on_behind_it(made, database, journal):
    made.pair("000001_one", f"{UP}SELECT nope;\n", DOWN)
    path = made.pair("000002_two", "-- newel: no-transaction\nCREATE TABLE two ();\nSELECT nope;\n")
    with pytest.raises(NewelError):
        made.run("upgrade", "head", database.engine())
    made.pair("000001_one", UP, DOWN)
    with pytest.raises(NewelError):
        made.run("upgrade", "head", database.engine())
    path.write_text("-- newel: no-transaction\nCREATE TABLE two ();\nSELECT 1;\n")
    made.run("upgrade", "head", database.engine())
    assert outlines(journal) == [
        ("000001", "up", "failed", 0),
        ("000001", "up", "applied", 1),
        ("000002", "up", "failed", 1),
        ("000002", "up", "applied", 2),
    ]
    found = journal()
    assert "000001_one.up.sql:2:8" in found[0]["error"]
    assert found[0]["up_checksum"] == sha(f"{UP}SELECT nope;\n")


def test_a_lost_session_leaves_a_row_that_is_started(made, database, journal):
    made.pair("000001_one", UP, DOWN)
    path = made.pair("000002_two", LOST)
    with pytest.raises(ConnectionFailed):
        made.run("upgrade", "head", database.engine())
    path.write_text(LOST.replace("pg_terminate_backend(pg_backend_pid())", "1"))
    made.run("upgrade", "head", database.engine())
    assert outlines(journal) == [
        ("000001", "up", "applied", 1),
        ("000002", "up", "started", 1),
        ("000002", "up", "applied", 2),
    ]


def test_a_started_row_is_running_only_while_the_session_that_began_it_holds_the_lock(made, database):
    """What was interrupted before is not called running because another run is under way."""
    made.pair("000001_one", LOST)
    engine = database.engine()
    with pytest.raises(ConnectionFailed):
        made.run("upgrade", "head", engine)
    looker, runner = database.connect(), psycopg2.connect(**database.server.params(database.name))
    state = look(looker)
    with looker.cursor() as cursor, migration_lock(runner, 10, lambda _: None):
        assert [item.running for item in read_executions(cursor, state)] == [False]
        cursor.execute("UPDATE newel.journal SET backend = %s", (runner.info.backend_pid,))
        assert [item.running for item in read_executions(cursor, state)] == [True]
        assert [item.running for item in read_interrupted(cursor, state)] == [True]
    runner.close()


def test_stamps_up_and_down_and_a_purge(made, database, journal):
    made.pair("000001_one", UP, DOWN)
    made.pair("000002_two", *table("two"))
    made.run("goto", "2", database.engine(), stamp=True)
    made.run("goto", "1", database.engine(), stamp=True)
    made.run("goto", "2", database.engine(), stamp=True, purge=True)
    assert outlines(journal) == [
        ("000001", "up", "stamped", 0),
        ("000002", "up", "stamped", 0),
        ("000002", "down", "stamped", 0),
        ("000001", "down", "stamped", 0),  # the purge
        ("000001", "up", "stamped", 0),
        ("000002", "up", "stamped", 0),
    ]
    assert [row["up_checksum"] is None for row in journal()] == [False, False, False, True, False, False]


def test_a_rollback_without_file_has_the_checksum_of_what_was_run(made, database, journal):
    made.pair("000001_one", UP, DOWN)
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    forget(made, "000002")
    made.run("downgrade", "-1", database.engine())
    row = journal()[-1]
    assert (row["revision"], row["direction"], row["result"]) == ("000002", "down", "rolled back")
    assert (row["up_checksum"], row["down_checksum"]) == (None, sha(table("two")[1]))


def test_an_offline_script_leaves_the_same_rows_without_a_host(made, new_database, database, journal):
    made.pair("000001_one", f"-- → \\\n{UP}", DOWN)
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON one (id);\n", "DROP INDEX CONCURRENTLY i;\n")
    project = load_project(made.root, {}, "development")
    scripts = io.StringIO()
    with contextlib.redirect_stdout(scripts):
        for request in (Request("upgrade", "head"), Request("downgrade", "2:1")):
            through_alembic(project, request, lambda _: None, sql=True)
    done = subprocess.run(
        [str(database.psql), "-X", "-q", "-d", database.url],
        input=scripts.getvalue(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    other = new_database()
    made.run("upgrade", "head", other.engine())
    made.run("downgrade", "1", other.engine())
    found = journal()
    assert {row["host"] for row in found} == {None}
    with other.connect().cursor() as cursor:
        for name in set(found[0]) - {"host", "backend", "started_at", "finished_at"}:
            cursor.execute(f"SELECT {name} FROM newel.journal ORDER BY id")
            assert [row[name] for row in found] == [value for (value,) in cursor.fetchall()], name


def test_a_stop_by_ctrl_c_is_a_failure_with_the_statements_done(made, database, journal):
    made.pair("000001_one", f"-- newel: no-transaction\n{UP}SELECT 1;\n", DOWN)
    project = load_project(made.root, {}, "development")
    connection = psycopg2.connect(**database.server.params(database.name))

    def stop(event):
        if isinstance(event, StatementDone):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run_direct(project, Request("upgrade", "head"), connection, stop)
    connection.close()
    assert outlines(journal) == [("000001", "up", "failed", 1)]


@pytest.mark.parametrize("setting", ["SET ROLE pg_monitor", "SET default_transaction_read_only TO on"])
def test_what_a_file_sets_does_not_keep_its_failure_or_success_out_of_the_journal(
    made, database, journal, setting
):
    path = made.pair("000001_one", f"CREATE TABLE t ();\nVACUUM t;\n{setting};\nSELECT 1/0;\n")
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine())
    path.write_text(f"CREATE TABLE t ();\nVACUUM t;\n{setting};\n")
    made.run("upgrade", "head", database.engine())
    assert outlines(journal) == [("000001", "up", "failed", 3), ("000001", "up", "applied", 3)]


def test_a_failure_that_cites_letters_which_the_databases_encoding_lacks_is_recorded(
    made, new_database, rows
):
    database = new_database(encoding="LATIN1")
    made.pair("000001_one", "SELECT '\u0416';\n")
    with pytest.raises(NewelError, match="no equivalent"):
        made.run("upgrade", "head", database.engine())
    assert rows(database, r"SELECT result, error LIKE '%\\u0416%' FROM newel.journal") == [("failed", True)]
