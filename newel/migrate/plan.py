"""Which revisions to run, in which direction and order. Pure functions: no database, no files.

A target X means: every revision of the environment up to X in order of work is applied, none after it.
`+n` counts in order of work, `-n` in order of application.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from newel.errors import DependencyError, NewelError
from newel.project.graph import Revision

Command = Literal["upgrade", "downgrade", "goto"]


@dataclass(frozen=True)
class Step:
    """One revision in one direction."""

    revision: Revision
    direction: Literal["up", "down"]

    @property
    def path(self) -> str:
        """The SQL file that the step runs."""
        return self.revision.up if self.direction == "up" else self.revision.down


def plan(
    revisions: Sequence[Revision], applied: Sequence[str], command: Command, target: str
) -> tuple[Step, ...]:
    """Return the steps that bring a database to `target`.

    `revisions` are the environment's in order of work, `applied` the ids in order of application. An
    upgrade only adds, a downgrade only takes back (the last applied first), goto does both.

    Raises NewelError for a target that names nothing, DependencyError for a database that knows a revision
    that the environment lacks or an unapplied revision numbered below an applied one of its chain.
    """
    check_applied(revisions, applied)
    wanted, done = resolve(revisions, applied, command, target), frozenset(applied)
    by_id = {revision.id: revision for revision in revisions}
    steps: list[Step] = []
    if command != "upgrade":
        steps += [Step(by_id[item], "down") for item in reversed(applied) if item not in wanted]
    if command != "downgrade":
        steps += [Step(item, "up") for item in revisions if item.id in wanted and item.id not in done]
    return tuple(steps)


def check_applied(revisions: Sequence[Revision], applied: Sequence[str], taken: Iterable[str] = ()) -> None:
    """Refuse what no plan can start from: unknown revisions, and a gap below an applied one.

    `taken` are the numbers of the whole tree, other environments' too: the cure offers one that is free.
    """
    check_known(revisions, applied)
    done, by_id = frozenset(applied), {revision.id: revision for revision in revisions}
    for revision in revisions:
        missing = [item for item in revision.needs if revision.id in done and item not in done]
        if missing:
            free = f"{int(max([*taken, *by_id])) + 1:06}"
            raise _below_applied(by_id[missing[0]], revision, free)


def check_known(revisions: Sequence[Revision], applied: Iterable[str]) -> None:
    """Refuse a database that holds revisions that are not among these."""
    known = {revision.id for revision in revisions}
    unknown = [item for item in applied if item not in known]
    if unknown:
        raise DependencyError(
            f"the database holds revision {', '.join(unknown)}, which this checkout lacks for its environment",
            cure="Bring the checkout up to date (git pull), or go to the branch that applied it. To take back the one "
            "that was applied last, with the SQL that the journal keeps:  newel down",
        )


def resolve(
    revisions: Sequence[Revision], applied: Sequence[str], command: Command, target: str
) -> frozenset[str]:
    """Return the ids that shall be applied once `target` is reached."""
    ids = [revision.id for revision in revisions]
    relative = re.fullmatch(r"([+-])(\d+)", target)
    if relative:
        return _relative(ids, applied, command, relative[1], int(relative[2]))
    if target in ("head", "heads"):
        return frozenset(ids)
    if target == "base":
        return frozenset()
    if "@" in target:
        return _branch(revisions, applied, target)
    revision_id = find_revision(revisions, target)
    return frozenset(ids[: ids.index(revision_id) + 1])


def find_revision(revisions: Sequence[Revision], number: str, where: str = " in this environment") -> str:
    """Return the id that a number names: `5`, `000005` or `000005_slug`, whole and never a prefix."""
    slugs = {revision.id: revision.slug for revision in revisions}
    match = re.fullmatch(r"([0-9]{1,6})(?:_(\w+))?", number)
    found = f"{int(match[1]):06}" if match else ""
    if match and found in slugs and match[2] in (None, slugs[found]):
        return found
    names = {f"{id}_{slug}": id for id, slug in slugs.items()} | {slug: id for id, slug in slugs.items()}
    near = get_close_matches(number, names, 1)
    hint = f"; did you mean {names[near[0]]}?" if near else "" if slugs else "; there are none."
    raise NewelError(f"there is no revision `{number}`{where}{hint}", cure="See  newel history")


def _relative(
    ids: Sequence[str], applied: Sequence[str], command: Command, sign: str, count: int
) -> frozenset[str]:
    done = frozenset(applied)
    pending = [item for item in ids if item not in done]
    if sign == "+" and command != "downgrade":
        if count > len(pending):
            raise NewelError(f"+{count} goes beyond the head: {_count(len(pending))} pending")
        return frozenset([*applied, *pending[:count]])
    if sign == "-" and command != "upgrade":
        if count > len(applied):
            raise NewelError(f"-{count} goes below the base: {_count(len(applied))} applied")
        return frozenset(applied[: len(applied) - count])
    raise NewelError(f"{sign}{count} is no target for {command}; + is for upgrades, - for downgrades")


def _branch(revisions: Sequence[Revision], applied: Sequence[str], target: str) -> frozenset[str]:
    """`branch@head` adds the branch and what it stands on, `branch@base` takes the branch alone away."""
    branch, _, end = target.partition("@")
    members = [revision for revision in revisions if revision.branch == branch]
    if not members:
        names = sorted({revision.branch for revision in revisions if revision.branch})
        there = f"; there is {', '.join(names)}." if names else ""
        raise NewelError(f"this environment has no branch `{branch}`{there}")
    if end == "base":
        return frozenset(applied) - {revision.id for revision in members}
    if end == "head":
        needed = members[-1].depends_on or ""
        mainline = {item.id for item in revisions if item.branch is None and item.id <= needed}
        return frozenset(applied) | mainline | {revision.id for revision in members}
    raise NewelError(f"`{target}` is no target; a branch goes to {branch}@head or {branch}@base")


def _below_applied(revision: Revision, applied: Revision, free: str) -> DependencyError:
    return DependencyError(
        f"revision {revision.id}_{revision.slug} is not applied, but {applied.id}_{applied.slug}, "
        "which stands on it by its number, is: it would never run",
        cure=f"Give it a number above the applied ones, then try again:  newel renumber {revision.id} {free}",
    )


def _count(number: int) -> str:
    return "none is" if number == 0 else "1 is" if number == 1 else f"{number} are"
