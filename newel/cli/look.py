"""`newel status`, `log` and `history`: look, change nothing."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from newel.cli.terminal import coloured, count, duration, print_json, print_table
from newel.database.journal.executions import Execution, read_executions, read_interrupted
from newel.database.journal.state import DatabaseState
from newel.database.journal.tables import JOURNAL
from newel.database.lock import holder
from newel.database.reach import is_there, reach
from newel.errors import NewelError
from newel.migrate.request import look
from newel.migrate.state import check_consistent, check_environment
from newel.project.graph import Revision
from newel.project.project import Project


def status(project: Project, args: argparse.Namespace) -> int:
    """Show each revision as applied, pending, failed or interrupted; compare version rows, journal and files.

    Raises what does not fit together, after the table.
    """
    state, unfinished, running = DatabaseState(), dict[str, Execution](), None
    words = "no database yet; newel up makes it"
    if is_there(project.settings, project.root):
        reached = reach(project.settings, project.root, os.environ, create=False)
        words = reached.words
        connection = reached.connect()
        try:
            state = look(connection)
            if JOURNAL in state.tables:
                with connection.cursor() as cursor:
                    unfinished = {item.revision: item for item in read_interrupted(cursor, state)}
                running = holder(connection)
        finally:
            connection.close()
    problem = _problem(project, state)
    rows = [_status_row(revision, state, unfinished, running) for revision in project.environment_revisions]
    known = {row["revision"] for row in rows}
    elsewhere = {revision.id for revision in project.revisions}
    rows += [
        {
            "revision": item.revision,
            "slug": item.slug,
            "state": f"applied, not in {project.settings.environment}"
            if item.revision in elsewhere
            else "applied, not in this checkout",
            "at": item.at,
        }
        for item in state.applied
        if item.revision not in known
    ]
    if args.json:
        print_json(
            {
                "environment": project.settings.environment,
                "database": words,
                "label": state.environment,
                "version_rows": sorted(state.version_rows),
                "running": running,
                "revisions": rows,
                "problem": problem.what if problem else None,
            }
        )
    else:
        pending = sum(1 for row in rows if row["at"] is None)
        print(f"{project.settings.environment}: {words}")
        print_table(
            ("revision", "", "state", "applied at", "branch"),
            [
                (row["revision"], row["slug"], row["state"], _when(row.get("at")), row.get("branch") or "")
                for row in rows
            ],
        )
        applied = len(rows) - pending
        print(coloured(f"{count(applied, 'revision')} applied, {pending} not", "bold"))
        if running:
            print(f"A run is under way: {running}")
        for item in unfinished.values():
            if item.error:
                print(
                    f"{item.revision} {item.direction} failed at {_when(item.started_at)}: {_first(item.error)}"
                )
    if problem and args.json:
        return problem.exit_code  # it is in the document
    if problem:
        raise problem
    return 0


def log(project: Project, args: argparse.Namespace) -> None:
    """Show the executions that the journal holds, newest first."""
    executions: list[Execution] = []
    running = None
    if is_there(project.settings, project.root):
        reached = reach(project.settings, project.root, os.environ, create=False)
        connection = reached.connect()
        try:
            state = look(connection)
            if JOURNAL in state.tables:
                with connection.cursor() as cursor:
                    executions = list(read_executions(cursor, state, args.limit))
                running = holder(connection)
        finally:
            connection.close()
    if args.json:
        print_json([{**asdict(item), "seconds": item.seconds} for item in executions])
        return
    if not executions:
        print("Nothing has been executed yet.")
        return
    print_table(
        ("started", "revision", "", "way", "duration", "result", "by"),
        [
            (
                _when(item.started_at),
                item.revision,
                item.slug,
                item.direction,
                duration(item.seconds),
                _result(item, running),
                item.executed_by,
            )
            for item in executions
        ],
    )
    for item in executions:
        if item.error:
            print(
                f"{item.revision} {item.direction} failed at {_when(item.started_at)}: {_first(item.error)}"
            )


def history(project: Project, args: argparse.Namespace) -> None:
    """Show every revision of every branch, what it stands on, and which environments run it. No database."""
    environments = project.environments
    runs = {
        name: {revision.id for revision in environments.revisions(name, project.revisions)}
        for name in environments.by_name
    }
    rows: list[dict[str, Any]] = [
        {
            "revision": revision.id,
            "slug": revision.slug,
            "branch": revision.branch,
            "down_revision": revision.down_revision,
            "depends_on": revision.depends_on,
            "environments": [name for name, ids in runs.items() if revision.id in ids],
            "up": revision.up,
            "down": revision.down,
        }
        for revision in project.revisions
    ]
    if args.json:
        print_json(rows)
        return
    print_table(
        ("revision", "", "branch", "after", "depends on", "runs in"),
        [
            (
                row["revision"],
                row["slug"],
                row["branch"] or "mainline",
                row["down_revision"] or "base",
                row["depends_on"] or "",
                "all" if len(row["environments"]) == len(runs) else ", ".join(row["environments"]),
            )
            for row in rows
        ],
    )


def _problem(project: Project, state: DatabaseState) -> NewelError | None:
    try:
        check_environment(project, state, changes=False)
        check_consistent(project, project.environment_revisions, state)
    except NewelError as error:
        return error
    return None


def _status_row(
    revision: Revision, state: DatabaseState, unfinished: dict[str, Execution], running: str | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"revision": revision.id, "slug": revision.slug, "branch": revision.branch}
    applied = {item.revision: item for item in state.applied}.get(revision.id)
    execution = unfinished.get(revision.id)
    if execution is not None:
        done = f", {count(execution.statements_done, 'statement')} done" if execution.statements_done else ""
        what = _result(execution, running)
        row |= {"state": f"{'applied, ' if applied else ''}{execution.direction} {what}{done}"}
        row |= {"at": applied.at if applied else None}
    elif applied is not None:
        row |= {"state": "applied (stamped)" if applied.stamped else "applied", "at": applied.at}
    else:
        row |= {"state": "pending", "at": None}
    return row


def _result(execution: Execution, running: str | None) -> str:
    if execution.result != "started":
        return execution.result
    return "running" if running else "interrupted"


def _when(at: datetime | None) -> str:
    if at is None:
        return ""
    with suppress(OSError, OverflowError):
        at = at.astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _first(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
