"""`newel generate` and `renumber`: write the files of a revision, and move it to another number."""

from __future__ import annotations

import argparse
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from newel.cli.terminal import count, print_json
from newel.errors import NewelError

if TYPE_CHECKING:
    from newel.database.journal.state import DatabaseState
    from newel.project.settings import Settings

_FOLDERS = ("sql", "alembic", "env")


def generate(root: Path, args: argparse.Namespace) -> None:
    """Write the pair and the script of a new revision."""
    from newel.project import stubs
    from newel.project.generate.revision import generate as make
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
        print(f"note: {count(len(stale), 'other script')} to be mended:  newel stubs")
    print("Edit both SQL files, then:  newel validate && newel up")


def renumber(root: Path, args: argparse.Namespace) -> None:
    """Move a revision's files and script to another number, unless the environment's database has it."""
    from newel.migrate.renumber import check_move
    from newel.project import pages, stubs
    from newel.project import renumber as moving
    from newel.project.environments import load_environments
    from newel.project.graph import find_revisions
    from newel.project.settings import load_settings

    if not args.revision:
        raise NewelError("a revision is missing", cure="For make:  make db-migration-renumber VERSION=000005")
    move = moving.find_move(root, args.revision, args.number)
    environments = load_environments(root)
    environments_text = moving.relisted(environments, move)
    settings = load_settings(root, environments, os.environ, args.env)
    environment = environments.get(settings.environment)
    state, obstacle = _ask(root, settings)
    if state is not None:
        after = [item for item in moving.revisions_after(root, move) if environment.lists(item)]
        check_move(move, after, state, settings.environment)
    page = pages.find_page(root, move.pair.number, move.pair.slug)
    changed = moving.carry_out(root, move, environments_text, page)
    revisions, problems = find_revisions(root)
    written, removed = ([], []) if problems else stubs.write(root, revisions)
    removed = [*removed, *([page] if page else [])]
    others = [name for name in environments.by_name if name != settings.environment]
    if args.json:
        print_json(
            {
                "was": move.pair.number,
                "revision": move.number,
                "slug": move.pair.slug,
                "moved": move.paths,
                "changed": changed[len(move.paths) :],
                "written": written,
                "removed": removed,
                "asked": settings.environment if obstacle is None else None,
                "not_asked": others if obstacle is None else [settings.environment, *others],
                "obstacle": obstacle,
                "problem": problems[0].what if problems else None,
            }
        )
        return
    for path, target in move.paths.items():
        print(f"moved    {path} -> {Path(target).name}")
    for words, paths in (("changed", changed[len(move.paths) :]), ("wrote", written), ("removed", removed)):
        for path in paths:
            print(f"{words:<7}  {path}")
    print(
        f"{settings.environment}: "
        + (f"not asked whether it is applied: {obstacle}" if obstacle else "it is not applied there")
    )
    if others:
        print(f"Not asked: {', '.join(others)}. What is applied there keeps its number.")
    if problems:
        print(f"note: the scripts were not written, since {problems[0]}")
    if page:
        print(f"note: a page for the new number is written by  newel show {move.number} --write")
    folders = [*_FOLDERS, *([pages.FOLDER] if page else [])]
    print(f"Next:  git add --all {' '.join(folders)} && newel validate")


def _ask(root: Path, settings: Settings) -> tuple[DatabaseState | None, str | None]:
    """Return what the environment's database says of itself, or why it could not be asked.

    Neither where there is no database yet, so that nothing is applied.
    """
    from newel.database.reach import is_there, reach
    from newel.migrate.request import look

    try:
        if not is_there(settings, root):
            return None, None
        connection = reach(settings, root, os.environ, create=False).connect()
        try:
            return look(connection), None
        finally:
            connection.close()
    except NewelError as error:
        return None, error.what
