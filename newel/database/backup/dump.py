"""A backup: pg_dump into a file that is whole or not there, its checksum, and the command that restores it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from newel.database.backup.tools import (
    CONNECTION_LOST,
    Failures,
    Tools,
    child_environment,
    connection_argument,
    find_tools,
    run,
    url,
)
from newel.database.connection import connect, describe, led_to
from newel.errors import ConnectionFailed, Interrupted, NewelError, PermissionDenied

_FAILURES: Failures = (
    (
        r"No space left|could not write|File too large|disk quota",
        NewelError,
        "Make room in the folder of the backups.",
    ),
    (
        r"permission denied|must be owner|row-level security",
        PermissionDenied,
        "pg_dump reads every table, so the user needs SELECT on all of them (GRANT pg_read_all_data TO ...), and "
        "BYPASSRLS where there is row-level security.",
    ),
    (CONNECTION_LOST, ConnectionFailed, "Nothing was changed; the same command tries again."),
)


@dataclass(frozen=True)
class Dump:
    """A dump in pg_dump's custom format; `size` in bytes. `restore` is the command to paste, without a password."""

    path: Path
    size: int
    sha256: str
    restore: str
    server_version: str
    seconds: float


def checksum_file(path: Path) -> Path:
    """Return where a dump's checksum lies, in sha256sum's format."""
    return path.with_name(f"{path.name}.sha256")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dump(
    params: Mapping[str, str],
    folder: Path,
    label: str,
    environ: Mapping[str, str],
    written: Callable[[int], None] | None = None,
) -> Dump:
    """Dump the database into a new file `<dbname>-<label>-<UTC>.dump` of `folder`, which is made if missing.

    `written` is told the bytes so far, twice a second. The checksum lies beside the file, as checksum_file() says.

    Raises ConnectionFailed, PermissionDenied, FileMissing (no pg_dump), Interrupted or NewelError, and then leaves no
    file behind. A KeyboardInterrupt becomes Interrupted.
    """
    started = time.perf_counter()
    connection = connect(params)
    try:
        server_major = connection.server_version // 10_000
        version = str(connection.info.parameter_status("server_version")).split()[0]
        reached = led_to(connection)
    finally:
        connection.close()
    tools = find_tools(environ, server_major)
    argument = connection_argument(params, "backup")
    child = child_environment(environ, params)
    what = f"the backup of {describe(params)} failed"
    try:
        with _new_file(folder, f"{_safe(reached['dbname'])}-{_safe(label)}") as (partial, path):
            commands = (
                ["pg_dump", "--format=custom", "--no-password", f"--file={partial}", f"--dbname={argument}"],
                ["pg_restore", "--list", str(partial)],
            )
            tell = (lambda: written(partial.stat().st_size)) if written else None
            for program, *arguments in commands:
                ended = run([str(tools.folder / program), *arguments], child, meanwhile=tell)
                if ended.code:
                    raise ended.failure(what, _FAILURES)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            size, sha256 = partial.stat().st_size, sha256_of(partial)
            _write(_partial(checksum_file(path)), f"{sha256}  {path.name}\n")
    except OSError as error:
        kind = PermissionDenied if isinstance(error, PermissionError) else NewelError
        raise kind(f"{what}: {error.strerror}: {error.filename or folder}") from error
    except KeyboardInterrupt as stop:
        raise Interrupted(f"{what}: interrupted") from stop
    command = _restore(tools, server_major, {**params, **reached}, path)
    return Dump(path, size, sha256, command, version, time.perf_counter() - started)


def _write(path: Path, text: str) -> None:
    """Write a new file for its owner alone, down to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80]


@contextmanager
def _new_file(folder: Path, stem: str) -> Iterator[tuple[Path, Path]]:
    """Give a new empty file to write, and its name afterwards, under which it appears when the block ends well.

    The block writes the checksum's file too, as `.partial`; it appears just before.

    While the `.partial` file is there, no other process takes the name.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in count(1):
        path = folder.absolute() / (f"{stem}.dump" if number == 1 else f"{stem}-{number}.dump")
        partial = _partial(path)
        with suppress(FileExistsError):
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            if not path.exists():
                break
            partial.unlink()
    checksum = checksum_file(path)
    try:
        yield partial, path
        _partial(checksum).rename(checksum)
        partial.rename(path)
    except BaseException:
        checksum.unlink(missing_ok=True)
        raise
    finally:
        partial.unlink(missing_ok=True)
        _partial(checksum).unlink(missing_ok=True)
    _sync(folder)


def _sync(folder: Path) -> None:
    """Make the new name last: a renamed file's name is its folder's data."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _restore(tools: Tools, server_major: int, params: Mapping[str, str], path: Path) -> str:
    """Return the command that puts back what the dump holds, all of it or nothing. What was made since stays.

    pg_restore 17 sets transaction_timeout, which an older server refuses. For such a pair the way leads through SQL,
    without that line.
    """
    pg_restore = [str(tools.folder / "pg_restore"), "--clean", "--if-exists"]
    if tools.major < 17 or server_major >= 17:
        return shlex.join(
            [*pg_restore, "--exit-on-error", "--single-transaction", "-d", url(params), str(path)]
        )
    script = path.with_suffix(".sql")
    psql = [str(tools.folder / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "--single-transaction"]
    commands = (
        ["umask", "077"],
        [*pg_restore, "-f", str(script), str(path)],
        ["sed", "-i.bak", "1,30{/^SET transaction_timeout/d;}", str(script)],
        [*psql, "-d", url(params), "-f", str(script)],
    )
    return f"({' && '.join(map(shlex.join, commands))})"
