"""What a catalog depends on besides the revisions: read from a live database, made anew on a throwaway server.

Who ran the revisions owns their objects; roles and tablespaces have to exist; a few settings decide where a table goes
and what a date in a default means. Of roles and tablespaces the names alone are copied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer.facts import locale_options
from newel.database.connection import connect, quote_identifier, quote_literal, server_refusal
from newel.database.embedded.server import Server

SETTINGS = (
    "search_path",
    "default_tablespace",
    "default_table_access_method",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
)
"""The settings that decide what a statement without its own word for it makes, by their names in pg_settings."""

_PUBLIC = """
SELECT owner.rolname, role.rolname, string_agg(privilege_type, ', '), is_grantable
  FROM pg_namespace JOIN pg_roles owner ON owner.oid = nspowner
  LEFT JOIN LATERAL aclexplode(nspacl) ON grantee <> nspowner
  LEFT JOIN pg_roles role ON role.oid = grantee
 WHERE nspname = 'public' GROUP BY owner.rolname, role.rolname, is_grantable
"""
_ADMINISTRATOR = "newel_throwaway"


@dataclass(frozen=True)
class Surroundings:
    """What a database's catalog depends on besides the revisions. `locale` is options of CREATE DATABASE."""

    database: str
    version: str
    major: int
    encoding: str
    locale: str
    tablespace: str
    user: str
    superuser: str
    """The bootstrap superuser, who owns what initdb made."""
    roles: frozenset[str]
    public_owner: str | None
    public_grants: tuple[tuple[str, str, bool], ...]
    """The roles that schema public is granted to, the privileges, and whether with grant option."""
    tablespaces: frozenset[str]
    settings: Mapping[str, str]


def read_surroundings(connection: Connection) -> Surroundings:
    """Read what a rebuilt database has to have in common with this one. Any user may."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname, pg_encoding_to_char(encoding), spcname, session_user, to_jsonb(d) - 'datacl' "
            "FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = current_database()"
        )
        name, encoding, tablespace, user, row = cursor.fetchone()
        cursor.execute("SELECT rolname, oid FROM pg_roles WHERE rolname !~ '^pg_'")
        roles = dict(cursor.fetchall())
        cursor.execute(_PUBLIC)
        public = cursor.fetchall()
        cursor.execute("SELECT spcname FROM pg_tablespace WHERE spcname !~ '^pg_'")
        tablespaces = frozenset(found for (found,) in cursor.fetchall())
        # reset_val is what RESET ALL gives before each file, whatever this session was set to.
        cursor.execute("SELECT name, reset_val FROM pg_settings WHERE name = ANY (%s)", (list(SETTINGS),))
        settings = dict(cursor.fetchall())
    return Surroundings(
        database=name,
        version=str(connection.info.parameter_status("server_version")).split()[0],
        major=connection.server_version // 10_000,
        encoding=encoding,
        locale=locale_options(row),
        tablespace=tablespace,
        user=user,
        superuser=next(role for role, oid in roles.items() if oid == 10),  # BOOTSTRAP_SUPERUSERID
        roles=frozenset(roles),
        public_owner=public[0][0] if public else None,
        public_grants=tuple((role, what, again) for _, role, what, again in public if role),
        tablespaces=tablespaces,
        settings=settings,
    )


def make_database(server: Server, like: Surroundings, users: Collection[str]) -> str | None:
    """Make a database as the live one was before its first revision; `users` are those who will run them.

    Returns a word on the locale if the server cannot have the live one.
    """
    try:
        _make_roles_and_tablespaces(server, like, {*like.roles, *users})
        note = _make_database(server, like)
        _let_into_public(server, like, users)
    except psycopg2.Error as error:
        raise server_refusal(error, "cannot prepare the throwaway server") from error
    return note


def administrator(server: Server, database: str) -> dict[str, str]:
    """Keyword parameters for libpq to connect as a superuser whose name no live role is likely to have."""
    return {**server.params(database), "user": _ADMINISTRATOR}


@contextmanager
def as_administrator(server: Server, database: str) -> Iterator[Any]:
    """Open a cursor in autocommit mode on a database of a prepared throwaway server."""
    with _autocommit(administrator(server, database)) as cursor:
        yield cursor


@contextmanager
def _autocommit(params: Mapping[str, str]) -> Iterator[Any]:
    with closing(connect(params)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def _make_roles_and_tablespaces(server: Server, like: Surroundings, roles: Collection[str]) -> None:
    """Make them by name. Every role is a superuser, so that no membership or grant has to be copied."""
    with _autocommit(server.params("template1")) as cursor:
        cursor.execute(f"CREATE ROLE {_ADMINISTRATOR} SUPERUSER LOGIN")
    with as_administrator(server, "template1") as cursor:
        if like.superuser != server.user:
            cursor.execute(
                f"ALTER ROLE {quote_identifier(server.user)} RENAME TO {quote_identifier(like.superuser)}"
            )
        for role in sorted(set(roles) - {like.superuser, _ADMINISTRATOR}):
            cursor.execute(f"CREATE ROLE {quote_identifier(role)} SUPERUSER LOGIN")
        for tablespace in sorted(like.tablespaces):
            cursor.execute("SET allow_in_place_tablespaces TO on")
            cursor.execute(f"CREATE TABLESPACE {quote_identifier(tablespace)} LOCATION ''")


def _make_database(server: Server, like: Surroundings) -> str | None:
    name, note = quote_identifier(like.database), None
    with as_administrator(server, "template1") as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")  # initdb makes one that is named postgres
        create = f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {quote_identifier(like.tablespace)} "
        create += f"ENCODING {quote_literal(like.encoding)} "
        try:
            cursor.execute(create + like.locale)
        except psycopg2.Error as error:
            cursor.execute(create + "LOCALE 'C'")
            note = (
                "the throwaway database sorts by the locale C, since the live one's is not to be had here: "
                f"{error.diag.message_primary}"
            )
        for setting, value in like.settings.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (setting, value))
            cursor.execute(f"ALTER DATABASE {name} SET {setting} FROM CURRENT")
    return note


def _let_into_public(server: Server, like: Surroundings, users: Collection[str]) -> None:
    """Give schema public, and its privileges, to the users of the revisions as the live database does.

    No revision could have: without CREATE on the schema, none would have run.
    """
    with as_administrator(server, like.database) as cursor:
        if like.public_owner and like.public_owner in users:
            cursor.execute(f"ALTER SCHEMA public OWNER TO {quote_identifier(like.public_owner)}")
        for role, privileges, again in like.public_grants:
            if role in users:
                grant = f"GRANT {privileges} ON SCHEMA public TO {quote_identifier(role)}"
                cursor.execute(f"{grant} WITH GRANT OPTION" if again else grant)
