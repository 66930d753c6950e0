"""Put one database in the place of another by renaming both in one transaction, which waits for nobody's goodwill.

ALTER DATABASE ... RENAME locks the name first, so that new sessions wait at the door, and then gives those inside five
seconds to go (CountOtherDBBackends in procarray.c). In these, another connection of ours ends them. Nothing is set on
the database for it, so that whatever breaks this off, a kill too, leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer.databases import maintenance, rename_command
from newel.database.administer.facts import MAY_NOT_END, Facts, refusal
from newel.errors import ConnectionFailed, NewelError, PermissionDenied

_TRIES = 6
_BETWEEN_LOOKS = 0.02
"""Seconds."""

_LOCKED = """
SELECT FROM pg_catalog.pg_locks
 WHERE pid = %s AND locktype = 'object' AND classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND objid = %s
   AND mode = 'AccessExclusiveLock' AND granted
"""
_END = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
 WHERE datid = %s AND usesysid IS NOT NULL AND pid <> %s
"""


def swap(
    params: Mapping[str, str],
    present: Facts,
    copy: str,
    kept: str,
    ours: Connection,
    let_go: Callable[[], None],
) -> None:
    """Rename the present database to `kept`, and the copy to its name. Sessions on the present one are ended.

    `ours` is our own session on it, which goes last: `let_go` closes it.

    Raises PermissionDenied if sessions may not be ended, NewelError if the server refuses; both stay as they were then.
    Where the connection is lost, the server is asked what has become of it; ConnectionFailed if it does not answer.
    """
    with maintenance(params) as renaming, maintenance(params) as ending:
        renaming.autocommit = False
        mine = ours.get_backend_pid()
        for tried in range(1, _TRIES + 1):
            try:
                _rename_present(renaming, ending, present, kept, mine, let_go)
                with renaming.cursor() as cursor:
                    cursor.execute(rename_command(copy, present.name))
                renaming.commit()
            except psycopg2.Error as error:
                with suppress(psycopg2.Error):
                    renaming.rollback()
                if renaming.closed and _is_done(params, present, kept):
                    return
                if error.pgcode != "55006" or tried == _TRIES or "prepared" in str(error.diag.message_detail):
                    raise refusal(error, f"cannot rename the database {present.name}", renaming) from error
            else:
                return


def _is_done(params: Mapping[str, str], present: Facts, kept: str) -> bool:
    """Say whether the renaming was committed: the connection may have been lost between COMMIT and its answer."""
    try:
        with maintenance(params) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE oid = %s AND datname = %s", (present.oid, kept))
            return bool(cursor.rowcount)
    except NewelError as error:
        raise ConnectionFailed(
            f"the server was lost while {present.name} was given away, and whether it was is not known: {error.what}",
            cure=f"Look once it answers. If there is a database {kept}, that is the former one, and {present.name} is "
            "the new.",
        ) from error


def _rename_present(
    renaming: Connection, ending: Connection, present: Facts, kept: str, mine: int, let_go: Callable[[], None]
) -> None:
    """Rename in a thread, and end the sessions from here as soon as the name is locked."""
    with ThreadPoolExecutor(1) as pool, renaming.cursor() as cursor:
        renamed = pool.submit(cursor.execute, rename_command(present.name, kept))
        try:
            while not renamed.done():
                if _is_locked(renaming, ending, present.oid):
                    _end_sessions(ending, present, mine)
                    let_go()
                wait([renamed], timeout=_BETWEEN_LOOKS)
            renamed.result()
        except BaseException:
            _give_up(renaming, renamed)
            raise


def _give_up(renaming: Connection, renamed: Future[None]) -> None:
    with suppress(psycopg2.Error):
        renaming.cancel()
    wait([renamed])
    with suppress(psycopg2.Error):
        renaming.rollback()


def _is_locked(renaming: Connection, ending: Connection, oid: int) -> bool:
    with ending.cursor() as cursor:
        cursor.execute(_LOCKED, (renaming.get_backend_pid(), oid))
        return bool(cursor.rowcount)


def _end_sessions(ending: Connection, present: Facts, mine: int) -> None:
    try:
        with ending.cursor() as cursor:
            cursor.execute(_END, (present.oid, mine))
    except psycopg2.errors.InsufficientPrivilege as error:
        raise PermissionDenied(
            f"{present.user} may not end the sessions on {present.name}: {error.diag.message_primary}",
            cure=MAY_NOT_END,
        ) from error
    except psycopg2.Error as error:
        raise refusal(error, f"cannot end the sessions on {present.name}", ending) from error
