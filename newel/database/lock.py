"""The lock that keeps two runs apart: a session-level advisory lock, polled.

A blocking pg_advisory_lock() would hold a snapshot while it waits, and CREATE INDEX CONCURRENTLY of the
run that holds the lock waits for every older snapshot: a deadlock. So the lock is tried, with the
transaction ended between tries (PostgreSQL manual, "Advisory Locks" and "Building Indexes Concurrently").
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.journal.tables import VERSION_TABLE
from newel.errors import NewelError

KEY = int.from_bytes(hashlib.sha256(f"newel:{VERSION_TABLE}".encode()).digest()[:8], "big", signed=True)
"""The advisory lock's key.

Advisory locks are a database's own, and a database's version table belongs to one project: so its name stands
for the project too, whatever folder the checkout lies in.
"""

IS_LOCK = f"""\
l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND (l.classid::bigint << 32 | l.objid::bigint) = {KEY}"""
"""A condition in SQL: the row `l` of pg_locks is the lock, held."""

HELD = f"EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = pg_catalog.pg_backend_pid() AND {IS_LOCK})"
"""A condition in SQL: the server process that answers holds the lock."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


@contextmanager
def migration_lock(
    connection: Connection, timeout_seconds: float | None, waiting: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock for the length of the block; call `waiting` once with the holder's name if it has to wait.

    None as `timeout_seconds` takes no lock at all. Raises NewelError with the holder once the time is up.
    """
    if timeout_seconds is None:
        yield
        return
    _acquire(connection, timeout_seconds, waiting)
    try:
        yield
    finally:
        with suppress(psycopg2.Error):  # a lost connection has lost its lock as well
            connection.rollback()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", (KEY,))
            connection.commit()


def holder(connection: Connection) -> str | None:
    """Return who holds the lock, in words: pid, application, since when its session runs. None if nobody."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT l.pid, coalesce(nullif(a.application_name, ''), 'an unnamed application'),
                   to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')
              FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
             WHERE {IS_LOCK}
            """
        )
        row = cursor.fetchone()
    connection.rollback()
    return f"{row[1]} (pid {row[0]}, connected since {row[2]})" if row else None


def _acquire(connection: Connection, timeout_seconds: float, waiting: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout_seconds
    pause, said = _FIRST_PAUSE, False
    while not _try(connection):
        if not said:
            waiting(holder(connection) or "another run")
            said = True
        if time.monotonic() > deadline:
            raise NewelError(
                f"another run has held the lock for more than {timeout_seconds:g} s: "
                f"{holder(connection) or 'it has just let go'}",
                cure="Wait for it and try again. `migration_locking.timeout_seconds` in env/environments.json is "
                "how long newel waits; if that session is a leftover, end it with pg_terminate_backend(pid).",
            )
        time.sleep(min(pause * random.uniform(0.5, 1.5), max(deadline - time.monotonic(), 0.01)))  # noqa: S311
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _try(connection: Connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (KEY,))
        row = cursor.fetchone()
    connection.commit()
    return bool(row and row[0])
