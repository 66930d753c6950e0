"""`newel generate` and `renumber`: write the files of a revision, and move it to another number."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from newel.cli.terminal import count, print_json


def generate(root: Path, args: argparse.Namespace) -> None:
    """Write the pair and the script of a new revision."""
    from newel.project import stubs
    from newel.project.generate import generate as make
    from newel.project.graph import load_revisions
    from newel.project.write import create_files

    made = make(root, args.name, args.type, args.branch, date.today())
    create_files(root, made.files)
    revision = made.revision
    stale = stubs.check(root, load_revisions(root))
    following = ["newel validate", *(["newel stubs"] if stale else []), "newel up"]
    if args.json:
        print_json(
            {
                "revision": revision.id,
                "slug": revision.slug,
                "type": args.type,
                "branch": revision.branch,
                "up": revision.up,
                "down": revision.down,
                "script": revision.script,
                "note": made.note,
                "next": following,
            }
        )
        return
    for path in made.files:
        print(f"wrote    {path}")
    if made.note:
        print(f"note: {made.note}")
    if stale:
        print(
            f"note: {count(len(stale), 'other script')} not as the SQL files give them;  newel stubs  writes them"
        )
    print("Edit both SQL files, then:  newel validate && newel up")
