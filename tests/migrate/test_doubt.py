"""REINDEX CONCURRENTLY that was broken off: what it left is cleared away if it was newel's, and never if it was not."""

from __future__ import annotations

import threading

import psycopg2
import pytest

from newel.errors import ConnectionFailed, NewelError

TABLES = """\
CREATE TABLE done (a int);
CREATE TABLE gate (open int);
INSERT INTO gate VALUES (1);
CREATE FUNCTION through(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql SET search_path TO public
    AS $$ BEGIN RETURN a / (SELECT count(*) FROM gate); END $$;
CREATE TABLE t (a int, note text);
INSERT INTO t SELECT g, 'x' FROM generate_series(1, 10) g;
CREATE INDEX i ON t (through(a));
CREATE INDEX j ON t (a);
CREATE TABLE p (a int) PARTITION BY LIST (a);
CREATE TABLE q PARTITION OF p FOR VALUES IN (1);
INSERT INTO p VALUES (1);
CREATE INDEX k ON p (through(a));
"""
STATEMENTS = [
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX TABLE CONCURRENTLY public.t",
    "REINDEX (VERBOSE, CONCURRENTLY) SCHEMA public",
    "REINDEX INDEX CONCURRENTLY k",
    "REINDEX TABLE CONCURRENTLY p",
]
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"


@pytest.fixture
def reindexing(made):
    """Write revisions: the first makes the tables, the second reindexes and then adds a row."""

    def write(statement: str) -> None:
        made.pair("000001_one", TABLES)
        made.pair("000002_two", f"{statement};\nINSERT INTO done VALUES (1);\n")

    return write


def end_when_it_waits(database) -> threading.Thread:
    """End the session that reindexes, once it waits for another one; looked at from another database, whose
    snapshots it does not wait for."""
    connection = psycopg2.connect(**database.server.params("postgres"))
    connection.autocommit = True

    def watch() -> None:
        with connection.cursor() as cursor:
            while not cursor.rowcount > 0:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REINDEX%%' "
                    "AND wait_event = 'virtualxid' AND datname = %s",
                    (database.name,),
                )
        connection.close()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("mode", "left"), [("ROW EXCLUSIVE", "_ccnew"), ("ACCESS SHARE", "_ccold")])
@pytest.mark.parametrize("statement", STATEMENTS[:2])
def test_indexes_that_were_being_rebuilt_when_the_session_died_are_dropped_and_rebuilt(
    made, database, rows, reindexing, statement, mode, left
):
    reindexing(statement)
    made.run("upgrade", "1", database.engine())
    other = database.connect()
    other.autocommit = False
    with other.cursor() as cursor:
        cursor.execute(f"LOCK TABLE t IN {mode} MODE")
    watcher = end_when_it_waits(database)
    with pytest.raises(ConnectionFailed):
        made.run("upgrade", "head", database.engine())
    watcher.join()
    other.rollback()
    assert left in str(rows(database, INVALID))
    before = rows(database, "SELECT 'i'::regclass::oid")
    made.run("upgrade", "head", database.engine())
    assert rows(database, INVALID) == []
    assert rows(database, "SELECT 'i'::regclass::oid") != before
    assert rows(database, "SELECT a FROM done") == [(1,)]


