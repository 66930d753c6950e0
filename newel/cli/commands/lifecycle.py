"""`newel create`, `drop`, `setup`, `fresh` and `reset`: the life cycle of the database."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import Any

from newel.cli.commands.keep import sessions_to_end
from newel.cli.commands.run import execute
from newel.cli.commands.seed import SeedReport
from newel.cli.commands.seed import execute as execute_seeds
from newel.cli.report import Report
from newel.cli.terminal import coloured, confirm, count, error_document, human_size, print_json
from newel.database.administer.databases import create_database, is_present
from newel.database.administer.facts import check_may_replace
from newel.database.journal.state import DatabaseState
from newel.database.reach import Reached, is_there, reach_server
from newel.errors import NewelError
from newel.migrate.execute.stop import stoppable
from newel.migrate.keep import lifecycle
from newel.migrate.keep.lifecycle import Doomed
from newel.migrate.policy.backup import back_up
from newel.migrate.state import check_environment
from newel.project.project import Project


def create(project: Project, args: argparse.Namespace) -> None:
    """Create the database, unless it is there."""
    reached = reach_server(project.settings, project.root, os.environ)
    created = create_database(reached.params)
    if args.json:
        print_json({**_names(project, reached), "created": created})
    else:
        print(f"{project.settings.environment}: {reached.words}: {_created(created)}")


def drop(project: Project, args: argparse.Namespace) -> None:
    """Drop the database, once a person has typed its name."""
    lifecycle.check_may_drop(project)
    reached = doomed = None
    if is_there(project.settings, project.root):
        reached = reach_server(project.settings, project.root, os.environ)
        doomed = lifecycle.find_doomed(project, reached)
    if reached and doomed:
        _ask(project, reached, doomed, args)
        lifecycle.drop(project, reached, doomed)
    if args.json:
        names = _names(project, reached) if reached else {"environment": project.settings.environment}
        print_json({**names, "dropped": doomed is not None})
    elif doomed:
        print(f"Dropped {doomed.facts.name}. Backups stay where they are ({_backups(project)}).")
    else:
        print(f"{project.settings.environment}: there is no database {project.settings.database}")


def setup(project: Project, args: argparse.Namespace) -> int:
    """Create the database if it is not there, apply all revisions, run the seeds."""
    reached = reach_server(project.settings, project.root, os.environ)
    if not is_present(reached.params):  # before it is made: the run would refuse an assumed environment
        check_environment(project, DatabaseState(), changes=True)
    created = create_database(reached.params)
    if not args.json:
        print(f"{project.settings.database}: {_created(created)}")
    return _fill(project, args, reached, {"created": created}, seeds=True)


def fresh(project: Project, args: argparse.Namespace) -> int:
    """Drop the database, create it and apply all revisions."""
    return _anew(project, args, seeds=False)


def reset(project: Project, args: argparse.Namespace) -> int:
    """Make the database of development anew, with its seeds."""
    lifecycle.check_may_reset(project)
    return _anew(project, args, seeds=True)


def _anew(project: Project, args: argparse.Namespace, *, seeds: bool) -> int:
    """Drop, create and fill; whatever can be refused is refused before the drop."""
    lifecycle.check_may_drop(project)
    reached = reach_server(project.settings, project.root, os.environ)
    doomed = lifecycle.find_doomed(project, reached)
    lifecycle.check_new(project, reached, can_ask=sys.stdin.isatty() and not args.json)
    if doomed is None:
        create_database(reached.params)
    else:
        check_may_replace(doomed.facts, reached.params)
        _ask(project, reached, doomed, args)
        if project.environment.policy.backup_required:  # the run would dump the new one, which is empty
            with stoppable():
                made = back_up(project, reached.params, "-before-drop")
            command = (
                f"newel restore {shlex.quote(str(made.path.absolute()))} --env {project.settings.environment}"
            )
            print(
                f"Backup: {made.path}, {human_size(made.size)}. To restore it:\n  {command}",
                file=sys.stderr if args.json else sys.stdout,
            )
            project = project.backed_up()
        lifecycle.drop(project, reached, doomed)
        for command in lifecycle.create_again(reached, doomed):
            print(
                f"{coloured('warning:', 'yellow', sys.stderr)} {doomed.facts.user} may not set it: {command};",
                file=sys.stderr,
            )
    if not args.json:
        print(f"{project.settings.database}: {'created' if doomed is None else 'dropped and created again'}")
    return _fill(project, args, reached, {"dropped": doomed is not None, "created": True}, seeds=seeds)


def _fill(
    project: Project, args: argparse.Namespace, reached: Reached, done: dict[str, Any], *, seeds: bool
) -> int:
    """Apply all revisions and run the seeds; with --json, tell of all that in one document."""
    report = Report(project, reached, as_json=args.json)
    try:
        execute(project, lifecycle.WHOLE, report)
    except NewelError as error:
        if not args.json:
            raise
        print_json({**_names(project, reached), **done, **report.document(), "error": error_document(error)})
        return error.exit_code
    seeded = SeedReport(project.settings.environment, as_json=args.json)
    if not args.json:
        report.summary()
        if seeds:
            execute_seeds(project, seeded)
            seeded.summary()
        return 0
    document = {**report.document(), **done}
    code = 0
    if seeds:
        try:
            execute_seeds(project, seeded)
        except NewelError as error:
            document["error"] = error_document(error)
            code = error.exit_code
        document["seeds"] = seeded.files
    print_json(document)
    return code


def _ask(project: Project, reached: Reached, doomed: Doomed, args: argparse.Namespace) -> None:
    facts = doomed.facts
    holds = f"{count(len(doomed.state.applied), 'revision')} applied, {human_size(facts.size)}"
    if not args.json and not args.yes and sys.stdin.isatty():
        print(f"newel backup  keeps a copy first; {_backups(project)} stays in any case.")
    what = f"{reached.words} ({project.settings.environment}: {holds}) will be dropped, with all its data"
    confirm(f"{what}{sessions_to_end(facts)}", facts.name, yes=args.yes, as_json=args.json)


def _names(project: Project, reached: Reached) -> dict[str, Any]:
    return {"environment": project.settings.environment, "database": reached.words}


def _created(created: bool) -> str:
    return "created" if created else "there already"


def _backups(project: Project) -> str:
    return str(project.root / project.settings.backups)
