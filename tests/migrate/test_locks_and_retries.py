"""Locks that others hold: a run gives way, names them, tries again, and ends in good order when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from made import table

from newel.errors import NewelError
from newel.migrate.events import Blocked, Retrying, StepFinished
from newel.migrate.execute import retry
from newel.project.project import load_project

QUICK = {"development": {"config": {"lock_timeout": "100ms"}}}


@pytest.fixture
def quick(made, monkeypatch):
    """A project whose statements wait for a lock for 100 ms, and whose pauses are short."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.05)
    made.environments(QUICK)
    made.pair("000001_one", "CREATE TABLE one (id int);\nINSERT INTO one VALUES (1);\n", "DROP TABLE one;\n")
    return made


@pytest.fixture
def holding(database):
    """Hold a lock on a table in another session; returns what lets it go."""
    session = database.connect()
    session.autocommit = False

    def hold(statement: str):
        with session.cursor() as cursor:
            cursor.execute(statement)
        return session.rollback

    return hold


class Listening(list):
    """Events, with something done at the first of a kind."""

    def __init__(self, kind, act):
        super().__init__()
        self.kind, self.act = kind, act

    def append(self, event):
        super().append(event)
        if isinstance(event, self.kind) and self.act:
            act, self.act = self.act, None
            act()


def run(made, database, kind, act, target="head"):
    events = Listening(kind, act)
    made.run("upgrade", target, database.engine(), events=events)
    return events


def test_a_statement_that_a_lock_stops_is_tried_again_with_the_whole_revision(quick, database, rows, holding):
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "INSERT INTO one VALUES (2);\nALTER TABLE one ADD COLUMN b int;\n")
    let_go = holding("LOCK TABLE one IN ROW EXCLUSIVE MODE")
    events = run(quick, database, Retrying, let_go)
    assert [item.attempt for item in events if isinstance(item, Retrying)][:1] == [1]
    assert "lock timeout" in next(item.reason for item in events if isinstance(item, Retrying))
    assert rows(database, "SELECT id, b FROM one ORDER BY id") == [(1, None), (2, None)]


def test_a_statement_of_a_file_without_a_transaction_is_tried_again_alone(quick, database, rows, holding):
    quick.run("upgrade", "head", database.engine())
    quick.pair(
        "000002_two",
        "-- newel: no-transaction\nINSERT INTO one VALUES (2);\nALTER TABLE one ADD COLUMN b int;\n"
        "CREATE INDEX CONCURRENTLY i ON one (id);\n",
    )
    let_go = holding("LOCK TABLE one IN ROW EXCLUSIVE MODE")
    run(quick, database, Retrying, let_go)
    assert rows(database, "SELECT id, b FROM one ORDER BY id") == [(1, None), (2, None)]


def test_the_sessions_that_block_are_named_while_it_waits(quick, database, holding):
    quick.environments({"development": {"config": {"lock_timeout": "1min"}}})
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "ALTER TABLE one ADD COLUMN b int;\n")
    let_go = holding("LOCK TABLE one IN ACCESS SHARE MODE")
    events = run(quick, database, Blocked, let_go)
    (named,) = next(item.blockers for item in events if isinstance(item, Blocked))
    assert "LOCK TABLE one IN ACCESS SHARE MODE" in named
    assert "pid " in named


def test_a_lock_that_is_never_let_go_ends_the_run_with_its_holder_named(
    quick, database, rows, holding, monkeypatch
):
    monkeypatch.setattr(retry, "ATTEMPTS", 2)
    quick.environments({"development": {"config": {"lock_timeout": "2s"}}})
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "INSERT INTO one VALUES (2);\nALTER TABLE one ADD COLUMN b int;\n")
    holding("LOCK TABLE one IN ACCESS SHARE MODE")
    with pytest.raises(NewelError, match="lock timeout") as caught:
        quick.run("upgrade", "head", database.engine())
    assert "Tried 2 times" in str(caught.value.cure)
    assert "LOCK TABLE one IN ACCESS SHARE MODE" in str(caught.value.cure)
    assert rows(database, "SELECT id FROM one") == [(1,)]


def test_nobody_queues_behind_a_waiting_statement_longer_than_lock_timeout(quick, database, rows, holding):
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "ALTER TABLE one ADD COLUMN b int;\n")
    let_go = holding("LOCK TABLE one IN ACCESS SHARE MODE")
    reader, read = database.connect(), []

    def query() -> None:
        with reader.cursor() as cursor:
            cursor.execute("SET statement_timeout TO '5s'; SELECT count(*) FROM one")
            read.append(cursor.fetchone())
        let_go()

    run(quick, database, Retrying, lambda: threading.Thread(target=query).start())
    assert read == [(1,)]


