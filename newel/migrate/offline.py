"""The script that `--sql` prints: psql runs it to the same end as a run against the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory

from newel.database import lock
from newel.database.connection import APPLICATION_NAME, quote_literal, session_sql
from newel.database.journal.state import HALF_DONE
from newel.database.journal.tables import EXTEND, IS_FIRST_FORM, JOURNAL, MARKER, TABLES
from newel.database.journal.write import execution_values, kept_values
from newel.errors import NewelError
from newel.migrate.events import Listener
from newel.migrate.plan import Step, plan, resolve
from newel.migrate.planned import Planned, check_reversible, read_records
from newel.migrate.policy.checks import check_files
from newel.migrate.request import Request
from newel.project.files import SqlFile
from newel.project.graph import heads
from newel.project.project import Project
from newel.project.sql.statements import Statement

Steps = Callable[[tuple[str, ...], MigrationContext], Iterator[RevisionStep]]


def revision_step(script: ScriptDirectory, step: Step) -> RevisionStep:
    """Return Alembic's step for one of newel's plan."""
    return RevisionStep(script.revision_map, script.get_revision(step.revision.id), step.direction == "up")


def starting_point(project: Project, start: str | None) -> tuple[str, ...]:
    """Return the revisions applied at `start` in order of work; without one the script starts from base."""
    revisions = project.environment_revisions
    applied = resolve(revisions, (), "goto", start or "base")
    return tuple(revision.id for revision in revisions if revision.id in applied)


def run_offline(
    project: Project,
    request: Request,
    start: str | None,
    script: ScriptDirectory,
    listener: Listener,
    migrate: Callable[[list[str], Steps, Callable[[str, MigrationContext], None]], None],
) -> None:
    """Print the script of a request through Alembic. No database is asked.

    Of the environment's policy, what is about the files holds: static checks and destruction. When the script is run,
    who approves it and whether there is a backup is up to whoever runs it.
    """
    revisions = project.environment_revisions
    applied = starting_point(project, start)
    steps = plan(revisions, applied, request.command, request.target)
    planned = Planned(steps, read_records(project, steps))
    if not request.stamp:
        for step in steps:
            check_reversible(planned, step)
        check_files(project.environment, planned, listener, None)
    environment = project.settings.environment
    start_rows = heads([revision for revision in revisions if revision.id in applied])

    def alembic_steps(_: tuple[str, ...], context: MigrationContext) -> Iterator[RevisionStep]:
        context.impl.static_output(_prelude(project, request, start_rows))
        for step in steps:
            alembic_step = revision_step(script, step)
            if request.stamp:

                def stamp(step: Step = step) -> None:
                    record = planned.records[step.revision.id]
                    values = execution_values(record, step.direction, environment, "stamped")
                    kept = kept_values(record, step.direction)
                    context.impl.static_output(_journal_row({**values, **kept}))

                alembic_step.migration_fn = stamp
            yield alembic_step
        context.impl.static_output(f"SELECT pg_catalog.pg_advisory_unlock({lock.KEY});")

    by_path = {path: step for step in steps for path in (step.revision.up, step.revision.down)}

    def execute(path: str, context: MigrationContext) -> None:
        step = by_path[path]
        file, record = planned.file(step), planned.records[step.revision.id]
        if file.transactional:
            count = _print_file(project, file, context)
        else:
            with context.autocommit_block():
                count = _print_file(project, file, context)
        result = "applied" if step.direction == "up" else "rolled back"
        values = execution_values(record, step.direction, environment, result)
        kept = record.values() if step.direction == "up" else {}
        done = {"statements_done": count, "done_checksum": file.statements_checksum}
        context.impl.static_output(_journal_row({**values, **kept, **done}))

    migrate(list(start_rows), alembic_steps, execute)


def _print_file(project: Project, file: SqlFile, context: MigrationContext) -> int:
    policy = project.environment.policy
    session = session_sql(
        project.environment.search_path,
        lock_timeout=policy.lock_timeout,
        statement_timeout=policy.statement_timeout,
    )
    # The script is UTF-8, whatever the database's encoding is, which RESET ALL has brought back.
    context.impl.static_output(f"{session}\nSET client_encoding TO 'UTF8';")
    count = 0
    for statement in file.statements():
        text = _statement_text(statement)
        context.impl.static_output(_UNTIMED.format(text) if statement.concurrent else text)
        count += 1
    return count


# psql's \gset keeps the file's own lock_timeout: a CONCURRENTLY that gives up leaves an INVALID index.
_UNTIMED = """\
SELECT current_setting('lock_timeout') AS newel_lock_timeout \\gset
SET lock_timeout TO 0;
{}
SET lock_timeout TO :'newel_lock_timeout';"""


def _statement_text(statement: Statement) -> str:
    """Return a statement with its semicolon, behind a comment that ends it on a line of its own; COPY data as is."""
    text = statement.text
    ended = f"{text}\n;" if "--" in text.rpartition("\n")[2] else f"{text};"
    if statement.copy_data is None:
        return ended
    data = statement.source[slice(*statement.copy_data)].decode("utf-8")
    line_end = "\r\n" if data.endswith("\r\n") else "\n"  # psql wants the end marker's to be the data's
    return f"{ended}\n{data}{'' if data.endswith(line_end) or not data else line_end}\\.{line_end.rstrip(chr(10))}"


def _prelude(project: Project, request: Request, start_rows: tuple[str, ...]) -> str:
    environment = project.settings.environment
    rows = ",".join(start_rows)
    start = rows or "nothing applied"
    parts = [
        f"""\
