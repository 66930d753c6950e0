"""Files that do not run in one transaction: killed, failed or interrupted, and gone on with."""

from __future__ import annotations

import threading

import psycopg2
import psycopg2.extensions
import pytest
from made import table

from newel.database.lock import KEY
from newel.errors import ConnectionFailed, DependencyError, NewelError
from newel.migrate.direct import run_direct
from newel.migrate.events import Resumed, Waiting
from newel.migrate.request import Request
from newel.project.project import load_project

STOPPED = """\
CREATE TABLE done (step int);
INSERT INTO done VALUES (1);
CREATE INDEX CONCURRENTLY done_step ON done (step);
SET search_path TO app, public;
SELECT pg_sleep(CASE WHEN EXISTS (SELECT FROM gate) THEN 0 ELSE 600 END);
INSERT INTO done VALUES (2);
"""


def terminate(database, query: str) -> threading.Thread:
    """End the backend that runs `query`, as soon as it sleeps or waits for another session."""
    connection = database.connect()

    def watch() -> None:
        with (
            connection.cursor() as cursor
        ):  # one short query after the other: CONCURRENTLY waits for long ones
            ended = 0
            while not ended:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s "
                    "AND (wait_event_type, wait_event) IN (('Timeout', 'PgSleep'), ('Lock', 'virtualxid'))",
                    (f"{query}%",),
                )
                ended = cursor.rowcount

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_killed_file_without_transaction_goes_on_at_the_statement_where_it_stopped(made, database, rows):
    made.pair("000001_one", "CREATE SCHEMA app;\nCREATE TABLE app.gate (open int);\n")
    made.pair("000002_two", STOPPED.replace("FROM gate", "FROM app.gate"))
    watcher = terminate(database, "SELECT pg_sleep(CASE")
    with pytest.raises(ConnectionFailed, match=r"000002_two\.up\.sql:5:1"):
        made.run("upgrade", "head", database.engine())
    watcher.join()
    last = "SELECT result, statements_done FROM newel.journal ORDER BY id DESC LIMIT 1"
    assert rows(database, last) == [("started", 4)]
    rows(database, "INSERT INTO app.gate VALUES (1) RETURNING 1")
    made.run("upgrade", "head", database.engine())
    assert rows(database, last) == [("applied", 6)]
    assert rows(database, "SELECT step FROM done ORDER BY 1") == [(1,), (2,)]


def test_statements_that_were_run_before_may_not_have_changed(made, database):
    path = made.pair(
        "000001_one", "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1/0;\n"
    )
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine())
    mended = path.read_text().replace("1/0", "1/1")
    path.write_text(mended.replace("t (a int)", "t (a bigint)"))
    with pytest.raises(DependencyError, match="up to statement 2, has another text now"):
        made.run("upgrade", "head", database.engine())
    path.write_text(f"-- a comment may come\n{mended}")
    made.run("upgrade", "head", database.engine())


HALF = "CREATE INDEX CONCURRENTLY i ON t (a);\nINSERT INTO t VALUES (1);\nSELECT 1 / (SELECT count(*) FROM gate);\n"


@pytest.fixture
def half_up(made, database):
    """A database at 000001 with 000002 half applied: two of its three statements are done."""
    made.pair(
        "000001_one", "CREATE TABLE t (a int);\nCREATE TABLE gate (open int);\n", "DROP TABLE t, gate;\n"
    )
    path = made.pair("000002_two", HALF, "DROP INDEX CONCURRENTLY i;\nDELETE FROM t;\n")
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine())
    return path


