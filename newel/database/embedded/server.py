"""The project's own PostgreSQL server, kept in `<project>/.newel/`, and throwaway servers for tests and checks.

Who gets in: the server listens on no network address, only on a Unix socket in a folder of mode 0700 that belongs to
the user it runs as, so that user and root alone can connect; within that, the authentication method is trust (manual,
20.4 "Trust Authentication", which names this arrangement). Peer authentication would add nothing, and would
refuse the logins of the roles that migrations make.

As root it runs as the user postgres, or else nobody, because PostgreSQL refuses to run as root. Where that user cannot
reach the project or the programs, data and a copy of the programs lie in /var/lib/newel/<hash of the project's path>,
and `.newel/place` names the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from newel.database.embedded import binaries as pg
from newel.database.embedded import cluster, places
from newel.database.embedded.binaries import Binaries
from newel.database.embedded.cluster import Account, Holder
from newel.errors import ConnectionFailed, NewelError

LOCK_SECONDS = 180
ANOTHER_COMMAND = "Another newel command is starting or stopping the server"
STILL_AT_WORK = (
    "Processes of the project's server still work on its data (a statement that a killed server had begun, or a "
    "server in a container that shares the folder)"
)
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_connections": "50",
}


@dataclass(frozen=True)
class Server:
    """A server that answers. `user` is its superuser role; `started` says whether this call started it."""

    socket_dir: Path
    data: Path
    binaries: Binaries
    pid: int
    started: bool
    port: int = cluster.PORT
    user: str = cluster.SUPERUSER

    def params(self, database: str) -> dict[str, str]:
        """Keyword parameters for libpq. The empty hostaddr keeps PGHOSTADDR from leading elsewhere."""
        return {
            "host": str(self.socket_dir),
            "hostaddr": "",
            "port": str(self.port),
            "user": self.user,
            "dbname": database,
        }

    def url(self, database: str) -> str:
        """A connection URI to paste: `psql "postgresql:///…"`."""
        host = quote(str(self.socket_dir), safe="/")
        return (
            f"postgresql:///{quote(database, safe='')}?host={host}&port={self.port}&user={quote(self.user)}"
        )


@dataclass(frozen=True)
class Status:
    """What is known of the project's server without starting it. `version` is the major one unless it runs."""

    running: bool
    pid: int | None
    version: str | None
    data: Path | None
    socket_dir: Path | None
    log: Path


def start(root: Path, environ: Mapping[str, str]) -> Server:
    """The project's server, started if it isn't running. It stays running when the process ends.

    Of several calls at once one starts it. Raises NewelError: no PostgreSQL, or not the one that NEWEL_PG_BIN asks
    for; a folder that isn't ours; a server that doesn't start within a minute, with the end of its log.
    """
    root = places.project_root(root)
    with places.denied_as_error(root):
        server = _running(root)
        if server is None:
            folder = places.make_folder(root)
            with places.locked(folder / "lock", LOCK_SECONDS, ANOTHER_COMMAND):
                server = _running(root) or _start_stopped(root, environ)
    if environ.get("NEWEL_PG_BIN") and not server.started:
        pg.find_major(environ, server.binaries.major)
    return server


def running(root: Path) -> Server | None:
    """The project's server, if it runs. Changes nothing."""
    root = places.project_root(root)
    with places.denied_as_error(root):
        return _running(root)


def stop(root: Path) -> bool:
    """Stop the project's server (fast shutdown: sessions are ended, work not committed is rolled back).

    False if it wasn't running.
    """
    root = places.project_root(root)
    with places.denied_as_error(root):
        data = places.data_directory(root)
        if data is None:
            return False
        folder = root / places.FOLDER
        with places.locked(folder / "lock", LOCK_SECONDS, ANOTHER_COMMAND):
            pid_file = _pid_file_of_server(data)
            if pid_file is None:
                return False
            cluster.stop(pid_file.pid, data, signal.SIGINT, folder / "server.log")
            return True


def status(root: Path) -> Status:
    """Whether the project's server runs, and where it lies. Changes nothing."""
    root = places.project_root(root)
    with places.denied_as_error(root):
        data = places.data_directory(root)
        server = _running(root)
        log = root / places.FOLDER / "server.log"
        if server:
            return Status(True, server.pid, server.binaries.version, server.data, server.socket_dir, log)
        return Status(False, None, str(_major(data)) if data else None, data, None, log)


