"""`newel drift`: compare a live database with what its applied revisions give."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import Any

from newel.check.drift import Drift, find_drift
from newel.cli.terminal import coloured, count, print_json
from newel.database.catalog.difference import Change
from newel.database.connection import mask
from newel.database.reach import reach
from newel.project.project import Project

_COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def drift(project: Project, args: argparse.Namespace) -> int:
    """Show what was changed by hand. Ends with 1 if anything was."""
    reached = reach(project.settings, project.root, os.environ, create=False)
    connection = reached.connect()
    try:
        found = find_drift(project, connection, os.environ)
    finally:
        connection.close()
    environment = project.settings.environment
    if args.json:
        print_json({"environment": environment, "database": reached.words, **_document(found)})
    else:
        _print(f"{environment}: {reached.words}", found)
    return 1 if found.difference else 0


def _print(words: str, found: Drift) -> None:
    applied = count(len(found.applied), "applied revision")
    for note in found.notes:
        print(f"note: {mask(note)}")
    if not found.difference:
        print(f"{words} has the schema of its {applied}")
        return
    differences = count(sum(1 for change in found.difference.changes if not change.folded), "difference")
    print(words)
    print(coloured(f"{differences} from the schema of its {applied}", "bold"))
    print("+ only in the live database   - missing from it   ~ differs (expected, live)\n")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    for line in found.difference.lines(width):
        print(coloured(mask(line), _COLOURS[line[0]]) if line[0] in _COLOURS else mask(line))
    print("\nPut each change into a revision, or undo it by hand. Rows were not compared.")


def _document(found: Drift) -> dict[str, Any]:
    return {
        "applied": found.applied,
        "same_major": found.same_major,
        "live_version": found.live_version,
        "throwaway_version": found.throwaway_version,
        "notes": found.notes,
        "differences": [_change(change) for change in found.difference.changes],
    }


def _change(change: Change) -> dict[str, Any]:
    """One object; `expected` and `live` are its definitions, null where it is not there."""
    expected, live = change.before, change.after
    return {
        "change": "differs" if expected and live else "missing" if expected else "only in live",
        "kind": change.object.kind,
        "identity": change.object.identity,
        "expected": mask(expected.definition) if expected else None,
        "live": mask(live.definition) if live else None,
    }