def test_a_half_applied_revision_is_finished_before_anything_is_taken_back(made, database, rows, half_up):
    with pytest.raises(DependencyError, match="000002_two is half applied") as caught:
        made.run("downgrade", "-1", database.engine())
    assert "newel up 000002" in str(caught.value.cure)
    rows(database, "INSERT INTO gate VALUES (1) RETURNING 1")
    made.run("upgrade", "2", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_a_half_applied_revision_that_was_undone_by_hand_is_settled_by_a_stamp(made, database, rows, half_up):
    with database.connect().cursor() as cursor:
        cursor.execute("DROP INDEX i")
        cursor.execute("DELETE FROM t")
    made.run("goto", "1", database.engine(), stamp=True)
    made.run("downgrade", "-1", database.engine())
    assert rows(database, "SELECT to_regclass('t')") == [(None,)]


def test_a_half_rolled_back_revision_is_not_called_applied(made, database, rows):
    made.pair(
        "000001_one", "CREATE TABLE t (a int);\nCREATE TABLE gate (open int);\n", "DROP TABLE t, gate;\n"
    )
    down = "DROP INDEX CONCURRENTLY i;\nSELECT 1 / (SELECT count(*) FROM gate);\n"
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (a);\n", down)
    made.run("upgrade", "head", database.engine())
    with pytest.raises(NewelError, match="division by zero"):
        made.run("downgrade", "-1", database.engine())
    made.pair("000003_three", *table("three"))
    with pytest.raises(DependencyError, match="000002_two is half rolled back"):
        made.run("upgrade", "head", database.engine())
    rows(database, "INSERT INTO gate VALUES (1) RETURNING 1")
    made.run("downgrade", "-1", database.engine())
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('i') IS NOT NULL") == [(True,)]


def test_a_half_done_file_that_could_run_in_a_transaction_now_is_not_run_from_its_start(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\n")
    path = made.pair(
        "000002_two", "INSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1/0;\n"
    )
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine())
    path.write_text("INSERT INTO t VALUES (1);\nSELECT 1;\n")
    with pytest.raises(DependencyError, match="has another text now"):
        made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_a_half_done_file_that_could_run_in_a_transaction_now_is_not_said_to_be_rolled_back(made, database):
    path = made.pair("000001_one", "-- newel: no-transaction\nCREATE TABLE t (a int);\nSELECT 1/0;\n")
    for _ in range(2):
        with pytest.raises(NewelError, match="division by zero") as caught:
            made.run("upgrade", "head", database.engine())
        assert "its statements before this one stay" in str(caught.value.cure)
        path.write_text("CREATE TABLE t (a int);\nSELECT 1/0;\n")


def test_what_another_run_is_doing_now_is_not_called_half_done(made, database, rows, half_up):
    heard: list[object] = []
    holder = database.connect()
    project = load_project(made.root, {}, "development")
    with holder.cursor() as cursor:  # stands for the run that is at 000002 now
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))

        def finish(event):
            heard.append(event)
            if isinstance(event, Waiting):
                cursor.execute("UPDATE newel.alembic_version SET version_num = '000002'")
                cursor.execute("UPDATE newel.journal SET result = 'applied' WHERE revision = '000002'")
                cursor.execute("SELECT pg_advisory_unlock(%s)", (KEY,))

        connection = psycopg2.connect(**database.server.params(database.name))
        run_direct(project, Request("upgrade", "1"), connection, finish)
        connection.close()
    assert [type(event) for event in heard] == [Waiting]


