"""Runs against a real server: what is executed, how it is committed, and what a failure leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import psycopg2
import psycopg2.extensions
import pytest
from made import MadeProject

from newel.database.lock import KEY, migration_lock
from newel.errors import ConnectionFailed, DependencyError, NewelError
from newel.migrate.direct import run_direct
from newel.migrate.events import Noticed, Resumed, StepFinished, Waiting
from newel.migrate.request import Request, look
from newel.project.project import load_project

TABLE = "CREATE TABLE {0} (id int);\n", "DROP TABLE {0};\n"


def table(name: str) -> tuple[str, str]:
    return TABLE[0].format(name), TABLE[1].format(name)


def test_the_work_of_a_run_persists(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('one') IS NOT NULL") == [(True,)]
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000001",)]


def test_colons_and_percent_signs_reach_the_server_unchanged(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a text);\nINSERT INTO t VALUES (':name %s %(x)s 100% a::b');\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(":name %s %(x)s 100% a::b",)]


def test_every_notice_is_kept_in_its_order(made, database):
    made.pair("000001_one", "DO $$ BEGIN FOR i IN 1..120 LOOP RAISE NOTICE 'note %', i; END LOOP; END $$;\n")
    events = made.run("upgrade", "head", database.engine())
    assert [item.text for item in events if isinstance(item, Noticed)] == [
        f"NOTICE:  note {i}" for i in range(1, 121)
    ]


def test_a_copy_block_is_loaded(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int, b text);\nCOPY t FROM stdin;\n1\tit's\n2\t\\N\n\\.\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT * FROM t ORDER BY 1") == [(1, "it's"), (2, None)]


def test_an_empty_file_is_a_revision_that_does_nothing(made, database, rows):
    made.pair("000001_one", "", "-- nothing\n")
    made.run("upgrade", "head", database.engine())
    made.run("downgrade", "base", database.engine())
    assert rows(database, "SELECT direction, result FROM newel.journal ORDER BY id") == [
        ("up", "applied"),
        ("down", "rolled back"),
    ]


def test_byte_order_mark_and_crlf_are_fine(made, database, rows):
    path = made.pair("000001_one", "")
    path.write_bytes("\ufeffCREATE TABLE t (a int);\r\n-- note\r\nINSERT INTO t VALUES (1);\r\n".encode())
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_a_failing_statement_takes_its_revision_back_whole_and_leaves_those_before(made, database, rows):
    made.pair("000001_one", *table("one"))
    path = made.pair(
        "000002_two", "CREATE TABLE two (id int);\n\n-- why\nINSERT INTO two\n  SELECT nothing FROM one;\n"
    )
    made.pair("000003_three", *table("three"))
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000002_two.up.sql:5:10"
    assert "42703" in caught.value.what
    assert "000001" in str(caught.value.cure)
    assert rows(database, "SELECT to_regclass('one')::text, to_regclass('two')::text") == [("one", None)]
    journal = "SELECT revision, result, error IS NOT NULL FROM newel.journal ORDER BY id"
    assert rows(database, journal) == [("000001", "applied", False), ("000002", "failed", True)]
    path.write_text("CREATE TABLE two (id int);\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000003",)]


def test_an_error_at_run_time_points_at_its_statement_not_at_the_comment_before_it(made, database):
    made.pair("000001_one", "SELECT 1;\n-- divide\n  SELECT 1 / (SELECT 0);\n")
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql:3:3"


def test_every_file_is_checked_before_the_first_one_runs(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "SELEC 1;\n")
    with pytest.raises(NewelError, match="syntax error") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000002_two.up.sql:1:1"
    assert rows(database, "SELECT to_regclass('one'), to_regnamespace('newel')") == [(None, None)]


def test_only_the_files_of_the_planned_steps_are_read(made, database):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "SELEC 1;\n")
    assert len(made.run("upgrade", "1", database.engine())) == 2


def test_a_file_that_empties_search_path_does_not_harm_the_next(made, database, rows):
    made.environments({"development": {"search_path": ["app", "public"]}})
    made.pair("000001_one", "CREATE SCHEMA app;\nSELECT pg_catalog.set_config('search_path', '', false);\n")
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('app.two') IS NOT NULL") == [(True,)]


def test_what_a_file_sets_is_gone_in_the_next(made, database, rows):
    made.pair("000001_one", "SET work_mem TO '77MB';\nSET session_replication_role TO replica;\n")
    show = "SELECT current_setting('work_mem') a, current_setting('session_replication_role') b"
    made.pair("000002_two", f"CREATE TABLE t AS {show};\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT * FROM t") == rows(database, show)


@pytest.mark.parametrize(
    "command", ["SET ROLE pg_monitor", "SET LOCAL ROLE pg_monitor", "SET SESSION AUTHORIZATION pg_monitor"]
)
def test_a_file_may_end_as_another_role(made, database, rows, command):
    made.pair("000001_one", f"{command};\n")
    made.pair("000002_two", "CREATE TABLE t AS SELECT current_user AS who;\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT who = session_user FROM t") == [(True,)]


def test_a_deferred_constraint_is_reported_with_its_file(made, database, rows):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO t VALUES (1, 2);\n",
    )
    with pytest.raises(NewelError, match=r"deferred constraint(?s:.*)23503") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql"
    assert rows(database, "SELECT to_regclass('t')") == [(None,)]


def test_an_error_position_counts_characters_where_bytes_differ(made, database):
    made.pair("000001_one", "SELECT 'žluťoučký kůň', nothing;\n")
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql:1:25"


def test_a_setting_of_the_environment_holds_in_every_file(made, database, rows):
    made.environments({"development": {"config": {"lock_timeout": "3s", "statement_timeout": "4min"}}})
    show = "INSERT INTO t SELECT current_setting('lock_timeout'), current_setting('statement_timeout');\n"
    made.pair(
        "000001_one", "CREATE TABLE t (a text, b text);\nSET lock_timeout = 0;\nSET statement_timeout = 0;\n"
    )
    made.pair("000002_two", show)
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT * FROM t") == [("3s", "4min")]


def test_two_databases_of_other_search_paths_keep_one_version_table(made, database, rows):
    made.pair("000001_one", "CREATE SCHEMA app;\n", "DROP SCHEMA app;\n")
    made.run("upgrade", "head", database.engine())
    made.environments({"development": {"search_path": ["app"]}})
    assert made.run("upgrade", "head", database.engine()) == []


def test_a_label_added_to_an_enum_needs_a_file_without_transaction(made, database, rows):
    made.pair("000001_one", "CREATE TYPE mood AS ENUM ('low');\nCREATE TABLE t (m mood);\n")
    use = "ALTER TYPE mood ADD VALUE 'high';\nINSERT INTO t VALUES ('high');\n"
    path = made.pair("000002_two", use)
    with pytest.raises(NewelError, match="55P04"):
        made.run("upgrade", "head", database.engine())
    path.write_text(f"-- newel: no-transaction\n{use}")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT m::text FROM t") == [("high",)]


def test_concurrently_is_found_by_itself_and_waits_for_locks_as_long_as_it_takes(made, database, rows):
    made.environments({"development": {"config": {"lock_timeout": "7s"}}})
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int);\nCREATE FUNCTION spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN\n"
        "RAISE NOTICE 'lock_timeout %', current_setting('lock_timeout'); RETURN $1; END $$;\n"
        "INSERT INTO t VALUES (1);\n"
        "CREATE INDEX CONCURRENTLY i ON t (spy(a));\nSELECT spy(2);\n",
    )
    texts = {
        item.text for item in made.run("upgrade", "head", database.engine()) if isinstance(item, Noticed)
    }
    assert texts == {"NOTICE:  lock_timeout 0", "NOTICE:  lock_timeout 7s"}
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_a_procedure_that_commits_runs_in_a_file_without_transaction(made, database, rows):
    made.pair(
        "000001_one",
        "-- newel: no-transaction\nCREATE TABLE t (a int);\nDO $$ BEGIN FOR i IN 1..3 LOOP\n"
        "INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$;\nINSERT INTO t VALUES (9);\n",
    )
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,), (9,)]


def test_an_irreversible_down_file_stops_before_anything_is_rolled_back(made, database, rows):
    made.pair("000001_one", "CREATE TABLE one (id int);\n", "-- newel: irreversible the old rows are gone\n")
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    with pytest.raises(NewelError, match="the old rows are gone"):
        made.run("downgrade", "base", database.engine())
    assert rows(database, "SELECT to_regclass('two') IS NOT NULL") == [(True,)]


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


def test_a_file_without_transaction_may_act_as_another_role(made, database, rows):
    made.pair("000001_one", "CREATE SCHEMA app;\nGRANT CREATE, USAGE ON SCHEMA app TO pg_monitor;\n")
    made.pair(
        "000002_two",
        "-- newel: no-transaction\nSET ROLE pg_monitor;\nCREATE TABLE app.t (a int);\n"
        "CREATE INDEX CONCURRENTLY i ON app.t (a);\nCREATE TABLE app.u (a int);\n",
    )
    made.run("upgrade", "head", database.engine())
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'app'"
    assert rows(database, owners) == [("pg_monitor",)]


def test_an_index_of_the_same_name_in_another_schema_is_not_confused(made, database, rows):
    made.environments({"development": {"search_path": ["a", "b"]}})
    made.pair(
        "000001_one",
        "CREATE SCHEMA a;\nCREATE SCHEMA b;\nCREATE TABLE b.t (x int);\nCREATE TABLE a.i (x int);\n",
    )
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (x);\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'b.i'::regclass") == [(True,)]


def test_a_files_own_lock_timeout_holds_again_behind_concurrently(made, database, rows):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a text);\nSET lock_timeout TO '4s';\nCREATE INDEX CONCURRENTLY i ON t (a);\n"
        "INSERT INTO t SELECT current_setting('lock_timeout');\n",
    )
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [("4s",)]


def test_a_file_that_makes_the_session_read_only_does_not_stop_the_next(made, database, rows):
    made.pair("000001_one", "SET default_transaction_read_only TO on;\n")
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('two') IS NOT NULL") == [(True,)]


def test_a_deferred_trigger_is_reported_with_its_file_whatever_it_raises(made, database):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int);\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS\n"
        "$$ BEGIN RAISE EXCEPTION 'bad total'; END $$;\nCREATE CONSTRAINT TRIGGER g AFTER INSERT ON t\n"
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f();\nINSERT INTO t VALUES (1);\n",
    )
    with pytest.raises(NewelError, match="bad total") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql"


@pytest.mark.parametrize("statement", ["DO $$ BEGIN COMMIT; END $$", "REINDEX TABLE p"])
def test_what_is_refused_in_a_transaction_names_the_directive(made, database, statement):
    made.pair("000001_one", "CREATE TABLE p (a int) PARTITION BY LIST (a);\nCREATE INDEX ON p (a);\n")
    made.pair("000002_two", f"{statement};\n")
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert "-- newel: no-transaction" in str(caught.value.cure)


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
        for _ in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in runs]
    assert [code for _, code in ends] == [0] * 4, ends
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
            "SELECT revision, slug, direction, environment, result, statements_done, statement_begun, checksum, error, "
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
