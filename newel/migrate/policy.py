"""What an environment's policy refuses before anything runs: a time of day, a fault in a file, a loss of data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import quote_identifier
from newel.errors import NewelError, PermissionDenied
from newel.migrate.events import Listener, Warned
from newel.migrate.planned import Planned
from newel.project.environments import Environment
from newel.project.files import SqlFile
from newel.project.source import excerpt, locate
from newel.project.window import Window
from newel.validate.file import validate_file
from newel.validate.rules.destructive import Destruction, find_destructions
from newel.validate.types import narrows


def check_policy(
    environment: Environment, planned: Planned, connection: Connection, listener: Listener
) -> None:
    """Refuse what the environment does not allow; warnings of the static checks are told.

    Raises PermissionDenied for what the policy forbids, NewelError for what the static checks find.
    """
    policy = environment.policy
    if policy.maintenance_window:
        _check_window(
            environment.name, policy.maintenance_window, _server_time(connection, policy.maintenance_window)
        )
    up = [step for step in planned.steps if step.direction == "up"]
    if not policy.skip_validation:
        for step in up:
            record = planned.records[step.revision.id]
            for file in (planned.file(step), record.down):
                _check_file(file, listener)
    if not policy.allow_destructive_operations:
        for step in up:
            _refuse_destruction(environment, planned.file(step), connection)


def destroys(file: SqlFile) -> bool:
    """Say whether a file holds a statement that destroys data, or says so of itself."""
    return bool(file.directives.lossy) or next(find_destructions(file), None) is not None


def _server_time(connection: Connection, window: Window) -> datetime:
    """Return the server's clock in the window's zone: the machines that run newel may have it wrong."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp() AT TIME ZONE %s", (window.zone,))
            now: datetime = cursor.fetchone()[0]
    except psycopg2.Error as error:
        raise NewelError(
            f"the server does not know the time zone of the maintenance window {window}"
        ) from error
    finally:
        connection.rollback()
    return now


def _check_window(environment: str, window: Window, now: datetime) -> None:
    if not window.contains(now):
        raise PermissionDenied(
            f"{environment} is changed in its maintenance window only, {window}; there it is {now:%a %H:%M} now",
            cure="Run the same command again then, or change `maintenance_window` in env/environments.json.",
        )


def _check_file(file: SqlFile, listener: Listener) -> None:
    for violation in validate_file(file):
        if violation.severity == "error":
            raise NewelError(
                violation.message,
                where=violation.where,
                excerpt=violation.excerpt,
                cure="\n".join(
                    filter(None, (violation.hint, "Nothing was run. See them all:  newel validate"))
                ),
            )
        listener(Warned(f"{violation.where}: {violation.message}"))


def _refuse_destruction(environment: Environment, file: SqlFile, connection: Connection) -> None:
    for statement, destruction in find_destructions(file):
        if destruction.kind == "type" and _widens(connection, environment, destruction):
            continue
        raise PermissionDenied(
            f"{environment.name} does not allow destructive statements, and this one {destruction.what}",
            where=locate(file.data, statement.start, file.path),
            excerpt=excerpt(file.data, statement.start),
            cure="Nothing was run. If the data may go, it is `allow_destructive_operations` of "
            f"`{environment.name}` in env/environments.json that has to say so, in a reviewed change.",
        )


def _widens(connection: Connection, environment: Environment, change: Destruction) -> bool:
    """Ask the catalog for a column's type: every value of it may fit into the new one."""
    if change.new_type is None:
        return False
    try:
        with connection.cursor() as cursor:
            old = _column_type(cursor, environment, change)
    finally:
        connection.rollback()
    return old is not None and not narrows(old, change.new_type)


def _column_type(cursor: Any, environment: Environment, change: Destruction) -> str | None:
    if environment.search_path:
        path = ", ".join(quote_identifier(schema) for schema in environment.search_path)
        cursor.execute(f"SET LOCAL search_path TO {path}")
    cursor.execute(
        "SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute "
        "WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = %s AND NOT attisdropped",
        (change.table, change.column),
    )
    row = cursor.fetchone()
    return str(row[0]) if row else None
