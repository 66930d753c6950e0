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
    """Record the named revisions' files as reviewed; without any, show every changed file, and end with 1."""
    reached = reach(project.settings, project.root, os.environ, create=False)
    connection = reached.connect()
    recorded: list[Change] = []
    try:
        if args.revisions:
            recorded = record_reviewed(project, connection, args.revisions, _waiting)
        left = changed_files(project, connection, look(connection))
    finally:
        connection.close()
    if args.json:
        print_json({"recorded": _documents(recorded), "changed": _documents(left)})
    else:
        _print(project.settings.environment, args.revisions, recorded, left)
    return 1 if left and not args.revisions else 0


def _print(environment: str, named: list[str], recorded: list[Change], left: list[Change]) -> None:
    for change in recorded if named else left:
        print(f"{change.path}: changed after {change.revision.id} was applied\n{change.difference}")
    if recorded:
        print(f"Recorded as reviewed: {_ids(recorded)}. Nothing was run.")
    elif named or not left:
        print(f"{environment}: {'they are' if named else 'every file is'} as applied; nothing to record")
    if left:
        still = "still changed" if named else "changed"
        print(
            f"{count(len(left), 'file')} {still}. Once reviewed, record what they say:  newel repair {_ids(left)}"
        )


def _waiting(holder: str) -> None:
    print(f"waiting for another run: {holder}", file=sys.stderr)


def _ids(changes: list[Change]) -> str:
    return " ".join(dict.fromkeys(change.revision.id for change in changes))


def _documents(changes: list[Change]) -> list[dict[str, str]]:
    return [
        {"revision": change.revision.id, "file": change.path, "difference": change.difference}
        for change in changes
    ]
