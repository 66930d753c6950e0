"""`newel drift`: exit codes, what is printed, and that the live database is only read."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_project import Project

from newel.database.embedded import binaries
from newel.errors import FileMissing


def another_major(major: int) -> Path:
    """The programs of a PostgreSQL of another major version; without one the test is skipped."""
    for other in range(binaries.MINIMUM_MAJOR, major + 10):
        try:
            found = binaries.find_major({}, other)
        except FileMissing:
            continue
        if other != major:
            return found.folder
    pytest.skip("there is one major version of PostgreSQL here")


def test_a_database_as_it_should_be_gives_one_line_and_0(project: Project) -> None:
    project.newel("up")
    with project.nothing_changes():
        shown = project.newel("drift", MIGRATION_ENV=None)
    assert (shown.code, shown.err) == (0, "")
    (line,) = shown.lines
    assert line.startswith("development: ")
    assert line.endswith("has the schema of its 4 applied revisions")


def test_a_change_by_hand_is_shown_with_what_to_do_and_gives_1(project: Project) -> None:
    project.newel("up")
    project.execute(
        "ALTER TABLE first ALTER id SET DEFAULT 1; CREATE TABLE by_hand (id integer); DROP TABLE sample"
    )
    with project.nothing_changes():
        shown = project.newel("drift")
    assert (shown.code, shown.err) == (1, "")
    assert shown.lines[1:] == [
        "3 differences from the schema of its 4 applied revisions",
        "+ only in the live database   - missing from it   ~ differs (expected, live)",
        "",
        "~ column public.first.id: `integer` became `integer default 1`",
        "- table public.sample is missing, with 1 column",
        "+ table public.by_hand is new, with 1 column",
        "",
        "Put each change into a revision, or undo it by hand. Rows were not compared.",
    ]
    told = project.newel("drift", "--json")
    assert told.code == 1
    assert told.json["applied"] == ["000001", "000002", "000003", "000004"]
    assert told.json["same_major"] is True
    assert told.json["notes"] == []
    assert {
        "change": "differs",
        "kind": "column",
        "identity": "public.first.id",
        "expected": "integer",
        "live": "integer default 1",
    } in told.json["differences"]
    changes = {(row["change"], row["kind"], row["identity"]) for row in told.json["differences"]}
    assert ("missing", "table", "public.sample") in changes
    assert ("only in live", "table", "public.by_hand") in changes


def test_a_database_that_newel_never_saw_is_left_without_its_schema(project: Project) -> None:
    project.execute("CREATE TABLE somebody_elses (id integer)")
    with project.nothing_changes():
        shown = project.newel("drift", MIGRATION_ENV=None)
    assert shown.code == 1
    assert "1 difference from the schema of its 0 applied revisions" in shown.out
    assert "+ table public.somebody_elses is new" in shown.out


def test_a_throwaway_server_of_another_major_version_is_said(project: Project) -> None:
    project.newel("up")
    live = project.database.server.binaries
    folder = str(another_major(live.major))
    shown = project.newel("drift", NEWEL_PG_BIN=folder)
    assert shown.lines[0].startswith(
        f"note: the live server is PostgreSQL {live.version}, the throwaway one "
    )
    told = project.newel("drift", "--json", NEWEL_PG_BIN=folder).json
    assert told["same_major"] is False
    assert told["live_version"] == live.version
    assert told["throwaway_version"] != live.version
    assert len(told["notes"]) == 1


def test_a_database_of_another_environment_is_refused(project: Project) -> None:
    project.newel("up")
    refused = project.newel("drift", "--env", "production")
    assert refused.code == 1
    assert "belongs to development" in refused.err
    assert "error" in project.newel("drift", "--json", "--env", "production").json


def test_a_project_without_a_database_is_told_to_make_one(project: Project) -> None:
    refused = project.newel("drift", DATABASE_URL=None)
    assert refused.code == 3
    assert "newel up" in refused.err


def test_no_password_of_a_function_body_is_shown(project: Project) -> None:
    project.newel("up")
    body = "SELECT 'host=db password=s3cret user=app'"
    project.execute(f"CREATE FUNCTION connection() RETURNS text LANGUAGE sql AS $$ {body} $$")
    shown = project.newel("drift")
    assert "function public.connection()" in shown.out
    assert "s3cret" not in shown.out
    assert "s3cret" not in project.newel("drift", "--json").out


def test_help_says_that_rows_are_not_compared(project: Project) -> None:
    assert "Compares no rows" in " ".join(project.newel("drift", "--help").out.split())