-- {APPLICATION_NAME}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC
-- {environment}: {request.command} to {request.target}, from {start}.
-- Run it with psql, without --single-transaction. It stops at the first error.
\\set ON_ERROR_STOP on""",
        f"""\
DO $newel$
DECLARE
    present text;
BEGIN
    IF NOT pg_catalog.pg_try_advisory_lock({lock.KEY}) THEN
        RAISE EXCEPTION 'another run holds the lock of newel';
    END IF;
    IF pg_catalog.to_regclass('newel.environment') IS NOT NULL THEN
        SELECT name INTO present FROM newel.environment;
    END IF;
    IF present <> {quote_literal(environment)} THEN
        RAISE EXCEPTION 'this script is for {environment}, but the database belongs to %', present;
    END IF;
    present := NULL;
    IF pg_catalog.to_regclass('newel.alembic_version') IS NOT NULL THEN
        SELECT pg_catalog.string_agg(version_num, ',' ORDER BY version_num) INTO present FROM newel.alembic_version;
    END IF;
    IF coalesce(present, '') <> {quote_literal(rows)} THEN
        RAISE EXCEPTION 'this script starts from {start}, but the database is at %',
            coalesce(present, 'nothing applied');
    END IF;
    IF pg_catalog.to_regnamespace('newel') IS NULL THEN
        CREATE SCHEMA newel;
    END IF;
    IF pg_catalog.to_regclass('newel.journal') IS NULL THEN
        {_indented(TABLES[JOURNAL])};
    ELSIF {_indented(IS_FIRST_FORM)} THEN
        {_indented(EXTEND)};
    END IF;
    SELECT revision INTO present {_indented(HALF_DONE)};
    IF present IS NOT NULL THEN
        RAISE EXCEPTION 'revision % is half done; finish it with newel first', present;
    END IF;
    IF pg_catalog.to_regclass('newel.environment') IS NULL THEN
        {_indented(TABLES[MARKER])};
    END IF;
    INSERT INTO newel.environment (name) VALUES ({quote_literal(environment)}) ON CONFLICT DO NOTHING;
END
$newel$;""",
    ]
    if not start_rows:
        parts.append("-- Empty, as the check above has shown; Alembic's script creates it anew.")
        parts.append("DROP TABLE IF EXISTS newel.alembic_version;")
    return "\n\n".join(parts)


def _journal_row(values: Mapping[str, Any]) -> str:
    values = {**values, "host": None}  # psql may run the script anywhere
    return (
        "RESET SESSION AUTHORIZATION; RESET ROLE;\n"
        f"INSERT INTO newel.journal ({', '.join(values)}, finished_at)\n"
        f"VALUES ({', '.join(_literal(value) for value in values.values())}, clock_timestamp());"
    )


def _literal(value: Any) -> str:
    if isinstance(value, bytes):
        return f"pg_catalog.decode('{value.hex()}', 'hex')"
    return str(value) if isinstance(value, int) else quote_literal(value)  # True is SQL's word as well


def _indented(definition: str) -> str:
    return definition.replace("\n", "\n        ")


def refuse_relative(target: str) -> None:
    """Refuse `-1`, which counts in order of application, where no database is asked."""
    if target.startswith("-"):
        raise NewelError(
            f"`{target}` counts in order of application, which only the database knows",
            cure="Name the revision:  alembic downgrade 000009:000008 --sql",
        )
