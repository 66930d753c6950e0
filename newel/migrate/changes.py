"""Whether the files of applied revisions are still what was applied: by SHA-256, and by tokens where that differs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newel.database.journal.records import Checksums, read_checksums, read_texts
from newel.database.journal.state import Direction
from newel.errors import DependencyError, Location, NewelError
from newel.migrate.plan import Step
from newel.project.files import sql_file, unreadable
from newel.project.graph import Revision
from newel.project.project import Project

_CHECKSUM_ALONE = (
    "It was applied by newel 0.1.0, which kept its SHA-256 alone: a changed comment counts as well."
)
_NO_TEXT = "Its statements differ. Of an up file above 1 MB the journal keeps no text, so the difference is not shown."


@dataclass(frozen=True)
class Change:
    """A file that says something else than when its revision was applied: what differs, or why that is not shown."""

    revision: Revision
    path: str
    difference: str


def check_unchanged(project: Project, cursor: Any, applied: Sequence[str], steps: Sequence[Step]) -> None:
    """Refuse changed files: of every applied revision before an upgrade, of what is taken back before a downgrade.

    What is taken back may have another up file by now: it goes away. Raises DependencyError with the difference.
    """
    taken_back = {step.revision.id for step in steps if step.direction == "down"}
    wanted = applied if any(step.direction == "up" for step in steps) else taken_back
    revisions = [item for item in project.environment_revisions if item.id in wanted]
    downs = [item for item in revisions if item.id in taken_back]
    changes = [
        *find_changes(project.root, cursor, [item for item in revisions if item.id not in taken_back]),
        *find_changes(project.root, cursor, downs, ["down"]),
    ]
    if changes:
        first, ids = changes[0], " ".join(dict.fromkeys(change.revision.id for change in changes))
        others = f" (and {len(changes) - 1} more: newel repair shows them)" if len(changes) > 1 else ""
        raise DependencyError(
            f"the file was changed after {first.revision.id} was applied{others}; the database has what it said then",
            where=Location(first.path),
            excerpt=first.difference,
            cure="Put it back as it was (git log -p on the file), and write what it lacks into a revision of its own. "
            f"If the change was reviewed and the database needs none of it:  newel repair {ids}",
        )


def find_changes(
    root: Path,
    cursor: Any,
    revisions: Sequence[Revision],
    directions: Iterable[Direction] = ("up", "down"),
) -> list[Change]:
    """Return the changed files of applied revisions. Comments, white space and line ends do not count.

    Raises NewelError for a file that cannot be read.
    """
    recorded = read_checksums(cursor, [revision.id for revision in revisions])
    changes = []
    for revision in revisions:
        for direction in directions if revision.id in recorded else ():
            path = revision.up if direction == "up" else revision.down
            difference = _difference(root, path, cursor, revision.id, direction, recorded[revision.id])
            if difference:
                changes.append(Change(revision, path, difference))
    return changes


def _difference(
    root: Path, path: str, cursor: Any, revision: str, direction: Direction, recorded: Checksums
) -> str:
    """Return what differs between a file and what was applied of it; empty if nothing does that counts."""
    try:
        data = (root / path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    checksum = recorded.up if direction == "up" else recorded.down
    if checksum is None or checksum == hashlib.sha256(data).hexdigest():
        return ""
    from newel.project.sql.tokens import difference  # needs the parser

    texts = read_texts(cursor, [revision])[revision]
    kept = texts.up if direction == "up" else texts.down
    try:
        file = sql_file(path, data)
        if kept is not None:
            return difference(kept, data, path)
    except NewelError as error:
        return f"It cannot be run any more:\n{error}"
    if recorded.statements is None:
        return _CHECKSUM_ALONE
    return "" if recorded.statements == file.statements_checksum else _NO_TEXT
