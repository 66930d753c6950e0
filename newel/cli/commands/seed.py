"""`newel seed` and `newel clean`: put the seeds' rows in, and empty the service's tables."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from dataclasses import asdict
from typing import Any

from newel.cli.progress import Lines, bar
from newel.cli.terminal import (
    coloured,
    confirm,
    count,
    duration,
    error_document,
    print_json,
    print_table,
)
from newel.database.reach import Reached, reach
from newel.errors import NewelError
from newel.project.project import Project
from newel.project.seeds import SEEDS, seed_paths

_LONG_WORK = 0.5
"""After how many seconds a bar is worth showing."""
_BETWEEN = 0.1
"""How many seconds a bar stands before it is drawn anew."""
_COLUMNS = "{path:<{width}}  {inserted:>8}  {updated:>7}  {skipped:>7}  {time:>10}"


def seed(project: Project, args: argparse.Namespace) -> int:
    """Run the seed files: base, then the environment's own."""
    report = SeedReport(project.settings.environment, as_json=args.json)
    try:
        execute(project, report)
    except NewelError as error:
        if not args.json:
            raise
        print_json({**report.document(), "error": error_document(error)})
        return error.exit_code
    report.summary()
    return 0


def execute(project: Project, report: SeedReport) -> None:
    """Run the seed files and tell the report; what it prints at the end is its own summary.

    Raises as run_seeds() does.
    """
    paths = seed_paths(project.root, project.environments, project.settings.environment)
    if not paths:
        return
    from newel.migrate.seed.run import run_seeds

    reached = reach(project.settings, project.root, os.environ, create=False)
    report.begin(reached, paths)
    connection = reached.connect()
    try:
        run_seeds(project, paths, connection, report.listen)
    except NewelError:
        report.lines.end()
        raise
    finally:
        connection.close()


def clean(project: Project, args: argparse.Namespace) -> None:
    """Empty the service's tables and keep the schema, once a person has typed the database's name."""
    from newel.migrate.clean import empty_tables, look_at_tables

    name = project.settings.environment
    reached = reach(project.settings, project.root, os.environ, create=False)
    connection = reached.connect()
    try:
        found = look_at_tables(project, connection)
        if not args.json:
            print(f"{name}: {reached.words}")
            if found.tables:
                rows = [(str(table), _about(table.rows, exact=table.exact)) for table in found.tables]
                print_table(("", "rows"), rows)
            if found.left_alone:
                print(f"Left alone: {', '.join(found.left_alone)}")
        if found.tables:
            what = f"This empties {count(len(found.tables), 'table')} of {reached.words}"
            confirm(what, connection.info.dbname, yes=args.yes, as_json=args.json)
            empty_tables(project, connection, found, _waiting)
    finally:
        connection.close()
    if args.json:
        emptied = [{"table": str(table), "rows": table.rows} for table in found.tables]
        document = {"environment": name, "database": reached.words, "emptied": emptied}
        print_json({**document, "left_alone": found.left_alone})
    elif found.tables:
        print(coloured(f"Emptied {count(len(found.tables), 'table')}", "green"))
    else:
        print("There is no table to empty")


class SeedReport:
    """Prints what becomes of each file, or gathers it for --json."""

    def __init__(self, environment: str, *, as_json: bool) -> None:
        self.environment, self.as_json = environment, as_json
        self.reached: Reached | None = None
        self.width = 0
        self.lines = Lines(quiet=as_json)
        self.files: list[dict[str, Any]] = []
        self.pending: tuple[str, ...] = ()
        self.notices: list[str] = []
        self.started = self.drawn = time.perf_counter()

    def begin(self, reached: Reached, paths: tuple[str, ...]) -> None:
        self.reached = reached
        self.width = max(len(_short(path)) for path in paths)

    def listen(self, event: Any) -> None:
        from newel.migrate import events
        from newel.migrate.seed import run

        match event:
            case events.Waiting(holder):
                self.lines.say(f"waiting for another run: {holder}")
            case events.Noticed(text):
                self.notices.append(text)
            case run.NotUpToDate(revisions):
                self.pending = revisions
                words = f"{count(len(revisions), 'revision')} pending, and seeds are written for the last one"
                self.lines.say(f"{coloured('warning:', 'yellow')} {words}; to apply them:  newel up")
            case run.Advanced(checking, path, done, total):
                self._draw(f"{bar(done, total)}  {'checking' if checking else 'running'} {_short(path)}")
            case run.Seeded(path, tally, seconds):
                self._seeded(path, tally, seconds)

    def document(self) -> dict[str, Any]:
        """Return what was done, for --json."""
        return {
            "environment": self.environment,
            "database": self.reached.words if self.reached else None,
            "pending": self.pending,
            "files": self.files,
        }

    def summary(self) -> None:
        """Say what was done, once all files are run."""
        if self.as_json:
            print_json(self.document())
            return
        if self.reached is None:
            print(
                f"{self.environment}: there are no seeds; they lie in {SEEDS}/base and {SEEDS}/{self.environment}"
            )
            return
        took = duration(time.perf_counter() - self.started)
        kinds = ("inserted", "updated", "deleted", "skipped")
        words = [self._sum(kind) for kind in kinds]
        if any(item["inserted"] is None for item in self.files):
            words = ["the server does not count rows (track_counts is off)"]
        line = f"{count(len(self.files), 'seed file')} in {took}: {', '.join(filter(None, words))}"
        self.lines.say(coloured(line, "green"))

    def _sum(self, kind: str) -> str:
        number = sum(item[kind] or 0 for item in self.files)
        return f"{number:,} {kind}" if number or kind != "deleted" else ""

    def _seeded(self, path: str, tally: Any, seconds: float) -> None:
        numbers = asdict(tally)
        if self.reached and not self.files:
            self._head(self.reached)
        self.files.append({"file": path, **numbers, "seconds": round(seconds, 6), "notices": self.notices})
        shown = {kind: "?" if number is None else f"{number:,}" for kind, number in numbers.items()}
        self.lines.say(self._line(_short(path), **shown, time=duration(seconds)))
        if tally.deleted:
            self.lines.say(f"        deleted {count(tally.deleted, 'row')}")
        for notice in self.notices:
            for line in notice.splitlines():
                self.lines.say(f"        {line}")
        self.notices = []

    def _head(self, reached: Reached) -> None:
        self.lines.say(f"{self.environment}: {reached.words}")
        titles = {"inserted": "inserted", "updated": "updated", "skipped": "skipped", "time": "duration"}
        self.lines.say(coloured(self._line(f"file in {SEEDS}", **titles), "bold"))

    def _line(self, path: str, **cells: str) -> str:
        width = max(self.width, len(f"file in {SEEDS}"))
        if sys.stdout.isatty():
            width = max(min(width, shutil.get_terminal_size().columns - 40), 20)
        cut = path if len(path) <= width else f"...{path[3 - width :]}"
        return _COLUMNS.format(path=cut, width=width, **cells).rstrip()

    def _draw(self, line: str) -> None:
        """Draw the bar, once the work has turned out to be long, and not more often than an eye follows."""
        now = time.perf_counter()
        if now - self.started > _LONG_WORK and now - self.drawn > _BETWEEN:
            self.drawn = now
            self.lines.show(line[: shutil.get_terminal_size().columns - 1])


def _short(path: str) -> str:
    return path.removeprefix(f"{SEEDS}/")


def _about(rows: int | None, *, exact: bool) -> str:
    return "not known" if rows is None else f"{rows:,}" if exact else f"about {rows:,}"


def _waiting(holder: str) -> None:
    print(f"waiting for another run: {holder}", file=sys.stderr)
