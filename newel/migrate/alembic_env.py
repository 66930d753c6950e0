"""What alembic/env.py calls: every Alembic command that touches a database, or prints SQL for one, comes here.

The command's own choice of revisions is set aside; newel's plan decides, and Alembic runs the steps. Here
alone newel's errors become Alembic's CommandError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from logging.config import fileConfig
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic import context
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import Script
from alembic.util import CommandError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812 - it is a class
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool, StaticPool

from newel.database.connection import mask
from newel.database.journal.tables import SCHEMA
from newel.database.reach import reach
from newel.errors import NewelError
from newel.migrate import offline
from newel.migrate.events import log_event
from newel.migrate.execute.work import Work
from newel.migrate.offline import Steps, revision_step
from newel.migrate.plan import check_known
from newel.migrate.request import Request, look
from newel.migrate.run import run_request
from newel.migrate.script import run_sql
from newel.migrate.state import check_environment
from newel.project.graph import Revision
from newel.project.project import Project, load_project

LISTENER, ENVIRONMENT, APPROVALS = "newel_listener", "newel_environment", "newel_approvals"
"""Keys of alembic's config.attributes: who is told of events, which environment, and what `-x approve=` would say."""

THROWAWAY = "newel_throwaway"
"""Key of config.attributes: the database handed over is a throwaway one, which no policy binds."""

CALLED = "newel_called"
"""Key of config.attributes: alembic/env.py is newel's and has called run()."""

_DIALECT = "postgresql+psycopg2://"  # SQLAlchemy 2.1 takes postgresql:// for psycopg 3

_REFUSED = {
    "retrieve_migrations": "`alembic revision` writes Python revisions, and `alembic check` compares models; here "
    "the SQL files are the truth.\nWrite a revision with  newel generate NAME",
    "nothing": "`alembic merge` has nothing to merge: the mainline is one chain in number order.\nIf two revisions "
    "took one number, give the later pair a free number with  newel renumber",
    "do_ensure_version": "newel makes its tables with the first upgrade:  newel up",
}


def run() -> None:
    """Do what the Alembic command asks for, on the environment's revisions.

    Raises CommandError with newel's error as its cause.
    """
    environment_context: EnvironmentContext = context._proxy  # type: ignore[attr-defined]
    environment_context.config.attributes[CALLED] = True
    try:
        _run(environment_context)
    except NewelError as error:
        raise CommandError(mask(str(error))) from error


def _run(env: EnvironmentContext) -> None:
    config = env.config
    if config.config_file_name is None:
        raise NewelError("alembic was given no ini file", cure="alembic -c alembic.ini ...")
    if config.cmd_opts is not None and config.file_config.has_section("loggers"):
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    command = env.context_opts["fn"].__name__
    if command in _REFUSED:
        raise NewelError(_REFUSED[command])
    if command == "_display_current_history" and not _asks_for_current(config.cmd_opts):
        # Only revision_environment, which `alembic revision` is refused by, has brought `history` here.
        env.context_opts["fn"]((), None)
        return
    root = Path(config.config_file_name).resolve().parent
    project = load_project(root, os.environ, config.attributes.get(ENVIRONMENT))
    if config.attributes.get("connection") is not None:  # the caller's database, whatever is configured
        project = replace(project, settings=replace(project.settings, connection=None))
    if config.attributes.get(THROWAWAY):
        project = project.on_throwaway()
    request = _request(env, command)
    if env.is_offline_mode():
        if request is None:
            raise NewelError("this command has no --sql mode")
        _offline(env, project, request)
        return
    with _connection(env, project, changes=request is not None) as connection:
        raw = _raw(connection)
        if request is None:
            _only_look(env, project, connection, raw)
            return

        listener = config.attributes.get(LISTENER, log_event)
        run_request(project, request, raw, listener, lambda work: _drive(env, connection, request, work))


def _drive(env: EnvironmentContext, connection: Connection, request: Request, work: Work) -> None:
    """Let Alembic's own loop carry out the work: it calls the scripts, and they what `newel_execute` is."""
    for revision in work.planned.lacking:
        env.script.revision_map.add_revision(_script_of(revision))

    def alembic_steps(_: tuple[str, ...], migration_context: MigrationContext) -> Iterator[RevisionStep]:
        for step in work.steps:
            alembic_step = revision_step(env.script, step)
            if request.stamp:

                def stamp() -> None:
                    work.execute(migration_context.autocommit_block)

                alembic_step.migration_fn = stamp
            yield alembic_step

    def execute(_: str, migration_context: MigrationContext) -> None:
        work.execute(migration_context.autocommit_block)

    _configure(env, execute, connection=connection, fn=alembic_steps)
    with env.begin_transaction():
        env.run_migrations()