def test_where_a_run_stopped_is_kept_however_often_the_next_ones_are_broken_off(
    made, database, rows, half_up
):
    class Stop(Exception):
        pass

    def break_off(event):
        if isinstance(event, Resumed):
            raise Stop

    project = load_project(made.root, {}, "development")
    for _ in range(3):
        connection = psycopg2.connect(**database.server.params(database.name))
        with pytest.raises(Stop):
            run_direct(project, Request("upgrade", "head"), connection, break_off)
        connection.close()
    rows(database, "INSERT INTO gate VALUES (1) RETURNING 1")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_an_interrupt_leaves_no_statement_without_its_record(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\n")
    made.pair(
        "000002_two", "-- newel: no-transaction\nINSERT INTO t VALUES (0);\nINSERT INTO t VALUES (1);\n"
    )
    made.run("upgrade", "1", database.engine())
    project = load_project(made.root, {}, "development")

    class Interrupted(psycopg2.extensions.cursor):
        """An interrupt arrives when the statement has come back: psycopg2 lets none through before."""

        def execute(self, query, values=None):
            super().execute(query, values)
            if query == "INSERT INTO t VALUES (1)":
                raise KeyboardInterrupt

    connection = psycopg2.connect(**database.server.params(database.name), cursor_factory=Interrupted)
    with pytest.raises(NewelError, match="interrupted"):
        run_direct(project, Request("upgrade", "head"), connection, lambda _: None)
    assert rows(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    connection.close()
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t ORDER BY a") == [(0,), (1,)]


def test_an_interrupt_behind_the_commit_does_not_call_a_revision_failed(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", *table("two"))

    class Interrupted(psycopg2.extensions.connection):
        """An interrupt during COMMIT arrives when it has come back."""

        def commit(self):
            before = rows(database, "SELECT to_regclass('one')")
            super().commit()
            if rows(database, "SELECT to_regclass('one')") != before:
                raise KeyboardInterrupt

    connection = psycopg2.connect(**database.server.params(database.name), connection_factory=Interrupted)
    with pytest.raises(NewelError, match="interrupted") as caught:
        run_direct(
            load_project(made.root, {}, "development"), Request("upgrade", "head"), connection, lambda _: None
        )
    connection.close()
    assert "has applied 000001; that stays" in str(caught.value.cure)
    assert "rolled back" not in str(caught.value.cure)
    made.run("upgrade", "head", database.engine())
    journal = "SELECT revision, result FROM newel.journal ORDER BY id"
    assert rows(database, journal) == [("000001", "applied"), ("000002", "applied")]


@pytest.mark.parametrize(
    "setting", ["SET search_path TO app", "SELECT pg_catalog.set_config('search_path', 'app', false)"]
)
def test_what_a_half_done_file_had_set_is_set_again(made, database, rows, setting):
    made.pair("000001_one", "CREATE SCHEMA app;\nCREATE TABLE gate (open int);\n")
    rest = "SELECT 1 / (SELECT count(*) FROM public.gate);\nCREATE TABLE t (a int);\n"
    made.pair("000002_two", f"-- newel: no-transaction\n{setting};\n{rest}")
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine())
    rows(database, "INSERT INTO gate VALUES (1) RETURNING 1")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('app.t') IS NOT NULL") == [(True,)]


def test_statements_that_were_run_before_may_not_have_gone(made, database):
    path = made.pair(
        "000001_one", "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1/0;\n"
    )
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine())
    path.write_text("-- newel: no-transaction\nCREATE TABLE t (a int);\n")
    with pytest.raises(DependencyError, match="up to statement 2, has another text now"):
        made.run("upgrade", "head", database.engine())


def test_an_index_that_was_being_built_when_the_session_died_is_built_again(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\n")
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (a);\nINSERT INTO t VALUES (1);\n")
    made.run("upgrade", "1", database.engine())
    other = database.connect()
    other.autocommit = False
    with other.cursor() as cursor:  # an open transaction that has written keeps CONCURRENTLY waiting
        cursor.execute("INSERT INTO t VALUES (7)")
    watcher = terminate(database, "CREATE INDEX CONCURRENTLY")
    with pytest.raises(ConnectionFailed):
        made.run("upgrade", "head", database.engine())
    watcher.join()
    other.rollback()
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"
    assert rows(database, valid) == [(False,)]
    made.run("upgrade", "head", database.engine())
    assert rows(database, valid) == [(True,)]
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_an_index_that_was_done_when_the_process_died_is_not_built_again(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\n")
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (a);\nINSERT INTO t VALUES (1);\n")
    made.run("upgrade", "1", database.engine())
    rows(database, "SELECT 1")
    with (
        database.connect().cursor() as cursor
    ):  # what a process killed between the statement and its record leaves
        cursor.execute("CREATE INDEX i ON t (a)")
        cursor.execute(
            "INSERT INTO newel.journal (revision, slug, direction, environment, result, statement_begun, application)"
            " VALUES ('000002', 'two', 'up', 'development', 'started', 1, 'newel')"
        )
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_an_index_of_somebody_else_is_never_taken_for_ones_own(made, database):
    made.pair("000001_one", "CREATE TABLE t (a int);\nCREATE INDEX i ON t (a);\n")
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (a);\n")
    for _ in range(2):
        with pytest.raises(NewelError, match="42P07"):
            made.run("upgrade", "head", database.engine())


def test_a_statement_that_was_refused_and_left_nothing_stands_in_nobodys_way(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON one (nothing);\n")
    with pytest.raises(NewelError, match="42703"):
        made.run("upgrade", "head", database.engine())
    made.run("downgrade", "-1", database.engine())
    assert rows(database, "SELECT to_regclass('one')") == [(None,)]


def test_an_invalid_index_that_if_not_exists_would_pass_over_is_refused(made, database):
    made.pair("000001_one", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (1);\n")
    made.pair("000002_two", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a);\n")
    made.run("upgrade", "1", database.engine())
    with (
        pytest.raises(Exception, match="could not create unique index"),
        database.connect().cursor() as cursor,
    ):
        cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    with pytest.raises(NewelError, match="INVALID"):
        made.run("upgrade", "head", database.engine())


def test_an_index_of_ones_own_that_failed_is_built_again_once_the_cause_is_mended(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (1);\n")
    made.pair("000002_two", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\n")
    with pytest.raises(NewelError, match="23505"):
        made.run("upgrade", "head", database.engine())
    rows(database, "DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t) RETURNING 1")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_an_index_of_ones_own_that_failed_is_gone_even_if_the_mended_file_builds_another(
    made, database, rows
):
    made.pair("000001_one", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (1);\n")
    made.pair("000002_two", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\n")
    with pytest.raises(NewelError, match="23505"):
        made.run("upgrade", "head", database.engine())
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY j ON t (a);\n")
    made.run("upgrade", "head", database.engine())
    assert rows(
        database, "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 't'::regclass"
    ) == [("j", True)]


def test_an_index_of_somebody_else_that_is_invalid_outlives_a_refused_build(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (1);\n")
    made.pair("000002_two", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\n")
    made.run("upgrade", "1", database.engine())
    with pytest.raises(psycopg2.Error), database.connect().cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    with pytest.raises(NewelError, match="42P07"):
        made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(False,)]


@pytest.mark.parametrize("statement", ["REINDEX TABLE p", "REINDEX INDEX i", "CLUSTER p USING i"])
def test_what_only_the_catalog_knows_to_need_no_transaction_runs_outside_one(made, database, rows, statement):
    made.pair(
        "000001_one",
        "CREATE TABLE p (a int) PARTITION BY LIST (a);\nCREATE TABLE q PARTITION OF p DEFAULT;\n"
        "CREATE INDEX i ON p (a);\n",
    )
    made.pair("000002_two", f"-- newel: no-transaction\n{statement};\n")
    made.run("upgrade", "1", database.engine())
    before = rows(database, "SELECT pg_relation_filenode('q_a_idx')")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT pg_relation_filenode('q_a_idx')") != before


@pytest.mark.parametrize(
    "statement", ["DROP INDEX CONCURRENTLY i", "ALTER TABLE p DETACH PARTITION q CONCURRENTLY"]
)
def test_a_removal_that_was_done_when_the_process_died_is_not_repeated(made, database, rows, statement):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int);\nCREATE TABLE p (a int) PARTITION BY LIST (a);\nCREATE TABLE q (a int);\n",
    )
    made.pair("000002_two", f"{statement};\nINSERT INTO t VALUES (1);\n")
    made.run("upgrade", "1", database.engine())
    with database.connect().cursor() as cursor:
        cursor.execute(
            "INSERT INTO newel.journal (revision, slug, direction, environment, result, statement_begun, application)"
            " VALUES ('000002', 'two', 'up', 'development', 'started', 1, 'newel')"
        )
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]