@contextlib.contextmanager
def throwaway(environ: Mapping[str, str], *, major: int | None = None) -> Iterator[Server]:
    """A server for a test session or a check: fast, unsafe against power loss, gone with its data afterwards.

    It also goes when our process is killed. `major` asks for one version of PostgreSQL.
    """
    binaries = pg.find(environ) if major is None else pg.find_major(environ, major)
    account = cluster.server_account()
    folder = Path(tempfile.mkdtemp(prefix="newel-", dir=places.temporary(account)))
    guard: subprocess.Popen[str] | None = None
    log = os.open(folder / "server.log", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        places.give(folder, account, 0o700)
        binaries = places.reachable(binaries, account, folder)
        data = folder / "data"
        cluster.initialise(binaries, data, account, environ, "--no-sync")
        pid, guard = cluster.launch(
            binaries, data, folder, account, environ, log, settings=THROWAWAY_SETTINGS, guarded=folder
        )
        if not cluster.wait_until_ready(pid, data, folder, time.monotonic() + cluster.START_SECONDS):
            raise _did_not_start(binaries, os.pread(log, 100_000, 0).decode(errors="replace"))
        yield Server(folder, data, binaries, pid, started=True)
    finally:
        os.close(log)
        if guard and guard.stdin:
            guard.stdin.close()
            guard.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _start_stopped(root: Path, environ: Mapping[str, str]) -> Server:
    """Start the server; called under the lock, when no server answers."""
    folder = root / places.FOLDER
    data = places.data_directory(root)
    account = places.account_for(data)
    socket_dir = places.private_folder(places.SOCKETS / f"newel-{account.uid}-{places.key(root)}", account)
    if data is None:
        home = places.make_home(root, account)
        binaries = places.reachable(pg.find(environ), account, places.SHARED / places.key(root))
        data = home / "data"
        cluster.initialise(binaries, data, account, environ)
    else:
        places.check_reach(data, account)
        binaries = places.reachable(
            pg.find_major(environ, _major(data)), account, places.SHARED / places.key(root)
        )
        server = _settle(root, data)
        if server:
            return server
    _stop_orphan(socket_dir)
    with places.locked(folder / "alive", cluster.ORPHANS_SECONDS, STILL_AT_WORK) as alive:
        _clear_leftovers(data, socket_dir)
        pid = _launch(binaries, data, socket_dir, account, environ, folder / "server.log", alive)
    return Server(socket_dir, data, binaries, pid, started=True)


def _launch(
    binaries: Binaries,
    data: Path,
    socket_dir: Path,
    account: Account,
    environ: Mapping[str, str],
    log_path: Path,
    alive: int,
) -> int:
    """Start and wait until it answers; the pid. Backends of a killed postmaster are given time to end.

    The server and its backends inherit `alive`, a locked file, so the lock tells for certain whether any of them
    lives, in whatever container, as no pid can.
    """
    deadline = time.monotonic() + cluster.ORPHANS_SECONDS
    log = os.open(log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            before = os.fstat(log).st_size
            pid, _ = cluster.launch(
                binaries, data, socket_dir, account, environ, log, settings={}, inherit=[alive]
            )
            if cluster.wait_until_ready(pid, data, socket_dir, time.monotonic() + cluster.START_SECONDS):
                return pid
            said = os.pread(log, 100_000, before).decode(errors="replace")
            if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                raise _did_not_start(binaries, said, f"The whole log is {log_path}.")
            time.sleep(0.2)
    finally:
        os.close(log)


def _settle(root: Path, data: Path) -> Server | None:
    """The server after all, if it was still starting, or full; one that nobody can reach is stopped."""
    pid_file = cluster.read_pid_file(data / "postmaster.pid")
    if pid_file is None:
        return None
    log = root / places.FOLDER / "server.log"
    who = cluster.holder(pid_file.pid, data)
    if who is Holder.UNSURE:
        raise NewelError(
            f"Process {pid_file.pid} is a PostgreSQL server, and may be the one of {data}, but does not answer.",
            cure=f"Stop it, or, if it is another server, remove {data / 'postmaster.pid'}.",
        )
    if who is Holder.SERVER and not (pid_file.socket_dir and _socket(pid_file.socket_dir).exists()):
        # Its socket was removed (a cleaned /tmp), so nobody can reach it any more.
        cluster.stop(pid_file.pid, data, signal.SIGINT, log)
    deadline = time.monotonic() + cluster.START_SECONDS
    while cluster.holder(pid_file.pid, data) is Holder.SERVER:
        server = _running(root)
        if server:
            return server
        if time.monotonic() > deadline:
            raise ConnectionFailed(
                f"The project's server (process {pid_file.pid}) runs, but has let nobody in for "
                f"{cluster.START_SECONDS} seconds. The end of its log:",
                excerpt=cluster.last_lines(log.read_text(errors="replace")) if log.exists() else None,
                cure="Wait or close sessions, as the log says; `newel server stop` stops it and ends all sessions.",
            )
        time.sleep(0.02)
    return None


def _stop_orphan(socket_dir: Path) -> None:
    """If a server still holds the project's socket folder, its data directory was removed from under it (`git clean
    -xfd`): stop it at once."""
    lock = cluster.read_pid_file(_lock_file(socket_dir))
    if lock and cluster.holder(lock.pid, lock.data) is Holder.SERVER:
        cluster.stop(lock.pid, lock.data, signal.SIGQUIT)


def _clear_leftovers(data: Path, socket_dir: Path) -> None:
    """Remove what a killed server left. Called when `alive` is held, so not even one in another container needs it: a
    server whose pid file names another process stops within a minute."""
    pid_file = cluster.read_pid_file(data / "postmaster.pid")
    if pid_file and cluster.holder(pid_file.pid, data) in (Holder.OTHER, Holder.NOBODY):
        cluster.disown_pid_file(data)
    _socket(socket_dir).unlink(missing_ok=True)
    _lock_file(socket_dir).unlink(missing_ok=True)


def _running(root: Path) -> Server | None:
    data = places.data_directory(root)
    pid_file = _pid_file_of_server(data) if data else None
    if data is None or pid_file is None or pid_file.socket_dir is None:
        return None
    answer = cluster.ask(pid_file.socket_dir)
    if answer is None:
        return None
    major, minor = divmod(answer[1], 10_000)
    folder = _program(data).parent
    return Server(
        pid_file.socket_dir,
        data,
        Binaries(folder, f"{major}.{minor}", major, "running server"),
        pid_file.pid,
        False,
    )


def _pid_file_of_server(data: Path) -> cluster.PidFile | None:
    """The pid file, if the process it names is for certain the server of this data directory."""
    pid_file = cluster.read_pid_file(data / "postmaster.pid")
    if pid_file is None:
        return None
    who = cluster.holder(pid_file.pid, data)
    if who is Holder.UNSURE and pid_file.socket_dir and not _is_of_the_original(pid_file, data):
        answer = cluster.ask(pid_file.socket_dir)
        who = Holder.SERVER if answer and Path(answer[0]) == pid_file.data else who
    return pid_file if who is Holder.SERVER else None


def _is_of_the_original(pid_file: cluster.PidFile, data: Path) -> bool:
    """Whether `data` is a copy, and so is its pid file. What was moved is no longer where the pid file says."""
    return pid_file.data.exists() and not pid_file.data.samefile(data)


def _program(data: Path) -> Path:
    """The postgres that runs: postmaster.opts holds its path, then its arguments in double quotes."""
    return Path((data / "postmaster.opts").read_text().partition(' "')[0])


def _socket(socket_dir: Path) -> Path:
    return socket_dir / f".s.PGSQL.{cluster.PORT}"


def _lock_file(socket_dir: Path) -> Path:
    return socket_dir / f".s.PGSQL.{cluster.PORT}.lock"


def _major(data: Path) -> int:
    return int((data / "PG_VERSION").read_text())


def _did_not_start(binaries: Binaries, said: str, cure: str | None = None) -> ConnectionFailed:
    return ConnectionFailed(
        f"The embedded PostgreSQL {binaries.version} ({binaries.folder}) did not start. The end of its log:",
        excerpt=cluster.last_lines(said) or "    (empty)",
        cure=cure,
    )