def test_what_is_cleared_away_is_waited_for_longer_than_lock_timeout(made, database, rows, reindexing):
    made.environments({"development": {"config": {"lock_timeout": "50ms"}}})
    reindexing(STATEMENTS[0])
    made.run("upgrade", "1", database.engine())
    writer, watching = database.connect(), psycopg2.connect(**database.server.params("postgres"))
    writer.autocommit, watching.autocommit = False, True
    with writer.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
    watcher = end_when_it_waits(database)
    with pytest.raises(ConnectionFailed):
        made.run("upgrade", "head", database.engine())
    watcher.join()

    def let_go() -> None:
        with watching.cursor() as cursor:
            while not cursor.rowcount > 0:
                cursor.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DROP INDEX%%' AND wait_event_type = 'Lock' "
                    "AND datname = %s AND clock_timestamp() - query_start > interval '150 ms'",
                    (database.name,),
                )
        writer.rollback()

    thread = threading.Thread(target=let_go, daemon=True)
    thread.start()
    made.run("upgrade", "head", database.engine())
    thread.join()
    watching.close()
    assert rows(database, INVALID) == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_reindex_that_failed_is_begun_afresh_once_the_cause_is_mended(
    made, database, rows, reindexing, statement
):
    reindexing(statement)
    made.run("upgrade", "1", database.engine())
    rows(database, "DELETE FROM gate RETURNING 1")
    left = []
    for _ in range(2):
        with pytest.raises(NewelError, match="division by zero"):
            made.run("upgrade", "head", database.engine())
        left.append(rows(database, INVALID))
    assert left[0] == left[1] != []  # it does not pile up
    rows(database, "INSERT INTO gate VALUES (1) RETURNING 1")
    made.run("upgrade", "head", database.engine())
    assert rows(database, INVALID) == []
    assert rows(database, "SELECT a FROM done") == [(1,)]


def break_off_by_hand(database, statement: str) -> None:
    with database.connect().cursor() as cursor:
        cursor.execute("DELETE FROM gate")
        with pytest.raises(psycopg2.Error, match="division by zero"):
            cursor.execute(statement)
        cursor.execute("INSERT INTO gate VALUES (1)")


@pytest.mark.parametrize("statement", STATEMENTS[:3])
def test_what_somebody_elses_reindex_has_left_is_refused_and_kept(
    made, database, rows, reindexing, statement
):
    reindexing(statement)
    made.run("upgrade", "1", database.engine())
    break_off_by_hand(database, STATEMENTS[0])
    for _ in range(2):
        with pytest.raises(NewelError, match="i_ccnew") as caught:
            made.run("upgrade", "head", database.engine())
        assert "DROP INDEX CONCURRENTLY i_ccnew;" in str(caught.value.cure)
        assert caught.value.where.line == 1
    assert rows(database, INVALID) == [("i_ccnew",)]
    with database.connect().cursor() as cursor:
        cursor.execute("DROP INDEX CONCURRENTLY i_ccnew")
    made.run("upgrade", "head", database.engine())


def test_what_was_left_on_another_table_stands_in_nobodys_way(made, database, rows, reindexing):
    reindexing("REINDEX TABLE CONCURRENTLY p")
    made.run("upgrade", "1", database.engine())
    break_off_by_hand(database, STATEMENTS[0])
    made.run("upgrade", "head", database.engine())
    assert rows(database, INVALID) == [("i_ccnew",)]


def test_indexes_that_a_session_is_still_rebuilding_are_left_to_it(made, database, rows, reindexing):
    made.environments({"development": {"config": {"statement_timeout": "20s"}}})  # lest it wait for ever
    reindexing(STATEMENTS[1])
    made.run("upgrade", "1", database.engine())
    writer, builder = database.connect(), database.connect()
    writer.autocommit = False
    with writer.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (11)")

    def rebuild() -> None:  # stands for the backend of a run that was killed
        with builder.cursor() as cursor:
            cursor.execute(STATEMENTS[1])

    thread = threading.Thread(target=rebuild, daemon=True)
    thread.start()
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'virtualxid' AND datname = current_database()"
    while not rows(database, waits):
        pass
    with database.connect().cursor() as cursor:
        cursor.execute(
            "INSERT INTO newel.journal (revision, slug, direction, environment, result, statement_begun, application)"
            " VALUES ('000002', 'two', 'up', 'development', 'started', 1, 'newel')"
        )
    try:
        with pytest.raises(NewelError, match="still being built") as caught:
            made.run("upgrade", "head", database.engine())
    finally:
        writer.rollback()
        thread.join()
    assert f"pid {builder.info.backend_pid}" in str(caught.value)
    made.run("upgrade", "head", database.engine())
    assert rows(database, INVALID) == []
