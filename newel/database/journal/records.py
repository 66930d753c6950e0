"""What the journal keeps of a revision itself: the checksums and the text of its two files, and where it stands.

With it a changed file can be told from the one that was run, and a checkout that lacks the file can roll back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from newel.database.journal.state import LAST_RECORDED
from newel.project.files import SqlFile
from newel.project.graph import Revision

UP_TEXT_LIMIT = 1024 * 1024
"""Bytes up to which the text of an up file is kept; of a larger one, the checksum of its statements."""

_OF_REVISIONS = f"FROM ({LAST_RECORDED}) recorded WHERE revision = ANY (%s)"


@dataclass(frozen=True)
class Record:
    """A revision as it is recorded with an execution. `up` is None where the checkout lacks the file."""

    revision: Revision
    up: SqlFile | None
    down: SqlFile

    def values(self) -> dict[str, Any]:
        """Return the values of the journal's columns, by name."""
        up, down = self.up, self.down
        return {
            "branch": self.revision.branch,
            "down_revision": self.revision.down_revision,
            "depends_on": self.revision.depends_on,
            "up_checksum": up.checksum if up else None,
            "down_checksum": down.checksum,
            "up_sql": up.data if up and len(up.data) <= UP_TEXT_LIMIT else None,
            "down_sql": down.data,
            "down_transactional": down.transactional,
        }


@dataclass(frozen=True)
class Checksums:
    """The recorded checksums of an applied revision; None where an older newel recorded none."""

    up: str | None
    down: str | None
    statements: str | None
    """Of the up file's statements, for one whose text is not kept."""


@dataclass(frozen=True)
class Texts:
    """The recorded contents of an applied revision's files, and whether the down file runs in one transaction."""

    up: bytes | None
    down: bytes | None
    down_transactional: bool | None


def read_checksums(cursor: Any, revisions: Sequence[str]) -> Mapping[str, Checksums]:
    """Return the recorded checksums of applied revisions by id."""
    cursor.execute(
        f"SELECT revision, up_checksum, down_checksum, done_checksum {_OF_REVISIONS}", (list(revisions),)
    )
    return {row[0]: Checksums(*row[1:]) for row in cursor.fetchall()}


def read_texts(cursor: Any, revisions: Sequence[str]) -> Mapping[str, Texts]:
    """Return the recorded contents of applied revisions by id."""
    cursor.execute(
        f"SELECT revision, up_sql, down_sql, down_transactional {_OF_REVISIONS}", (list(revisions),)
    )
    return {
        revision: Texts(_bytes(up), _bytes(down), down_transactional)
        for revision, up, down, down_transactional in cursor.fetchall()
    }


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
