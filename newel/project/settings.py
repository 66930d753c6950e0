"""Which environment a command is for, and how its database is reached.

The environment: `--env`, then MIGRATION_ENV, then `current_environment` of environments.json, then
development. The connection: DATABASE_DIRECT_URL, DATABASE_URL, or DATABASE_HOST, _PORT, _NAME, _USER, _PASSWORD,
_SSL_MODE, from the process environment, which wins, and env/<name>.env; with none, the embedded server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from newel.errors import Location, NewelError
from newel.project.environments import Environments
from newel.project.files import unreadable
from newel.project.sql.names import LONGEST

DEFAULT_ENVIRONMENT = "development"
DEFAULT_DATABASE = "service_db"
DEFAULT_BACKUPS = "backups"
PARTS = {
    "DATABASE_HOST": "host",
    "DATABASE_PORT": "port",
    "DATABASE_NAME": "dbname",
    "DATABASE_USER": "user",
    "DATABASE_PASSWORD": "password",
    "DATABASE_SSL_MODE": "sslmode",
}
"""The variables and the libpq keyword that each sets."""

URLS = ("DATABASE_DIRECT_URL", "DATABASE_URL")
"""The variables that hold a whole URL; the first one wins. An application's may lead to a pooling proxy, which
hands each transaction to another server process; newel needs one for itself."""


@dataclass(frozen=True)
class Settings:
    """The choice of environment and its connection."""

    environment: str
    named: bool
    """True if --env or MIGRATION_ENV named the environment; otherwise it was assumed."""
    connection: Mapping[str, str] | None = field(repr=False)
    """libpq parameters, or None for the embedded server. May hold a password."""
    database: str = DEFAULT_DATABASE
    backups: str = DEFAULT_BACKUPS
    """The folder for dumps, BACKUP_DIR; relative to the project's root."""


def load_settings(
    root: Path, environments: Environments, environ: Mapping[str, str], env: str | None = None
) -> Settings:
    """Choose the environment and its connection. `env` is what --env said.

    Raises NewelError for an unknown environment, a variable that makes no sense and a database's name that is too long.
    """
    chosen = (environ.get("MIGRATION_ENV") or None) if env is None else env
    assumed = environments.current or DEFAULT_ENVIRONMENT
    name = environments.get(assumed if chosen is None else chosen).name
    path = f"env/{name}.env"
    variables = _read_env_file(root, path)
    connection = {} if any(map(environ.get, URLS)) else _connection(variables, path)
    if environ.get("DATABASE_HOST"):
        connection.pop("password", None)  # it was meant for the host that the file names
    connection |= _connection(environ, "the environment variables")
    database = connection.get("dbname", DEFAULT_DATABASE)
    length = len(database.encode())
    if length > LONGEST:
        raise NewelError(
            f"the name of the database has {length} bytes, and PostgreSQL cuts what is longer than {LONGEST}: "
            "another one might be meant",
            cure="DATABASE_NAME, or the URL, names it.",
        )
    return Settings(
        environment=name,
        named=chosen is not None,
        connection={"dbname": database, **connection} if _reaches(connection) else None,
        database=database,
        backups=environ.get("BACKUP_DIR") or DEFAULT_BACKUPS,
    )


def _reaches(connection: Mapping[str, str]) -> bool:
    """Say whether a server is named: DATABASE_NAME alone names a database of the embedded server."""
    return bool(set(connection) - {"dbname"})


def _read_env_file(root: Path, path: str) -> dict[str, str]:
    if not (root / path).is_file():
        return {}
    from dotenv.parser import parse_stream

    known = (*URLS, *PARTS)
    values: dict[str, str] = {}
    try:
        with (root / path).open(encoding="utf-8-sig") as stream:
            lines = list(parse_stream(stream))
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError:
        raise NewelError("not valid UTF-8", where=Location(path)) from None
    for item in lines:
        text = item.original.string  # begins with the blank lines before the entry
        where = Location(path, item.original.line + text[: len(text) - len(text.lstrip())].count("\n"))
        if item.error or (item.key is not None and item.value is None):
            raise NewelError("a line reads NAME=value, or begins with #", where=where)
        if item.key and item.key.startswith("DATABASE_") and item.key not in known:
            near = get_close_matches(item.key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise NewelError(f"unknown variable {item.key}; {hint}", where=where)
        if item.key and item.value:
            values[item.key] = item.value
    return values


def _connection(variables: Mapping[str, str], where: str) -> dict[str, str]:
    parts = {keyword: variables[name] for name, keyword in PARTS.items() if variables.get(name)}
    if not parts.get("port", "1").isdigit():
        raise NewelError(f"DATABASE_PORT is `{parts['port']}` in {where}; it takes a number")
    name = next((name for name in URLS if variables.get(name)), None)
    return parts | _parse_url(variables[name], name, where) if name else parts


def _parse_url(url: str, name: str, where: str) -> dict[str, str]:
    """Take a URL apart; libpq does the work, so every parameter of libpq is understood."""
    from psycopg2 import ProgrammingError
    from psycopg2.extensions import parse_dsn

    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url.strip())
    try:
        parsed: dict[str, str] = parse_dsn(plain)
    except ProgrammingError:
        parsed = {}
    # A password with a bare @ or / spills into host, port and name, and would be printed with them.
    spilt = any("@" in parsed.get(key, "") for key in ("host", "port", "dbname"))
    if not parsed or spilt or not parsed.get("port", "1").replace(",", "").isdigit():
        raise NewelError(
            f"{name} in {where} cannot be read as a PostgreSQL URL",
            cure="It reads postgresql://USER:PASSWORD@HOST:PORT/NAME with a number as PORT; in USER, PASSWORD and "
            "NAME, write @ as %40, / as %2F, : as %3A and % as %25.",
        )
    return parsed
