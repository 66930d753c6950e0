"""`newel stubs`, `validate`, `env set` and `server`: look after the project and its server."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newel.cli.terminal import coloured, count, print_json, print_table
from newel.database.journal.state import DatabaseState
from newel.errors import DependencyError
from newel.project.graph import find_revisions, load_revisions

if TYPE_CHECKING:
    from newel.project.project import Project


def stubs(root: Path, args: argparse.Namespace) -> int:
    """Write the derived scripts, or with --check say which differ."""
    from newel.project import stubs as derived

    revisions = load_revisions(root)
    problems = derived.check(root, revisions)
    written: list[str] = []
    removed: list[str] = []
    if not args.check:
        written, removed = derived.write(root, revisions)
        problems = derived.check(root, revisions)
    if args.json:
        found = [{"file": str(item.where), "what": item.what} for item in problems]
        print_json({"written": written, "removed": removed, "problems": found})
        return 1 if problems else 0
    for path in written:
        print(f"wrote    {path}")
    for path in removed:
        print(f"removed  {path}")
    for problem in problems:
        print(f"{problem}")
    if not written and not removed and not problems:
        print(f"{count(len(revisions), 'script')} as the SQL files give them")
    return 1 if problems else 0


def validate(root: Path, args: argparse.Namespace) -> int:
    """Check the project's files without a database."""
    from newel.validate.project import validate_project

    violations = validate_project(root)
    errors = [item for item in violations if item.severity == "error"]
    if args.json:
        print_json([item.as_dict() for item in violations])
        return errors[0].exit_code if errors else 0
    for item in violations:
        label = coloured(item.severity, "red" if item.severity == "error" else "yellow")
        print(f"{item.where}: {label}: {item.message}  [{item.rule}]")
        for line in (item.excerpt or "").splitlines():
            print(line)
        for line in (item.hint or "").splitlines():
            print(f"    {line}")
    found = f"{count(len(errors), 'error')}, {count(len(violations) - len(errors), 'warning')}"
    revisions = count(len(find_revisions(root)[0]), "revision")
    print(coloured(f"{revisions}: {found}", "red" if errors else "green"))
    return errors[0].exit_code if errors else 0


def env_set(root: Path, args: argparse.Namespace) -> None:
    """Label the database as belonging to another environment."""
    import psycopg2

    from newel.database.connection import server_refusal
    from newel.database.journal import tables
    from newel.database.lock import migration_lock
    from newel.database.reach import reach
    from newel.migrate.plan import check_applied
    from newel.migrate.request import look
    from newel.project.project import load_project

    project = load_project(root, os.environ, args.name)
    reached = reach(project.settings, project.root, os.environ, create=False)
    connection = reached.connect()
    try:
        locking = project.environments.locking
        with migration_lock(
            connection,
            locking.timeout_seconds if locking.enabled else None,
            lambda who: print(f"waiting for another run: {who}", file=sys.stderr),
        ):
            state = look(connection)
            _check_branches(project, state)
            check_applied(project.environment_revisions, state.applied_ids)
            try:
                with connection.cursor() as cursor:
                    tables.create_missing(cursor, state.tables, first_form=state.first_form)
                    tables.set_environment(cursor, project.settings.environment)
                connection.commit()
            except psycopg2.Error as error:
                raise server_refusal(error, "cannot label the database") from error
    finally:
        connection.close()
    result = {"database": reached.words, "was": state.environment, "is": project.settings.environment}
    if args.json:
        print_json(result)
    else:
        print(f"{result['database']}: was {result['was'] or 'without a label'}, is {result['is']} now")


def _check_branches(project: Project, state: DatabaseState) -> None:
    """Refuse a label whose environment does not run what is applied: every later command would refuse it."""
    runs = {revision.id for revision in project.environment_revisions}
    others = [item for item in project.revisions if item.id in state.applied_ids and item.id not in runs]
    if others:
        back = " && ".join(
            f"newel down {branch}@base" for branch in sorted({str(item.branch) for item in others})
        )
        raise DependencyError(
            f"{', '.join(item.id for item in others)} applied here, but {project.settings.environment} does not run it",
            cure=f"Take it back first:  MIGRATION_ENV={state.environment} sh -c '{back}'",
        )


def server(root: Path, args: argparse.Namespace) -> int:
    """Start, stop or look at the embedded server."""
    from newel.database.embedded import server as embedded

    if args.action == "start":
        running = embedded.start(root, os.environ)
        verb = "Started" if running.started else "Running already:"
        url = running.url("postgres")
        result: dict[str, Any] = {"started": running.started, "version": running.binaries.version, "url": url}
        words = f'{verb} PostgreSQL {running.binaries.version}. Connect:  psql "{url}"'
    elif args.action == "stop":
        stopped = embedded.stop(root)
        result = {"stopped": stopped}
        words = "Stopped." if stopped else "It was not running."
    else:
        found = embedded.status(root)
        result = {
            "running": found.running,
            "pid": found.pid,
            "version": found.version,
            "data": found.data,
            "socket": found.socket_dir,
            "log": found.log,
        }
        if not args.json:
            print_table(
                ("embedded server", ""),
                [(key, str(value)) for key, value in result.items() if value is not None],
            )
            return 0
        words = ""
    if args.json:
        print_json(result)
    else:
        print(words)
    return 0
