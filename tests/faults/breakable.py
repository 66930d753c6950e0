"""A server of one's own that can be stopped at once, started again, and run out of disk.

Its data lie on a small tmpfs, which is mounted in a namespace of the server's own: that needs no privilege where
the kernel lets users make namespaces, and the mount goes with the last process in it. Elsewhere the data lie in a
folder, and a full disk is a limit on the size of files.

fsync is off, since no power fails here. Everything else is as on a server that keeps its word: a commit is handed
to the operating system before it is reported, so an immediate shutdown loses no more than it does anywhere.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from newel.database.embedded import binaries as pg
from newel.database.embedded import cluster, places
from newel.database.embedded.cluster import Account, Holder

DISK_MEGABYTES = 256
FILE_LIMIT = 1024 * 1024
"""Bytes; a segment of the WAL has as many, so that a limited backend can still write WAL."""
ROLE = "somebody"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(cluster.PORT),
    "fsync": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "min_wal_size": "4MB",
    "max_wal_size": "32MB",
    "max_connections": "30",
}
IN_NAMESPACE = ("unshare", "--user", "--mount", "--map-current-user", "--keep-caps")
GUARD = """\
folder=$1; size=$2; shift 2
if [ "$size" -gt 0 ]; then
    mount -t tmpfs -o "size=${size}m,mode=0700" newel "$folder/disk" || exit 1
fi
mv "$folder/made" "$folder/disk/data" || exit 1
while read -r order; do
    case $order in
        start) "$@" >&2 & server=$!; echo $server ;;
        fill) cat /dev/zero > "$folder/disk/filler" 2>&-; echo 0 ;;
        empty) rm "$folder/disk/filler"; echo 0 ;;
    esac
done
kill -QUIT $server; wait
rm -rf -- "$folder"
"""
"""Starts the server and fills its disk when told to. When its input ends, even because we were killed, all goes."""


@dataclass
class BreakableServer:
    """A server on a Unix socket in a private folder; `mounted` says whether its disk is a small one."""

    folder: Path
    guard: subprocess.Popen[str]
    mounted: bool
    pid: int = 0

    @property
    def data(self) -> Path:
        """The data directory, as the server sees it."""
        return self.folder / "disk" / "data"

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self.folder / f".s.PGSQL.{cluster.PORT}"

    def url(self, database: str) -> str:
        """The database as a URL."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> Any:
        """Open a connection in autocommit mode."""
        connection = psycopg2.connect(
            host=str(self.folder), user="postgres", dbname=database, application_name="faults"
        )
        connection.autocommit = True
        return connection

    def execute(self, command: str, database: str = "postgres") -> list[Any]:
        """Execute one command and return its rows."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(command)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers."""
        deadline = time.monotonic() + cluster.START_SECONDS
        while True:
            if not self.pid or cluster.holder(self.pid, self.data) is not Holder.SERVER:
                self.pid = self._order("start")
            if cluster.wait_until_ready(self.pid, self.data, self.folder, time.monotonic() + 20):
                return
            if time.monotonic() > deadline:
                raise RuntimeError("the server does not start:\n" + (self.folder / "log").read_text()[-3000:])

    def stop_immediately(self) -> None:
        """Stop without a word to the clients and without a checkpoint: pg_ctl stop -m immediate."""
        cluster.stop(self.pid, self.data, signal.SIGQUIT)

    @contextmanager
    def full_disk(self, backend: int) -> Iterator[None]:
        """Leave the disk without one free block; without a mount, keep `backend` from making files larger."""
        if self.mounted:
            self._order("fill")
            try:
                yield
            finally:
                self._order("empty")
        else:
            _, hard = resource.prlimit(backend, resource.RLIMIT_FSIZE)
            resource.prlimit(backend, resource.RLIMIT_FSIZE, (FILE_LIMIT, hard))
            try:
                yield
            finally:
                with suppress(ProcessLookupError):
                    resource.prlimit(backend, resource.RLIMIT_FSIZE, (hard, hard))

    def _order(self, order: str) -> int:
        assert self.guard.stdin is not None
        assert self.guard.stdout is not None
        self.guard.stdin.write(f"{order}\n")
        self.guard.stdin.flush()
        return int(self.guard.stdout.readline())


@contextmanager
def breakable_server() -> Iterator[BreakableServer]:
    """A server for fault injection, gone with its data afterwards; NEWEL_PG_BIN picks its binaries."""
    account = cluster.server_account()
    folder = Path(tempfile.mkdtemp(prefix="newel-", dir=places.temporary(account)))
    places.give(folder, account, 0o700)
    binaries = places.reachable(pg.find(os.environ), account, folder)
    cluster.initialise(binaries, folder / "made", account, os.environ, "--no-sync", "--wal-segsize=1")
    (folder / "disk").mkdir()
    places.give(folder / "disk", account, 0o700)
    settings = {**SETTINGS, "unix_socket_directories": str(folder)}
    command = [str(binaries.folder / "postgres"), "-D", str(folder / "disk" / "data")]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    mounted = can_mount(account)
    with (folder / "log").open("w") as log:
        guard = subprocess.Popen(
            [*(IN_NAMESPACE if mounted else ()), "/bin/sh", "-c", GUARD, "sh",
             str(folder), str(DISK_MEGABYTES if mounted else 0), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/",
            env=cluster.clean_environment(os.environ), start_new_session=True, **account.options(),
        )  # fmt: skip
    server = BreakableServer(folder, guard, mounted)
    try:
        server.start()
        server.execute(f"CREATE ROLE {ROLE}")
        yield server
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait()
        shutil.rmtree(folder, ignore_errors=True)


def can_mount(account: Account) -> bool:
    """Say whether a namespace with a mount of its own can be had without privileges."""
    mount: Sequence[str] = (*IN_NAMESPACE, "mount", "-t", "tmpfs", "-o", "size=1m", "newel", "/tmp")
    return sys.platform == "linux" and account.can(mount)
