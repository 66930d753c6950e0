"""A new project: the name of its schema, what its files say, and how they come into its folder all at once."""

from __future__ import annotations

import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from itertools import takewhile
from pathlib import Path

from newel.errors import NewelError, PermissionDenied
from newel.project import stubs
from newel.project.graph import load_revisions
from newel.project.new import engine
from newel.project.sql.parser import ParseError, spans

_SKELETON = Path(__file__).with_name("skeleton")
_TEMPLATE = ".in"
"""Ends the name of a skeleton's file that has placeholders, or that a tool would take for this repository's own."""

_LONGEST = 63
_TAKEN = ("public", "newel", "information_schema")
"""Schemas that are there already or that newel keeps its own tables in."""

_KEEPS = {".git"}
"""What may be in a folder that counts as empty: a repository was made before the project."""


def schema_name(folder: str) -> str:
    """Return the schema of a service by its folder's name: `user-service` has `user_service`.

    Raises NewelError if that is no name that SQL takes without quotes.
    """
    name = re.sub(r"[-. ]", "_", folder.lower())
    reason = _why_no_schema(name)
    if reason:
        raise NewelError(
            f"the folder's name `{folder}` gives the service's schema its name, and {reason}",
            cure=f"Take another name for the folder, such as  {_better_name(folder)}",
        )
    return name


def _why_no_schema(name: str) -> str | None:
    """Say why a name is no schema's, or return None."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return f"`{name}` is no identifier: a letter first, then letters, digits and _"
    if len(name) > _LONGEST:
        return f"PostgreSQL cuts a name behind {_LONGEST} characters; this one has {len(name)}"
    if name.startswith("pg_"):
        return "PostgreSQL keeps names that begin with pg_ for itself"
    if name in _TAKEN:
        return f"there is a schema `{name}` already, which is not the service's"
    try:
        spans(f"CREATE TABLE {name}.t ()".encode())
    except ParseError:
        return f"`{name}` is a keyword of SQL"
    return None


def _better_name(folder: str) -> str:
    plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-").lstrip("0123456789-").removeprefix("pg-")
    for guess in (words, f"{words}-service"):
        if words and not _why_no_schema(guess.replace("-", "_")):
            return guess
    return "user-service"


def check_folder(target: Path) -> None:
    """Raise NewelError if a new project cannot come into this folder. It may be missing, or empty but for .git."""
    try:
        for above in target.parents:
            if above.exists() and not above.is_dir():
                raise NewelError(f"{above} is a file, so there can be no folder {target}")
        if target.is_dir():
            _check_empty(target)
        elif target.exists():
            raise NewelError(f"{target} is there already, and is no folder")
    except OSError as error:
        raise _refused(target, error) from error


def _check_empty(target: Path) -> None:
    found = sorted(entry.name for entry in target.iterdir() if entry.name not in _KEEPS)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise NewelError(
            f"{target} is not empty: it has {', '.join(found[:3])}{more}",
            cure="A new project takes a folder that does not exist yet, or an empty one. Nothing was changed.",
        )


def lay_down(target: Path, source: Path | str, created: date) -> tuple[str, ...]:
    """Make the project in a folder that check_folder() allows; return the paths of its files.

    `source` is newel's origin. The files are made aside and moved when all are there; a failure leaves nothing.
    Raises PermissionDenied and NewelError, also for a name or an origin that will not do.
    """
    words = {"name": target.name, "schema": schema_name(target.name), "date": f"{created:%Y-%m-%d}"}
    check_folder(target)
    try:
        with _aside(target) as made:
            words["newel"] = (
                source
                if isinstance(source, str)
                else f"./{engine.WHEELS}/{engine.put_wheel(source, made / engine.WHEELS)}"
            )
            for path, text in skeleton(words):
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            stubs.write(made, load_revisions(made))
            return tuple(
                sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
            )
    except OSError as error:
        raise _refused(target, error) from error


def skeleton(words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file that a project begins with, its `{{placeholders}}` filled in."""
    for file in sorted(_SKELETON.rglob("*")):
        if file.is_file():
            path, text = file.relative_to(_SKELETON).as_posix(), file.read_text(encoding="utf-8")
            if path.endswith(_TEMPLATE):
                path = path.removesuffix(_TEMPLATE)
                text = re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)
            yield path, text


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Give an empty folder, whose contents are the target's when the block ends well; otherwise all is as before."""
    missing = list(takewhile(lambda folder: not folder.exists(), target.parents))
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # In a folder that is there: it may be all that its user can write to, and a shell may be in it.
        scratch = Path(
            tempfile.mkdtemp(prefix=".newel-init-", dir=target if target.is_dir() else target.parent)
        )
        made = scratch / "made"
        made.mkdir()
        yield made
        _move(made, target)
    except BaseException:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # somebody has put something there meanwhile
            for folder in missing:
                folder.rmdir()
        raise
    shutil.rmtree(scratch, ignore_errors=True)


def _move(made: Path, target: Path) -> None:
    if not target.exists():
        made.rename(target)
        return
    moved: list[Path] = []
    try:
        for entry in sorted(made.iterdir()):
            moved.append(entry.rename(_free(target / entry.name)))
    except BaseException:
        for entry in moved:
            entry.rename(made / entry.name)
        raise


def _free(place: Path) -> Path:
    if place.exists():
        raise NewelError(f"{place} was made meanwhile by something else; newel leaves it alone")
    return place


def _refused(target: Path, error: OSError) -> NewelError:
    kind = PermissionDenied if isinstance(error, PermissionError) else NewelError
    where = f" ({error.filename})" if error.filename else ""
    return kind(f"cannot make the project in {target}: {error.strerror}{where}")
