"""Empties the service's tables in one statement. newel's own stay as they are, and so does the schema."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import OWN_NAMES, quote_identifier, server_refusal, session_sql
from newel.database.lock import migration_lock
from newel.errors import NewelError, PermissionDenied
from newel.migrate.execute.retry import LOCK_NOT_AVAILABLE
from newel.migrate.execute.runner import kind_of_refusal, server_words
from newel.migrate.policy.checks import check_window
from newel.migrate.policy.estimate import estimate
from newel.migrate.request import look
from newel.migrate.state import check_used
from newel.project.project import Project
from newel.validate.losses import Loss

# TRUNCATE of a partitioned table reaches its partitions. Where one of them is foreign, the others are named one by one.
_RELATIONS = """
SELECT n.nspname::text, c.relname::text, c.relkind::text
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (
       SELECT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(pg_catalog.pg_partition_root(c.oid)) t
                        JOIN pg_catalog.pg_class f ON f.oid = t.relid WHERE f.relkind = 'f')) beside (foreign_one)
 WHERE n.nspname NOT IN ('newel', 'pg_catalog', 'information_schema')
   AND pg_catalog.left(n.nspname::text, 3) <> 'pg_'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
   AND CASE c.relkind
       WHEN 'p' THEN NOT c.relispartition AND NOT foreign_one
       WHEN 'r' THEN NOT c.relispartition OR foreign_one
       ELSE c.relkind IN ('f', 'v', 'm') END
 ORDER BY 1, 2"""

_PATIENCE = "SET LOCAL statement_timeout TO '2s'"
"""How long rows are counted that the planner knows nothing of."""

_KINDS = {"f": "foreign table", "v": "view", "m": "materialized view"}


@dataclass(frozen=True)
class Table:
    """A table to be emptied; `rows` as the planner knows them, or counted if `exact`; None if nobody knows."""

    schema: str
    name: str
    partitioned: bool
    rows: int | None = None
    exact: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The name, quoted."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"


@dataclass(frozen=True)
class Contents:
    """The service's tables, and what else is there and left alone: `user_service.active_users (view)`."""

    tables: tuple[Table, ...]
    left_alone: tuple[str, ...]


def look_at_tables(project: Project, connection: Connection) -> Contents:
    """Return what would be emptied: every table but newel's, the system's and those of extensions.

    Raises PermissionDenied where the environment forbids destruction or its maintenance window is closed, and
    NewelError or DependencyError for a database that is not the environment's.
    """
    name = project.environment.name
    if not project.environment.policy.allow_destructive_operations:
        raise PermissionDenied(
            f"{name} does not allow destructive operations, and this empties every table",
            cure="Nothing was changed. If the data may go, it is `allow_destructive_operations` of "
            f"`{name}` in env/environments.json that has to say so, in a reviewed change.",
        )
    check_used(project, look(connection))
    try:
        check_window(project.environment, connection)
        with connection.cursor() as cursor:
            cursor.execute(OWN_NAMES)
            found = _relations(cursor)
            cursor.execute(_PATIENCE)
            tables = tuple(_with_rows(cursor, table) for table in found.tables)
        return Contents(tables, found.left_alone)
    except psycopg2.Error as error:
        raise server_refusal(error, "cannot look at the tables") from error
    finally:
        with suppress(psycopg2.Error):  # a lost connection
            connection.rollback()


def empty_tables(
    project: Project, connection: Connection, seen: Contents, waiting: Callable[[str], None]
) -> None:
    """Empty the tables that were `seen` in one statement, and start the sequences that they own anew.

    Raises NewelError if there are others by now, or if another table's foreign key refers to one of them.
    """
    locking, policy = project.environments.locking, project.environment.policy
    timeouts = {"lock_timeout": policy.lock_timeout, "statement_timeout": policy.statement_timeout}
    try:
        with (
            migration_lock(connection, locking.timeout_seconds if locking.enabled else None, waiting),
            connection.cursor() as cursor,
        ):
            check_used(project, look(connection))
            check_window(project.environment, connection)
            cursor.execute(OWN_NAMES)
            now = _relations(cursor).tables
            if [str(table) for table in now] != [str(table) for table in seen.tables]:
                raise NewelError(
                    "the tables are others than those that were shown: another run has changed them",
                    cure="Nothing was changed. Run the same command again.",
                )
            names = (table.sql if table.partitioned else f"ONLY {table.sql}" for table in now)
            cursor.execute(session_sql(project.environment.search_path, **timeouts))
            cursor.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
            connection.commit()
    except psycopg2.Error as error:
        raise _refused(error) from error


def _relations(cursor: Any) -> Contents:
    cursor.execute(_RELATIONS)
    rows = cursor.fetchall()
    return Contents(
        tuple(Table(schema, name, kind == "p") for schema, name, kind in rows if kind not in _KINDS),
        tuple(f"{schema}.{name} ({_KINDS[kind]})" for schema, name, kind in rows if kind in _KINDS),
    )


def _with_rows(cursor: Any, table: Table) -> Table:
    """Add the planner's estimate; a table that was never analysed is a small one most often, and is counted."""
    for count in (False, True):
        for found in estimate(cursor, [Loss(table.sql, None, "all")], count=count):
            table = replace(table, rows=found.rows, exact=found.exact)
        if table.rows is not None:
            break
    return table


def _refused(error: psycopg2.Error) -> NewelError:
    cure = "Nothing was changed."
    if error.pgcode == LOCK_NOT_AVAILABLE:
        cure += " Somebody works with one of the tables; run the same command again when that is over."
    return kind_of_refusal(error)(f"cannot empty the tables: {server_words(error)}", cure=cure)
