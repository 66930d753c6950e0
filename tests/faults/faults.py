"""The faults: what each does to a run that a proxy has stopped at a message."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg2
from breakable import BreakableServer
from proxy import Link

HANG_SECONDS = 0.7
"""How long the server does not hear of a client that is gone: on a real network, until TCP gives up."""
LOCK_SECONDS = 0.6
"""How long another session keeps its locks: three times the lock_timeout of the projects."""
USER_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'newel')"""


@dataclass
class Site:
    """A run that stands still. `until_it_ends` holds what is taken back when the run has ended."""

    server: BreakableServer
    database: str
    process: subprocess.Popen[str]
    link: Link
    until_it_ends: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True)
class Fault:
    """A fault, and in words how it is made."""

    strike: Callable[[Site], None]
    made: str


def kill(site: Site) -> None:
    site.process.kill()
    site.process.wait()
    site.link.close()


def terminate_backend(site: Site) -> None:
    site.server.execute(f"SELECT pg_terminate_backend({site.link.backend}, 5000)")


def shut_down(site: Site) -> None:
    site.server.stop_immediately()


def cut(site: Site) -> None:
    site.link.reset_client()
    site.link.close_server()


def cut_and_hang(site: Site) -> None:
    kept = site.link.server.dup()
    site.link.reset_client()
    later(HANG_SECONDS, kept.close)


def fill_disk(site: Site) -> None:
    site.until_it_ends.enter_context(site.server.full_disk(site.link.backend))


def lock_tables(site: Site) -> None:
    holder = ExitStack()
    holder.enter_context(holding(site.server, site.database, "ACCESS EXCLUSIVE"))
    later(LOCK_SECONDS, holder.close)


def interrupt(site: Site) -> None:
    site.process.send_signal(signal.SIGINT)


def ask_to_end(site: Site) -> None:
    site.process.send_signal(signal.SIGTERM)


FAULTS = {
    "SIGKILL": Fault(kill, "`SIGKILL` to the process of `newel`"),
    "backend ended": Fault(terminate_backend, "`pg_terminate_backend()` of its session"),
    "server stopped": Fault(
        shut_down, "`SIGQUIT` to the postmaster (`pg_ctl stop -m immediate`), then a start"
    ),
    "connection cut": Fault(cut, "a proxy resets the client's TCP connection and closes the server's"),
    "connection lost": Fault(
        cut_and_hang,
        f"the same, but the server hears of it {HANG_SECONDS:g} s later, when newel is run again",
    ),
    "lock": Fault(
        lock_tables,
        f"another session locks every table it can for {LOCK_SECONDS:g} s, at a `lock_timeout` of 0.2 s",
    ),
    "SIGINT": Fault(interrupt, "`SIGINT` (Ctrl-C)"),
    "SIGTERM": Fault(ask_to_end, "`SIGTERM`"),
}
if sys.platform == "linux":  # elsewhere neither way can be had without privileges
    FAULTS["disk full"] = Fault(
        fill_disk,
        "every free block of the server's disk is taken until the run has ended: the disk is a tmpfs in a namespace "
        "of its own; where that is not allowed, `RLIMIT_FSIZE` of 1 MB for the session's process",
    )


def later(seconds: float, action: Callable[[], None]) -> None:
    """Do something after a time, whatever happens meanwhile."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


@contextmanager
def holding(server: BreakableServer, database: str, mode: str) -> Iterator[None]:
    """Hold a lock on each user's table that is free for it, or (SNAPSHOT) a snapshot, in an open transaction."""
    connection = psycopg2.connect(server.url(database))
    with connection.cursor() as cursor:
        if mode == "SNAPSHOT":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT txid_current_if_assigned()")
        else:
            cursor.execute(USER_TABLES)
            tables = [row[0] for row in cursor.fetchall()]
            connection.rollback()  # the names are taken without keeping a snapshot
            for table in tables:
                cursor.execute("SAVEPOINT before")
                with suppress(psycopg2.Error):
                    cursor.execute(f"LOCK TABLE ONLY {table} IN {mode} MODE NOWAIT")
                    continue
                cursor.execute("ROLLBACK TO SAVEPOINT before")
    try:
        yield
    finally:
        connection.close()
