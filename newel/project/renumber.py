"""Moving a revision to another number: which pair is meant, what may be its number, and the move itself.

Works where two pairs have one number, which is what it is for: it goes by file names and not by the graph.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from newel.errors import DependencyError, FileMissing, Location, NewelError
from newel.project.environments import PATH, Environments
from newel.project.files import MIGRATIONS, FileName, list_files, unreadable
from newel.project.graph import LAST_NUMBER, Revision, chain
from newel.project.write import create_files, unwritable

_HEADER = rb"^(--[ \t]*[\w ]*Migration(?: Rollback)?:[ \t]*)%s(?=_)"


@dataclass(frozen=True)
class Move:
    """A pair, under its up file's name, and the number that it is to have."""

    pair: FileName
    number: str
    twin: FileName | None = None
    """Another pair of the same number."""

    @property
    def paths(self) -> dict[str, str]:
        """The paths of both files, and where each goes."""
        return {path: self._moved(path) for path in (self.pair.path, self.pair.counterpart)}

    @property
    def moved(self) -> FileName:
        """The up file's name afterwards."""
        return replace(self.pair, number=self.number, path=self._moved(self.pair.path))

    def _moved(self, path: str) -> str:
        return path.replace(f"/{self.pair.number}_", f"/{self.number}_")


def find_move(root: Path, revision: str, number: str | None) -> Move:
    """Return the move of the pair that `revision` names to `number`, or to the next free one.

    `revision` is a number, NNNNNN_slug or a path. Raises NewelError for what names no pair, or two,
    and for a number without six digits; FileMissing for a pair of one file; DependencyError for a number that is taken.
    """
    names, _ = list_files(root)
    pair, twin = _find_pair(names, revision.removeprefix(f"{root}/").removeprefix("./"))
    if pair.counterpart not in {name.path for name in names}:
        raise FileMissing(f"its down file {pair.counterpart} is missing", where=Location(pair.path))
    taken = {name.number: name.path for name in reversed(names)}
    free = int(max(taken)) + 1
    if number is None:
        if free > LAST_NUMBER:
            raise DependencyError("no number is free above the ones that are taken; name one that is lower")
        return Move(pair, f"{free:06}", twin)
    again = f"newel renumber {revision}"
    if not re.fullmatch(r"[0-9]{6}", number):
        short = re.fullmatch(r"[0-9]{1,5}", number) and f"{int(number):06}" not in taken
        offered = f"{int(number) if short else free:06}"
        raise NewelError(
            f"`{number}` is no revision's number, which has six digits", cure=f"{again} {offered}"
        )
    if number == pair.number and twin is None:
        raise NewelError(f"{pair.path} has the number {number} already; nothing was changed")
    if number in taken:
        raise DependencyError(
            f"number {number} is taken by {taken[number]}",
            cure=f"{again} {free:06}" if free <= LAST_NUMBER else None,
        )
    return Move(pair, number, twin)


def revisions_after(root: Path, move: Move) -> tuple[Revision, ...]:
    """Return the revisions as the move will leave them; where two others have one number, the first stands for both."""
    names = (name for name in list_files(root)[0] if name.direction == "up")
    moved = [move.moved if name.path == move.pair.path else name for name in names]
    first = {name.number: name for name in reversed(moved)}
    return chain([first[number] for number in sorted(first)])


def relisted(environments: Environments, move: Move) -> bytes | None:
    """Return the text of environments.json with the pair's path changed where it is listed; None if it is not.

    Raises NewelError if an environment runs the revision now and would not afterwards, or the other way round.
    """
    old, new = (path.removeprefix(f"{MIGRATIONS}/") for path in (move.pair.path, move.moved.path))
    before, after = (chain([name])[0] for name in (move.pair, move.moved))
    text = environments.text.replace(json.dumps(old).encode(), json.dumps(new).encode())
    for environment in environments.by_name.values():
        listed = tuple(new if pattern == old else pattern for pattern in environment.migrations)
        literal = old in environment.migrations
        if environment.lists(before) != replace(environment, migrations=listed).lists(after) or (
            literal and text == environments.text
        ):
            raise environments.error(
                NewelError,
                f"`migrations` of `{environment.name}` would not treat {new} as it treats {old}",
                next((item for item in environment.migrations if item == old), environment.name),
                cure="Nothing was changed. Let it list the folder by a glob, such as "
                f'"{move.pair.folder}/*.up.sql", then run the same again.',
            )
    return text if text != environments.text else None


def carry_out(root: Path, move: Move, environments_text: bytes | None, page: str | None) -> list[str]:
    """Move the pair, its number in the header lines too, and change environments.json; return the paths changed.

    `page` is what newel show has written about it under the old number; it goes.

    The new files are there before the old ones go; a failure leaves the old ones alone. Raises NewelError and
    PermissionDenied for what the file system refuses.
    """
    contents = {}
    for path, target in move.paths.items():
        try:
            contents[target] = _with_header((root / path).read_bytes(), move)
        except OSError as error:
            raise unreadable(path, error) from error
    create_files(root, contents)
    path, before = "", (root / PATH).read_bytes()
    try:
        for path, target in move.paths.items():
            shutil.copymode(root / path, root / target)
        if environments_text is not None:
            path = PATH
            _replace(root / PATH, environments_text)
        for path in (*([page] if page else []), *move.paths):
            (root / path).unlink()
    except OSError as error:
        if all((root / old).exists() for old in move.paths):
            for target in contents:
                with suppress(OSError):
                    (root / target).unlink()
            if (root / PATH).read_bytes() != before:
                with suppress(OSError):
                    _replace(root / PATH, before)
        raise unwritable(path, error) from error
    return [*contents, *([PATH] if environments_text is not None else [])]


def _find_pair(names: Sequence[FileName], revision: str) -> tuple[FileName, FileName | None]:
    ups = [name for name in names if name.direction == "up"]
    by_path = [name for name in names if f"/{name.path}".endswith(f"/{revision}")]
    match = re.fullmatch(r"([0-9]{1,6})(?:_(\w+))?", revision)
    number = f"{int(match[1]):06}" if match else ""
    found = [name for name in ups if match and name.number == number and match[2] in (None, name.slug)]
    if by_path:
        found = [name for name in ups if by_path[0].path in (name.path, name.counterpart)]
    if len(found) > 1:
        raise NewelError(
            f"{revision} is the number of {' and of '.join(name.path for name in found)}",
            cure="Say which one moves, the one that was not merged first as a rule:\n"
            + "\n".join(f"  newel renumber {name.path}" for name in reversed(found)),
        )
    if not found:
        known = {word: name for name in ups for word in (f"{name.number}_{name.slug}", name.slug, name.path)}
        near = get_close_matches(revision, known, 1)
        hint = f"; did you mean {known[near[0]].number}_{known[near[0]].slug}?" if near else ""
        raise NewelError(f"there is no revision `{revision}`{hint}", cure="See  newel history")
    twins = [name for name in ups if name.number == found[0].number and name is not found[0]]
    return found[0], twins[0] if twins else None


def _with_header(data: bytes, move: Move) -> bytes:
    pattern = re.compile(_HEADER % move.pair.number.encode(), re.MULTILINE)
    return pattern.sub(lambda match: match[1] + move.number.encode(), data, count=1)


def _replace(path: Path, content: bytes) -> None:
    """Put a new content in a file's place in one step, so that no half of it is ever found."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_bytes(content)
        shutil.copymode(path, beside)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
