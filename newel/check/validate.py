"""`newel validate`: structure and syntax of a project, without a database. Finds all there is, not the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from newel.check.rules.destructive import HINT, RULE, destructive
from newel.check.violation import Violation, from_error
from newel.errors import Location, NewelError
from newel.project import environments, files, stubs
from newel.project.graph import Revision, find_revisions
from newel.project.parser import parse
from newel.project.source import excerpt, locate
from newel.project.statements import Statement


def validate_project(root: Path) -> list[Violation]:
    """Return every finding about a project, errors and warnings, in the order of the files."""
    revisions, problems = find_revisions(root)
    found = [from_error("names", problem, files.MIGRATIONS) for problem in problems]
    found += [from_error("scripts", problem, stubs.VERSIONS) for problem in stubs.check(root, revisions)]
    found += _env_script(root)
    found += _environments(root, revisions)
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


def _file(root: Path, path: str) -> Iterator[Violation]:
    try:
        file = files.read(root, path)
    except NewelError as error:
        yield from_error("syntax", error, path)
        return
    allowed = {rule for rule, _ in file.directives.allow}
    unknown = allowed - {RULE}
    for rule in sorted(unknown):
        yield Violation("directives", Location(path, 1), f"`allow {rule}` names no rule; there is {RULE}")
    statements = list(file.statements())
    if path.endswith(".up.sql"):
        if not statements:
            yield Violation("empty", Location(path, 1), "the up file holds no statement", severity="warning")
        if RULE not in allowed:
            yield from _destructive(file, statements)
    elif not statements and not file.directives.irreversible:
        yield Violation(
            "empty",
            Location(path, 1),
            "the down file holds no statement, so it takes nothing back",
            "Write what undoes the up file, or say at its top:  -- newel: irreversible <reason>",
            severity="warning",
        )


def _destructive(file: files.SqlFile, statements: Sequence[Statement]) -> Iterator[Violation]:
    for statement in statements:
        if statement.keyword not in ("DROP", "TRUNCATE", "DELETE", "UPDATE", "ALTER", "WITH"):
            continue
        tree = parse(statement.text)
        for what in destructive(tree) if tree is not None else ():
            yield Violation(
                RULE,
                locate(file.data, statement.start, file.path),
                what,
                HINT,
                severity="warning",
                excerpt=excerpt(file.data, statement.start),
            )