def _script_of(revision: Revision) -> Script:
    """Make the Alembic script of a revision that the checkout lacks; it runs the SQL that the journal keeps."""
    module = ModuleType(f"{revision.id}_{revision.slug}")
    module.__dict__.update(
        revision=revision.id,
        down_revision=revision.down_revision,
        depends_on=revision.depends_on,
        branch_labels=None,
        downgrade=partial(run_sql, revision.down),
    )
    return Script(module, revision.id, revision.down)


def _asks_for_current(options: Any) -> bool:
    return bool(options and (options.indicate_current or "current" in (options.rev_range or "")))


def _request(env: EnvironmentContext, command: str) -> Request | None:
    """Read the request from the command's function and its destination; None for a command that only looks."""
    if command not in ("upgrade", "downgrade", "do_stamp"):
        return None
    destination = env.context_opts["destination_rev"]
    targets = (destination,) if isinstance(destination, str) else tuple(destination)
    if len(set(targets)) != 1:
        raise NewelError(
            f"stamp takes one target here, not {' and '.join(targets)}",
            cure="A target stands for everything up to it in order of work:  alembic stamp heads",
        )
    if command == "do_stamp":
        return Request("goto", targets[0], stamp=True, purge=env.context_opts.get("purge", False))
    given = (word.partition("=") for word in env.get_x_argument())
    approvals = (
        *env.config.attributes.get(APPROVALS, ()),
        *(value for key, _, value in given if key == "approve"),
    )
    return Request("upgrade" if command == "upgrade" else "downgrade", targets[0], approvals=approvals)


def _offline(env: EnvironmentContext, project: Project, request: Request) -> None:
    offline.refuse_relative(request.target)

    def migrate(
        start_rows: list[str], steps: Steps, execute: Callable[[str, MigrationContext], None]
    ) -> None:
        _configure(env, execute, dialect_name="postgresql", starting_rev=start_rows, fn=steps)
        with env.begin_transaction():
            env.run_migrations()

    start = env.context_opts.get("starting_rev")
    offline.run_offline(
        project, request, start, env.script, env.config.attributes.get(LISTENER, log_event), migrate
    )


def _only_look(
    env: EnvironmentContext, project: Project, connection: Connection, raw: Psycopg2Connection
) -> None:
    state = look(raw)
    check_environment(project, state, changes=False)
    check_known(project.revisions, state.version_rows)
    _configure(env, None, connection=connection, dont_mutate=True)  # looking creates nothing
    with env.begin_transaction():
        env.run_migrations()


def _configure(
    env: EnvironmentContext, execute: Callable[[str, MigrationContext], None] | None, **options: Any
) -> None:
    env.configure(
        version_table_schema=SCHEMA,  # without it, another search_path makes the database look empty
        transaction_per_migration=True,
        newel_execute=execute,  # what newel.migrate.script looks for
        **options,
    )


@contextmanager
def _connection(env: EnvironmentContext, project: Project, *, changes: bool) -> Iterator[Connection]:
    """Yield the connection handed over in config.attributes, or one to the environment's database."""
    given = env.config.attributes.get("connection")
    if isinstance(given, Engine):
        with given.connect() as connection:
            yield connection
    elif isinstance(given, Connection):
        # newel commits each revision, which SQLAlchemy forbids inside the caller's `with engine.begin()`: so a
        # Connection of its own stands over the same psycopg2 connection, which the caller closes.
        raw = _idle(given)
        engine = create_engine(_DIALECT, creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None)
        with engine.connect() as connection:
            yield connection
    else:
        # The pool must not keep the connection: it would keep the lock of the session.
        reached = reach(project.settings, project.root, os.environ, create=changes)
        engine = create_engine(_DIALECT, creator=reached.connect, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection


def _raw(connection: Connection) -> Psycopg2Connection:
    raw = connection.connection.dbapi_connection
    if not isinstance(raw, Psycopg2Connection):
        raise NewelError(
            "the connection handed to Alembic is not psycopg2's",
            cure='Make its engine with "postgresql+psycopg2://": SQLAlchemy 2.1 reads postgresql:// as psycopg 3.',
        )
    return raw


def _idle(connection: Connection) -> Psycopg2Connection:
    """Return the psycopg2 connection of one handed over, unless it holds work that newel's commits would commit."""
    raw = _raw(connection)
    if raw.info.transaction_status != TRANSACTION_STATUS_IDLE:
        raise NewelError(
            "the connection handed to Alembic has work in an open transaction, which newel would commit",
            cure="Commit or roll back first, or hand over a connection of its own.",
        )
    return raw
