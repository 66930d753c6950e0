"""SQL files: their names on disk, and their contents once read and checked."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from newel.errors import FileMissing, Location, NewelError, PermissionDenied
from newel.project.directives import Directives, read_directives
from newel.project.source import excerpt, locate
from newel.project.sql.statements import WINDOW, Statement, checksums, split

MIGRATIONS = "sql/migrations"
"""Where the revisions lie, relative to the project's root; environments have a folder of their own inside."""

_NAME = re.compile(r"(\d{6})_([a-z0-9_]+)\.(up|down)\.sql")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileName:
    """A file name of a revision, taken apart: `000005_add_user_profiles.up.sql`."""

    path: str
    number: str
    slug: str
    direction: str
    folder: str | None
    """The environment's folder the file lies in, or None for the mainline."""

    @property
    def counterpart(self) -> str:
        """The path of the other file of the pair."""
        other = "down" if self.direction == "up" else "up"
        return f"{self.path.removesuffix(f'.{self.direction}.sql')}.{other}.sql"


@dataclass(frozen=True)
class SqlFile:
    """A SQL file that was read whole and found sound: UTF-8, parsed, free of transaction control.

    `transactional` is false if a directive says so or one of its statements cannot run in a transaction
    block: a file is wholly transactional or wholly not.
    """

    path: str
    data: bytes = field(repr=False)
    directives: Directives
    transactional: bool
    kept: tuple[Statement, ...] | None = field(default=None, repr=False)
    """The statements of a file of one window; None for a larger one."""

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def text(self) -> str:
        """The whole text, a byte order mark included."""
        return self.data.decode("utf-8")

    @property
    def statements_checksum(self) -> str:
        """SHA-256 of the statements alone, in hexadecimal: what lies between them does not count."""
        last = deque(checksums(self.statements()), maxlen=1)
        return last[0][2] if last else ""

    def statements(self) -> Iterator[Statement]:
        """Return the statements; a large file is split again, with a window of them in memory at a time."""
        return split(self.data, self.path) if self.kept is None else iter(self.kept)


def list_files(root: Path) -> tuple[list[FileName], list[NewelError]]:
    """List the files under sql/migrations by name alone, with what is wrong about names and folders.

    Raises FileMissing if there is no such folder.
    """
    base = root / MIGRATIONS
    if not base.is_dir():
        raise FileMissing(
            f"there is no folder {MIGRATIONS} in {root}",
            cure="Run newel in the project's folder, or name its alembic.ini with --config.",
        )
    names: list[FileName] = []
    problems: list[NewelError] = []
    folders = [base, *sorted(entry for entry in base.iterdir() if entry.is_dir())]
    for folder in folders:
        inside = None if folder == base else folder.name
        prefix = MIGRATIONS if inside is None else f"{MIGRATIONS}/{inside}"
        for entry in sorted(item.name for item in folder.iterdir() if not item.name.startswith(".")):
            path = f"{prefix}/{entry}"
            match = _NAME.fullmatch(entry)
            if match:
                names.append(FileName(path, match[1], match[2], match[3], inside))
            elif entry.lower().endswith(".sql"):
                problems.append(_misnamed(path, entry))
            elif inside is not None and (folder / entry).is_dir():
                problems.append(
                    NewelError(
                        "a folder inside an environment's folder is not looked into", where=Location(path)
                    )
                )
    return names, problems


def read(root: Path, path: str) -> SqlFile:
    """Read and check one SQL file; `path` is relative to `root`.

    Raises FileMissing, PermissionDenied, and NewelError with line and column for NUL, invalid UTF-8, a wrong
    directive, a syntax error, a psql command or transaction control.
    """
    try:
        data = (root / path).read_bytes()
    except FileNotFoundError:
        raise FileMissing("the file does not exist", where=Location(path)) from None
    except OSError as error:
        raise unreadable(path, error) from error
    return sql_file(path, data)


def sql_file(path: str, data: bytes) -> SqlFile:
    """Check the contents of a SQL file. Raises NewelError as read() does."""
    _check_encoding(data, path)
    directives = read_directives(data, path)
    kept = tuple(split(data, path)) if len(data) <= WINDOW else None
    autocommit = sum(item.needs_autocommit for item in (split(data, path) if kept is None else kept))
    return SqlFile(path, data, directives, not (directives.no_transaction or autocommit), kept)


def unreadable(path: str, error: OSError) -> NewelError:
    """Word what the system says of a file that is there and cannot be read."""
    kind = PermissionDenied if isinstance(error, PermissionError) else NewelError
    return kind(f"cannot read the file: {error.strerror}", where=Location(path))


def _check_encoding(data: bytes, path: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        try:
            decoder.decode(chunk, final=start + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            at = max(0, start + len(chunk) - len(error.object) + error.start)
            raise NewelError(
                f"byte 0x{error.object[error.start]:02x} is not valid UTF-8",
                where=locate(data, at, path),
                cure="Save the file as UTF-8:  iconv -f LATIN1 -t UTF-8 FILE  if it was written as Latin-1.",
            ) from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise NewelError(
            "a NUL byte, which no SQL text can hold",
            where=locate(data, nul, path),
            excerpt=excerpt(data.replace(b"\0", b" "), nul) if len(data) < _CHUNK else None,
            cure="Save the file as UTF-8; a file of UTF-16 is full of NUL bytes.",
        )


def _misnamed(path: str, name: str) -> NewelError:
    wanted = "NNNNNN_descriptive_name.up.sql or .down.sql: six digits, then lower-case letters, digits and _"
    return NewelError(f"the name does not fit {wanted}", where=Location(path), cure=_better_name(name))


def _better_name(name: str) -> str | None:
    loose = re.fullmatch(r"(\d+)[_\-. ]+(.*?)[._\-](up|down)\.sql", name, re.IGNORECASE)
    if not loose or len(loose[1]) > 6:
        return None
    slug = re.sub(r"[^a-z0-9]+", "_", loose[2].lower()).strip("_") or "revision"
    return f"Rename it to {int(loose[1]):06}_{slug}.{loose[3].lower()}.sql"
