"""Who blocks a session is named while its connection is busy, on a real server.

What blocks ends when it is told of: so a test waits for the watch, and no longer.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.database import blockers
from newel.database.blockers import Blocker, blocking, watch
from newel.database.connection import connect
from newel.database.embedded import server as embedded
from newel.testing import Database

Told = list[tuple[Blocker, ...]]


INTERVAL = blockers.INTERVAL


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockers, "INTERVAL", 0.05)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "newel watch"] == []


@pytest.fixture
def db(database: Database) -> Database:
    run(
        database.connect(), f"ALTER DATABASE {database.name} SET lock_timeout TO '20s'"
    )  # no test waits for ever
    run(database.connect(), "CREATE TABLE users (id int, name text)", "INSERT INTO users VALUES (1, 'x')")
    return database


@pytest.fixture
def background() -> Iterator[Callable[..., Future[None]]]:
    """Run statements on another thread."""
    with ThreadPoolExecutor() as pool:
        yield lambda connection, *statements: pool.submit(run, connection, *statements)


def run(connection: Any, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def rows(database: Database, query: str) -> list[Any]:
    with database.connect().cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def until(true: Callable[[], Any]) -> None:
    """Wait for what the server tells nobody of."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def session(database: Database, name: str, *statements: str, user: str | None = None) -> Any:
    """A session of another application in a transaction that has done the statements."""
    params = database.server.params(database.name) | {"application_name": name}
    connection = connect(params | ({"user": user} if user else {}))
    database.opened.append(connection)
    run(connection, *statements)
    return connection


def pid_of(connection: Any) -> int:
    return int(connection.info.backend_pid)


def watches(database: Database) -> list[Any]:
    return rows(
        database, "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '%(watch)'"
    )


def blocked(connection: Any, statement: str, *holders: Any) -> tuple[Told, blockers.Watch]:
    """Run a statement under watch; each time the watch tells of a block, the next holder ends."""
    told: Told = []
    left = list(holders)

    def tell(found: tuple[Blocker, ...]) -> None:
        told.append(found)
        left.pop(0).rollback()

    with watch(connection, tell) as seen:
        run(connection, statement)
    return told, seen


