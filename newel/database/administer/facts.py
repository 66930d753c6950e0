"""What belongs to a database itself and is in no dump of it: owner, encoding, locale, settings, grants and the like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import describe, quote_identifier, quote_literal, server_refusal
from newel.errors import NewelError, PermissionDenied

_FACTS = """
SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), t.spcname,
       d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl IS NOT NULL,
       pg_catalog.to_jsonb(d) - 'datacl',
       CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) ELSE 0 END,
       pg_catalog.pg_has_role(d.datdba, 'USAGE') AND pg_catalog.pg_has_role(d.datdba, %s)
           AND (r.rolsuper OR r.rolcreatedb)
           AND (t.spcname = 'pg_default' OR pg_catalog.has_tablespace_privilege(t.oid, 'CREATE')), r.rolname
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


def find_database(connection: Connection, name: str) -> Facts | None:
    """Return what belongs to a database; None if it is not there."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_FACTS, ("SET" if connection.server_version >= 160_000 else "MEMBER", name))
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
        locale_options(whole) + (" LOCALE_PROVIDER libc" if whole.get("datlocprovider") == "c" else ""),
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


MAY_NOT_END = (
    "Close them and run the same command again, or connect as a member of pg_signal_backend; "
    "a superuser's session only a superuser ends."
)
"""The cure where sessions may not be ended."""


def refusal(error: psycopg2.Error, doing: str, connection: Connection) -> NewelError:
    """Word a refusal to create, drop or rename: who needs which permission, or what is in the way."""
    if error.pgcode == "42501":
        user = quote_identifier(connection.info.user)
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        words = f"{(error.diag.message_primary or '').strip()}{detail}"
        if "to terminate" in words or "pg_signal_backend" in words:
            return PermissionDenied(f"{doing}, since there are sessions on it: {words}", cure=MAY_NOT_END)
        return PermissionDenied(
            f"{doing}: {words}",
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
        f"{facts.user} may not replace {describe(params)}: that takes CREATEDB, the rights of its owner, "
        f"{facts.owner}, and CREATE on its tablespace, {facts.tablespace}",
        cure=f"Nothing was changed. A superuser gives them:\n  ALTER ROLE {user} CREATEDB;  GRANT {owner} TO {user};",
    )