def test_a_deadlock_is_tried_again(quick, database, rows):
    quick.environments({"development": {"config": {"lock_timeout": "1min"}}})
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "CREATE TABLE two (id int);\n")
    quick.run("upgrade", "head", database.engine())
    quick.pair(
        "000003_three",
        "SET LOCAL deadlock_timeout TO '100ms';\nLOCK TABLE one;\nSELECT pg_advisory_xact_lock(7);\n"
        "LOCK TABLE two;\nINSERT INTO two VALUES (3);\n",
    )
    other = database.connect()
    other.autocommit = False

    def cross() -> None:
        """Wait for `one` as soon as the run has it: the advisory lock that it waits for is let go then."""
        with other.cursor() as cursor:
            cursor.execute("SET deadlock_timeout TO '1min'")
            cursor.execute("LOCK TABLE two; SELECT pg_advisory_lock(7)")
            ready.set()
            while True:
                cursor.execute(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'one'::regclass AND mode = 'AccessExclusiveLock'"
                )
                if cursor.fetchone()[0]:
                    break
            cursor.execute("SELECT pg_advisory_unlock(7)")
            cursor.execute("LOCK TABLE one")
        other.rollback()

    ready = threading.Event()
    thread = threading.Thread(target=cross)
    thread.start()
    ready.wait()
    events = quick.run("upgrade", "head", database.engine())
    thread.join()
    assert "deadlock detected" in next(item.reason for item in events if isinstance(item, Retrying))
    assert rows(database, "SELECT id FROM two") == [(3,)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_behind_the_statement_and_says_what_was_applied(
    made, database, rows, number, code
):
    made.pair("000001_one", *table("one"))
    made.pair(
        "000002_two",
        "-- newel: no-transaction\nCREATE TABLE two (id int);\nSELECT pg_sleep(1);\nINSERT INTO two VALUES (1);\n",
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DATABASE"))}
    environ |= {"DATABASE_URL": database.url, "MIGRATION_ENV": "development"}
    command = (
        [sys.executable, "-m", "newel.cli.main", "up"]
        if made.way == "direct"
        else [sys.executable, "-m", "alembic", "upgrade", "head"]
    )
    process = subprocess.Popen(
        command, cwd=made.root, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with database.connect().cursor() as cursor:
        while not cursor.rowcount > 0:
            assert process.poll() is None, process.communicate()
            cursor.execute(
                "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
            )
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == (code if made.way == "direct" else 255)
    assert "interrupted" in said
    assert "this run has applied 000001" in said
    assert rows(database, "SELECT statements_done, result FROM newel.journal ORDER BY id DESC LIMIT 1") == [
        (2, "failed")
    ]
    assert rows(database, "SELECT count(*) FROM two") == [(0,)]
    events = made.run("upgrade", "head", database.engine())
    assert [item.step.revision.id for item in events if isinstance(item, StepFinished)] == ["000002"]
    assert rows(database, "SELECT count(*) FROM two") == [(1,)]


def test_a_signal_is_not_lost_in_a_notice_of_the_statement(made, database, rows):
    """The driver drops what is raised while it hands on a notice, and there Python sees the signal first."""
    block = "DO $$ BEGIN PERFORM pg_advisory_lock(7); RAISE NOTICE 'done'; END $$;\n"
    made.pair("000001_one", f"CREATE TABLE one (id int);\n{block}CREATE TABLE two (id int);\n")
    other = database.connect()
    rows_of = other.cursor()
    rows_of.execute("SELECT pg_advisory_lock(7)")

    def stop() -> None:
        waiting = 0
        while not waiting:
            rows_of.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            waiting = rows_of.rowcount
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        rows_of.execute("SELECT pg_advisory_unlock(7)")

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(NewelError, match="interrupted"):
        made.run("upgrade", "head", database.engine())
    thread.join()
    assert rows(database, "SELECT to_regclass('one'), (SELECT result FROM newel.journal)") == [
        (None, "failed")
    ]


def test_a_session_that_lost_its_lock_stops_with_the_way_round_a_pooling_proxy(made, database, rows):
    made.pair("000001_one", "CREATE TABLE one (id int);\nSELECT pg_advisory_unlock_all();\n")
    made.pair("000002_two", *table("two"))
    with pytest.raises(NewelError, match="another server process answers now") as caught:
        made.run("upgrade", "head", database.engine())
    assert "DATABASE_DIRECT_URL" in str(caught.value.cure)
    assert rows(database, "SELECT to_regclass('one') IS NOT NULL, to_regclass('two')") == [(True, None)]
    made.run("upgrade", "head", database.engine())


def test_the_default_lock_timeout_is_two_seconds(made):
    assert load_project(made.root, {}, "development").environment.policy.lock_timeout == "2s"


def test_a_statement_that_blocks_others_gives_way_also_where_it_needs_no_transaction(
    quick, database, rows, holding
):
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "VACUUM FULL one;\nINSERT INTO one VALUES (2);\n")
    let_go = holding("LOCK TABLE one IN ACCESS SHARE MODE")
    events = run(quick, database, Retrying, let_go)
    assert "lock timeout" in next(item.reason for item in events if isinstance(item, Retrying))
    assert rows(database, "SELECT id FROM one ORDER BY id") == [(1,), (2,)]


def test_an_index_that_is_built_concurrently_waits_for_as_long_as_it_takes(quick, database, rows, holding):
    quick.run("upgrade", "head", database.engine())
    quick.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON one (id);\n")
    let_go = holding("INSERT INTO one VALUES (9)")
    events = run(
        quick, database, Blocked, let_go
    )  # told after 0.5 s at the earliest, five times lock_timeout
    assert not [item for item in events if isinstance(item, Retrying)]
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]
