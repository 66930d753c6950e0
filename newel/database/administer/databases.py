"""Databases as a whole: create, drop, and put one in the place of another. All of it from a maintenance connection.

The one that takes another's place gets what belongs to the database itself and is in no dump of one database: owner,
encoding, locale, tablespace, connection limit, settings, grants and comment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer.facts import Facts, refusal
from newel.database.connection import connect, quote_identifier, quote_literal, server_refusal
from newel.errors import ConnectionFailed, NewelError, PermissionDenied

MAINTENANCE = ("postgres", "template1")
LONGEST_NAME = 63
"""Bytes; NAMEDATALEN - 1."""

_LISTS_OF_NAMES = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
)
"""The settings that are stored as a list of quoted names; pg_dump knows them in the same way (dumputils.c)."""


@contextmanager
def maintenance(params: Mapping[str, str]) -> Iterator[Connection]:
    """Connect to another database of the same server, `postgres` or else `template1`, in autocommit mode.

    Raises ConnectionFailed or PermissionDenied if neither lets us in.
    """
    first, *others = [name for name in MAINTENANCE if name != params.get("dbname")]
    try:
        connection = connect({**params, "dbname": first})
    except (ConnectionFailed, PermissionDenied):
        if not others:
            raise
        try:
            connection = connect({**params, "dbname": others[0]})
        except NewelError:
            connection = None
        if connection is None:
            raise
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            # Anybody may have put an operator or a function into schema public that fits better than PostgreSQL's own.
            cursor.execute("SET statement_timeout TO 0; SET search_path TO pg_catalog, pg_temp")
        yield connection
    except psycopg2.Error as error:
        raise server_refusal(error, "cannot work on the server's databases") from error
    finally:
        connection.close()


def existing_names(connection: Connection) -> frozenset[str]:
    """Return the names of the server's databases."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_catalog.pg_database")
        return frozenset(name for (name,) in cursor.fetchall())


def derived_name(name: str, word: str, stamp: str, taken: Collection[str]) -> str:
    """Return `<name>_<word>_<stamp>`, cut to PostgreSQL's limit of 63 bytes, with a number if it is taken."""
    for number in range(1, len(taken) + 2):
        end = f"_{word}_{stamp}" if number == 1 else f"_{word}_{stamp}_{number}"
        found = name.encode()[: LONGEST_NAME - len(end)].decode(errors="ignore") + end
        if found not in taken:
            return found
    raise AssertionError("more names are taken than there are")


def is_present(params: Mapping[str, str]) -> bool:
    """Say whether the server has the database."""
    with maintenance(params) as connection:
        return params["dbname"] in existing_names(connection)


def create_database(params: Mapping[str, str]) -> bool:
    """Create an empty UTF-8 database unless it is there, and say whether this call created it."""
    name = params["dbname"]
    with maintenance(params) as connection:
        if name in existing_names(connection):
            return False
        try:
            create(connection, name, None)
        except _TakenMeanwhile:
            return False
    return True


class _TakenMeanwhile(NewelError):
    """Another process has created the database."""


def create(connection: Connection, name: str, like: Facts | None) -> None:
    """Create an empty database with owner, encoding, locale and tablespace of another, or plainly in UTF-8."""
    command = f"CREATE DATABASE {quote_identifier(name)} TEMPLATE template0"
    if like is None:
        command += " ENCODING 'UTF8'"
    else:
        command += (
            f" OWNER {quote_identifier(like.owner)} ENCODING {quote_literal(like.encoding)} {like.locale}"
        )
        if like.tablespace != "pg_default":  # to name it takes a permission that not to name it does not
            command += f" TABLESPACE {quote_identifier(like.tablespace)}"
    try:
        with connection.cursor() as cursor:
            cursor.execute(command)
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation) as error:
        raise _TakenMeanwhile(f"there is a database {name} already") from error
    except psycopg2.Error as error:
        raise refusal(error, f"cannot create the database {name}", connection) from error


def drop(connection: Connection, name: str, *, end_sessions: bool) -> None:
    """Drop a database if it is there; with sessions on it only if they may be ended."""
    force = " WITH (FORCE)" if end_sessions else ""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)}{force}")
    except psycopg2.Error as error:
        raise refusal(error, f"cannot drop the database {name}", connection) from error


def rename(connection: Connection, name: str, to: str) -> None:
    """Rename a database that nobody uses."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(rename_command(name, to))
    except psycopg2.Error as error:
        raise refusal(error, f"cannot rename the database {name}", connection) from error


def rename_command(name: str, to: str) -> str:
    """Return the command that renames a database."""
    return f"ALTER DATABASE {quote_identifier(name)} RENAME TO {quote_identifier(to)}"


def dress(connection: Connection, name: str, like: Facts) -> tuple[str, ...]:
    """Give a database the connection limit, grants, comment and settings of another.

    Returns the commands that this user may not give, which are settings for superusers only, with the other's name: the
    database will have it.
    """
    refused: list[str] = []
    try:
        with connection.cursor() as cursor:
            for command in _grants_and_comment(name, like):
                cursor.execute(command)
            for command, later in zip(_settings(name, like), _settings(like.name, like), strict=True):
                try:
                    cursor.execute(command)
                except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.UndefinedObject):
                    refused.append(later)
    except psycopg2.Error as error:
        raise refusal(error, f"cannot give {name} what belongs to {like.name}", connection) from error
    return tuple(refused)


def _grants_and_comment(name: str, like: Facts) -> Iterator[str]:
    database = f"DATABASE {quote_identifier(name)}"
    if like.connection_limit >= 0:
        yield f"ALTER {database} CONNECTION LIMIT {like.connection_limit}"
    if like.comment is not None:
        yield f"COMMENT ON {database} IS {quote_literal(like.comment)}"
    if like.grants is not None:
        yield f"REVOKE ALL ON {database} FROM PUBLIC, {quote_identifier(like.owner)}"
        for role, privilege, again in like.grants:
            to = "PUBLIC" if role is None else quote_identifier(role)
            yield f"GRANT {privilege} ON {database} TO {to}{' WITH GRANT OPTION' if again else ''}"


def _settings(name: str, like: Facts) -> Iterator[str]:
    for role, setting, value in like.settings:
        database = f"DATABASE {quote_identifier(name)}"
        whose = f"ROLE {quote_identifier(role)} IN {database}" if role else database
        yield f"ALTER {whose} SET {'.'.join(map(quote_identifier, setting.split('.')))} TO {_value(setting, value)}"


def _value(setting: str, value: str) -> str:
    if setting not in _LISTS_OF_NAMES:
        return quote_literal(value)
    items = [(quoted or plain) for quoted, plain in re.findall(r'"((?:[^"]|"")*)"|([^,\s]+)', value)]
    return ", ".join(quote_literal(item.replace('""', '"')) for item in items) or "''"
