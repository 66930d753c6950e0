"""`newel status`, `log`, `history`, `stubs`, `validate`, `env set` and `server status`."""

from __future__ import annotations

import re
import subprocess
import sys

from small_project import Project


def test_status_shows_applied_pending_and_failed(project: Project) -> None:
    project.pair("000005", "broken", up="SELECT 1;\nSELECT nope;\n")
    project.pair("000006", "sixth")
    project.stubs()
    assert project.newel("up").code == 1
    with project.nothing_changes():
        shown = project.newel("status")
        told = project.newel("status", "--json").json
    assert shown.code == 0, shown.err
    states = {line.split()[0]: line for line in shown.lines if line.startswith("0000")}
    assert "applied" in states["000004"]
    assert "up failed" in states["000005"]
    assert "pending" in states["000006"]
    assert "4 revisions applied, 2 not" in shown.out
    assert "000005_broken.up.sql:2:8" in shown.out
    assert told["label"] == "development"
    assert told["version_rows"] == ["000003", "000004"]
    assert told["problem"] is None
    assert {row["revision"]: row["state"] for row in told["revisions"]} == {
        **dict.fromkeys(["000001", "000002", "000003", "000004"], "applied"),
        "000005": "up failed",
        "000006": "pending",
    }


def test_status_counts_stamped_revisions_as_applied(project: Project) -> None:
    project.newel("up", "1")
    assert project.alembic("stamp", "2").code == 0
    assert "2 revisions applied, 2 not" in project.newel("status").out


def test_status_creates_nothing_in_a_new_database(project: Project) -> None:
    with project.nothing_changes():
        for command in ("status", "log", "history", "validate"):
            assert project.newel(command).code == 0, command
    assert project.newel("status", "--json").json["label"] is None


def test_status_with_a_problem_is_still_one_json_document(project: Project) -> None:
    project.newel("up")
    told = project.newel("status", "--json", MIGRATION_ENV="production")
    assert told.code == 1
    assert "belongs to development" in told.json["problem"]


def test_status_does_not_call_another_environments_revision_missing_from_the_checkout(
    project: Project,
) -> None:
    project.newel("up")
    shown = project.newel("status", "--env", "production")
    assert "not in this checkout" not in shown.out
    assert "4 revisions applied" in shown.out


def test_log_shows_executions_newest_first(project: Project) -> None:
    project.newel("up", "2")
    project.newel("down")
    told = project.newel("log", "--json").json
    assert [(row["revision"], row["direction"], row["result"]) for row in told] == [
        ("000002", "down", "rolled back"),
        ("000002", "up", "applied"),
        ("000001", "up", "applied"),
    ]
    assert all(row["seconds"] >= 0 and row["environment"] == "development" for row in told)
    assert len(project.newel("log", "-n", "1", "--json").json) == 1
    first = project.newel("log").lines[1]
    assert "000002" in first
    assert "rolled back" in first


def test_log_of_nothing_says_so(project: Project) -> None:
    assert project.newel("log").out == "Nothing has been executed yet.\n"
    assert project.newel("log", "--json").json == []
    project.newel("up")
    assert project.newel("log", "-n", "0").out != "Nothing has been executed yet.\n"


def test_history_shows_every_branch_without_any_database(project: Project) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@localhost:1/nowhere"}
    shown = project.newel("history", **nowhere)
    told = project.newel("history", "--json", **nowhere).json
    assert shown.code == 0, shown.err
    assert [line.split()[0] for line in shown.lines[1:]] == ["000001", "000002", "000003", "000004"]
    assert told[2] == {
        "revision": "000003",
        "slug": "sample",
        "branch": "development",
        "down_revision": None,
        "depends_on": "000002",
        "environments": ["development"],
        "up": "sql/migrations/development/000003_sample.up.sql",
        "down": "sql/migrations/development/000003_sample.down.sql",
    }


def test_stubs_check_names_what_differs_and_stubs_mends_it(project: Project) -> None:
    project.write("alembic/versions/000002_second.py", "# edited by hand\n")
    (project.root / "alembic/versions/000004_fourth.py").unlink()
    with project.nothing_changes():
        found = project.newel("stubs", "--check")
        told = project.newel("stubs", "--check", "--json")
    assert found.code == told.code == 1
    assert "alembic/versions/000002_second.py:1" in found.out
    assert "alembic/versions/000004_fourth.py is missing" in found.out
    assert len(told.json["problems"]) == 2
    assert project.newel("stubs").code == 0
    assert project.newel("stubs", "--check", "--json").json == {"written": [], "removed": [], "problems": []}


