"""`newel up`, `down` and `goto`: run revisions and tell what happens."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from newel.cli.report import Report
from newel.cli.terminal import coloured, error_document, print_json
from newel.database.reach import reach
from newel.errors import NewelError
from newel.migrate.plan import Command
from newel.migrate.request import Request, look, pending_steps
from newel.project.project import Project


def up(project: Project, args: argparse.Namespace) -> int:
    """Apply every pending revision, or those up to the target."""
    return _run(project, args, "upgrade", args.target)


def down(project: Project, args: argparse.Namespace) -> int:
    """Take back the revision applied last, or all behind the target."""
    return _run(project, args, "downgrade", args.target)


def goto(project: Project, args: argparse.Namespace) -> int:
    """Go up or down to a revision."""
    return _run(project, args, "goto", args.target)


def _run(project: Project, args: argparse.Namespace, command: Command, target: str) -> int:
    if not target:
        raise NewelError("a revision is missing", cure="For make:  make db-migrate-goto VERSION=000002")
    request = Request(command, target, approvals=tuple(args.approve), count=getattr(args, "count", False))
    if args.approve:
        from newel.migrate.policy.approval import read_approvals

        read_approvals(args.approve)
    if getattr(args, "sql", False):
        _print_script(project, request)
        return 0
    reached = reach(
        project.settings,
        project.root,
        os.environ,
        create=request.command != "downgrade" and request.target != "base",
    )
    report = Report(project, reached, as_json=args.json)
    try:
        execute(project, request, report)
    except NewelError as error:
        if not args.json:
            raise
        print_json({**report.document(), "error": error_document(error)})
        return error.exit_code
    report.summary()
    return 0


def execute(project: Project, request: Request, report: Report) -> None:
    """Run a request on the database that the report speaks of, and tell the report. Raises NewelError."""
    connection = report.reached.connect()
    try:
        state = look(connection)
        steps = pending_steps(project, state, request)
        if steps or state.half_done:
            from newel.migrate.direct import run_direct

            report.begin(steps)
            ask = report.ask if sys.stdin.isatty() and not report.as_json else None
            run_direct(project, request, connection, report.listen, ask)
    finally:
        report.lines.end()
        connection.close()


def _print_script(project: Project, request: Request) -> None:
    if request.command == "downgrade" and ":" not in request.target:
        raise NewelError(
            "a script that rolls back has to know where it starts",
            cure="newel down --sql FROM:TO, for example  newel down --sql 000009:000007",
        )
    from newel.migrate.invoke import through_alembic

    through_alembic(project, request, _warn, sql=True)


def _warn(event: Any) -> None:
    """Standard output is for the script alone."""
    from newel.migrate.events import Warned

    if isinstance(event, Warned):
        print(f"{coloured('warning:', 'yellow', sys.stderr)} {event.text}", file=sys.stderr)
