"""Revisions and how they hang together, derived from file names alone.

The mainline (sql/migrations) is one chain in number order. The revisions of an environment's folder are a
branch with a base of their own; each names in depends_on the highest mainline revision below its number.
Numbers are unique in the whole tree and dependencies point to lower ones, so the order of work of an
environment, by dependency and then by number, is the order of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newel.errors import DependencyError, FileMissing, Location, NewelError
from newel.project.files import MIGRATIONS, FileName, list_files

LAST_NUMBER = 999_999


@dataclass(frozen=True)
class Revision:
    """One revision: its id (six digits), its pair of files, and the revisions it stands on."""

    id: str
    slug: str
    branch: str | None
    """The environment's folder it lies in; None for the mainline."""
    up: str
    down: str
    down_revision: str | None
    depends_on: str | None

    @property
    def script(self) -> str:
        """The path of the derived Alembic script, relative to the project's root."""
        folder = "alembic/versions" if self.branch is None else f"alembic/versions/{self.branch}"
        return f"{folder}/{self.id}_{self.slug}.py"

    @property
    def needs(self) -> tuple[str, ...]:
        """The revisions that must be applied before this one."""
        return tuple(item for item in (self.down_revision, self.depends_on) if item is not None)


def load_revisions(root: Path) -> tuple[Revision, ...]:
    """Return every revision of the project in number order.

    Raises the first thing that is wrong with the file names: a misnamed file, a number used twice, a pair
    with a file missing.
    """
    revisions, problems = find_revisions(root)
    if problems:
        raise problems[0]
    return revisions


def find_revisions(root: Path) -> tuple[tuple[Revision, ...], list[NewelError]]:
    """Return the revisions in number order, and everything that is wrong with the file names."""
    names, problems = list_files(root)
    by_path = {name.path: name for name in names}
    ups = {path: name for path, name in by_path.items() if name.direction == "up"}
    for name in names:
        if name.counterpart not in by_path:
            problems.append(_without_counterpart(name, names))
    by_number: dict[str, FileName] = {}
    for name in ups.values():
        first = by_number.setdefault(name.number, name)
        if first is not name:
            problems.append(_number_twice(first, name))
    return chain([by_number[number] for number in sorted(by_number)]), problems


def chain(ups: Sequence[FileName]) -> tuple[Revision, ...]:
    """Return the revisions of up files that are in number order, each number once."""
    last: dict[str | None, str] = {}
    revisions = []
    for name in ups:
        revisions.append(
            Revision(
                id=name.number,
                slug=name.slug,
                branch=name.folder,
                up=name.path,
                down=name.counterpart,
                down_revision=last.get(name.folder),
                depends_on=None if name.folder is None else last.get(None),
            )
        )
        last[name.folder] = name.number
    return tuple(revisions)


def following(revisions: Sequence[Revision], slug: str, branch: str | None) -> Revision:
    """Return the revision that comes behind all of `revisions`, with the next free number.

    Raises DependencyError if there is none.
    """
    number = int(max((revision.id for revision in revisions), default="0")) + 1
    if number > LAST_NUMBER:
        raise DependencyError(f"no number is free above {LAST_NUMBER}, and a revision's has six digits")
    folder = MIGRATIONS if branch is None else f"{MIGRATIONS}/{branch}"
    up = FileName(f"{folder}/{number:06}_{slug}.up.sql", f"{number:06}", slug, "up", branch)
    known = [
        FileName(item.up, item.id, item.slug, "up", item.branch)
        for item in revisions
        if item.branch in (None, branch)
    ]
    return chain([*known, up])[-1]


def heads(revisions: Sequence[Revision]) -> tuple[str, ...]:
    """Return the ids that no other of `revisions` stands on: what alembic_version holds for them, sorted."""
    needed = {item for revision in revisions for item in revision.needs}
    return tuple(sorted(revision.id for revision in revisions if revision.id not in needed))


def _without_counterpart(name: FileName, names: Sequence[FileName]) -> NewelError:
    wanted = name.counterpart
    other = "down" if name.direction == "up" else "up"
    near = [
        item
        for item in names
        if item.number == name.number and item.direction == other and item.path != wanted
    ]
    if near and name.direction == "down":
        return FileMissing(
            f"its up file is {near[0].path}, whose down file would be {near[0].counterpart}",
            where=Location(name.path),
            cure=f"git mv {name.path} {near[0].counterpart}",
        )
    if near:
        return FileMissing(
            f"its {other} file {wanted} is missing, but there is {near[0].path}",
            where=Location(name.path),
            cure=f"git mv {near[0].path} {wanted}",
        )
    if name.direction == "down":
        return FileMissing(f"a down file without its up file {wanted}", where=Location(name.path))
    return FileMissing(
        f"its down file {wanted} is missing",
        where=Location(name.path),
        cure="Write it. One that cannot roll back says so in its first line:  -- newel: irreversible <reason>",
    )


def _number_twice(first: FileName, second: FileName) -> NewelError:
    return DependencyError(
        f"number {second.number} is taken by {first.path} already; a number names one revision in the whole tree",
        where=Location(second.path),
        cure="Give the one that was not merged first the next free number:  newel renumber "
        f"{second.path}\n(or  newel renumber {first.path})",
    )
