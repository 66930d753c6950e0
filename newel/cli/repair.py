"""`newel repair`: show the changed files of applied revisions, and record those that were reviewed."""

from __future__ import annotations

import argparse
import os
import sys

from newel.cli.terminal import count, print_json
from newel.database.reach import reach
from newel.migrate.changes import Change
from newel.migrate.repair import changed_files, record_reviewed
from newel.migrate.request import look
from newel.project.project import Project


def repair(project: Project, args: argparse.Namespace) -> int:
    """Show every changed file, or record the named revisions' files as reviewed. Ends with 1 if any is left."""
    reached = reach(project.settings, project.root, os.environ, create=False)
    connection = reached.connect()
    try:
        recorded = (
            record_reviewed(
                project,
                connection,
                args.revisions,
                lambda who: print(f"waiting for another run: {who}", file=sys.stderr),
            )
            if args.revisions
            else []
        )
        left = changed_files(project, connection, look(connection))
    finally:
        connection.close()
    if args.json:
        print_json({"recorded": _documents(recorded), "changed": _documents(left)})
        return 1 if left else 0
    for change in recorded or left:
        print(f"{change.path}: changed since {change.revision.id} was applied")
        if change.difference:
            print(change.difference)
    if recorded:
        print(f"Recorded as reviewed: {_ids(recorded)}. Nothing was run.")
    if left:
        print(
            f"{count(len(left), 'file')} changed. Once reviewed, record what they say:  newel repair {_ids(left)}"
        )
    elif not recorded:
        print(f"{project.settings.environment}: every file is as it was applied")
    return 1 if left else 0


def _ids(changes: list[Change]) -> str:
    return " ".join(dict.fromkeys(change.revision.id for change in changes))


def _documents(changes: list[Change]) -> list[dict[str, str]]:
    return [
        {"revision": change.revision.id, "file": change.path, "difference": change.difference}
        for change in changes
    ]
