"""Databases as a whole: create, drop, and put one in the place of another. All of it from a maintenance connection.

The one that takes another's place gets what belongs to the database itself and is in no dump of one database: owner,
encoding, locale, tablespace, connection limit, settings, grants and comment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import connect, describe, quote_identifier, quote_literal, server_refusal
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

_FACTS = """
SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), t.spcname,
       d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl IS NOT NULL,
       pg_catalog.to_jsonb(d) - 'datacl',
       CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) ELSE 0 END,
       pg_catalog.pg_has_role(d.datdba, 'USAGE') AND (r.rolsuper OR r.rolcreatedb), r.rolname
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
       JOIN pg_catalog.pg_roles r ON r.rolname = current_user
 WHERE d.datname = %s
"""
_GRANTS = """
SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
       a.privilege_type, a.is_grantable
  FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE d.oid = %s ORDER BY 1, 2
"""
_SETTINGS = """
SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(s.setrole) END, c
  FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) WITH ORDINALITY c(c, n)
 WHERE s.setdatabase = %s ORDER BY 1 NULLS FIRST, c.n
"""


@dataclass(frozen=True)
class Facts:
    """What belongs to a database itself. `locale` is options of CREATE DATABASE."""

    oid: int
    name: str
    owner: str
    encoding: str
    tablespace: str
    locale: str
    connection_limit: int
    comment: str | None
    grants: tuple[tuple[str | None, str, bool], ...] | None
    """Role (None is PUBLIC), privilege, with grant option or not; None if nothing was ever granted or revoked."""
    settings: tuple[tuple[str | None, str, str], ...]
    """Role (None is every one), name and value."""
    size: int
    """Bytes."""
    user: str
    may_replace: bool
    """The user who looks may rename it and create another."""
    sessions: tuple[str, ...]
    """Who is connected to it: role and application."""


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
        yield connection
    finally:
        connection.close()


def find_database(connection: Connection, name: str) -> Facts | None:
    """Return what belongs to a database; None if it is not there."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_FACTS, (name,))
            row = cursor.fetchone()
            if row is None:
                return None
            oid, owner, encoding, tablespace, limit, comment, granted, whole, size, may_replace, user = row
            cursor.execute(_GRANTS, (oid,))
            grants = tuple(cursor.fetchall()) if granted else None
            cursor.execute(_SETTINGS, (oid,))
            settings = tuple((role, *item.split("=", 1)) for role, item in cursor.fetchall())
            sessions = _sessions(cursor, oid)
    except psycopg2.Error as error:
        raise server_refusal(error, f"cannot look at the database {name}") from error
    return Facts(
        oid,
        name,
        owner,
        encoding,
        tablespace,
        locale_options(whole),
        limit,
        comment,
        grants,
        settings,
        size,
        user,
        may_replace,
        sessions,
    )


def _sessions(cursor: Any, oid: int) -> tuple[str, ...]:
    cursor.execute(
        "SELECT usename || coalesce(' (' || nullif(application_name, '') || ')', '') FROM pg_catalog.pg_stat_activity "
        "WHERE datid = %s AND usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() ORDER BY 1",
        (oid,),
    )
    return tuple(who for (who,) in cursor.fetchall())


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

    Returns the commands that this user may not give, which are settings for superusers only.
    """
    refused: list[str] = []
    try:
        with connection.cursor() as cursor:
            for command in _grants_and_comment(name, like):
                cursor.execute(command)
            for command in _settings(name, like):
                try:
                    cursor.execute(command)
                except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.UndefinedObject):
                    refused.append(command)
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


def locale_options(row: Mapping[str, Any]) -> str:
    """Return the options of CREATE DATABASE that give the locale in a row of pg_database, of any release from 14."""
    options = f"LC_COLLATE {quote_literal(row['datcollate'])} LC_CTYPE {quote_literal(row['datctype'])}"
    provider = {"i": "ICU", "b": "BUILTIN"}.get(row.get("datlocprovider", "c"))
    if provider:
        locale = row.get("datlocale") or row.get("daticulocale")
        options += f" LOCALE_PROVIDER {provider} {provider}_LOCALE {quote_literal(locale)}"
    if row.get("daticurules"):
        options += f" ICU_RULES {quote_literal(row['daticurules'])}"
    return options


def refusal(error: psycopg2.Error, doing: str, connection: Connection) -> NewelError:
    """Word a refusal to create, drop or rename: who needs which permission, or what is in the way."""
    if error.pgcode == "42501":
        user = quote_identifier(connection.info.user)
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        return PermissionDenied(
            f"{doing}: {(error.diag.message_primary or '').strip()}{detail}",
            cure="The user who connects needs CREATEDB, and to own the database or be a member of its owner. "
            f"A superuser gives it:\n  ALTER ROLE {user} CREATEDB;  ALTER DATABASE ... OWNER TO {user};",
        )
    found = server_refusal(error, doing)
    detail = error.diag.message_detail
    if detail and error.pgcode in ("55006", "55000", "2BP01"):
        found.what += f": {detail}"
    return found


def check_may_replace(facts: Facts, params: Mapping[str, str]) -> None:
    """Refuse to begin where the user may not put another database in this one's place. Raises PermissionDenied."""
    if facts.may_replace:
        return
    user, owner = quote_identifier(facts.user), quote_identifier(facts.owner)
    raise PermissionDenied(
        f"{facts.user} may not replace {describe(params)}: that takes CREATEDB and the rights of its owner, "
        f"{facts.owner}",
        cure=f"Nothing was changed. A superuser gives them:\n  ALTER ROLE {user} CREATEDB;  GRANT {owner} TO {user};",
    )
