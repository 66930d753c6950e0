"""What a server and one of its databases say of themselves: version, owner, connections, size, label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from newel.database.journal.tables import MARKER


@dataclass(frozen=True)
class ServerInfo:
    """The server, and the database that the session is in. `bytes` is None without the right to know the size."""

    version: str
    name: str
    user: str
    owner: str
    encoding: str
    locale: str
    bytes: int | None
    connections: int
    """Client sessions of the whole server."""
    max_connections: int
    states: Mapping[str, int]
    """This database's client sessions by state; `hidden` are other users' that this one may not look at."""
    started_at: datetime
    replica: bool
    """It is in recovery: it takes no writes."""


_INFO = """
SELECT current_setting('server_version'), d.datname::text, current_user::text, pg_get_userbyid(d.datdba)::text,
       pg_encoding_to_char(d.encoding)::text, d.datcollate::text,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END,
       (SELECT count(*) FROM pg_stat_activity
         WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL),
       current_setting('max_connections')::integer,
       (SELECT coalesce(json_object_agg(state, n), '{}')
          FROM (SELECT coalesce(state, 'hidden') AS state, count(*) AS n FROM pg_stat_activity
                 WHERE datid = d.oid AND (backend_type = 'client backend' OR backend_type IS NULL) GROUP BY 1) s),
       pg_postmaster_start_time(), pg_is_in_recovery()
  FROM pg_database d WHERE d.datname = current_database()
"""


def read_info(cursor: Cursor) -> ServerInfo:
    """Return what the server and the database say of themselves; `cursor` is one of looking()."""
    cursor.execute(_INFO)
    [row] = cursor.fetchall()
    return ServerInfo(*row)


def read_label(cursor: Cursor) -> str | None:
    """Return the environment that the database is labelled with; None without a label, or the right to read it."""
    cursor.execute(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        MARKER.split("."),
    )
    row = cursor.fetchone()
    if not (row and row[0]):
        return None
    cursor.execute("SELECT name FROM newel.environment")
    row = cursor.fetchone()
    return row[0] if row else None