def test_a_session_that_holds_access_exclusive_is_named(db):
    holder = session(db, "psql", "LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    told, seen = blocked(db.connect(), "ALTER TABLE users ADD a int", holder)
    ((blocker,),) = told
    assert (blocker.pid, blocker.application, blocker.user) == (pid_of(holder), "psql", "postgres")
    assert (blocker.state, blocker.query) == (
        "idle in transaction",
        "LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
    )
    assert 0 < blocker.seconds < 10
    assert seen.last == told[-1] or seen.last[0].pid == blocker.pid


def test_a_session_idle_in_a_transaction_is_named_in_one_line(db):
    holder = session(db, "psql", "UPDATE users\n   SET name = 'y'")
    told, _ = blocked(db.connect(), "ALTER TABLE users ADD a int", holder)
    line = str(told[0][0])
    assert line == (
        f"pid {pid_of(holder)} (psql, postgres), in a transaction for {told[0][0].seconds:.0f} s, idle: "
        "UPDATE users SET name = 'y'"
    )


def test_of_a_running_parallel_query_the_leader_is_named_once(db, background):
    many = "CREATE TABLE many AS SELECT generate_series(1, 10000) AS a"
    eager = ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size")
    run(db.connect(), many)
    report = session(db, "report", *(f"SET {name} TO 0" for name in eager))
    query = background(report, "SELECT count(pg_sleep(60)) FROM many")
    workers = f"SELECT FROM pg_stat_activity WHERE leader_pid = {pid_of(report)} AND wait_event = 'PgSleep'"
    until(lambda: rows(db, workers))
    told: Told = []
    main = db.connect()

    def tell(found: tuple[Blocker, ...]) -> None:
        told.append(found)
        report.cancel()
        query.exception()
        report.rollback()

    with watch(main, tell):
        run(main, "ALTER TABLE many ADD b int")
    assert [blocker.pid for blocker in told[0]] == [pid_of(report)]
    assert "running: SELECT count(pg_sleep(60)) FROM many" in str(told[0][0])
    with pytest.raises(psycopg2.errors.QueryCanceled):
        query.result()


def test_of_a_chain_the_session_that_waits_for_nobody_comes_first(db, background):
    first = session(db, "first", "SELECT FROM users")
    second = session(db, "second")
    waiting = background(second, "ALTER TABLE users ADD a int")
    with db.connect().cursor() as cursor:
        until(lambda: blocking(cursor, pid_of(second)))
    main = db.connect()
    told: Told = []

    def tell(found: tuple[Blocker, ...]) -> None:
        told.append(found)
        first.rollback()
        waiting.result()
        second.rollback()

    with watch(main, tell):
        run(main, "SELECT FROM users")
    assert [blocker.pid for blocker in told[0]] == [pid_of(first), pid_of(second)]
    assert "idle: SELECT FROM users" in str(told[0][0])
    assert "waiting for a lock: ALTER TABLE users ADD a int" in str(told[0][1])


def test_an_old_snapshot_that_holds_up_create_index_concurrently_is_named(db):
    holder = session(db, "pg_dump", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
    told, _ = blocked(db.connect(), "CREATE INDEX CONCURRENTLY i ON users (id)", holder)
    assert [blocker.pid for blocker in told[0]] == [pid_of(holder)]
    assert rows(db, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_a_row_that_another_transaction_has_locked_names_that_one(db):
    holder = session(db, "psql", "DELETE FROM users")
    told, _ = blocked(db.connect(), "UPDATE users SET id = 2", holder)
    assert [blocker.pid for blocker in told[0]] == [pid_of(holder)]


def test_a_lock_held_outside_a_transaction_has_no_age(db):
    holder = session(db, "cron", "SELECT pg_advisory_lock(7)")
    holder.commit()
    told: Told = []
    main = db.connect()

    def tell(found: tuple[Blocker, ...]) -> None:
        told.append(found)
        run(holder, "SELECT pg_advisory_unlock(7)")

    with watch(main, tell):
        run(main, "SELECT pg_advisory_lock(7)")
    assert told[0][0].seconds is None
    assert str(told[0][0]) == f"pid {pid_of(holder)} (cron, postgres), idle: COMMIT"


@pytest.fixture
def role(db) -> Iterator[str]:
    run(db.connect(), "CREATE ROLE blocked_app LOGIN PASSWORD 'geheim'", "GRANT ALL ON users TO blocked_app")
    yield "blocked_app"
    db.close()
    admin = db.connect()
    until(lambda: not rows(db, "SELECT FROM pg_stat_activity WHERE usename = 'blocked_app'"))
    run(admin, "DROP OWNED BY blocked_app", "DROP ROLE blocked_app")


def test_of_another_users_session_newel_tells_what_the_server_shows(db, role):
    holder = session(db, "psql", "UPDATE users SET name = 'y'")
    told, _ = blocked(session(db, "app", user=role), "UPDATE users SET name = 'z'", holder)
    assert told[0] == (Blocker(pid_of(holder), "psql", "postgres", "", "<insufficient privilege>", None),)
    assert str(told[0][0]) == f"pid {pid_of(holder)} (psql, postgres): <insufficient privilege>"


def test_prepared_transactions_are_named_in_words(monkeypatch, project_root):
    monkeypatch.setitem(embedded.THROWAWAY_SETTINGS, "max_prepared_transactions", "3")
    with embedded.throwaway(os.environ) as server:
        database = Database(server, "postgres", project_root, "development")
        run(database.connect(), "ALTER DATABASE postgres SET lock_timeout TO '20s'")
        run(database.connect(), "CREATE TABLE users (id int)", "CREATE TABLE others (id int)")
        for name, gid in (("users", "bob''s"), ("others", "harmless")):
            preparing = session(database, "app", f"LOCK TABLE {name} IN SHARE MODE")
            run(preparing, f"PREPARE TRANSACTION '{gid}'")
        told: Told = []
        main, admin = database.connect(), database.connect()

        def tell(found: tuple[Blocker, ...]) -> None:
            told.append(found)
            run(admin, "ROLLBACK PREPARED 'bob''s'")

        with watch(main, tell):
            run(main, "ALTER TABLE users ADD a int")
        database.close()
    ((blocker,),) = told
    assert blocker.pid == 0
    assert str(blocker) == (
        f"a prepared transaction (postgres), for {blocker.seconds:.0f} s, "
        "to be ended by COMMIT PREPARED or ROLLBACK PREPARED: PREPARE TRANSACTION 'bob''s'"
    )


def test_who_blocks_is_told_again_only_when_it_changes(db):
    one, two = (session(db, name, "SELECT FROM users") for name in ("one", "two"))
    told, seen = blocked(db.connect(), "ALTER TABLE users ADD a int", one, two)
    assert [{blocker.application for blocker in found} for found in told] == [{"one", "two"}, {"two"}]
    assert [blocker.application for blocker in seen.last] == ["two"]


def test_after_a_lock_timeout_it_is_still_known_who_blocked(db):
    session(db, "psql", "LOCK TABLE users")
    main = db.connect()
    run(main, "SET lock_timeout TO '500ms'")
    told: Told = []
    with pytest.raises(psycopg2.errors.LockNotAvailable), watch(main, told.append) as seen:
        run(main, "ALTER TABLE users ADD a int")
    assert [blocker.application for blocker in seen.last] == ["psql"]
    assert [[blocker.application for blocker in found] for found in told] == [["psql"]]


def test_an_error_of_the_listener_does_not_stop_the_run_or_the_watch(db):
    one, two = (session(db, name, "SELECT FROM users") for name in ("one", "two"))
    left, main = [one, two], db.connect()

    def tell(found: tuple[Blocker, ...]) -> None:
        left.pop(0).rollback()
        raise RuntimeError("a closed terminal")

    with watch(main, tell):
        run(main, "ALTER TABLE users ADD a int")
    assert left == []


def test_an_interrupt_reaches_the_main_thread(db):
    holder, main = session(db, "psql", "LOCK TABLE users"), db.connect()

    def tell(found: tuple[Blocker, ...]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        holder.rollback()

    with pytest.raises(KeyboardInterrupt), watch(main, tell):
        run(main, "ALTER TABLE users ADD a int")


def test_the_second_connection_is_named_and_gone_afterwards(db):
    holder, main = session(db, "psql", "LOCK TABLE users"), db.connect()
    there: list[Any] = []

    def tell(found: tuple[Blocker, ...]) -> None:
        there.extend(watches(db))
        holder.rollback()

    with watch(main, tell):
        run(main, "ALTER TABLE users ADD a int")
    assert there == [(f"{blockers.APPLICATION_NAME} (watch)",)]
    until(lambda: not watches(db))


def test_no_second_connection_is_opened_while_no_statement_runs(db):
    asked = threading.Semaphore(0)

    class Asked(psycopg2.extensions.connection):
        """Tells when the watch has looked at it."""

        def get_transaction_status(self) -> int:
            asked.release()
            return super().get_transaction_status()

    main = psycopg2.connect(**db.server.params(db.name), connection_factory=Asked)
    db.opened.append(main)
    with watch(main, lambda _: None):
        for _ in range(3):
            assert asked.acquire(timeout=5)
        assert watches(db) == []


def test_a_watch_ends_with_its_block_and_not_at_its_next_look(db, monkeypatch):
    monkeypatch.setattr(blockers, "INTERVAL", INTERVAL)
    main = db.connect()
    started = time.perf_counter()
    for _ in range(20):
        with watch(main, lambda _: None):
            run(main, "SELECT 1")
    assert time.perf_counter() - started < INTERVAL


def test_a_watch_that_gets_no_connection_says_nothing(db, role):
    run(db.connect(), f"ALTER ROLE {role} CONNECTION LIMIT 1")
    main = session(db, "app", "SET lock_timeout TO '300ms'", user=role)
    session(db, "psql", "LOCK TABLE users")
    told: Told = []
    with pytest.raises(psycopg2.errors.LockNotAvailable), watch(main, told.append) as seen:
        run(main, "SELECT FROM users")
    assert (told, seen.last) == ([], ())
    main.rollback()
    run(main, "SELECT 1")


def test_a_watch_whose_connection_is_ended_says_nothing_more(db):
    holder, main = session(db, "psql", "LOCK TABLE users"), db.connect()
    run(main, "SET lock_timeout TO '500ms'")
    told: Told = []

    def tell(found: tuple[Blocker, ...]) -> None:
        told.append(found)
        rows(
            db,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%(watch)'",
        )

    with pytest.raises(psycopg2.errors.LockNotAvailable), watch(main, tell) as seen:
        run(main, "ALTER TABLE users ADD a int")
    assert len(told) == 1
    assert seen.last[0].pid == pid_of(holder)


def test_a_connection_lost_under_watch_gives_its_own_error(db):
    session(db, "psql", "LOCK TABLE users")
    main, admin = db.connect(), db.connect()

    def tell(found: tuple[Blocker, ...]) -> None:
        run(admin, f"SELECT pg_terminate_backend({pid_of(main)})")

    with pytest.raises(psycopg2.OperationalError, match="terminat"), watch(main, tell):
        run(main, "ALTER TABLE users ADD a int")


def test_the_second_connection_gives_the_password_and_no_text_holds_it(db, role):
    hba = db.server.data / "pg_hba.conf"
    before = hba.read_text()
    admin = db.connect()
    try:
        hba.write_text(f"local {db.name} {role} scram-sha-256\n{before}")
        run(admin, "SELECT pg_reload_conf()")
        params = db.server.params(db.name) | {"user": role}
        until(lambda: refused(params))
        main = connect(params | {"password": "geheim"})
        db.opened.append(main)
        holder = session(db, "psql", "LOCK TABLE users", "/* password=geheim */ SELECT 'geheim' WHERE false")
        told, seen = blocked(main, "SELECT FROM users", holder)
    finally:
        hba.write_text(before)
        run(admin, "SELECT pg_reload_conf()")
    assert [blocker.pid for blocker in told[0]] == [pid_of(holder)]
    assert "geheim" not in repr((told, seen)) + str(told[0][0])


def refused(params: dict[str, str]) -> bool:
    try:
        psycopg2.connect(**params).close()
    except psycopg2.OperationalError:
        return True
    return False


def test_of_several_hosts_the_second_connection_takes_the_one_of_the_first(db, tmp_path):
    params = db.server.params(db.name)
    params |= {"host": f"{tmp_path},{params['host']}", "port": f"1,{params['port']}"}
    main = psycopg2.connect(**params)
    db.opened.append(main)
    told, _ = blocked(main, "ALTER TABLE users ADD a int", session(db, "psql", "LOCK TABLE users"))
    assert len(told) == 1


passwords = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\"), min_size=1
).map(lambda text: f"geheim{text}geheim")


@given(
    passwords, st.sampled_from(["ALTER ROLE app PASSWORD {}", "CREATE USER app\n ENCRYPTED  password\n{}"])
)
def test_no_password_of_a_statement_is_shown_whole_or_cut(password, statement):
    quoted = "'" + password.replace("'", "''") + "'"
    query = statement.format(quoted)
    for text in (query, query[:-1], query + " VALID UNTIL '2030-01-01'", f"DO $$ {query} $$"):
        line = str(Blocker(1, "psql", "alice", "active", text, 3.0))
        assert "geheim" not in line


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_blocker_is_one_short_line_whatever_it_runs(application, query, state, seconds):
    line = str(Blocker(1, application, "alice", "active", query, seconds))
    assert len(line) < 300
    assert line.isprintable()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (864000, "10 d")]
)
def test_ages_are_said_as_a_person_says_them(seconds, words):
    assert f"in a transaction for {words}, running" in str(
        Blocker(1, "psql", "alice", "active", "SELECT", seconds)
    )
