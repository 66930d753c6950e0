"""Connections to PostgreSQL, and what a server's or libpq's refusal means to the user."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel import __version__
from newel.errors import ConnectionFailed, NewelError, PermissionDenied

APPLICATION_NAME = f"newel {__version__}"

_SECRET_PARAMETER = re.compile(
    r"((?:password|client_secret|client_key|server_key)\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE
)
OWN_NAMES = "SET LOCAL search_path TO pg_catalog, pg_temp"
"""For newel's own queries, up to the end of the transaction.

Anybody may have put a function or an operator into schema public that fits better than PostgreSQL's own.
"""

_SQL_PASSWORD = re.compile(
    r"(password\s+)(?:(?:E|U&)?'(?:[^'\\]|''|\\.)*(?:'|\\?$)|\$(\w*)\$.*?(?:\$\2\$|$))",
    re.IGNORECASE | re.DOTALL,
)


class Notices:
    """Takes the place of psycopg2's connection.notices, which keeps 50, and hands each on as it comes."""

    def __init__(self, receive: Callable[[str], None]) -> None:
        self.receive = receive

    def append(self, notice: str) -> None:
        """Called by psycopg2 for each notice, as `NOTICE:  text` and a line end."""
        self.receive(notice.rstrip())


def connect(params: Mapping[str, str]) -> Connection:
    """Open a connection with libpq parameters.

    Raises ConnectionFailed, or PermissionDenied where a login or CONNECT is refused. No message holds a password.
    """
    try:
        return psycopg2.connect(
            **{
                "application_name": APPLICATION_NAME,
                "connect_timeout": "10",
                **params,
                "client_encoding": "UTF8",
            }
        )
    except psycopg2.OperationalError as error:
        raise _connect_error(error, params) from None


def led_to(connection: Connection) -> dict[str, str]:
    """Return where a connection has led, whatever libpq filled in: host, port, user and dbname."""
    info = connection.info
    return {"host": info.host, "port": str(info.port), "user": info.user, "dbname": info.dbname}


def describe(params: Mapping[str, str]) -> str:
    """Name a database without its password: `service_db on db.example:5432 as app`."""
    host = params.get("host") or os.environ.get("PGHOST") or "the local socket"
    port = f":{params['port']}" if params.get("port") and not host.startswith("/") else ""
    user = f" as {params['user']}" if params.get("user") else ""
    return f"{params.get('dbname', '')} on {host}{port}{user}"


def mask(text: str) -> str:
    """Blank the password in every URL, `password=` and `PASSWORD '...'` of a text, even if it is cut off there.

    libpq's other secrets are blanked like `password=`.
    """
    text = re.sub(r"(\w+://(?!USER:PASSWORD@)[^\s:/@]*):[^\s@]*@", r"\1:***@", text)
    text = _SQL_PASSWORD.sub(r"\1***", text)
    return _SECRET_PARAMETER.sub(r"\1***", text)


def quote_identifier(name: str) -> str:
    """Quote a name as PostgreSQL's quote_ident() does when it has to."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str | None) -> str:
    """Quote a string for SQL text that cannot bind it; safe with standard_conforming_strings either way."""
    if value is None:
        return "NULL"
    quoted = "'" + value.replace("'", "''") + "'"
    return quoted if "\\" not in value else " E" + quoted.replace("\\", "\\\\")


def server_refusal(error: psycopg2.Error, doing: str) -> NewelError:
    """Word a refusal of the server while newel did something of its own, such as making its schema."""
    text = f"{doing}: {(error.diag.message_primary or str(error)).strip()}"
    if error.pgcode == "42501":
        lacks_create = "for database" in text
        return PermissionDenied(
            text,
            cure="newel runs with the permissions of the user it connects as, who needs CREATE on the database "
            "for the first run:  GRANT CREATE ON DATABASE ... TO ..."
            if lacks_create
            else "The user who ran newel first owns its tables. Connect as that user; to look only, another needs\n"
            "  GRANT USAGE ON SCHEMA newel TO ...;  GRANT SELECT ON ALL TABLES IN SCHEMA newel TO ...;",
        )
    if error.pgcode is None or error.pgcode[:2] in ("08", "57"):
        return ConnectionFailed(text)
    return NewelError(f"{text} ({error.pgcode})")


def _connect_error(error: psycopg2.OperationalError, params: Mapping[str, str]) -> NewelError:
    """Tell the cases apart by libpq's text: a connection that failed carries no SQLSTATE."""
    text = mask(str(error)).strip()
    where = describe(params)
    cases: tuple[tuple[str, type[NewelError], str], ...] = (
        (
            r"database .* does not exist",
            ConnectionFailed,
            "Create it first:  newel create  (or  createdb "
            f"{_client_options(params)}{shlex.quote(params.get('dbname', ''))})",
        ),
        (
            r"password authentication failed|no password supplied|role .* does not exist|pg_hba|authentication failed",
            PermissionDenied,
            "Check DATABASE_USER and DATABASE_PASSWORD (or DATABASE_URL).",
        ),
        (r"permission denied for database", PermissionDenied, "The user needs CONNECT on that database."),
        (
            r"starting up|shutting down|recovery mode|too many clients|remaining connection slots",
            ConnectionFailed,
            "The server is there but takes no connection now; try again in a moment.",
        ),
    )
    for pattern, kind, cure in cases:
        if re.search(pattern, text):
            return kind(f"cannot connect to {where}: {_last_line(text)}", cure=cure)
    return ConnectionFailed(
        f"cannot connect to {where}: {_last_line(text)}",
        cure="Is the server running, and are DATABASE_HOST and DATABASE_PORT (or DATABASE_URL) right?",
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = next((line for line in lines if "FATAL" in line), lines[0] if lines else "no reason given")
    return re.sub(r"^connection to server .*? failed: (FATAL: +)?", "", chosen)


def _client_options(params: Mapping[str, str]) -> str:
    options = (("host", "-h"), ("port", "-p"), ("user", "-U"))
    return "".join(f"{flag} {shlex.quote(params[key])} " for key, flag in options if params.get(key))


def session_sql(search_path: tuple[str, ...], **timeouts: str | None) -> str:
    """Return the commands that give a file a session as new: what an earlier file has SET is gone.

    RESET ALL leaves role and session authorization alone (PostgreSQL manual, "RESET"), so they are named.
    """
    commands = ["RESET SESSION AUTHORIZATION;", "RESET ROLE;", "RESET ALL;"]
    if search_path:
        commands.append(
            f"SET search_path TO {', '.join(quote_identifier(schema) for schema in search_path)};"
        )
    commands += [f"SET {name} TO {quote_literal(value)};" for name, value in timeouts.items() if value]
    return "\n".join(commands)
