"""One injection: a run is stopped at a message, struck by a fault, run again, and compared with an undisturbed one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from breakable import BreakableServer
from faults import FAULTS, Site, holding, later
from picture import DATABASES, Picture, differences, take
from proxy import Link, Message, Proxy
from scenarios import REPOSITORY, Scenario, make_template

At = Literal["before", "behind", "half", "READER", "WRITER", "SNAPSHOT", "EXCLUSIVE"]
"""Where at a message: before it reaches the server, behind its answer, in its middle, or while it waits for another
session, which reads or writes the same tables, has an old snapshot, or holds the tables for itself."""
MODES = {
    "READER": "ACCESS SHARE",
    "WRITER": "ROW EXCLUSIVE",
    "SNAPSHOT": "SNAPSHOT",
    "EXCLUSIVE": "ACCESS EXCLUSIVE",
}
OTHER_SESSION_SECONDS = 1.0
"""How long that other session goes on after the fault: the next run meets it, and has a lock_timeout of 0.2 s."""
RUN_SECONDS = 90
TRIES = 3
STEERING = ("MIGRATION_", "DATABASE_", "PG", "NEWEL_", "ALEMBIC_")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A place in a run: the number of one of its messages, from 0, and where at it."""

    message: int
    at: At


@dataclass(frozen=True)
class Prepared:
    """A scenario on one server: its template, and what an undisturbed run sends and leaves."""

    scenario: Scenario
    root: Path
    template: str
    since: datetime
    databases: tuple[str, ...]
    messages: tuple[Message, ...]
    expected: Picture


@dataclass(frozen=True)
class Injection:
    """What came of one injection. `runs` counts all; `wrong` is empty if the work converged."""

    scenario: str
    fault: str
    place: Place
    statement: str
    felt: bool
    runs: int
    seconds: float
    wrong: tuple[str, ...]

    @property
    def converged(self) -> bool:
        """True if the same command, run again, has led to what an undisturbed run gives."""
        return not self.wrong


def prepare(server: BreakableServer, roots: dict[str, Path], scenario: Scenario) -> Prepared:
    """Make the template of a scenario, and run it undisturbed."""
    _set_databases(server, ())
    template = f"template_{next(_numbers)}"
    make_template(server, roots, scenario, template)
    since = server.execute("SELECT clock_timestamp()")[0][0]
    databases = tuple(row[0] for row in server.execute(DATABASES))
    root = roots[scenario.project]
    proxy = Proxy(server.socket)
    with _database(server, template, databases) as name:
        try:
            process = start(root, scenario.environment, scenario.command, proxy.url(name))
            said = process.communicate(timeout=RUN_SECONDS)[0]
            if process.returncode:
                raise RuntimeError(f"{scenario.name} fails undisturbed:\n{said}")
        finally:
            proxy.close()
        expected = _picture(server, name, since, root, scenario)
    messages = tuple(max((link.messages for link in proxy.links), key=len))
    if expected.left_over:
        raise RuntimeError(f"{scenario.name} leaves something undisturbed: {expected.left_over}")
    return Prepared(scenario, root, template, since, databases, messages, expected)


def forget(server: BreakableServer, prepared: Prepared) -> None:
    """Drop what prepare() has made."""
    server.execute(f"DROP DATABASE {prepared.template} WITH (FORCE)")


