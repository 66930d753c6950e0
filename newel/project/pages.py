"""The pages of revisions in docs/migrations, which newel writes and no person does."""

from __future__ import annotations

from pathlib import Path

from newel.errors import Location, NewelError
from newel.project.files import unreadable
from newel.project.write import unwritable

FOLDER = "docs/migrations"
"""Relative to the project's root."""
MARK = "Derived from the SQL files and the graph by"
"""What a page of newel's holds."""


def write_page(root: Path, number: str, text: str) -> str:
    """Write a revision's page over an older one, and return its path.

    Raises NewelError for a file that newel has not written, and for what the file system refuses.
    """
    path = f"{FOLDER}/{number}.md"
    file = root / path
    try:
        if file.exists() and MARK not in _read(file):
            raise NewelError(
                "is there already and was not written by newel show, so it is left alone",
                where=Location(path),
                cure=f"Rename it, then:  newel show {number} --write",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def find_page(root: Path, number: str, slug: str) -> str | None:
    """Return the path of a revision's page; None if there is none that newel has written for it."""
    path = f"{FOLDER}/{number}.md"
    file = root / path
    try:
        text = _read(file) if file.is_file() else ""
    except OSError as error:
        raise unreadable(path, error) from error
    return path if MARK in text and text.partition("\n")[0] == title(number, slug) else None


def title(number: str, slug: str) -> str:
    """Return a page's first line."""
    return f"# {number}_{slug}"


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
