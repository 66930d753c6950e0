"""Rebuilds a database on a throwaway server: a new one like the live one, with the applied revisions run in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby

import psycopg2
from psycopg2.errors import DuplicateObject, UndefinedObject
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.check.surroundings import Surroundings, administrator, as_administrator, make_database
from newel.database.catalog.snapshot import Catalog, snapshot
from newel.database.connection import connect, quote_identifier
from newel.database.embedded.server import Server
from newel.errors import NewelError
from newel.migrate.direct import run_direct
from newel.migrate.request import Request
from newel.project.graph import Revision
from newel.project.project import Project

_MISSING_EXTENSION = re.compile(r'extension "(.+?)" is not available|control file ".*/(.+?)\.control"')


@dataclass(frozen=True)
class _AppliedOnly(Project):
    """The project as a database knows it: `applied` alone, in order of application."""

    applied: tuple[Revision, ...] = ()

    @property
    def environment_revisions(self) -> tuple[Revision, ...]:
        return self.applied


def order_of_application(project: Project, applied: Sequence[str]) -> tuple[Revision, ...]:
    """Return the applied revisions in order of application, but none before one that it stands on."""
    by_id = {revision.id: revision for revision in project.environment_revisions}
    waiting, done = [by_id[item] for item in applied], dict[str, Revision]()
    while waiting:
        ready = next(item for item in waiting if all(needed in done for needed in item.needs))
        waiting.remove(ready)
        done[ready.id] = ready
    return tuple(done.values())


def rebuild(
    project: Project, applied: Sequence[str], executors: Mapping[str, str], like: Surroundings, server: Server
) -> tuple[Catalog, str | None]:
    """Run the applied revisions in a new database, each as the user who ran it, and return the catalog.

    Beside it, a word on the locale if the server cannot have the live one. Raises NewelError if a revision fails.
    """
    users = {like.user, *(executors[item] for item in applied)}
    note = make_database(server, like, users)
    alone = _without_policy(project, order_of_application(project, applied))
    for user, group in groupby(alone.applied, key=lambda revision: executors[revision.id]):
        request = Request("upgrade", list(group)[-1].id)
        with closing(connect({**server.params(like.database), "user": user})) as connection:
            _run(alone, request, connection, server)
    with closing(connect(administrator(server, like.database))) as connection:
        return snapshot(connection), note


def _without_policy(project: Project, applied: tuple[Revision, ...]) -> _AppliedOnly:
    """Return the project of these revisions, free of the policy that protects the live database, and of its address."""
    free = project.on_throwaway()
    return _AppliedOnly(free.root, free.revisions, free.environments, free.settings, applied)


def _run(project: Project, request: Request, connection: Connection, server: Server) -> None:
    """Run a request. Where a revision trips over a role that is there, or is not, the role is made to fit."""
    settled: set[str] = set()
    while True:
        try:
            run_direct(project, request, connection, lambda _: None)
        except NewelError as error:
            command = role_command(error.__cause__)
            if command is None or command in settled or not _executed(server, command):
                raise _worded(error, server) from error.__cause__
            settled.add(command)
        else:
            return


def role_command(cause: BaseException | None) -> str | None:
    """Return what lets a refused statement pass: a role it makes is dropped, a role it names is made.

    The live cluster's roles are all there from the start, since revisions grant to them, those that the
    revisions make included; a role that was dropped since then is not.
    """
    if not isinstance(cause, DuplicateObject | UndefinedObject):
        return None
    role = re.fullmatch(r'role "(.+)" (already exists|does not exist)', cause.diag.message_primary or "")
    if role is None:
        return None
    name = quote_identifier(role[1])
    return f"DROP ROLE {name}" if role[2] == "already exists" else f"CREATE ROLE {name} SUPERUSER LOGIN"


def _executed(server: Server, command: str) -> bool:
    with as_administrator(server, "template1") as cursor, suppress(psycopg2.Error):
        cursor.execute(command)
        return True
    return False


def _worded(error: NewelError, server: Server) -> NewelError:
    """Say of an error that it happened on the throwaway server, where nothing of it stays."""
    if not isinstance(error.__cause__, psycopg2.Error):
        return error
    where = f"the throwaway PostgreSQL {server.binaries.version}"
    extension = _MISSING_EXTENSION.search(error.what)
    if extension:
        what = (
            f"this revision makes the extension {extension[1] or extension[2]}, which {where} does not have"
        )
        cure = f"Install it for the programs in {server.binaries.folder}, or set NEWEL_PG_BIN to others that have it."
    else:
        what = f"on {where}: {error.what}"
        cure = "The applied revisions do not give a database there, so there is nothing to compare with."
    cure += " The live database was only read."
    return NewelError(what, where=error.where, excerpt=error.excerpt, cure=cure)
