"""One data directory of PostgreSQL: make it, start it, tell whether it runs, stop it.

PostgreSQL calls a data directory with all its databases a cluster (manual, 18.2 "Creating a Database Cluster"). What is
said of postmaster.pid here is in PostgreSQL's src/include/utils/pidfile.h and src/backend/utils/init/miscinit.c.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import psycopg2

from newel.database.embedded.binaries import Binaries
from newel.errors import ConnectionFailed, NewelError, PermissionDenied

SUPERUSER = "postgres"
PORT = 5432
START_SECONDS = 60
STOP_SECONDS = 60
ORPHANS_SECONDS = 15
"""How long the backends of a postmaster that was killed may take to notice it and end."""
LOCALES = ("C.UTF-8", "C")
"""Both sort by code point, so a schema behaves alike on every machine; not every system has the first."""
NO_PROCESS = 2**31 - 1
"""Above every system's highest pid, so no process has it."""

_LAUNCH = '"$@" >&2 & echo $!'
_LAUNCH_AND_GUARD = (
    'folder=$1; shift; "$@" >&2 & server=$!; echo $server; while read -r _; do :; done; '
    'kill -QUIT $server; wait $server; PATH=$PATH:/usr/bin:/bin; exec rm -rf -- "$folder"'
)


@dataclass(frozen=True)
class Account:
    """The user a server runs as. `switch` is what subprocess needs to become it, empty where we are it already."""

    uid: int
    gid: int
    switch: bool

    def options(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def can(self, command: Sequence[str | Path]) -> bool:
        """Whether this user can run a command with success. The only sure test of what it can reach."""
        try:
            done = subprocess.run(
                command, capture_output=True, cwd="/", timeout=30, check=False, **self.options()
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def can_write_in(self, folder: Path) -> bool:
        return self.can(["/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", folder])


class Holder(Enum):
    """Who has the process id that a postmaster.pid names."""

    NOBODY = "no process"
    SERVER = "the server of this data directory"
    OTHER = "an unrelated process"
    UNSURE = "a PostgreSQL server that may be this one"


@dataclass(frozen=True)
class PidFile:
    """What postmaster.pid and a socket's lock file say: the postmaster's pid, data directory and socket folder."""

    pid: int
    data: Path
    socket_dir: Path | None


def server_account() -> Account:
    """Ourselves; as root (whom initdb and postgres refuse) the system's postgres user, else nobody."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise PermissionDenied(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a user nobody.",
        cure="Make one (`useradd --system postgres`), or run newel as an ordinary user.",
    )


def initialise(
    binaries: Binaries, data: Path, account: Account, environ: Mapping[str, str], *options: str
) -> None:
    """Make a data directory, whole or not at all: initdb works beside it, the result is renamed into place."""
    unfinished = data.with_name(data.name + ".unfinished")
    said = ""
    for locale in LOCALES:
        shutil.rmtree(unfinished, ignore_errors=True)
        done = subprocess.run(
            [binaries.folder / "initdb", "-D", unfinished, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
             f"--locale={locale}", "--no-instructions", *options],
            capture_output=True, text=True, errors="replace", cwd="/", check=False, stdin=subprocess.DEVNULL,
            env=clean_environment(environ), **account.options(),
        )  # fmt: skip
        if done.returncode == 0:
            unfinished.rename(data)
            return
        said = done.stdout + done.stderr
        if "invalid locale name" not in said:
            break
    shutil.rmtree(unfinished, ignore_errors=True)
    raise NewelError(f"initdb could not make a data directory in {data.parent}.", excerpt=last_lines(said))


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without PG… (PGDATA, PGPORT, PGOPTIONS, … steer the server's programs) and with messages in English."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def launch(
    binaries: Binaries,
    data: Path,
    socket_dir: Path,
    account: Account,
    environ: Mapping[str, str],
    log: int,
    *,
    settings: Mapping[str, str],
    guarded: Path | None = None,
    inherit: Sequence[int] = (),
) -> tuple[int, subprocess.Popen[str]]:
    """Start a postmaster that outlives us and holds none of our pipes; its pid, and the shell that started it.

    It goes through a shell so that the postmaster isn't our child (a dead child that nobody waits for keeps its pid),
    and not through pg_ctl, which pastes the path of the data directory into a shell command. The shell ends at
    once, unless `guarded` names a folder: then it waits for our end of its standard input to close, even because we
    were killed, stops the server and removes that folder.
    """
    every = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(socket_dir).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        **settings,
    }
    command: list[str | Path] = [binaries.folder / "postgres", "-D", data]
    command += [part for name, value in every.items() for part in ("-c", f"{name}={value}")]
    shell: list[str | Path] = ["/bin/sh", "-c", _LAUNCH, "sh"]
    if guarded:
        shell = ["/bin/sh", "-c", _LAUNCH_AND_GUARD, "sh", guarded]
    process = subprocess.Popen(
        [*shell, *command], stdin=subprocess.PIPE if guarded else subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=log, text=True, cwd="/", env=clean_environment(environ), start_new_session=True,
        pass_fds=tuple(inherit), **account.options(),
    )  # fmt: skip
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.stdout.close()
    if not guarded:
        process.wait()
    return pid, process


def wait_until_ready(pid: int, data: Path, socket_dir: Path, deadline: float) -> bool:
    """True when the server answers, False when it ended instead or the deadline (time.monotonic()) passed."""
    while time.monotonic() < deadline:
        if ask(socket_dir) is not None:
            return True
        if holder(pid, data) is Holder.NOBODY:
            return False
        time.sleep(0.02)
    return False


def ask(socket_dir: Path) -> tuple[str, int] | None:
    """The data directory and version number (170010 is 17.10) of the server behind a socket; None: no answer."""
    try:
        connection = psycopg2.connect(
            host=str(socket_dir), hostaddr="", port=PORT, user=SUPERUSER, dbname="postgres", connect_timeout=5
        )
    except psycopg2.OperationalError:
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            row = cursor.fetchone()
            return (str(row[0]), connection.server_version) if row else None
    except psycopg2.OperationalError:
        return None
    finally:
        connection.close()


def read_pid_file(path: Path) -> PidFile | None:
    """What a postmaster.pid, or a socket's lock file, says; None where there is none. The pid and the data directory
    are written first; the socket folder (line 5) follows when the socket is made."""
    try:
        lines = os.fsdecode(path.read_bytes()).splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 2 or not lines[0].lstrip("-").isdigit():
        return None
    socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4] else None
    return PidFile(abs(int(lines[0])), Path(lines[1]), socket_dir)


def holder(pid: int, data: Path) -> Holder:
    """Who has this pid now. Nothing is ever signalled, or taken for ours, on the word of a pid file alone."""
    return judge(_command_of(pid), data, _works_in(pid, data))


def judge(command: tuple[str, str] | None, data: Path, works_in_data: bool | None) -> Holder:
    """Pure: from a process's program and arguments, and whether its working directory is the data directory, if known.

    A postmaster keeps the command line it was started with and works in its data directory; its children write
    theirs over with "postgres: …".
    """
    if command is None:
        return Holder.NOBODY
    program, arguments = command
    if Path(program).name not in ("postgres", "postmaster"):
        return Holder.OTHER
    if f"{arguments} ".startswith(f"-D {data} "):
        return Holder.SERVER
    if works_in_data is None:
        return Holder.UNSURE
    return Holder.SERVER if works_in_data else Holder.OTHER


def take_apart(line: str) -> tuple[str, str]:
    """Pure: program and arguments of a command line as ps shows it, joined by spaces. The path of the program may have
    spaces too; behind that of a server that newel started comes -D.
    """
    program, option, rest = line.partition(" -D ")
    if option and Path(program).name == "postgres":
        return program, f"-D {rest}"
    program, _, rest = line.partition(" ")
    return program, rest


def disown_pid_file(data: Path) -> None:
    """Make a stale pid file name no process, so that PostgreSQL does not refuse to start.

    It would, if the pid is an unrelated process's by now, or a zombie's (in a container, often nobody waits for
    orphans). Only the pid is overwritten. The rest stays, because its line 7 lets PostgreSQL see that backends of
    a killed postmaster are still at work on the data, which an absent file would hide.
    """
    path = data / "postmaster.pid"
    _, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(str(NO_PROCESS).encode() + b"\n" + rest)


def stop(pid: int, data: Path, how: signal.Signals, log: Path | None = None) -> None:
    """Stop the postmaster of `data`, already known to have this pid, and wait until it has let go of the data.

    SIGINT is the fast shutdown, SIGQUIT the immediate one (manual, 18.5 "Shutting Down the Server").
    """
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise PermissionDenied(
            f"The server (process {pid}) belongs to another user.",
            cure="Run the command as that user, or as root.",
        ) from error
    deadline = time.monotonic() + STOP_SECONDS
    while holder(pid, data) in (Holder.SERVER, Holder.UNSURE):
        if time.monotonic() > deadline:
            raise ConnectionFailed(
                f"The server (process {pid}) has not stopped within {STOP_SECONDS} seconds.",
                excerpt=last_lines(log.read_text(errors="replace")) if log else None,
                cure="It is probably writing its data to disk: try again in a minute.",
            )
        time.sleep(0.02)


def last_lines(text: str, count: int = 12) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])


def _command_of(pid: int) -> tuple[str, str] | None:
    """A process's program, and its arguments joined by spaces; None if it does not exist or has ended (a zombie)."""
    if Path("/proc/self/cmdline").exists():
        try:
            parts = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            program, *arguments = map(os.fsdecode, parts)
            return (program, " ".join(arguments)) if program or not _has_ended(pid) else None
        except (FileNotFoundError, ProcessLookupError):
            return None
    done = subprocess.run(
        ["/bin/ps", "-ww", "-o", "state=,command=", "-p", str(pid)], capture_output=True, check=False
    )
    state, _, line = os.fsdecode(done.stdout).strip().partition(" ")
    return take_apart(line.strip()) if line.strip() and not state.startswith("Z") else None


def _has_ended(pid: int) -> bool:
    """Of a process without a command line: a zombie, not one of the kernel's own, nor one just loading or ending."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"


def _works_in(pid: int, data: Path) -> bool | None:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return None
