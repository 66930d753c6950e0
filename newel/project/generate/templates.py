"""Templates of a revision's two files: the packaged ones, and those of the project in sql/templates, which win."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from newel.errors import FileMissing, Location, NewelError
from newel.project.files import unreadable
from newel.project.source import excerpt, locate

OWN = "sql/templates"
"""Where a project keeps templates of its own, relative to its root."""

_PACKAGED = Path(__file__).parent / "templates"
_NAME = re.compile(r"([a-z][a-z0-9_]*)\.(up|down)\.sql")
_PLACEHOLDER = re.compile(r"\{\{[ \t]*([A-Za-z_]\w*)[ \t]*(?::[ \t]*(\w+)[ \t]*)?\}\}")


@dataclass(frozen=True)
class Template:
    """The text of the two files of a type, with placeholders, and the paths that errors name."""

    type: str
    up: str
    down: str
    up_path: str
    down_path: str

    def uses(self, placeholder: str) -> bool:
        """Say whether one of the files has the placeholder."""
        return any(match[1] == placeholder for match in _PLACEHOLDER.finditer(self.up + self.down))


def types(root: Path) -> list[str]:
    """Return the names of the types there are, the project's own included, sorted."""
    names = (path.name for folder in (_PACKAGED, root / OWN) if folder.is_dir() for path in folder.iterdir())
    return sorted({match[1] for name in names if (match := _NAME.fullmatch(name))})


def load_template(root: Path, type_name: str) -> Template:
    """Read the template of a type.

    Raises NewelError for a type that does not exist, FileMissing where the project has one of the two files.
    """
    known = types(root)
    if type_name not in known:
        near = get_close_matches(type_name.lower(), known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}."
        raise NewelError(
            f"there is no type `{type_name}`; {hint}",
            cure=None
            if near
            else f"A type of your own is a pair of files:  {OWN}/NAME.up.sql  and  {OWN}/NAME.down.sql",
        )
    paths = [f"{OWN}/{type_name}.{direction}.sql" for direction in ("up", "down")]
    own = [(root / path).is_file() for path in paths]
    if any(own) and not all(own):
        missing, there = paths if own[1] else reversed(paths)
        raise FileMissing(
            f"a template is a pair of files, and {missing} is missing",
            where=Location(there),
            cure=f"Write {missing}.",
        )
    if not any(own):
        up, down = (
            (_PACKAGED / f"{type_name}.{direction}.sql").read_text(encoding="utf-8")
            for direction in ("up", "down")
        )
    else:
        up, down = (_read(root, path) for path in paths)
    return Template(type_name, up, down, *paths)


def fill(text: str, path: str, values: Mapping[str, Callable[[str | None], str]]) -> str:
    """Put the values in the places of the placeholders `{{name}}` and `{{name:word}}`.

    A value is computed where its placeholder stands, so it may raise NewelError for what this template alone needs.
    Raises NewelError with file and line for a placeholder that does not exist.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            near = get_close_matches(name, values, 1)
            hint = f"did you mean `{{{{{near[0]}}}}}`?" if near else f"there are {', '.join(values)}."
            data, at = text.encode(), len(text[: match.start()].encode())
            raise NewelError(
                f"unknown placeholder `{match[0]}`; {hint}",
                where=locate(data, at, path),
                excerpt=excerpt(data, at),
            )
        return values[name](match[2])

    return _PLACEHOLDER.sub(value, text)


def _read(root: Path, path: str) -> str:
    try:
        return (root / path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise NewelError(
            "not valid UTF-8", where=locate((root / path).read_bytes(), error.start, path)
        ) from None
