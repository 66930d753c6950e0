"""A run of seed files: read and check everything, take the lock, then one transaction a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.connection import Notices, server_refusal, session_sql
from newel.database.lock import migration_lock
from newel.errors import ConnectionFailed, Location, NewelError
from newel.migrate.events import Noticed, Waiting
from newel.migrate.execute import runner
from newel.migrate.execute.stop import interrupted, stoppable
from newel.migrate.plan import plan
from newel.migrate.policy.checks import check_destruction, check_window
from newel.migrate.request import look
from newel.migrate.seed.load import load
from newel.migrate.seed.tally import EXPLAIN, Tally, counts, may_skip, skipped_rows, tally
from newel.migrate.seed.target import Target, find_target
from newel.migrate.state import check_consistent, check_used
from newel.project.csv_file import Advance, CsvFile
from newel.project.files import SqlFile
from newel.project.project import Project
from newel.project.seeds import Seed, read_seed


@dataclass(frozen=True)
class NotUpToDate:
    """Revisions that are pending; the seeds are run all the same."""

    revisions: tuple[str, ...]


@dataclass(frozen=True)
class Advanced:
    """How far reading (`checking`) or running the files is: `done` bytes of `total`, in the file at `path`."""

    checking: bool
    path: str
    done: int
    total: int


@dataclass(frozen=True)
class Seeded:
    """A file has been run and committed."""

    path: str
    tally: Tally
    seconds: float


Event = NotUpToDate | Advanced | Seeded | Noticed | Waiting
Listener = Callable[[Event], None]


def run_seeds(project: Project, paths: Sequence[str], connection: Connection, listener: Listener) -> None:
    """Run seed files in order. Nothing is run before all of them were read and found to fit the database.

    Raises NewelError and its kinds; files that were done before a failure stay, and the error says so.
    """
    done: list[str] = []
    connection.notices = Notices(lambda text: listener(Noticed(text)))
    try:
        with stoppable():
            _check_state(project, connection)
            seeds = _read(project.root, paths, listener)
            locking = project.environments.locking
            seconds = locking.timeout_seconds if locking.enabled else None
            with migration_lock(connection, seconds, lambda holder: listener(Waiting(holder))):
                pending = _check_state(project, connection)
                check_window(project.environment, connection)
                check_destruction(
                    project.environment, [seed for seed in seeds if isinstance(seed, SqlFile)], connection
                )
                targets = _targets(project, seeds, connection)
                if pending:
                    listener(NotUpToDate(pending))
                _run_all(project, seeds, targets, connection, listener, done)
    except KeyboardInterrupt as stop:
        raise _with_context(
            interrupted(stop, "newel stopped behind the statement that was running"), done
        ) from stop
    except psycopg2.Error as error:
        with suppress(psycopg2.Error):
            connection.rollback()
        raise _with_context(server_refusal(error, "cannot run the seeds"), done) from error


def _check_state(project: Project, connection: Connection) -> tuple[str, ...]:
    """Refuse a database that does not fit, and return the pending revisions."""
    state = look(connection)
    check_used(project, state)
    revisions = project.environment_revisions
    check_consistent(project, revisions, state)
    return tuple(step.revision.id for step in plan(revisions, state.applied_ids, "upgrade", "head"))


def _read(root: Path, paths: Sequence[str], listener: Listener) -> list[Seed]:
    seeds: list[Seed] = []
    done, total = 0, sum((root / path).stat().st_size for path in paths)
    for path in paths:
        advance = _advance(listener, path, done, total, checking=True)
        seeds.append(read_seed(root, path, advance))
        done += _size(seeds[-1])
        listener(Advanced(True, path, done, total))
    return seeds


def _targets(project: Project, seeds: Sequence[Seed], connection: Connection) -> dict[str, Target]:
    """Find the table of each CSV file in the database as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(_session(project))
        found: dict[str, Target] = {}
        for seed in (seed for seed in seeds if isinstance(seed, CsvFile)):
            try:
                found[seed.path] = find_target(cursor, seed)
            except psycopg2.Error as error:
                raise _refused(error, seed) from error
    connection.rollback()
    return found


def _run_all(
    project: Project,
    seeds: Sequence[Seed],
    targets: dict[str, Target],
    connection: Connection,
    listener: Listener,
    done: list[str],
) -> None:
    size, total = 0, sum(_size(seed) for seed in seeds)
    for seed in seeds:
        started = time.perf_counter()
        advance = _advance(listener, seed.path, size, total, checking=False)
        advance(0)
        try:
            with connection.cursor() as cursor:
                cursor.execute(_session(project))
                before = counts(cursor)
                if isinstance(seed, CsvFile):
                    skipped = load(cursor, project.root, seed, targets[seed.path], advance)
                else:
                    skipped = _run_statements(cursor, seed, advance)
                runner.check_deferred(cursor, seed.path)
                result = tally(cursor, before, skipped)
            _commit(connection, seed.path)
        except (NewelError, psycopg2.Error) as error:
            with suppress(psycopg2.Error):
                connection.rollback()
            failure = error if isinstance(error, NewelError) else _refused(error, seed)
            if not isinstance(failure, ConnectionFailed):
                failure.cure = "\n".join(filter(None, (failure.cure, f"{seed.path} was rolled back whole.")))
            raise _with_context(failure, done) from error
        done.append(seed.path)
        size += _size(seed)
        listener(Seeded(seed.path, result, time.perf_counter() - started))


def _run_statements(cursor: Any, file: SqlFile, advance: Advance) -> int:
    skipped = 0
    for statement in file.statements():
        explained = may_skip(statement)
        runner.execute(cursor, file, statement, EXPLAIN if explained else "")
        if explained:
            try:
                skipped += skipped_rows(cursor)
            except NewelError as error:
                error.where = Location(file.path, statement.line)
                raise
        advance(statement.end)
    return skipped


def _commit(connection: Connection, path: str) -> None:
    try:
        connection.commit()
    except psycopg2.Error as error:
        kind = runner.kind_of_refusal(error)
        if kind is ConnectionFailed:
            what = f"the connection was lost while {path} was committed; whether it was is not known"
            raise ConnectionFailed(what, where=Location(path)) from error
        raise kind(runner.server_words(error), where=Location(path)) from error


def _refused(error: psycopg2.Error, seed: Seed) -> NewelError:
    """Word a refusal of what newel itself sends for a file: a temporary table, a sequence to be moved."""
    return runner.kind_of_refusal(error)(runner.server_words(error), where=Location(seed.path))


def _with_context(error: NewelError, done: Sequence[str]) -> NewelError:
    """Say what stays, and that the same command goes on."""
    lines = [error.cure] if error.cure else []
    if done:
        names = ", ".join(done) if len(done) <= 3 else f"{len(done)} files, {done[0]} to {done[-1]}"
        lines.append(f"Before it, {names} {'was' if len(done) == 1 else 'were'} run; that stays.")
    lines.append("The same command may be run again: what is there already is skipped.")
    error.cure = "\n".join(lines)
    return error


def _session(project: Project) -> str:
    environment = project.environment
    policy = environment.policy
    return session_sql(
        environment.search_path, lock_timeout=policy.lock_timeout, statement_timeout=policy.statement_timeout
    )


def _advance(listener: Listener, path: str, before: int, total: int, *, checking: bool) -> Advance:
    return lambda done: listener(Advanced(checking, path, before + done, total))


def _size(seed: Seed) -> int:
    return len(seed.data) if isinstance(seed, SqlFile) else seed.size
