"""Plain `alembic`, by subprocess: newel's plan decides, and a failure ends with 255."""

from __future__ import annotations

import pytest
from small_project import Project, Result

ALL = ["000001", "000002", "000003", "000004"]
NOWHERE = {"DATABASE_URL": "postgresql://nobody@localhost:1/nowhere"}


def done(result: Result) -> Result:
    """Require that a command ended well."""
    assert result.code == 0, result.out + result.err
    return result


def refused(result: Result) -> str:
    """Require that a command failed as Alembic's fail, without a traceback; return what it said."""
    assert result.code == 255, result.out + result.err
    assert "Traceback" not in result.err
    return result.out + result.err


def test_upgrade_head_applies_the_environments_revisions_and_writes_the_journal(project: Project) -> None:
    done(project.alembic("upgrade", "head"))
    assert project.applied() == ALL
    assert project.journal() == [(revision, "up", "applied") for revision in ALL]
    assert project.version_rows() == {"000003", "000004"}


def test_production_never_sees_a_development_revision(project: Project) -> None:
    project.environ["MIGRATION_ENV"] = "production"
    done(project.alembic("upgrade", "heads"))
    assert project.tables() == {"first", "second", "fourth"}
    assert "000004" in done(project.alembic("current")).out
    done(project.alembic("downgrade", "base"))
    assert project.tables() == set()
    done(project.alembic("stamp", "heads"))
    assert project.version_rows() == {"000004"}
    assert "000003" in refused(project.alembic("upgrade", "000003"))
    assert "development" in refused(project.alembic("upgrade", "development@head"))


def test_upgrades_and_downgrades_step_by_step(project: Project) -> None:
    for target, applied in (("+1", ALL[:1]), ("2", ALL[:2]), ("development@head", ALL[:3])):
        done(project.alembic("upgrade", target))
        assert project.applied() == applied
    done(project.alembic("upgrade", "head"))
    for target, applied in (
        ("-1", ALL[:3]),
        ("development@base", ALL[:2]),
        ("000001", ALL[:1]),
        ("base", []),
    ):
        done(project.alembic("downgrade", target))
        assert project.applied() == applied
    assert project.tables() == set()


def test_downgrade_by_one_takes_back_what_was_applied_last_even_a_late_development_revision(
    empty_project: Project,
) -> None:
    project = empty_project
    project.pair("000001", "first")
    project.pair("000004", "fourth")
    project.stubs()
    project.newel("up")
    project.pair("000002", "late", folder="development")
    project.stubs()
    done(project.alembic("upgrade", "head"))
    assert project.applied() == ["000001", "000004", "000002"]
    done(project.alembic("downgrade", "-1"))
    assert project.applied() == ["000001", "000004"]
    assert project.newel("up").code == 0
    assert project.newel("down").code == 0
    assert project.applied() == ["000001", "000004"]


def test_stamp_writes_version_rows_and_journal_and_runs_nothing(project: Project) -> None:
    done(project.alembic("stamp", "head"))
    assert project.tables() == set()
    assert project.applied() == ALL
    assert project.journal() == [(revision, "up", "stamped") for revision in ALL]
    done(project.alembic("stamp", "2"))
    assert project.applied() == ALL[:2]
    assert project.version_rows() == {"000002"}
    assert project.journal()[4:] == [("000004", "down", "stamped"), ("000003", "down", "stamped")]


def test_stamp_with_purge_cures_version_rows_that_nobody_can_explain(project: Project) -> None:
    project.newel("up")
    project.execute("DELETE FROM newel.alembic_version; INSERT INTO newel.alembic_version VALUES ('999999')")
    assert "999999" in refused(project.alembic("upgrade", "head"))
    done(project.alembic("stamp", "--purge", "head"))
    assert project.version_rows() == {"000003", "000004"}
    assert project.newel("status").code == 0
    assert project.applied() == ALL


def test_current_shows_what_is_applied_and_creates_nothing(project: Project) -> None:
    with project.nothing_changes():
        assert done(project.alembic("current")).out.strip() == ""
    project.newel("up", "3")
    with project.nothing_changes():
        lines = done(project.alembic("current")).out.split()
    assert "000002" in lines
    assert "000003" in lines


@pytest.mark.parametrize("command", ["heads", "history"])
def test_heads_and_history_show_every_branch_without_a_database(project: Project, command: str) -> None:
    shown = done(project.alembic(command, **NOWHERE)).out
    assert "000004 (head)" in shown
    assert "000003 (development) (head)" in shown


@pytest.mark.parametrize(
    "command", [("revision", "-m", "mine"), ("merge", "heads", "-m", "mine"), ("check",)]
)
def test_commands_that_write_python_are_refused_with_what_to_do_instead(
    project: Project, command: tuple[str, ...]
) -> None:
    with project.nothing_changes():
        said = refused(project.alembic(*command))
    assert ("newel renumber" if command[0] == "merge" else "newel generate") in said


def test_a_failing_statement_ends_with_255_and_its_place(project: Project) -> None:
    project.pair("000005", "broken", up="SELECT 1;\nSELECT nope;\n")
    project.stubs()
    said = refused(project.alembic("upgrade", "head"))
    assert "sql/migrations/000005_broken.up.sql:2:8: column" in said
    assert project.applied() == ALL
    assert project.journal()[-1] == ("000005", "up", "failed")


def test_an_unknown_revision_and_too_many_steps_are_refused(project: Project) -> None:
    project.newel("up", "1")
    with project.nothing_changes():
        assert "there is no revision `00007`" in refused(project.alembic("upgrade", "00007"))
        assert "-7 goes below the base" in refused(project.alembic("downgrade", "-7"))


def test_a_mainline_revision_numbered_below_an_applied_one_is_refused(empty_project: Project) -> None:
    project = empty_project
    project.pair("000002", "second")
    project.stubs()
    project.newel("up")
    project.pair("000001", "late")
    project.stubs()
    with project.nothing_changes():
        for command in (("upgrade", "head"), ("downgrade", "-1")):
            said = refused(project.alembic(*command))
            assert "000001_late" in said
            assert "000002_second" in said
            assert "newel renumber 000001 000003" in said


def test_a_database_that_holds_an_unknown_revision_is_refused_by_every_command(project: Project) -> None:
    project.newel("up")
    for direction in ("up", "down"):
        (project.root / f"sql/migrations/000004_fourth.{direction}.sql").unlink()
    project.stubs()
    with project.nothing_changes():
        for command in (("upgrade", "head"), ("current",)):
            assert "the database holds revision 000004" in refused(project.alembic(*command))
    assert "DROP TABLE fourth" in done(project.alembic("downgrade", "-1")).err


def test_the_offline_script_needs_no_database(project: Project) -> None:
    script = done(project.alembic("upgrade", "head", "--sql", **NOWHERE)).out
    assert "CREATE TABLE fourth" in script


def test_the_embedded_servers_environment_needs_no_name_and_others_do(project: Project) -> None:
    said = refused(project.alembic("upgrade", "head", MIGRATION_ENV=None))
    assert "MIGRATION_ENV=development" in said
    assert "DATABASE_URL" in refused(
        project.alembic("upgrade", "head", MIGRATION_ENV="production", DATABASE_URL=None)
    )


def test_another_environments_database_is_refused(project: Project) -> None:
    project.newel("up", "2")
    with project.nothing_changes():
        said = refused(project.alembic("upgrade", "head", MIGRATION_ENV="production"))
    assert "belongs to development" in said
    assert "newel env set production" in said
