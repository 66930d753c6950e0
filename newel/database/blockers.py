"""Who blocks a statement that waits for a lock, found out while its own connection is busy.

A second connection looks, because the first one can't: it is the one that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import APPLICATION_NAME, connect, mask

INTERVAL = 0.5
"""Seconds from one look to the next."""

_LONGEST_END = 1.0
_PREPARED = "prepared"
_WAITING = "waiting for a lock"
_DOING = {
    "active": "running",
    "idle in transaction": "idle",
    "idle in transaction (aborted)": "idle after an error",
}

# A prepared transaction holds the lock on its own transaction id under the same virtualtransaction as all others.
# That it is '-1/' and the id, as the manual says ("pg_locks"), holds only after a restart of the server.
_BLOCKING = f"""
WITH RECURSIVE chain(pid) AS (
    SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(%(pid)s))
    UNION
    SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(pid)) FROM chain
), blocker AS (
    SELECT a.pid, coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), '') AS application,
           coalesce(a.usename, '') AS "user",
           CASE a.wait_event_type WHEN 'Lock' THEN '{_WAITING}' ELSE coalesce(a.state, '') END AS state,
           coalesce(a.query, '') AS query, a.xact_start AS since
      FROM chain JOIN pg_catalog.pg_stat_activity a USING (pid)
     WHERE a.pid NOT IN (%(pid)s, pg_catalog.pg_backend_pid())
    UNION ALL
    SELECT 0, '', p.owner, '{_PREPARED}', 'PREPARE TRANSACTION ' || pg_catalog.quote_literal(p.gid), p.prepared
      FROM pg_catalog.pg_prepared_xacts p
     WHERE 0 IN (SELECT pid FROM chain)
       AND p.transaction IN (
           SELECT own.transactionid
             FROM pg_catalog.pg_locks own
             JOIN pg_catalog.pg_locks held USING (virtualtransaction)
             JOIN pg_catalog.pg_locks awaited
               ON (held.locktype, held.database, held.relation, held.page, held.tuple, held.transactionid,
                   held.classid, held.objid, held.objsubid)
                  IS NOT DISTINCT FROM
                  (awaited.locktype, awaited.database, awaited.relation, awaited.page, awaited.tuple,
                   awaited.transactionid, awaited.classid, awaited.objid, awaited.objsubid)
            WHERE own.pid IS NULL AND own.locktype = 'transactionid' AND held.pid IS NULL
              AND NOT awaited.granted AND (awaited.pid = %(pid)s OR awaited.pid IN (SELECT pid FROM chain)))
)
SELECT pid, application, "user", state, query,
       extract(epoch FROM pg_catalog.clock_timestamp() - since)::double precision
  FROM blocker ORDER BY state = '{_WAITING}', since, pid
"""  # noqa: S608 - constants; the pid is bound


@dataclass(frozen=True)
class Blocker:
    """A session that another one waits for, or a prepared transaction (pid 0), as pg_stat_activity shows it.

    `query` is as the server has it, unmasked; str() masks it. `state` is the server's too, but for `prepared` and
    `waiting for a lock`. `seconds` is the age of its transaction: None outside one, and where the server does not
    show it (then `query` is `<insufficient privilege>`).
    """

    pid: int
    application: str
    user: str
    state: str
    query: str
    seconds: float | None

    def __str__(self) -> str:
        who = ", ".join(name for name in (self.application, self.user) if name)
        name = "a prepared transaction" if self.state == _PREPARED else f"pid {self.pid}"
        age = f"for {_duration(self.seconds)}" if self.seconds is not None else ""
        if self.state == _PREPARED:
            doing = (age, "to be ended by COMMIT PREPARED or ROLLBACK PREPARED")
        else:
            doing = (f"in a transaction {age}" if age else "", _DOING.get(self.state, self.state))
        words = [_one_line(f"{name} ({who})" if who else name, 160), *(word for word in doing if word)]
        query = _one_line(self.query, 80)
        return ", ".join(words) + (f": {query}" if query else "")


@dataclass
class Watch:
    """What a watch has seen: `last` holds the blockers it saw last, also once they block no more."""

    last: tuple[Blocker, ...] = ()


def blocking(cursor: Any, pid: int) -> tuple[Blocker, ...]:
    """Return who blocks a backend, and who blocks those; first who waits for nobody, the oldest first.

    From pg_blocking_pids (PostgreSQL manual, "System Information Functions"), which counts who is ahead in the
    queue for the same lock as well. Empty if the backend waits for no lock, or is gone.
    """
    cursor.execute(_BLOCKING, {"pid": pid})
    return tuple(Blocker(*row) for row in cursor)


@contextmanager
def watch(connection: Connection, tell: Callable[[tuple[Blocker, ...]], None]) -> Iterator[Watch]:
    """Look every INTERVAL, for the length of the block, at who blocks the connection, which may be busy.

    `tell` is called on a thread of its own when two looks in a row have found a block, and again whenever
    other sessions block. What it raises is dropped. The second connection is opened at the first look at which
    a statement runs. A watch that fails to get it, or loses it, ends and says nothing: it is a help, no condition.
    """
    seen, over = Watch(), Event()
    work = (connection, connection.info.backend_pid, tell, seen, over)
    thread = Thread(target=_look_until, args=work, name="newel watch", daemon=True)
    try:
        thread.start()
        yield seen
    finally:
        over.set()
        if thread.is_alive():
            thread.join(_LONGEST_END)  # a look at a server that does not answer ends by itself later


def _look_until(
    connection: Connection,
    pid: int,
    tell: Callable[[tuple[Blocker, ...]], None],
    seen: Watch,
    over: Event,
) -> None:
    second: Connection | None = None
    before: frozenset[int] = frozenset()
    told: frozenset[int] = frozenset()
    try:
        with suppress(Exception):
            while not over.wait(INTERVAL):
                blockers: tuple[Blocker, ...] = ()
                if connection.get_transaction_status() == TRANSACTION_STATUS_ACTIVE:
                    second = second or _second(connection)
                    with second.cursor() as cursor:
                        blockers = blocking(cursor, pid)
                pids = frozenset(blocker.pid for blocker in blockers)
                seen.last = blockers or seen.last
                if not pids:
                    told = pids
                elif before and pids != told and not over.is_set():
                    told = pids
                    with suppress(Exception):
                        tell(blockers)
                before = pids
    finally:
        if second:
            second.close()


def _second(connection: Connection) -> Connection:
    """Open another connection to where one leads: of several hosts, to the same."""
    info = connection.info
    params = {
        **info.dsn_parameters,
        "host": info.host,
        "port": str(info.port),
        "application_name": f"{APPLICATION_NAME} (watch)",
    }
    params.pop("client_encoding", None)  # connect() sets its own
    if "," in params.get("hostaddr", ""):
        params["hostaddr"] = ""
    if info.password:
        params["password"] = info.password
    second = connect(params)
    second.autocommit = True
    return second


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _one_line(text: str, longest: int) -> str:
    """Mask first: a password that is cut in two would no longer be known as one."""
    line = mask(" ".join("".join(char if char.isprintable() else " " for char in text).split()))
    return line if len(line) <= longest else line[: longest - 2].rstrip() + " …"
