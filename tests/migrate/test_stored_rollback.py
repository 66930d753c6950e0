"""A checkout that lacks an applied revision rolls back with the SQL that the journal keeps."""

from __future__ import annotations

import psycopg2
import pytest
from made import table

from newel.errors import DependencyError, NewelError, PermissionDenied
from newel.migrate.direct import run_direct
from newel.migrate.events import StoredSql
from newel.migrate.request import Request
from newel.project import stubs
from newel.project.graph import load_revisions
from newel.project.project import load_project


def forget(made, *names):
    """Take the files of revisions away, as another branch of the repository does not have them."""
    for path in (made.root / "sql" / "migrations").rglob("*.sql"):
        if path.name.startswith(names):
            path.unlink()
    stubs.write(made.root, load_revisions(made.root))


@pytest.fixture
def three(made, database):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON one (id);\n", "DROP INDEX CONCURRENTLY i;\n")
    made.pair("000003_three", *table("three"), folder="development")
    made.run("upgrade", "head", database.engine())
    forget(made, "000002", "000003")
    return made


def test_down_shows_the_stored_sql_and_runs_it(three, database, rows):
    events = three.run("downgrade", "-1", database.engine())
    assert [item.sql for item in events if isinstance(item, StoredSql)] == ["DROP TABLE three;\n"]
    assert rows(database, "SELECT to_regclass('three')") == [(None,)]
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000002",)]


def test_down_runs_stored_sql_in_the_mode_it_was_written_for(three, database, rows):
    three.run("downgrade", "1", database.engine())
    assert rows(database, "SELECT to_regclass('i'), to_regclass('one') IS NOT NULL") == [(None, True)]
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000001",)]
    assert three.run("upgrade", "head", database.engine()) == []


def test_up_on_a_database_that_holds_unknown_revisions_is_refused(three, database, rows):
    three.pair("000004_four", *table("four"))
    with pytest.raises(DependencyError, match="holds revision 000002, 000003, which this checkout lacks"):
        three.run("upgrade", "head", database.engine())
    with pytest.raises(DependencyError, match="which this checkout lacks"):
        three.run("goto", "4", database.engine())
    assert rows(database, "SELECT to_regclass('four')") == [(None,)]


def test_a_revision_that_was_stamped_can_be_rolled_back_without_its_file(made, database, rows):
    made.pair("000001_one", *table("one"))
    rows(database, "CREATE TABLE one (id int)")
    made.run("goto", "head", database.engine(), stamp=True)
    made.pair("000002_two", *table("two"))
    forget(made, "000001")
    made.pair("000001_other", "SELECT 1;\n")
    with pytest.raises(DependencyError, match="calls 000001 other"):
        made.run("downgrade", "base", database.engine())
    forget(made, "000001", "000002")
    made.run("downgrade", "base", database.engine())
    assert rows(database, "SELECT to_regclass('one')") == [(None,)]


def test_a_stored_rollback_that_is_irreversible_is_refused(made, database):
    made.pair("000001_one", "CREATE TABLE one (id int);\n", "-- newel: irreversible rows are gone\n")
    made.run("upgrade", "head", database.engine())
    forget(made, "000001")
    with pytest.raises(NewelError, match="is irreversible: rows are gone"):
        made.run("downgrade", "-1", database.engine())


def test_stored_sql_is_run_for_the_owner_of_the_journal_only(made, database, rows):
    """A superuser must not run what a lesser user may have written into a journal of its own."""
    rows(database, "CREATE ROLE lesser")
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    rows(database, "ALTER TABLE newel.journal OWNER TO lesser")
    forget(made, "000001")
    with pytest.raises(PermissionDenied, match="is run for its owner only"):
        made.run("downgrade", "-1", database.engine())
    rows(database, "ALTER TABLE newel.journal OWNER TO CURRENT_USER")
    rows(database, "DROP ROLE lesser")


@pytest.mark.parametrize(
    "grant",
    ["INSERT ON newel.journal TO PUBLIC", "UPDATE (down_sql) ON newel.journal TO writer"],
)
def test_a_journal_that_others_may_write_is_refused(made, database, rows, grant):
    rows(database, "CREATE ROLE writer")
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    rows(database, f"GRANT {grant}")
    with pytest.raises(PermissionDenied, match=r"may write newel\.journal") as caught:
        made.run("downgrade", "-1", database.engine())
    for command in str(caught.value.cure).split("\n")[1:]:
        rows(database, command)
    made.run("downgrade", "-1", database.engine())
    rows(database, "DROP ROLE writer")


def test_default_privileges_give_nobody_the_journal_of_a_new_database(made, database, rows):
    rows(database, "CREATE ROLE writer")
    rows(database, "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE ON TABLES TO writer")
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    assert rows(
        database,
        "SELECT has_table_privilege('writer', oid, 'SELECT'), has_table_privilege('writer', oid, 'INSERT, UPDATE') "
        "FROM pg_class WHERE oid = 'newel.journal'::regclass",
    ) == [(True, False)]
    rows(database, "DROP OWNED BY writer")
    rows(database, "DROP ROLE writer")


def test_a_journal_of_the_first_form_is_brought_up_to_date(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "1", database.engine())
    rows(
        database,
        "ALTER TABLE newel.journal DROP COLUMN branch, DROP COLUMN down_revision, DROP COLUMN depends_on, "
        "DROP COLUMN down_checksum, DROP COLUMN up_sql, DROP COLUMN down_sql, DROP COLUMN down_transactional, "
        "DROP COLUMN approval, DROP COLUMN backend, DROP COLUMN host",
    )
    rows(database, "ALTER TABLE newel.journal RENAME up_checksum TO checksum")
    made.run("upgrade", "head", database.engine())
    assert rows(
        database,
        "SELECT revision, up_checksum IS NOT NULL, convert_from(down_sql, 'UTF8'), backend IS NOT NULL "
        "FROM newel.journal ORDER BY id",
    ) == [
        ("000001", True, None, False),
        ("000002", True, "DROP TABLE two;\n", True),
    ]
    project = load_project(made.root, {}, "development")
    connection = psycopg2.connect(**database.server.params(database.name))
    run_direct(project, Request("downgrade", "base"), connection, lambda _: None)
    connection.close()
    assert rows(database, "SELECT to_regclass('one')") == [(None,)]
