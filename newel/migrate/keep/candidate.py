"""A backup that is to be restored, and where: everything that can be checked before anybody is asked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer.databases import maintenance
from newel.database.administer.facts import Facts, check_may_replace, find_database
from newel.database.backup.archive import Archive, read_archive, read_roles, tools_for
from newel.database.backup.tools import Tools, url
from newel.database.connection import led_to, quote_identifier
from newel.database.journal.state import DatabaseState
from newel.database.lock import holder
from newel.database.reach import Reached
from newel.errors import FileMissing, NewelError, PermissionDenied
from newel.migrate.request import look
from newel.migrate.state import check_environment
from newel.project.files import unreadable
from newel.project.project import Project


@dataclass(frozen=True)
class Restoration:
    """What is restored and where, once everything that can be checked beforehand was."""

    archive: Archive
    tools: Tools
    reached: Reached
    present: Facts | None
    """The database that is there now."""
    state: DatabaseState
    """What it says of itself."""
    maintenance_url: str
    """Where dropdb connects to, without a password."""

    @property
    def name(self) -> str:
        """The name of the database."""
        return self.reached.params["dbname"]


def find_file(project: Project, file: str) -> Path:
    """Return the path of a backup: from the current folder, or a bare name in the folder of backups.

    Raises FileMissing with the nearest name or the newest backup there is.
    """
    if not file:
        raise NewelError("a file is missing", cure="For make:  make db-restore FILE=backups/....dump")
    folder = project.root / project.settings.backups
    path = Path(file)
    try:
        if path.exists():
            return path
        if path.name == file and (folder / file).exists():
            return folder / file
    except OSError as error:
        raise unreadable(file, error) from error
    dumps = sorted(folder.glob("*.dump"), key=lambda dump: dump.stat().st_mtime) if folder.is_dir() else []
    near = get_close_matches(path.name, [dump.name for dump in dumps], 1)
    newest = f"The newest backup in {folder} is {dumps[-1].name}." if dumps else f"{folder} holds no backup."
    raise FileMissing(
        f"there is no file {file}", cure=f"Did you mean {shlex.quote(near[0])}?" if near else newest
    )


def examine(
    project: Project, path: Path, server: Callable[[], Reached], environ: Mapping[str, str]
) -> Restoration:
    """Check the file, then the server, then the database that is there. Changes nothing.

    `server` reaches the server; it is asked once the file was found good. Raises NewelError and its kinds.
    """
    archive = read_archive(path, environ)
    reached = server()
    with maintenance(reached.params) as connection:
        version = str(connection.info.parameter_status("server_version")).split()[0]
        tools = tools_for(archive, connection.server_version // 10_000, version, environ)
        present = find_database(connection, reached.params["dbname"])
        _check_roles(archive, tools, connection, environ)
        where = url({**reached.params, **led_to(connection)})
    if present is None:
        check_environment(project, DatabaseState(), changes=True)
        return Restoration(archive, tools, reached, None, DatabaseState(), where)
    check_may_replace(present, reached.params)
    with closing(reached.connect()) as connection:
        state = look(connection)
        check_environment(project, state, changes=True)
        check_nobody_runs(connection)
    return Restoration(archive, tools, reached, present, state, where)


def check_nobody_runs(connection: Connection) -> None:
    """Refuse while a run holds the lock."""
    if who := holder(connection):
        raise NewelError(
            f"a run is under way: {who}", cure="Nothing was changed. Wait for its end and try again."
        )


def _check_roles(archive: Archive, tools: Tools, connection: Connection, environ: Mapping[str, str]) -> None:
    """Refuse a dump whose roles the server lacks, or whose owners the user cannot make owners."""
    roles = read_roles(archive, tools, environ)
    able = "SET" if connection.server_version >= 160_000 else "MEMBER"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, pg_catalog.pg_has_role(oid, %s), rolsuper FROM pg_catalog.pg_roles", (able,)
        )
        rows = cursor.fetchall()
        known: dict[str, bool] = {role: may for role, may, _ in rows}
        superusers = {role for role, _, is_superuser in rows if is_superuser}
        cursor.execute("SELECT current_user")
        user = cursor.fetchone()[0]
    missing = sorted((roles.owners | roles.others) - set(known))
    if missing:
        commands = "\n".join(f"  CREATE ROLE {quote_identifier(role)};" for role in missing)
        raise NewelError(
            f"the backup names roles that the server lacks: {', '.join(missing)}",
            cure="Nothing was changed. Roles belong to the server and are in no backup of a database. Create them, "
            f"then run the same command again:\n{commands}",
        )
    foreign = sorted(role for role in roles.owners if not known[role])
    if foreign:
        commands = "\n".join(
            f"  GRANT {quote_identifier(role)} TO {quote_identifier(user)};" for role in foreign
        )
        above = sorted(superusers & set(foreign))
        raise PermissionDenied(
            f"{user} cannot make {', '.join(foreign)} the owner of what the backup holds",
            cure=f"Nothing was changed. Connect as a superuser, as which {', '.join(above)} owns a part of it."
            if above  # to be a member of one is to be one
            else f"Nothing was changed. Connect as a superuser, or have one give what is lacking:\n{commands}",
        )
