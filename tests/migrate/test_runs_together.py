"""Runs beside others: the lock, connections handed over, and version rows against the journal."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg2
import psycopg2.extensions
import pytest
from made import MadeProject, table
from sqlalchemy import create_engine

from newel.database.lock import KEY, migration_lock
from newel.errors import DependencyError, NewelError
from newel.migrate.direct import run_direct
from newel.migrate.events import StepFinished, Waiting
from newel.migrate.request import Request, look
from newel.project.project import load_project


def test_runs_at_once_apply_every_revision_once(made, new_database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\n")
    made.pair("000002_two", "INSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (a);\n")
    made.pair("000003_three", "INSERT INTO t VALUES (2);\nDROP INDEX CONCURRENTLY i;\n")
    database = new_database()
    # Alembic's `context` is one a process, so the runs are processes of their own.
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "DATABASE", "MIGRATION"))
    }
    environ |= {"DATABASE_URL": database.url, "MIGRATION_ENV": "development"}
    command = [sys.executable, "-m", "newel.cli.main", "up", "--config", str(made.root / "alembic.ini")]
    runs = [
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in runs]
    assert [code for _, code in ends] == [0] * 8, ends
    assert rows(database, "SELECT revision, result FROM newel.journal ORDER BY id") == [
        ("000001", "applied"),
        ("000002", "applied"),
        ("000003", "applied"),
    ]


def test_a_run_that_waits_for_the_lock_too_long_says_who_holds_it(made, database):
    made.environments({"development": {}}, migration_locking={"timeout_seconds": 0.2})
    made.pair("000001_one", *table("one"))
    with database.connect().cursor() as cursor:
        cursor.execute("SET application_name TO 'the other run'")
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        with pytest.raises(NewelError, match=r"the other run \(pid \d+") as caught:
            made.run("upgrade", "head", database.engine())
    assert "pg_terminate_backend" in str(caught.value.cure)


def test_a_run_with_nothing_to_do_does_not_wait_for_the_lock(made, database):
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        assert made.run("upgrade", "head", database.engine()) == []


@pytest.mark.parametrize("no_transaction", ["", "-- newel: no-transaction\n"])
def test_the_lock_is_free_after_a_run_and_after_a_failure(made, database, rows, no_transaction):
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    made.pair("000001_one", *table("one"))
    path = made.pair("000002_two", f"{no_transaction}SELECT 1;\nSELECT 1/0;\n")
    project = load_project(made.root, {}, "development")
    connection = psycopg2.connect(**database.server.params(database.name))
    with pytest.raises(NewelError, match="division"):
        run_direct(project, Request("upgrade", "head"), connection, lambda _: None)
    assert rows(database, locks) == [(0,)]
    path.write_text(f"{no_transaction}SELECT 1;\nSELECT 1/1;\n")
    run_direct(project, Request("upgrade", "head"), connection, lambda _: None)
    assert rows(database, locks) == [(0,)]
    connection.close()
    made.run("downgrade", "base", database.engine())
    with database.engine().connect() as handed_over:
        made.run("upgrade", "head", handed_over)
        assert rows(database, locks) == [(0,)]


def test_a_connection_with_work_in_an_open_transaction_is_refused(made, database):
    from sqlalchemy import text

    made.pair("000001_one", *table("one"))
    with database.engine().begin() as connection:
        connection.execute(text("CREATE TABLE mine (a int)"))
        with pytest.raises(NewelError, match="work in an open transaction"):
            made.run("upgrade", "head", connection)


def test_a_connection_handed_over_by_engine_begin_works(made, database, rows):
    made.pair("000001_one", "CREATE TABLE one (id int);\nCREATE INDEX CONCURRENTLY i ON one (id);\n")
    with database.engine().begin() as connection:
        made.run("upgrade", "head", connection)
    assert rows(database, "SELECT to_regclass('one') IS NOT NULL") == [(True,)]


@pytest.fixture
def pooled(database):
    """Make an engine that keeps its connection: `pooled(isolation_level)`."""
    made = []

    def make(level: str):
        params = database.server.params(database.name)
        made.append(
            create_engine("postgresql+psycopg2://", connect_args=params, isolation_level=level, pool_size=1)
        )
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_a_revision_is_one_transaction_whatever_the_isolation_level_of_the_engine(
    made, database, rows, pooled, level
):
    path = made.pair("000001_one", "CREATE TABLE one (id int);\nSELECT 1/0;\n")
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", pooled(level))
    assert rows(database, "SELECT to_regclass('one')") == [(None,)]
    path.write_text("CREATE TABLE one (id int);\n")
    made.run("upgrade", "head", pooled(level))


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "READ COMMITTED"])
def test_a_pooled_connection_comes_back_without_the_settings_and_roles_of_the_files(made, pooled, level):
    made.pair("000001_one", "SET search_path TO nowhere;\nSET ROLE pg_monitor;\n")
    engine = pooled(level)
    made.run("upgrade", "head", engine)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT current_user = session_user, current_setting('search_path'), current_setting('lock_timeout')"
        ).all()
        autocommit = connection.connection.dbapi_connection.autocommit
    assert (found, autocommit) == ([(True, '"$user", public', "0")], level == "AUTOCOMMIT")


def test_version_rows_that_disagree_with_the_journal_stop_every_run_until_stamped(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    rows(database, "UPDATE newel.alembic_version SET version_num = '000001' RETURNING 1")
    with pytest.raises(DependencyError, match="version rows say 000001, the journal says 000002"):
        made.run("upgrade", "head", database.engine())
    made.run("goto", "2", database.engine(), stamp=True, purge=True)
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000002",)]
    assert [
        item for item in made.run("downgrade", "base", database.engine()) if isinstance(item, StepFinished)
    ]


def test_version_rows_stay_right_whatever_order_branches_come_and_go(made, database, rows):
    for number in (1, 2, 4, 5, 7):
        made.pair(f"{number:06}_main", *table(f"main_{number}"))
    for number in (3, 6):
        made.pair(f"{number:06}_dev", *table(f"dev_{number}"), folder="development")
    engine = database.engine()
    for command, target, expected in (
        ("upgrade", "2", {"000002"}),
        ("upgrade", "head", {"000006", "000007"}),
        ("downgrade", "development@base", {"000007"}),
        ("upgrade", "head", {"000006", "000007"}),
        ("downgrade", "-1", {"000003", "000007"}),
        ("goto", "4", {"000003", "000004"}),
        ("downgrade", "base", set()),
        ("upgrade", "development@head", {"000006"}),
        ("goto", "head", {"000006", "000007"}),
    ):
        made.run(command, target, engine)
        assert {row[0] for row in rows(database, "SELECT version_num FROM newel.alembic_version")} == expected


def test_events_of_waiting_name_the_holder(made, database):
    said: list[str] = []
    holder = database.connect()
    waiter = database.connect()
    waiter.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))

        def release(who: str) -> None:
            said.append(who)
            cursor.execute("SELECT pg_advisory_unlock(%s)", (KEY,))

        with migration_lock(waiter, 5, release):
            pass
    assert "pid" in said[0]
    assert Waiting(said[0]).holder == said[0]


def test_both_ways_of_running_leave_the_same_rows(made, new_database, rows):
    other = MadeProject(
        made.root.parent / "other", made.root, "direct" if made.way == "alembic" else "alembic"
    )
    for project in (made, other):
        for number in (1, 2, 4, 5, 7, 9):
            project.pair(f"{number:06}_main", *table(f"main_{number}"))
        for number in (3, 6, 8):
            project.pair(f"{number:06}_dev", *table(f"dev_{number}"), folder="development")
    one, two = new_database(), new_database()
    for command, target in (
        ("upgrade", "+4"),
        ("upgrade", "head"),
        ("downgrade", "development@base"),
        ("upgrade", "000008"),
        ("downgrade", "-3"),
        ("goto", "5"),
        ("downgrade", "base"),
        ("upgrade", "development@head"),
        ("upgrade", "head"),
    ):
        for project, database in ((made, one), (other, two)):
            project.run(command, target, database.engine())
        for query in (
            "SELECT version_num FROM newel.alembic_version ORDER BY 1",
            "SELECT revision, slug, direction, environment, result, statements_done, statement_begun, "
            "up_checksum, down_checksum, up_sql, down_sql, done_checksum, branch, depends_on, error, "
            "executed_by, application FROM newel.journal ORDER BY id",
        ):
            assert rows(one, query) == rows(two, query), (command, target)


def test_a_run_that_commits_while_another_looks_is_seen_whole_or_not_at_all(made, database):
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    made.run("downgrade", "base", database.engine())

    class Interposed(psycopg2.extensions.cursor):
        """Lets another run commit between the reading of version rows and of the journal."""

        def execute(self, query, values=None):
            super().execute(query, values)
            if "version_num" in query:
                made.run("upgrade", "head", database.engine())

    connection = psycopg2.connect(**database.server.params(database.name), cursor_factory=Interposed)
    state = look(connection)
    connection.close()
    assert (state.version_rows, state.applied_ids) == (frozenset(), ())
