"""The tables: their definitions, making what is missing of them, and who may write them. Looking creates nothing.

The version rows are Alembic's (schema newel, table alembic_version). The journal has one row an execution of
a revision; the marker names the environment that the database belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from newel.errors import PermissionDenied

SCHEMA = "newel"
VERSION_TABLE = "newel.alembic_version"
JOURNAL = "newel.journal"
MARKER = "newel.environment"

_RESULTS = "('started', 'applied', 'rolled back', 'failed', 'stamped', 'repaired')"

KEPT_COLUMNS = {
    "branch": "text",
    "down_revision": "text",
    "depends_on": "text",
    "up_checksum": "text",
    "down_checksum": "text",
    "up_sql": "bytea",
    "down_sql": "bytea",
    "down_transactional": "boolean",
}
"""What the journal keeps of the revision itself, beside the execution; see records.py.

The files are kept as bytes: a comment may hold letters that the encoding of the database lacks.
"""

_ADDED = {**KEPT_COLUMNS, "approval": "text", "backend": "integer DEFAULT pg_backend_pid()", "host": "text"}
"""The columns that a journal made by newel 0.1.0 lacks."""

TABLES: dict[str, str] = {
    VERSION_TABLE: """\
CREATE TABLE newel.alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)""",
    JOURNAL: f"""\
CREATE TABLE newel.journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision text NOT NULL,
    slug text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('up', 'down')),
    environment text NOT NULL,
    result text NOT NULL CHECK (result IN {_RESULTS}),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    statements_done integer NOT NULL DEFAULT 0,
    statement_begun integer,
    done_checksum text,
    error text,
    executed_by text NOT NULL DEFAULT session_user,
    application text NOT NULL,
    {f",{chr(10)}    ".join(f"{name} {kind}" for name, kind in _ADDED.items())}
)""",
    MARKER: """\
CREATE TABLE newel.environment (
    name text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    set_by text NOT NULL DEFAULT session_user,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
)""",
}
"""The definition of each table. `statement_begun` and `done_checksum` serve to go on in a half-done file."""

EXTEND = f"""\
ALTER TABLE newel.journal {", ".join(f"ADD COLUMN {name} {kind}" for name, kind in _ADDED.items())};
UPDATE newel.journal SET backend = NULL;
UPDATE newel.journal SET up_checksum = checksum WHERE direction = 'up';
UPDATE newel.journal SET down_checksum = checksum WHERE direction = 'down';
ALTER TABLE newel.journal DROP COLUMN checksum, DROP CONSTRAINT journal_result_check,
    ADD CONSTRAINT journal_result_check CHECK (result IN {_RESULTS})"""
"""Brings a journal of newel 0.1.0 up to date."""


IS_FIRST_FORM = """\
EXISTS (SELECT FROM pg_catalog.pg_attribute
         WHERE attrelid = pg_catalog.to_regclass('newel.journal') AND attname = 'checksum' AND NOT attisdropped)"""
"""A condition in SQL: the journal was made by newel 0.1.0."""


def create_missing(cursor: Any, tables: Iterable[str], *, first_form: bool) -> None:
    """Create what is missing beside `tables`, and bring a journal of the first form up to date.

    Needs CREATE on the database only where the schema is missing.
    """
    missing = set(TABLES) - set(tables)
    if missing:
        cursor.execute("SELECT pg_catalog.to_regnamespace(%s)", (SCHEMA,))
        if cursor.fetchone()[0] is None:
            cursor.execute("CREATE SCHEMA newel")
    for name, definition in TABLES.items():
        if name in missing:
            cursor.execute(definition)
    if JOURNAL in missing:
        rights, roles = _writers(cursor)  # by ALTER DEFAULT PRIVILEGES
        if roles:
            cursor.execute(f"REVOKE {rights} ON {JOURNAL} FROM {roles}")
    if first_form:
        cursor.execute(EXTEND)


def set_environment(cursor: Any, name: str) -> None:
    """Label the database as belonging to an environment."""
    cursor.execute(
        "INSERT INTO newel.environment (name) VALUES (%s) ON CONFLICT (only_row) "
        "DO UPDATE SET name = excluded.name, set_at = now(), set_by = session_user",
        (name,),
    )


def check_writers(cursor: Any) -> None:
    """Refuse a journal that others than its owner may write: `newel down` may run the SQL that it keeps.

    Raises PermissionDenied with the REVOKE that cures it.
    """
    rights, roles = _writers(cursor)
    if roles:
        raise PermissionDenied(
            f"{roles} may write {JOURNAL}, whose text a rollback may run: only its owner may",
            cure=f"Take it back, then run the same command again:\n  REVOKE {rights} ON {JOURNAL} FROM {roles};",
        )


def _writers(cursor: Any) -> tuple[str, str]:
    """Return what others than the owner may do to the journal, and who, both as REVOKE takes them."""
    cursor.execute(
        """
        SELECT DISTINCT coalesce(quote_ident(r.rolname), 'PUBLIC'), w.privilege_type
          FROM pg_catalog.pg_class c
               CROSS JOIN LATERAL (
                   SELECT * FROM pg_catalog.aclexplode(c.relacl)
                   UNION ALL
                   SELECT x.* FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) x
                    WHERE a.attrelid = c.oid) w
               LEFT JOIN pg_catalog.pg_roles r ON r.oid = w.grantee
         WHERE c.oid = pg_catalog.to_regclass(%s) AND w.grantee <> c.relowner
           AND w.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
         ORDER BY 1, 2
        """,
        (JOURNAL,),
    )
    rows = cursor.fetchall()
    rights = ", ".join(dict.fromkeys(right for _, right in rows))
    return rights, ", ".join(dict.fromkeys(role for role, _ in rows))


def owned_by_login(cursor: Any) -> bool:
    """Say whether the journal belongs to the very role that this session logged in as."""
    cursor.execute(
        "SELECT pg_catalog.pg_get_userbyid(relowner) = session_user FROM pg_catalog.pg_class "
        "WHERE oid = pg_catalog.to_regclass(%s)",
        (JOURNAL,),
    )
    row = cursor.fetchone()
    return bool(row and row[0])
