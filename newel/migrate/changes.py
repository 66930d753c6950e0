"""Whether the files of applied revisions are still what was applied: by SHA-256, and by tokens where that differs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newel.database.journal.records import Checksums, read_checksums, read_texts
from newel.errors import DependencyError, Location
from newel.migrate.plan import Step
from newel.project.files import read, unreadable
from newel.project.graph import Revision
from newel.project.project import Project

_DIRECTIONS = ("up", "down")


@dataclass(frozen=True)
class Change:
    """A file with other statements than when its revision was applied. The difference is empty if it is unknown."""

    revision: Revision
    path: str
    difference: str


def check_unchanged(project: Project, cursor: Any, applied: Sequence[str], steps: Sequence[Step]) -> None:
    """Refuse changed files: of every applied revision before an upgrade, of what is taken back before a downgrade.

    What is taken back may have another up file by now: it goes away. Raises DependencyError with the difference.
    """
    up = [step for step in steps if step.direction == "up"]
    wanted = applied if up else [step.revision.id for step in steps]
    revisions = [item for item in project.environment_revisions if item.id in wanted]
    taken_back = {step.revision.id for step in steps if step.direction == "down"}
    changes = [
        change
        for change in find_changes(project.root, cursor, revisions)
        if change.path == change.revision.down or change.revision.id not in taken_back
    ]
    if changes:
        first, ids = changes[0], " ".join(dict.fromkeys(change.revision.id for change in changes))
        others = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise DependencyError(
            f"the file was changed after {first.revision.id} was applied{others}; the database has what it said then",
            where=Location(first.path),
            excerpt=first.difference or None,
            cure="Put it back as it was (git log -p on the file), and write what it lacks into a revision of its own. "
            f"If the change was reviewed and the database needs none of it:  newel repair {ids}",
        )


def find_changes(root: Path, cursor: Any, revisions: Sequence[Revision]) -> list[Change]:
    """Return the changed files of applied revisions. Comments, white space and line ends do not count."""
    recorded = read_checksums(cursor, [revision.id for revision in revisions])
    return [
        change
        for revision in revisions
        if revision.id in recorded
        for direction in _DIRECTIONS
        for change in _changes(root, cursor, revision, direction, recorded[revision.id])
    ]


def _changes(
    root: Path, cursor: Any, revision: Revision, direction: str, recorded: Checksums
) -> list[Change]:
    path = revision.up if direction == "up" else revision.down
    checksum = recorded.up if direction == "up" else recorded.down
    try:
        data = (root / path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if checksum is None or checksum == hashlib.sha256(data).hexdigest():
        return []
    from newel.project.tokens import difference as token_difference  # needs the parser

    texts = read_texts(cursor, [revision.id])[revision.id]
    old = texts.up if direction == "up" else texts.down
    if old is not None:
        difference = token_difference(old.encode(), data, path)
        return [Change(revision, path, difference)] if difference else []
    if direction == "up" and recorded.statements != read(root, path).statements_checksum:
        return [Change(revision, path, "")]
    return []
