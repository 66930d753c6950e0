"""`newel validate`: structure and syntax of a project, without a database. Finds all there is, not the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from newel.errors import Location, NewelError
from newel.project import environments, files, seeds, stubs
from newel.project.graph import Revision, find_revisions
from newel.validate.file import validate_file
from newel.validate.violation import Violation, from_error


def validate_project(root: Path) -> list[Violation]:
    """Return every finding about a project, errors and warnings, in the order of the files."""
    revisions, problems = find_revisions(root)
    found = [from_error("names", problem, files.MIGRATIONS) for problem in problems]
    found += [from_error("scripts", problem, stubs.VERSIONS) for problem in stubs.check(root, revisions)]
    found += _env_script(root)
    found += _environments(root, revisions)
    found += _seeds(root)
    for revision in revisions:
        for path in (revision.up, revision.down):
            if (root / path).is_file():
                found += _file(root, path)
    return found


def _env_script(root: Path) -> Iterator[Violation]:
    path, cure = (
        "alembic/env.py",
        "It reads:  from newel.migrate.alembic_env import run  and, below it,  run()",
    )
    script = root / path
    if not script.is_file():
        yield Violation(
            "env-script", Location(path), "plain alembic needs it, and it is missing", cure, exit_code=2
        )
    elif "newel.migrate.alembic_env" not in script.read_text(encoding="utf-8", errors="replace"):
        yield Violation(
            "env-script", Location(path), "it does not call newel, so plain alembic runs nothing", cure
        )


def _environments(root: Path, revisions: Sequence[Revision]) -> Iterator[Violation]:
    try:
        described = environments.load_environments(root)
    except NewelError as error:
        yield from_error("environments", error, environments.PATH)
        return
    for name in described.by_name:
        try:
            described.revisions(name, revisions)
        except NewelError as error:
            yield from_error("environments", error, environments.PATH)
    for revision in revisions:
        if not any(environment.lists(revision) for environment in described.by_name.values()):
            yield Violation(
                "unlisted",
                Location(revision.up),
                "no environment runs this revision",
                f"List it under `migrations` of an environment in {environments.PATH}, or remove the pair.",
            )


def _seeds(root: Path) -> Iterator[Violation]:
    try:
        described = environments.load_environments(root)
    except NewelError:  # told already
        return
    paths: dict[str, None] = {}
    for name in described.by_name:
        try:
            paths |= dict.fromkeys(seeds.seed_paths(root, described, name))
        except NewelError as error:
            yield from_error("seeds", error, environments.PATH)
    for path in paths:
        try:
            seeds.read_seed(root, path)
        except NewelError as error:
            yield from_error("seeds", error, path)


def _file(root: Path, path: str) -> Iterator[Violation]:
    try:
        file = files.read(root, path)
    except NewelError as error:
        yield from_error("syntax", error, path)
        return
    yield from validate_file(file)
