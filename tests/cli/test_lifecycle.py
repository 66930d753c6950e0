"""`newel create`, `drop`, `setup`, `fresh` and `reset`: what they do, ask and refuse."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_project import Project

from newel.database.connection import connect, quote_identifier
from newel.database.lock import migration_lock


@pytest.fixture
def administrator(project: Project) -> Iterator[Any]:
    """A cursor on another database of the server."""
    connection = connect(project.database.server.params("postgres"))
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


@pytest.fixture
def elsewhere(project: Project, administrator: Any) -> Iterator[str]:
    """The URL of a database that is not there, on the same server."""
    name = f"{project.database.name} ünder way"
    url = project.database.url.replace(f"/{project.database.name}?", f"/{name.replace(' ', '%20')}?")
    yield url
    administrator.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)")


def oid(project: Project, administrator: Any) -> int | None:
    administrator.execute("SELECT oid FROM pg_database WHERE datname = %s", (project.database.name,))
    row = administrator.fetchone()
    return row[0] if row else None


def test_create_makes_the_database_and_says_if_it_was_there(project: Project, elsewhere: str) -> None:
    made = project.newel("create", DATABASE_URL=elsewhere)
    assert (made.code, made.lines[-1].endswith(": created")) == (0, True), made.err
    again = project.newel("create", DATABASE_URL=elsewhere)
    assert (again.code, again.lines[-1].endswith(": there already")) == (0, True)
    assert project.newel("create", "--json").json["created"] is False
    assert project.newel("up", DATABASE_URL=elsewhere).code == 0
    assert project.newel("status", "--json", DATABASE_URL=elsewhere).json["label"] == "development"


def test_create_without_a_server_ends_with_3_and_without_permission_with_4(
    project: Project, administrator: Any, elsewhere: str
) -> None:
    assert project.newel("create", DATABASE_URL="postgresql://app@localhost:1/x").code == 3
    assert "no connection settings" in project.newel("create", "--env", "production", DATABASE_URL=None).err
    administrator.execute("CREATE ROLE nobody_creates LOGIN")
    try:
        refused = project.newel(
            "create", DATABASE_URL=elsewhere.replace("user=postgres", "user=nobody_creates")
        )
    finally:
        administrator.execute("DROP ROLE nobody_creates")
    assert refused.code == 4
    assert "permission denied to create database" in refused.err
    assert "CREATEDB" in refused.err


def test_drop_asks_and_drops(project: Project, administrator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.newel("up")
    before = oid(project, administrator)
    with project.nothing_changes():
        assert "no terminal to ask on" in project.newel("drop").err
        monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda _: True})())
        monkeypatch.setattr("builtins.input", lambda _: "y")
        refused = project.newel("drop")
        assert (refused.code, "not confirmed" in refused.err) == (4, True)
    assert "4 revisions applied" in refused.out
    assert "newel backup  keeps a copy first" in refused.out
    assert oid(project, administrator) == before
    monkeypatch.setattr("builtins.input", lambda _: project.database.name)
    done = project.newel("drop")
    assert (done.code, "Backups stay where they are" in done.out) == (0, True)
    assert oid(project, administrator) is None


def test_drop_of_what_is_not_there_says_so_and_ends_with_0(project: Project, elsewhere: str) -> None:
    for options in ({"DATABASE_URL": elsewhere}, {"DATABASE_URL": None}):
        done = project.newel("drop", **options)
        assert (done.code, "there is no database" in done.out) == (0, True), done.err
        assert project.newel("drop", "--json", **options).json["dropped"] is False


@pytest.mark.parametrize("command", ["drop", "fresh", "reset"])
def test_production_and_whoever_forbids_destruction_are_refused(
    project: Project, administrator: Any, command: str
) -> None:
    project.newel("up", MIGRATION_ENV="production")
    project.environments(
        development={"config": {"allow_destructive_operations": False}}, staging={}, production={}
    )
    before = oid(project, administrator)
    with project.nothing_changes():
        refused = project.newel(command, "--yes", MIGRATION_ENV="production")
        assert refused.code == 4
        assert "production" in refused.err
        refused = project.newel(command, "--yes")
        assert (refused.code, "allows no destructive operations" in refused.err) == (4, True)
    assert oid(project, administrator) == before


@pytest.mark.parametrize("command", ["drop", "fresh", "reset"])
def test_another_environments_database_and_an_unlabelled_one_are_refused(
    project: Project, administrator: Any, command: str
) -> None:
    before = oid(project, administrator)
    with project.nothing_changes():
        refused = project.newel(command, "--yes", MIGRATION_ENV=None)
        assert (refused.code, "was only assumed" in refused.err) == (1, True)
    project.newel("up", MIGRATION_ENV="staging")
    with project.nothing_changes():
        refused = project.newel(command, "--yes")
        assert (refused.code, "belongs to staging" in refused.err) == (1, True)
    assert oid(project, administrator) == before


@pytest.mark.parametrize("command", ["drop", "fresh"])
def test_a_run_under_way_is_not_dropped_from_under_itself(
    project: Project, administrator: Any, command: str
) -> None:
    project.newel("up")
    before = oid(project, administrator)
    running = connect(project.database.server.params(project.database.name))
    with migration_lock(running, 1, lambda _: None):
        refused = project.newel(command, "--yes")
    running.close()
    assert (refused.code, "a run is under way" in refused.err) == (1, True)
    assert oid(project, administrator) == before


def test_sessions_are_named_in_the_question_and_ended(project: Project, administrator: Any) -> None:
    project.newel("up")
    project.database.connect()
    assert "1 session on it will be ended" in project.newel("drop").err
    assert project.newel("drop", "--yes").code == 0
    assert oid(project, administrator) is None


@pytest.mark.parametrize("command", ["fresh", "reset"])
def test_what_the_run_would_refuse_is_refused_before_the_drop(
    project: Project, administrator: Any, command: str
) -> None:
    project.newel("up")
    before = oid(project, administrator)
    project.pair("000005", "broken", up="CREATE TABEL x ();\n")
    with project.nothing_changes():
        refused = project.newel(command, "--yes")
        assert (refused.code, "scripts" in refused.err or "000005_broken" in refused.err) == (1, True)
    project.stubs()
    with project.nothing_changes():
        refused = project.newel(command, "--yes")
        assert "000005_broken.up.sql:1:8" in refused.err
    project.pair("000005", "broken")
    project.environments(development={"config": {"require_approval": True}})
    with project.nothing_changes():
        refused = project.newel(command, "--yes")
        assert (refused.code, "asks for approval" in refused.err) == (4, True)
    assert oid(project, administrator) == before


def test_fresh_gives_an_empty_schema_in_a_database_with_its_owner_and_settings(
    project: Project, administrator: Any
) -> None:
    project.newel("up", "2")
    project.execute("INSERT INTO first VALUES (1); CREATE TABLE by_hand ()")
    administrator.execute(f"ALTER DATABASE {project.database.name} SET work_mem TO '8MB'")
    before = oid(project, administrator)
    done = project.newel("fresh", "--yes")
    assert done.code == 0, done.err
    assert "dropped and created again" in done.out
    assert "Applied 4 revisions" in done.out
    assert oid(project, administrator) != before
    assert project.rows("SELECT count(*) FROM first") == [(0,)]
    assert "by_hand" not in project.tables()
    assert project.rows("SHOW work_mem") == [("8MB",)]


def test_fresh_makes_what_is_not_there_without_a_question_in_one_document(
    project: Project, elsewhere: str
) -> None:
    told = project.newel("fresh", "--json", DATABASE_URL=elsewhere)
    assert told.code == 0, told.out
    assert (told.json["dropped"], told.json["created"]) == (False, True)
    assert [step["revision"] for step in told.json["steps"]] == ["000001", "000002", "000003", "000004"]


def test_a_run_that_fails_behind_the_drop_is_told_in_one_document(project: Project) -> None:
    project.pair("000005", "fails", up="SELECT 1 / 0;\n")
    project.stubs()
    told = project.newel("fresh", "--yes", "--json")
    assert told.code == 1
    assert told.json["dropped"] is True
    assert len(told.json["steps"]) == 4
    assert "division by zero" in told.json["error"]["what"]


def test_reset_is_for_development_alone(project: Project, administrator: Any) -> None:
    project.newel("up", MIGRATION_ENV="staging")
    before = oid(project, administrator)
    with project.nothing_changes():
        refused = project.newel("reset", "--yes", MIGRATION_ENV="staging")
    assert (refused.code, "for development alone" in refused.err) == (4, True)
    assert oid(project, administrator) == before


def test_setup_creates_applies_and_seeds_and_may_be_run_again(project: Project, elsewhere: str) -> None:
    project.write(
        "sql/seeds/base/010_first.sql", "INSERT INTO first SELECT 1 WHERE NOT EXISTS (SELECT FROM first);\n"
    )
    done = project.newel("setup", DATABASE_URL=elsewhere)
    assert done.code == 0, done.err
    assert ": created" in done.out
    assert "Applied 4 revisions" in done.out
    assert "010_first" in done.out
    again = project.newel("setup", "--json", DATABASE_URL=elsewhere)
    assert again.code == 0, again.out
    assert (again.json["created"], again.json["steps"], len(again.json["seeds"])) == (False, [], 1)


def test_reset_empties_and_seeds(project: Project) -> None:
    project.write("sql/seeds/base/010_first.sql", "INSERT INTO first VALUES (1);\n")
    project.newel("up")
    project.execute("INSERT INTO first VALUES (7), (8)")
    assert project.newel("reset", "--yes").code == 0
    assert project.rows("SELECT id FROM first") == [(1,)]


def test_a_seed_that_fails_is_told_in_the_one_document(project: Project) -> None:
    project.write("sql/seeds/base/010_first.sql", "INSERT INTO nowhere VALUES (1);\n")
    told = project.newel("reset", "--yes", "--json")
    assert told.code == 1
    assert len(told.json["steps"]) == 4
    assert "nowhere" in told.json["error"]["what"]


def test_setup_refuses_an_assumed_environment_before_it_creates_anything(
    project: Project, elsewhere: str, administrator: Any
) -> None:
    administrator.execute("SELECT count(*) FROM pg_database")
    before = administrator.fetchone()
    for command in ("setup", "fresh"):
        refused = project.newel(command, MIGRATION_ENV=None, DATABASE_URL=elsewhere)
        assert (refused.code, "was only assumed" in refused.err) == (1, True), command
    administrator.execute("SELECT count(*) FROM pg_database")
    assert administrator.fetchone() == before


def test_make_refuses_production_with_the_code_of_newel_and_yes_changes_nothing_about_it(
    project: Project, tmp_path: Path
) -> None:
    import subprocess

    from small_project import REPOSITORY

    program = tmp_path / "bin" / "newel"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m newel.cli.main "$@"\n')
    program.chmod(0o755)
    targets = REPOSITORY / "newel" / "project" / "new" / "skeleton" / "newel.mk"
    project.write("newel.mk", targets.read_bytes())
    project.write("Makefile", f"BIN = {program.parent}\nSTAMP =\ninclude newel.mk\n")
    project.newel("up", MIGRATION_ENV="production")
    for target in ("db-drop", "db-fresh", "db-reset-dev"):
        done = subprocess.run(
            ["make", target, "YES=1"],
            cwd=project.root,
            env=project.variables({"MIGRATION_ENV": "production"}),
            capture_output=True,
            text=True,
        )
        assert "Error 4" in done.stderr
    assert len(project.applied()) == 3


def test_what_a_person_was_asked_about_is_what_is_dropped(
    project: Project, administrator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.newel("up", MIGRATION_ENV="development").code == 0
    name, aside = project.database.name, f"{project.database.name}_aside"

    def answer(_: str) -> str:
        administrator.execute(f"ALTER DATABASE {name} RENAME TO {aside}")
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE {aside}")
        return name

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr("builtins.input", answer)
    try:
        refused = project.newel("drop")
        assert (refused.code, "is another database than the one that was looked at" in refused.err) == (
            1,
            True,
        )
        assert oid(project, administrator) is not None
    finally:
        administrator.execute(f"DROP DATABASE {aside} WITH (FORCE)")


def test_a_run_that_begins_while_somebody_is_asked_is_not_broken_off(
    project: Project, administrator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.newel("up")
    before = oid(project, administrator)
    runs = project.database.connect()  # a session that is there already, so that the question names one
    runs.autocommit = False
    held = migration_lock(runs, 0.0, lambda _: None)

    def answer(_: str) -> str:
        held.__enter__()
        return project.database.name

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr("builtins.input", answer)
    refused = project.newel("drop")
    assert (refused.code, "a run is under way" in refused.err) == (1, True), refused.err
    assert oid(project, administrator) == before
    held.__exit__(None, None, None)


def test_a_database_that_may_be_anothers_is_not_dropped(project: Project, administrator: Any) -> None:
    project.execute("CREATE TABLE somebody_elses (id int)")
    before = oid(project, administrator)
    for command in ("drop", "fresh", "reset"):
        refused = project.newel(command, "--yes")
        assert (refused.code, "it may be another service's" in refused.err) == (4, True), refused.err
    assert oid(project, administrator) == before
    url = project.database.url.replace(f"/{project.database.name}?", "/postgres?")
    refused = project.newel("drop", "--yes", DATABASE_URL=url)
    assert (refused.code, "the server's own database" in refused.err) == (4, True)


def test_what_others_have_put_into_public_is_not_run(project: Project, administrator: Any) -> None:
    administrator.execute(
        "CREATE FUNCTION public.lurks(oid, int) RETURNS bool LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'lurked'; END$$;"
        "CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = int, FUNCTION = public.lurks)"
    )
    try:
        assert project.newel("up").code == 0
        done = project.newel("drop", "--yes")
    finally:
        administrator.execute("DROP FUNCTION public.lurks CASCADE")
    assert done.code == 0, done.err


def test_a_database_that_a_drop_has_left_half_done_is_named_with_its_cure(
    project: Project, administrator: Any
) -> None:
    name = project.database.name
    administrator.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", (name,))
    refused = project.newel("drop", "--yes")
    assert (refused.code, f"dropdb {name}" in refused.err) == (1, True), refused.err


def test_a_backup_that_the_policy_asks_for_is_of_what_is_dropped(
    project: Project, administrator: Any
) -> None:
    project.newel("up")
    project.execute("INSERT INTO first VALUES (1)")
    project.environments(development={"config": {"backup_required": True}}, staging={}, production={})
    refused = project.newel("fresh", "--yes", BACKUP_DIR="/dev/null/backups")
    assert refused.code != 0
    assert project.rows("SELECT id FROM first") == [(1,)]
    done = project.newel("fresh", "--yes")
    assert done.code == 0, done.err
    [made] = (project.root / "backups").glob("*.dump")
    assert "-before-drop" in made.name
    assert f"newel restore {shlex.quote(str(made))} --env development" in done.lines
    assert project.newel("restore", str(made), "--yes").code == 0
    assert project.rows("SELECT id FROM first") == [(1,)]
