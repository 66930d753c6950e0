"""What an environment's policy refuses before anything runs: a time of day, a fault in a file, a loss of data."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import session_sql
from newel.errors import NewelError, PermissionDenied
from newel.migrate.events import Listener, Warned
from newel.migrate.planned import Planned
from newel.project.environments import Environment
from newel.project.files import SqlFile
from newel.project.source import excerpt, locate
from newel.project.window import Window
from newel.validate.file import validate_file
from newel.validate.losses import losses
from newel.validate.rules.destructive import Destruction, find_destructions
from newel.validate.types import narrows

_INVALID_PARAMETER_VALUE = "22023"


def check_window(environment: Environment, connection: Connection) -> None:
    """Raise PermissionDenied outside the environment's maintenance window, by the server's clock."""
    window = environment.policy.maintenance_window
    if window is None:
        return
    now = _server_time(connection, window)
    if not window.contains(now):
        raise PermissionDenied(
            f"{environment.name} is changed in its maintenance window only, {window}; there it is {now:%a %H:%M} now",
            cure="Nothing was run. Run the same command again then, or change `maintenance_window` in "
            "env/environments.json.",
        )


def check_files(
    environment: Environment, planned: Planned, listener: Listener, connection: Connection | None
) -> None:
    """Refuse what the policy does not allow in the files of the steps up; warnings of the static checks are told.

    Without a connection every change of a type that may narrow is refused, since no catalog knows the type that is.

    Raises PermissionDenied for a destructive statement, NewelError for what the static checks find.
    """
    up = [step for step in planned.steps if step.direction == "up"]
    if not environment.policy.skip_validation:
        for step in up:
            for file in (planned.file(step), planned.records[step.revision.id].down):
                _check_file(file, listener)
    check_destruction(environment, [planned.file(step) for step in up], connection)


def check_destruction(
    environment: Environment, files: Iterable[SqlFile], connection: Connection | None
) -> None:
    """Raise PermissionDenied for a statement that destroys something, where the environment does not allow it."""
    if not environment.policy.allow_destructive_operations:
        types = _Types(environment, connection)
        for file in files:
            _refuse_destruction(environment.name, file, types)


def destroys(file: SqlFile) -> bool:
    """Say whether a down file destroys or loses anything, by its statements or by what it says of itself."""
    return bool(losses(file)) or next(find_destructions(file), None) is not None


def _server_time(connection: Connection, window: Window) -> datetime:
    """Return the server's clock in the window's zone: the machines that run newel may have it wrong."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp() AT TIME ZONE %s", (window.zone,))
            now: datetime = cursor.fetchone()[0]
    except psycopg2.Error as error:
        if error.pgcode != _INVALID_PARAMETER_VALUE:
            raise
        raise NewelError(
            f"the server does not know the time zone of the maintenance window {window}"
        ) from error
    connection.rollback()
    return now


def _check_file(file: SqlFile, listener: Listener) -> None:
    for violation in validate_file(file):
        if violation.severity == "error":
            hint = f"{violation.hint}\n" if violation.hint else ""
            raise NewelError(
                violation.message,
                where=violation.where,
                excerpt=violation.excerpt,
                cure=f"{hint}Nothing was run. See them all:  newel validate",
            )
        listener(Warned(f"{violation.where}: {violation.message}"))


class _Types:
    """The types of columns as they are in the database, and as the changes that were let through will leave them."""

    def __init__(self, environment: Environment, connection: Connection | None) -> None:
        self.environment, self.connection = environment, connection
        self.changed: dict[tuple[int, int], str] = {}

    def widen(self, change: Destruction) -> bool:
        """Say whether every value of a column fits into its new type, which then is the column's."""
        column = self._column(change) if change.new_type else None
        if column is None or change.new_type is None:
            return False
        key, old = column
        if narrows(self.changed.get(key, old), change.new_type):
            return False
        self.changed[key] = change.new_type
        return True

    def _column(self, change: Destruction) -> tuple[tuple[int, int], str] | None:
        if self.connection is None:
            return None
        with self.connection.cursor() as cursor:
            cursor.execute(session_sql(self.environment.search_path))
            cursor.execute(
                "SELECT attrelid, attnum, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute "
                "WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = %s AND NOT attisdropped",
                (change.table, change.column),
            )
            row = cursor.fetchone()
        self.connection.rollback()
        return ((row[0], row[1]), row[2]) if row else None


def _refuse_destruction(environment: str, file: SqlFile, types: _Types) -> None:
    for statement, destruction in find_destructions(file):
        # A file that sets search_path may mean another table than the one that is found.
        if (
            destruction.kind == "type"
            and b"search_path" not in file.data.lower()
            and types.widen(destruction)
        ):
            continue
        raise PermissionDenied(
            f"{environment} does not allow destructive statements, and this one {destruction.what}",
            where=locate(file.data, statement.start, file.path),
            excerpt=excerpt(file.data, statement.start),
            cure="Nothing was run. If the data may go, it is `allow_destructive_operations` of "
            f"`{environment}` in env/environments.json that has to say so, in a reviewed change.",
        )
