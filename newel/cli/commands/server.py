"""`newel info` and `health`: what the server says of itself, and whether it answers at all."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

from newel.cli.opened import opened
from newel.cli.terminal import error_document, human_size, print_json, print_wrapped, when
from newel.database.connection import connect, server_refusal
from newel.database.lock import holder
from newel.database.reach import Reached, reach_running
from newel.database.relations.read import looking
from newel.database.server_info import ServerInfo, read_info
from newel.errors import NewelError, PermissionDenied
from newel.migrate.request import look
from newel.project.project import Project


def info(project: Project, args: argparse.Namespace) -> None:
    """Show the server's version, its connections, the database's size and what is applied there."""
    with opened(project) as database:
        with looking(database.connection, "cannot ask the server") as cursor:
            found = read_info(cursor)
        running = holder(database.connection)
        try:
            applied: int | None = len(look(database.connection).applied)
        except PermissionDenied:
            applied = None
        host = database.connection.info.host
    document = {**database.head, "host": host, **asdict(found), "applied": applied, "running": running}
    if args.json:
        print_json(document)
        return
    print(database.words)
    print_wrapped(("name", "definition"), _lines(found, document), indent=2, headed=False)


def _lines(found: ServerInfo, document: dict[str, Any]) -> list[tuple[str, str]]:
    states = ", ".join(f"{number} {state}" for state, number in sorted(found.states.items()))
    applied = document["applied"]
    return [
        ("server", f"PostgreSQL {found.version}{', a replica: it takes no writes' if found.replica else ''}"),
        ("at", document["host"]),
        ("running since", when(found.started_at)),
        ("database", f"{found.name}, owned by {found.owner}; connected as {found.user}"),
        ("encoding", f"{found.encoding}, locale {found.locale}"),
        ("size", "not permitted to know" if found.bytes is None else human_size(found.bytes)),
        ("connections", f"{found.connections} of {found.max_connections}; to this database: {states}"),
        ("label", document["label"] or ("not permitted to know" if applied is None else "none")),
        ("revisions", "not permitted to know" if applied is None else f"{applied} applied"),
        ("a run", f"is under way: {document['running']}" if document["running"] else "is not under way"),
    ]


def health(project: Project, args: argparse.Namespace) -> int:
    """Connect once and ask one thing. Starts no server: a check does not change what it looks at."""
    try:
        reached = reach_running(project.settings, project.root)
        connecting, answering, version = _times(reached)
    except NewelError as error:
        if not args.json:
            raise
        print_json(
            {
                "reachable": False,
                "environment": project.settings.environment,
                "error": error_document(error),
            }
        )
        return error.exit_code
    if args.json:
        print_json(
            {
                "reachable": True,
                "environment": project.settings.environment,
                "database": reached.words,
                "version": version,
                "connect_seconds": round(connecting, 6),
                "answer_seconds": round(answering, 6),
            }
        )
    else:
        print(
            f"{project.settings.environment}: {reached.words} is reached; connected in "
            f"{connecting * 1000:.1f} ms, answered SELECT 1 in {answering * 1000:.1f} ms"
        )
    return 0


def _times(reached: Reached) -> tuple[float, float, str]:
    """Return the seconds that connecting and SELECT 1 take, and the server's version."""
    import psycopg2

    begun = time.perf_counter()
    connection = connect(reached.params)
    connected = time.perf_counter()
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        answered = time.perf_counter()
        return (
            connected - begun,
            answered - connected,
            connection.info.parameter_status("server_version") or "",
        )
    except psycopg2.Error as error:
        raise server_refusal(error, f"{reached.words} was reached, but did not answer") from error
    finally:
        connection.close()
