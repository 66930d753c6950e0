"""Databases that cannot be reached, or do not fit the checkout: error, exit code, nothing changed."""

from __future__ import annotations

from collections.abc import Callable

from small_project import Project, Role

MakeRole = Callable[[str], Role]


def test_a_server_that_is_down_ends_with_3(project: Project) -> None:
    for command in (("up",), ("down",), ("status",), ("log",), ("env", "set", "development")):
        refused = project.newel(*command, DATABASE_URL="postgresql://app@localhost:1/service")
        assert refused.code == 3
        assert "cannot connect to service on localhost:1 as app" in refused.err
        assert "DATABASE_PORT" in refused.err


def test_a_missing_database_ends_with_3_and_the_command_that_makes_it(project: Project) -> None:
    url = project.database.url.replace(project.database.name, "no_such_database")
    refused = project.newel("up", DATABASE_URL=url)
    assert refused.code == 3
    assert 'database "no_such_database" does not exist' in refused.err
    assert "createdb -h " in refused.err


def test_a_wrong_password_ends_with_4(project: Project, role: MakeRole) -> None:
    made = role("the right one")
    assert project.newel("status", DATABASE_URL=made.url()).code == 0
    for wrong in ("the wrong one", ""):
        refused = project.newel("up", DATABASE_URL=made.url(wrong))
        assert refused.code == 4
        assert "DATABASE_PASSWORD" in refused.err


def test_without_permission_to_create_a_schema_every_command_ends_with_4(
    project: Project, role: MakeRole
) -> None:
    url = role("secret").url()
    with project.nothing_changes():
        for command in (("up",), ("env", "set", "development")):
            refused = project.newel(*command, DATABASE_URL=url)
            assert refused.code == 4
            assert f"permission denied for database {project.database.name}" in refused.err
            assert "GRANT CREATE ON DATABASE" in refused.err
        by_alembic = project.alembic("upgrade", "head", DATABASE_URL=url)
    assert by_alembic.code == 255
    assert "GRANT CREATE ON DATABASE" in by_alembic.err
    assert "Traceback" not in by_alembic.err


def test_a_role_that_may_not_read_newels_tables_is_told_which_grant_it_lacks(
    project: Project, role: MakeRole
) -> None:
    project.newel("up")
    refused = project.newel("status", DATABASE_URL=role("secret").url())
    assert refused.code == 4
    assert "permission denied for schema newel" in refused.err
    assert "GRANT USAGE ON SCHEMA newel" in refused.err
    assert "GRANT CREATE ON DATABASE" not in refused.err


def test_a_role_that_may_read_but_not_write_newels_tables_changes_nothing(
    project: Project, role: MakeRole
) -> None:
    project.newel("up", "2")
    made = role("secret")
    project.execute(f"GRANT USAGE ON SCHEMA newel TO {made.name}")
    project.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA newel TO {made.name}")
    assert project.newel("status", DATABASE_URL=made.url()).code == 0
    with project.nothing_changes():
        for command in (("up",), ("down",), ("env", "set", "staging")):
            refused = project.newel(*command, DATABASE_URL=made.url())
            assert refused.code == 4, command
            assert "permission denied for table" in refused.err


def test_a_mainline_revision_numbered_below_an_applied_one_makes_every_command_refuse(
    empty_project: Project,
) -> None:
    project = empty_project
    project.pair("000001", "first")
    project.pair("000004", "fourth")
    project.stubs()
    project.newel("up")
    project.pair("000003", "late")
    project.stubs()
    with project.nothing_changes():
        for command in (("up",), ("down",), ("goto", "1"), ("up", "--json")):
            refused = project.newel(*command)
            assert refused.code == 5
            said = refused.err + refused.out
            assert "000003_late" in said
            assert "000004_fourth" in said
            assert "newel renumber 000003 000005" in said
    assert project.newel("status").code == 5


def test_the_number_offered_to_a_late_revision_is_free_in_the_whole_tree(empty_project: Project) -> None:
    project = empty_project
    project.environ["MIGRATION_ENV"] = "production"
    project.pair("000001", "first")
    project.pair("000003", "third")
    project.pair("000004", "sample", folder="development")
    project.stubs()
    project.newel("up")
    project.pair("000002", "late")
    project.stubs()
    refused = project.newel("up")
    assert refused.code == 5
    assert "newel renumber 000002 000005" in refused.err


def test_a_database_that_holds_a_revision_this_checkout_lacks_ends_with_5(project: Project) -> None:
    project.newel("up")
    for direction in ("up", "down"):
        (project.root / f"sql/migrations/000004_fourth.{direction}.sql").unlink()
    project.stubs()
    with project.nothing_changes():
        for command in ("up", "status"):
            refused = project.newel(command)
            assert refused.code == 5
            assert "the database holds revision 000004, which this checkout lacks" in refused.err
            assert "git pull" in refused.err
    assert "not in this checkout" in project.newel("status").out
    rolled_back = project.newel("down")
    assert rolled_back.code == 0
    assert (
        "000004 is not in this checkout; the journal keeps its down SQL:\n    DROP TABLE fourth;"
        in rolled_back.out
    )


def test_version_rows_that_newel_did_not_write_are_refused(project: Project) -> None:
    project.newel("up")
    project.execute("DELETE FROM newel.alembic_version WHERE version_num = '000004'")
    with project.nothing_changes():
        for command in ("up", "down", "status"):
            refused = project.newel(command)
            assert refused.code == 5
            assert "the version rows say 000003, the journal says 000003, 000004" in refused.err


def test_a_session_that_the_server_ends_is_a_lost_connection_and_the_same_command_goes_on(
    project: Project,
) -> None:
    project.newel("up", "4")
    project.pair(
        "000005", "fifth", up="CREATE TABLE fifth ();\nSELECT pg_terminate_backend(pg_backend_pid());\n"
    )
    project.stubs()
    lost = project.newel("up")
    assert lost.code == 3
    assert "000005_fifth.up.sql:2:1" in lost.err
    assert "fifth" not in project.tables()
    project.pair("000005", "fifth")
    assert project.newel("up").code == 0