def test_stubs_removes_a_script_it_derived_and_leaves_a_foreign_one_alone(project: Project) -> None:
    foreign = project.write("alembic/versions/by_hand.py", "x = 1\n")
    for direction in ("up", "down"):
        (project.root / f"sql/migrations/000004_fourth.{direction}.sql").unlink()
    done = project.newel("stubs")
    assert done.code == 1
    assert "removed  alembic/versions/000004_fourth.py" in done.out
    assert "alembic/versions/by_hand.py" in done.out
    assert foreign.read_text() == "x = 1\n"


def test_stubs_mends_a_script_that_is_no_text(project: Project) -> None:
    project.write("alembic/versions/000002_second.py", b"\xff\xfe")
    assert project.newel("stubs", "--check").code == 1
    assert project.newel("stubs").code == 0


def test_validate_finds_everything_at_once(project: Project) -> None:
    project.pair("000005", "broken", up="SELEC 1;\n", down="COMMIT;\n")
    project.pair("000006", "nobodys", folder="testing")
    project.write("alembic/versions/000001_first.py", "\n")
    project.newel("stubs")
    project.write("alembic/versions/000001_first.py", "\n")
    with project.nothing_changes():
        found = project.newel("validate", DATABASE_URL="postgresql://nobody@localhost:1/nowhere")
        told = project.newel("validate", "--json").json
    assert found.code == 1
    for words in (
        "sql/migrations/000005_broken.up.sql:1:1: error: syntax error",
        "sql/migrations/000005_broken.down.sql:1:1: error: COMMIT",
        "sql/migrations/testing/000006_nobodys.up.sql: error: no environment runs this revision",
        "alembic/versions/000001_first.py:1: error: differs",
        "4 errors",
    ):
        assert words in found.out
    assert {item["rule"] for item in told if item["severity"] == "error"} == {"syntax", "unlisted", "scripts"}


def test_validate_of_a_sound_project_ends_with_0(project: Project) -> None:
    shown = project.newel("validate")
    assert shown.code == 0
    assert shown.out == "4 revisions: 0 errors, 0 warnings\n"
    assert project.newel("validate", "--json").json == []


def test_env_set_labels_a_database(project: Project) -> None:
    assert project.newel("up", "2").code == 0
    done = project.newel("env", "set", "production", "--json")
    assert done.code == 0, done.err
    assert (done.json["was"], done.json["is"]) == ("development", "production")
    assert project.newel("status", "--env", "production").code == 0
    assert project.newel("up", "--env", "development").code == 1


def test_env_set_refuses_an_environment_that_does_not_run_what_is_applied(project: Project) -> None:
    project.newel("up")
    with project.nothing_changes():
        refused = project.newel("env", "set", "production")
    assert refused.code == 5
    assert "000003" in refused.err
    assert "git pull" not in refused.err  # the checkout is not behind: production does not run 000003
    assert "newel down" in refused.err


def test_server_status_tells_of_a_server_that_was_never_made(project: Project) -> None:
    with project.nothing_changes():
        shown = project.newel("server", "status")
        told = project.newel("server", "status", "--json").json
    assert shown.code == 0, shown.err
    assert told["running"] is False


def test_output_that_cannot_be_written_is_an_error_and_no_traceback(project: Project) -> None:
    for redirected, codes, said in (
        (">/dev/full", (1,), "cannot write the output"),
        (">&-", (0,), ""),
        ("| head -n 1", (0, 1), ""),  # whether the reader goes before the end is a race
    ):
        command = f'"{sys.executable}" -m newel.cli.main history --json {redirected}; exit ${{PIPESTATUS[0]}}'
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=project.root,
            env=project.variables({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in codes, done.stderr
        assert said in done.stderr
        assert not re.search("Traceback|Exception ignored", done.stderr)


def test_going_down_makes_no_server_and_no_database(project: Project) -> None:
    for arguments in (("down",), ("goto", "base")):
        with project.nothing_changes():
            refused = project.newel(*arguments, DATABASE_URL=None)
        assert (refused.code, "has no database yet" in refused.err) == (3, True), refused.err


def test_an_unknown_command_is_refused_with_the_nearest(project: Project) -> None:
    refused = project.newel("sttus")
    assert (refused.code, "there is no command `sttus`; did you mean status?" in refused.err) == (1, True)
    assert "newel --help lists them" in project.newel("xyzzy").err
