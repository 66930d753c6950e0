"""Static checks of one SQL file that was read and parsed already."""

from __future__ import annotations

from collections.abc import Iterator

from newel.errors import Location
from newel.project.files import SqlFile
from newel.project.source import excerpt, locate
from newel.validate.rules.destructive import HINT, RULE, find_destructions
from newel.validate.violation import Violation


def validate_file(file: SqlFile) -> Iterator[Violation]:
    """Yield what is to be said of the file: its directives, a file without statements, and the rules' warnings.

    A rule's warnings are left out where the file allows it. Down files are not looked at by the rules.
    """
    allowed = {rule for rule, _ in file.directives.allow}
    for rule in sorted(allowed - {RULE}):
        yield Violation(
            "directives", Location(file.path, 1), f"`allow {rule}` names no rule; there is {RULE}"
        )
    empty = next(file.statements(), None) is None
    if file.path.endswith(".up.sql"):
        if empty:
            yield Violation(
                "empty", Location(file.path, 1), "the up file holds no statement", severity="warning"
            )
        if RULE not in allowed:
            yield from _destructive(file)
    elif empty and not file.directives.irreversible:
        yield Violation(
            "empty",
            Location(file.path, 1),
            "the down file holds no statement, so it takes nothing back",
            "Write what undoes the up file, or say at its top:  -- newel: irreversible <reason>",
            severity="warning",
        )


def _destructive(file: SqlFile) -> Iterator[Violation]:
    for statement, destruction in find_destructions(file):
        yield Violation(
            RULE,
            locate(file.data, statement.start, file.path),
            destruction.what,
            HINT,
            severity="warning",
            excerpt=excerpt(file.data, statement.start),
        )