def inject(server: BreakableServer, prepared: Prepared, fault: str, place: Place) -> Injection:
    """Run a scenario, let a fault strike at a place, run the same command again, and compare."""
    began = time.monotonic()
    scenario, root = prepared.scenario, prepared.root
    struck: list[Site] = []
    with _database(server, prepared.template, prepared.databases) as name, ExitStack() as until_it_ends:

        def at_message(link: Link, number: int) -> None:
            if struck or number != place.message:
                return
            struck.append(Site(server, name, process, link, until_it_ends))
            _reach(struck[0], place)
            FAULTS[fault].strike(struck[0])

        proxy = Proxy(server.socket, at_message)
        process = start(root, scenario.environment, scenario.command, proxy.url(name))
        try:
            said = [_ended(process)]
            codes = [process.returncode]
        finally:
            proxy.close()
            until_it_ends.close()
        server.start()
        for _ in range(TRIES):
            again = start(root, scenario.environment, scenario.command, server.url(name))
            said.append(_ended(again))
            codes.append(again.returncode)
            if again.returncode == 0:
                break
        wrong = [] if struck else ["the run never came to that place"]
        if codes[-1]:
            wrong += [f"exit code {code}: {text}" for code, text in zip(codes, said, strict=True)]
        wrong += differences(prepared.expected, _picture(server, name, prepared.since, root, scenario))
    return Injection(
        scenario.name, fault, place, words(prepared.messages[place.message]), codes[0] != 0, len(codes),
        time.monotonic() - began, tuple(wrong),
    )  # fmt: skip


def start(root: Path, environment: str, command: Sequence[str], url: str) -> subprocess.Popen[str]:
    """Start newel in a project, for a database; nothing that steers it is inherited."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    return subprocess.Popen(
        [sys.executable, "-m", "newel.cli.main", *command, "--config", str(root / "alembic.ini")],
        env=inherited | {"PYTHONPATH": str(REPOSITORY), "DATABASE_URL": url, "MIGRATION_ENV": environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def words(message: Message) -> str:
    """A message in short: its SQL's first words, or what it is."""
    text = " ".join(message.text.split()) or {"d": "COPY data", "c": "end of COPY data"}.get(
        message.kind, "end"
    )
    return text if len(text) <= 70 else text[:67] + "..."


def _reach(site: Site, place: Place) -> None:
    """Let the stream go to the place itself."""
    if place.at == "half":
        site.link.forward_half()
    elif place.at == "behind":
        site.link.forward()
        site.link.take_answer()
    elif place.at in MODES:
        other = ExitStack()
        other.enter_context(holding(site.server, site.database, MODES[place.at]))
        site.link.forward()
        _wait_until_inside(site)
        later(OTHER_SESSION_SECONDS, other.close)


def _wait_until_inside(site: Site) -> None:
    """Wait until the statement waits for a lock or sleeps; one that does neither is over soon."""
    query = f"SELECT state, wait_event_type FROM pg_stat_activity WHERE pid = {site.link.backend}"
    connection = site.server.connect()
    try:
        with connection.cursor() as cursor:
            while True:
                cursor.execute(query)
                state, event = cursor.fetchone() or ("gone", None)
                if state != "active" or event in ("Lock", "Timeout"):
                    return
    finally:
        connection.close()


def _ended(process: subprocess.Popen[str]) -> str:
    """Wait until a run has ended, and return what it said."""
    try:
        return process.communicate(timeout=RUN_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0] + f"\n(did not end within {RUN_SECONDS} s, and was killed)"


@contextmanager
def _database(server: BreakableServer, template: str, databases: tuple[str, ...]) -> Iterator[str]:
    """A copy of the template, with the other databases as they were when it was made."""
    name = f"injected_{next(_numbers)}"
    _set_databases(server, databases)
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    # PostgreSQL 15 and later do not log a copied sequence's next values until a checkpoint: a crash takes them back.
    server.execute("CHECKPOINT")
    try:
        yield name
    finally:
        server.start()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _set_databases(server: BreakableServer, names: tuple[str, ...]) -> None:
    there = {row[0] for row in server.execute(DATABASES)}
    for name in there - set(names):
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    for name in set(names) - there:
        server.execute(f"CREATE DATABASE {name}")


def _picture(server: BreakableServer, name: str, since: datetime, root: Path, scenario: Scenario) -> Picture:
    """Take the picture once every session of the runs is gone."""
    deadline = time.monotonic() + 10
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    while server.execute(sessions) != [(0,)] and time.monotonic() < deadline:
        time.sleep(0.01)
    connection = server.connect(name)
    try:
        return take(connection, since, root, scenario.environment, server.url(name))
    finally:
        connection.close()
