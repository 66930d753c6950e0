"""Measures the memory that 100 MB of INSERTs take, in newel's process and in the server's backend.

    python bench/memory.py [--small]

The revision has 100 INSERTs of many rows, each just below 1 MB; with --small, 1,000,000 INSERTs of some 100 bytes.

The client's peak is that of the whole process, less that of a `newel up` with nothing to do: Python, newel and a
connection. The backend's is read from /proc/<pid>/status while it works, on Linux only: RssAnon, the resident
memory that no file and no shared memory backs (Private_* of smaps counts shared buffers that one backend alone
has touched).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from made_project import NEWEL, MadeProject, Pair, made_project
from measure import Figure, report

from newel.project.files import MIGRATIONS

MB = 1_000_000
SIZE = 100 * MB
ROW = "({n}, 'note {n}, about as long as a short row of a real table', now())"
TABLE = "CREATE TABLE notes (id bigint NOT NULL, body text NOT NULL, created_at timestamptz NOT NULL);\n"
LIMIT = 150.0
POLL_SECONDS = 0.002
DATABASE = "bench_memory"


def main() -> int:
    arguments = argparse.ArgumentParser(description="Measure the memory that 100 MB of INSERTs take.")
    arguments.add_argument(
        "--small", action="store_true", help="1,000,000 INSERTs of 100 bytes, for information"
    )
    small = arguments.parse_args().small
    pairs = [Pair("notes", TABLE, "DROP TABLE notes;\n"), Pair("old_notes", "", "TRUNCATE notes;\n")]
    with made_project(pairs) as project:
        project.new_database(DATABASE)
        with (project.root / f"{MIGRATIONS}/000002_old_notes.up.sql").open("w") as file:
            file.writelines(inserts(1 if small else MB))
        table = client_peak(project, "1")
        start = client_peak(project, "1")
        with BackendWatch(project) as watch:
            peak = client_peak(project, "2")
        version = project.server.binaries.version
    limit = None if small else LIMIT
    figures = [
        Figure("client: peak above its start", peak - start, "MB", limit),
        Figure("client: start (nothing to do)", start, "MB"),
        Figure("client: peak of a small revision", table, "MB"),
        Figure("client: peak", peak, "MB"),
    ]
    if watch.peak is not None:
        figures.insert(1, Figure("backend: private memory, peak", watch.peak, "MB", limit))
    kind = "some 100 bytes each" if small else "just below 1 MB each"
    code = report(f"{SIZE // MB} MB of INSERTs, {kind}, PostgreSQL {version}", figures)
    if watch.peak is None:
        print("  The backend's memory was not measured: that takes /proc, which Linux has.")
    return code


def inserts(most: int) -> Iterator[str]:
    """Statements of SIZE bytes together, each of as many rows as stay below `most` bytes, and of one at least."""
    number, written = 0, 0
    while written < SIZE:
        statement = ["INSERT INTO notes VALUES\n"]
        length = len(statement[0])
        while True:
            number += 1
            row = ROW.format(n=number)
            statement.append(row + ",\n")
            length += len(row) + 2
            if length + len(row) + 2 >= most:
                break
        statement[-1] = statement[-1][:-2] + ";\n"
        written += length
        yield "".join(statement)


def client_peak(project: MadeProject, target: str) -> float:
    """Run `newel up TARGET` and return its peak resident memory in MB, as the kernel counted it."""
    with (project.root / "output").open("w+") as output:
        process = subprocess.Popen(
            [*NEWEL, "up", target],
            env=project.environ(DATABASE),
            cwd=project.root,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"newel up ended with {process.returncode}:\n{output.read()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / MB


class BackendWatch:
    """Reads, while the block runs, how much private memory the backends of newel's connections have."""

    def __init__(self, project: MadeProject) -> None:
        self.project = project
        self.peak: float | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self) -> BackendWatch:
        if Path("/proc/self/status").exists():
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self.thread.ident:
            self.thread.join()

    def _watch(self) -> None:
        connection = psycopg2.connect(**self.project.server.params("postgres"))
        connection.autocommit = True
        cursor = connection.cursor()
        pids: list[int] = []
        turn = 0
        while not self.over.wait(POLL_SECONDS):
            if turn % 25 == 0:
                cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", (DATABASE,))
                pids = [pid for (pid,) in cursor.fetchall()]
            turn += 1
            for pid in pids:
                self.peak = max(self.peak or 0.0, private_memory(pid))
        connection.close()


def private_memory(pid: int) -> float:
    """The resident memory in MB that a process shares with no file and no other process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = next((line for line in lines if line.startswith("RssAnon:")), "RssAnon: 0 kB")
    return int(found.split()[1]) * 1024 / MB


if __name__ == "__main__":
    raise SystemExit(main())
