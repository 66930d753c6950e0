"""`newel backup` and `restore`: a database into a file, and a file into a database's place."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from contextlib import closing
from typing import Any

from newel.cli.progress import Lines
from newel.cli.terminal import coloured, confirm, count, duration, human_size, print_json
from newel.cli.text import visible
from newel.database.administer.facts import Facts
from newel.database.backup.dump import checksum_file
from newel.database.journal.state import DatabaseState
from newel.database.reach import reach, reach_server
from newel.migrate.execute.stop import stoppable
from newel.migrate.keep.candidate import Restoration, examine, find_file
from newel.migrate.keep.restore import Restored
from newel.migrate.keep.restore import restore as put_in_place
from newel.migrate.policy.backup import back_up
from newel.migrate.request import look
from newel.migrate.state import check_environment
from newel.project.project import Project

_NAMED = 4
"""How many sessions are named in a question."""


def backup(project: Project, args: argparse.Namespace) -> None:
    """Dump the database into the folder of backups, and say where it lies and how it is restored."""
    reached = reach(project.settings, project.root, os.environ, create=False)
    with closing(reached.connect()) as connection:
        check_environment(project, look(connection), changes=False)
    lines = Lines(quiet=args.json)
    try:
        with stoppable():
            made = back_up(
                project, reached.params, written=lambda size: lines.show(f"  ... {human_size(size)} written")
            )
    except BaseException:
        lines.end()
        raise
    environment = project.settings.environment
    command = f"newel restore {shlex.quote(str(made.path))} --env {environment}"
    if args.json:
        print_json(
            {
                "environment": environment,
                "database": reached.words,
                "path": str(made.path),
                "bytes": made.size,
                "sha256": made.sha256,
                "checksum_file": str(checksum_file(made.path)),
                "server_version": made.server_version,
                "seconds": round(made.seconds, 6),
                "restore": command,
            }
        )
        return
    lines.say(f"{environment}: {reached.words}")
    print(f"  file     {made.path}")
    print(f"  size     {human_size(made.size)}")
    print(f"  sha256   {made.sha256}")
    print(f"  server   PostgreSQL {made.server_version}")
    print(coloured(f"Backed up in {duration(made.seconds)}", "green") + ". To restore it:")
    print(f"  {command}")


def restore(project: Project, args: argparse.Namespace) -> None:
    """Put a backup in the database's place, once it was checked and a person has agreed."""
    path = find_file(project, args.file)
    asked = examine(
        project, path, lambda: reach_server(project.settings, project.root, os.environ), os.environ
    )
    if not args.json:
        _print_question(project, asked)
    there = asked.present
    if there:
        what = f"The backup will take the place of {asked.name}{sessions_to_end(there)}"
        confirm(what, asked.name, yes=args.yes, as_json=args.json)
    started = time.perf_counter()
    lines = Lines(quiet=args.json)
    try:
        done = put_in_place(
            project,
            asked,
            os.environ,
            lines.say,
            lambda: lines.show(f"  ... {duration(time.perf_counter() - started)} so far"),
        )
    except BaseException:
        lines.end()
        raise
    seconds = time.perf_counter() - started
    if args.json:
        print_json(_document(project, asked, done, seconds))
        return
    for note in done.notes:
        lines.say(f"{coloured('warning:', 'yellow')} {note}")
    lines.say(
        f"{coloured(f'Restored in {duration(seconds)}', 'green')}: {asked.name} has {_applied(done.state)}"
    )
    if done.kept:
        print(f"As it was before, it is kept as {done.kept}. Once it is not needed any more:")
        print(f"  {done.drop_kept}")


def sessions_to_end(facts: Facts) -> str:
    """Return the end of a question: how many sessions on a database will be ended, and whose."""
    if not facts.sessions:
        return ""
    whose = list(dict.fromkeys(facts.sessions))
    named = ", ".join(whose[:_NAMED]) + (", ..." if len(whose) > _NAMED else "")
    return f"; {count(len(facts.sessions), 'session')} on it will be ended: {named}"


def _print_question(project: Project, asked: Restoration) -> None:
    archive, there = asked.archive, asked.present
    checksum = "checksum as recorded" if archive.recorded else "no checksum beside it; all of it can be read"
    print(f"{project.settings.environment}: {asked.reached.words}")
    print(f"  file     {archive.path}")
    print(f"           {human_size(archive.size)}, {checksum}")
    print(
        f"           {visible(archive.dbname)} of PostgreSQL {archive.server_version}, dumped {archive.made}"
    )
    now = f"{_applied(asked.state)}, {human_size(there.size)}" if there else "no such database"
    print(f"  now      {now}")


def _applied(state: DatabaseState) -> str:
    if not state.applied:
        return "no revision applied"
    last = state.applied[-1]
    return f"{count(len(state.applied), 'revision')} applied, the last {last.revision}_{last.slug}"


def _document(project: Project, asked: Restoration, done: Restored, seconds: float) -> dict[str, Any]:
    archive = asked.archive
    return {
        "environment": project.settings.environment,
        "database": asked.reached.words,
        "file": str(archive.path),
        "bytes": archive.size,
        "sha256": archive.sha256,
        "checksum_recorded": archive.recorded,
        "dumped_from": archive.server_version,
        "dumped_at": archive.made,
        "applied": list(done.state.applied_ids),
        "was_applied": list(asked.state.applied_ids),
        "kept": done.kept,
        "drop_kept": done.drop_kept,
        "notes": list(done.notes),
        "seconds": round(seconds, 6),
    }
