"""Drift: what a live database's schema has besides, or lacks of, what its applied revisions give.

The revisions that the journal says are applied are run on a throwaway server, and the two catalogs are compared. The
live database is only read, from one snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.check.rebuild import rebuild
from newel.check.surroundings import Surroundings, read_surroundings
from newel.database.catalog.difference import CatalogDifference, difference
from newel.database.catalog.snapshot import Catalog, CatalogObject, snapshot
from newel.database.connection import server_refusal
from newel.database.embedded.binaries import find_like, how_to_get
from newel.database.embedded.server import throwaway
from newel.database.journal.executions import read_executions
from newel.database.journal.state import DatabaseState, read_state
from newel.database.lock import holder
from newel.errors import NewelError
from newel.migrate.state import check_consistent, check_environment, check_half_done
from newel.project.project import Project

LOCK_TIMEOUT = "10s"
"""How long to wait for a session that locks a view or a table: an ALTER that hangs is no reason to hang with it."""

_LEFT_OUT = ("column order", "database setting")


@dataclass(frozen=True)
class Drift:
    """How a live database differs from what its applied revisions give, and what makes the comparison less sure."""

    difference: CatalogDifference
    applied: tuple[str, ...]
    live_version: str
    throwaway_version: str
    same_major: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Live:
    """What was read of the live database. `executors` are the users who ran the revisions, by id."""

    state: DatabaseState
    executors: Mapping[str, str]
    surroundings: Surroundings
    catalog: Catalog


def find_drift(project: Project, connection: Connection, environ: Mapping[str, str]) -> Drift:
    """Compare a database with what its applied revisions give on a throwaway server of the same major version.

    Without PostgreSQL of that version, or with another in NEWEL_PG_BIN, another is taken, and a note says so.

    Raises NewelError and its kinds for a database that does not fit the project, that holds a half-done revision or
    is under a run, and for revisions that do not run on the throwaway server.
    """
    live = _read(project, connection)
    like = live.surroundings
    binaries = find_like(environ, like.major)
    with throwaway(environ, major=binaries.major) as server:
        expected, note = rebuild(project, live.state.applied_ids, live.executors, like, server)
    notes = [note] if note else []
    same_major = binaries.major == like.major
    if not same_major:
        notes.insert(
            0,
            f"the live server is PostgreSQL {like.version}, the throwaway one {binaries.version}: their catalogs can "
            f"differ without anyone's doing. {how_to_get(like.major)}.",
        )
    return Drift(
        difference(_comparable(expected), _comparable(live.catalog)),
        live.state.applied_ids,
        like.version,
        binaries.version,
        same_major,
        tuple(notes),
    )


def _read(project: Project, connection: Connection) -> _Live:
    """Read the live database in one read-only transaction: a run that ends meanwhile is seen whole or not at all."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL lock_timeout TO %s", (LOCK_TIMEOUT,))
            state = read_state(cursor)
            check_environment(project, state, changes=False)
            check_consistent(project, project.environment_revisions, state)
            if state.half_done:
                _refuse_half_done(state, connection)
            executions = read_executions(cursor, state) if state.applied else ()
        return _Live(
            state,
            {
                item.revision: item.executed_by
                for item in reversed(executions)
                if item.direction == "up" and item.result in ("applied", "stamped")
            },
            read_surroundings(connection),
            snapshot(connection),
        )
    except psycopg2.Error as error:
        raise server_refusal(error, "cannot read the live database") from error
    finally:
        with suppress(psycopg2.Error):
            connection.rollback()


def _refuse_half_done(state: DatabaseState, connection: Connection) -> None:
    running = holder(connection)
    if running:
        raise NewelError(f"a run is under way: {running}", cure="Try again when it is done.")
    check_half_done(state, ())


def _comparable(catalog: Catalog) -> Catalog:
    """Return the catalog without what revisions do not decide.

    That is the order of columns, the database's own settings, grants and comment, and of some objects a part.
    """
    kept = (item for item in catalog.objects if item.kind not in _LEFT_OUT and not _of_database(item))
    return replace(catalog, objects=tuple(replace(item, definition=_decided(item)) for item in kept))


def _of_database(item: CatalogObject) -> bool:
    return item.identity == "database" or item.identity.startswith("database (")


def _decided(item: CatalogObject) -> str:
    """Return what of a definition revisions decide: no extension's version, which the packages bring along; no
    options of a user mapping, which only its owner sees; not whether a view's rows were refreshed."""
    if item.kind == "extension":
        return re.sub(r"^version '.*?' ", "", item.definition)
    if item.kind == "user mapping":
        return ""
    if item.kind == "materialized view":
        return re.sub(
            r"\A(.*?) ?not populated\n", lambda match: match[1] and match[1] + "\n", item.definition
        )
    return item.definition
