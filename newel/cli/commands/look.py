"""`newel status`, `log` and `history`: look, change nothing."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import Any

from newel.cli.terminal import coloured, count, duration, print_json, print_table, when
from newel.database.journal.executions import Execution, read_executions, read_interrupted
from newel.database.journal.state import AppliedRevision, DatabaseState
from newel.database.journal.tables import JOURNAL
from newel.database.lock import holder
from newel.database.reach import is_there, reach
from newel.errors import NewelError
from newel.migrate.repair import changed_files
from newel.migrate.request import look
from newel.migrate.state import check_consistent, check_environment
from newel.project.graph import Revision
from newel.project.project import Project


def status(project: Project, args: argparse.Namespace) -> int:
    """Show each revision as applied, pending, failed or interrupted; compare version rows, journal and files.

    Raises what does not fit together, after the table.
    """
    state, unfinished, running = DatabaseState(), dict[str, Execution](), None
    problem: NewelError | None = None
    changed: set[str] = set()
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
            problem = _problem(project, state)
            if problem is None:
                try:
                    changed = {change.revision.id for change in changed_files(project, connection, state)}
                except NewelError as error:  # a file that cannot be read
                    problem = error
        finally:
            connection.close()
    applied = {item.revision: item for item in state.applied}
    rows = [
        _status_row(item, applied.get(item.id), unfinished.get(item.id), changed=item.id in changed)
        for item in project.environment_revisions
    ]
    known = {row["revision"] for row in rows}
    elsewhere = {revision.id for revision in project.revisions}
    rows += [
        {
            "revision": item.revision,
            "slug": item.slug,
            "state": f"applied, not in {project.settings.environment}"
            if item.revision in elsewhere
            else f"applied, not in this checkout; {'' if item.kept else 'no '}down SQL kept",
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
                (row["revision"], row["slug"], row["state"], when(row.get("at")), row.get("branch") or "")
                for row in rows
            ],
        )
        print(coloured(f"{count(len(rows) - pending, 'revision')} applied, {pending} not", "bold"))
        if changed:
            ids = " ".join(sorted(changed))
            print(f"Files changed after they were applied: {ids}. To see how:  newel repair")
        if running:
            print(f"A run is under way: {running}")
        for item in unfinished.values():
            if item.error:
                print(
                    f"{item.revision} {item.direction} failed at {when(item.started_at)}: {_first(item.error)}"
                )
    if problem and args.json:
        return problem.exit_code  # it is in the document
    if problem:
        raise problem
    return 0


def log(project: Project, args: argparse.Namespace) -> None:
    """Show the executions that the journal holds, newest first."""
    executions: list[Execution] = []
    if is_there(project.settings, project.root):
        reached = reach(project.settings, project.root, os.environ, create=False)
        connection = reached.connect()
        try:
            state = look(connection)
            if JOURNAL in state.tables:
                with connection.cursor() as cursor:
                    executions = list(read_executions(cursor, state, args.limit))
        finally:
            connection.close()
    if args.json:
        print_json([{**asdict(item), "seconds": item.seconds} for item in executions])
        return
    if not executions:
        print("Nothing has been executed yet.")
        return
    if args.long:
        for item in executions:
            _print_execution(item)
        return
    print_table(
        ("started", "revision", "", "way", "duration", "result", "by"),
        [
            (
                when(item.started_at),
                item.revision,
                item.slug,
                item.direction,
                duration(item.seconds),
                _result(item),
                item.executed_by,
            )
            for item in executions
        ],
    )
    for item in executions:
        if item.error:
            print(f"{item.revision} {item.direction} failed at {when(item.started_at)}: {_first(item.error)}")


def _print_execution(item: Execution) -> None:
    """Print everything about an execution, a line each; what is not known has no line."""
    print(coloured(f"{item.revision}_{item.slug} {item.direction}: {_result(item)}", "bold"))
    for name, value in (
        ("environment", item.environment),
        ("started", when(item.started_at)),
        ("finished", when(item.finished_at)),
        ("duration", duration(item.seconds)),
        ("statements", item.statements_done),
        ("up file", item.up_checksum),
        ("down file", item.down_checksum),
        ("user", item.executed_by),
        ("host", item.host),
        ("program", item.application),
        ("approval", item.approval),
        ("error", (item.error or "").strip().replace("\n", "\n               ")),
    ):
        if value not in (None, ""):
            print(f"  {name:<11}  {value}")
    print()


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
    revision: Revision,
    applied: AppliedRevision | None,
    execution: Execution | None,
    *,
    changed: bool,
) -> dict[str, Any]:
    row: dict[str, Any] = {"revision": revision.id, "slug": revision.slug, "branch": revision.branch}
    if execution is not None:
        done = f", {count(execution.statements_done, 'statement')} done" if execution.statements_done else ""
        what = _result(execution)
        row |= {"state": f"{'applied, ' if applied else ''}{execution.direction} {what}{done}"}
        row |= {"at": applied.at if applied else None}
    elif applied is not None:
        row |= {"state": "applied (stamped)" if applied.stamped else "applied", "at": applied.at}
        row["state"] += ", file changed" if changed else ""
    else:
        row |= {"state": "pending", "at": None}
    return row


def _result(execution: Execution) -> str:
    if execution.result != "started":
        return execution.result
    return "running" if execution.running else "interrupted"


def _first(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
