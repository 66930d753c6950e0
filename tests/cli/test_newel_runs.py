"""`newel up`, `down` and `goto`: targets, output, --json, and what a failure says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from small_project import Project, Result

ALL = ["000001", "000002", "000003", "000004"]


def test_up_applies_everything_in_order_of_work(project: Project) -> None:
    assert project.newel("up").code == 0
    assert project.applied() == ALL
    assert project.tables() == {"first", "second", "sample", "fourth"}


def test_up_with_nothing_pending_says_so_and_ends_well(project: Project) -> None:
    project.newel("up")
    with project.nothing_changes():
        again = project.newel("up")
    assert again.code == 0
    assert "nothing to do" in again.out


def test_an_empty_project_is_no_error(empty_project: Project) -> None:
    for command in ("up", "status", "history", "log", "validate", "stubs"):
        assert empty_project.newel(command).code == 0, command


def test_up_goes_to_its_target(project: Project) -> None:
    for target, applied in (
        ("1", ALL[:1]),
        ("+1", ALL[:2]),
        ("000002_second", ALL[:2]),
        ("development@head", ALL[:3]),
        ("1", ALL[:3]),  # an upgrade never takes anything back
        ("head", ALL),
    ):
        done = project.newel("up", target)
        assert done.code == 0, done.err
        assert project.applied() == applied


def test_down_takes_back_one_step_the_last_applied(project: Project) -> None:
    project.newel("up")
    done = project.newel("down")
    assert done.code == 0, done.err
    assert project.applied() == ALL[:3]
    assert "fourth" not in project.tables()


def test_down_goes_to_its_target(project: Project) -> None:
    project.newel("up")
    for target, applied in (
        ("4", ALL),
        ("development@base", ["000001", "000002", "000004"]),
        ("-1", ALL[:2]),
        ("000001", ALL[:1]),
        ("base", []),
    ):
        done = project.newel("down", target)
        assert done.code == 0, done.err
        assert project.applied() == applied
    project.newel("up")
    assert project.newel("down", "-3").code == 0
    assert project.applied() == ALL[:1]


def test_goto_goes_up_and_down(project: Project) -> None:
    for target, applied in (("2", ALL[:2]), ("000004", ALL), ("1", ALL[:1])):
        done = project.newel("goto", target)
        assert done.code == 0, done.err
        assert project.applied() == applied


def test_a_target_is_never_matched_by_prefix_or_half(project: Project) -> None:
    taken = []
    with project.nothing_changes():
        for target in (
            "00000",
            "0000",
            "0",
            "12",
            "second",
            "0000001",
            "00000x",
            "x@head",
            "",
            "development",
        ):
            if project.newel("goto", target).code != 1:
                taken.append(target)
    assert taken == []


@pytest.mark.parametrize("target", ["000001_fir", "000002_first", "٢"])
def test_a_slug_or_digit_that_is_not_the_revisions_own_is_refused(project: Project, target: str) -> None:
    assert project.newel("up", target).code == 1
    assert project.applied() == []


def test_an_unknown_revision_is_answered_with_where_to_look(project: Project) -> None:
    refused = project.newel("up", "seventh")
    assert refused.code == 1
    assert "there is no revision `seventh`" in refused.err
    assert "newel history" in refused.err
    assert "there are none" not in refused.err


def test_a_step_count_that_goes_too_far_or_the_wrong_way_is_refused(project: Project) -> None:
    project.newel("up", "2")
    with project.nothing_changes():
        for arguments, words in (
            (("up", "+9"), "+9 goes beyond the head"),
            (("down", "-9"), "-9 goes below the base"),
            (("up", "-1"), "- for downgrades"),
            (("down", "+1"), "+ is for upgrades"),
        ):
            refused = project.newel(*arguments)
            assert refused.code == 1
            assert words in refused.err


def test_a_usage_error_ends_with_1_and_names_what_is_wrong(project: Project) -> None:
    for arguments in (
        (),
        ("upp",),
        ("up", "--prodution"),
        ("goto",),
        ("log", "-n", "x"),
        ("env", "get", "x"),
    ):
        refused = project.newel(*arguments)
        assert refused.code == 1, arguments
        assert refused.out == ""
        assert "error: " in refused.err


def test_a_negative_limit_of_log_is_a_usage_error(project: Project) -> None:
    project.newel("up", "1")
    assert project.newel("log", "-n", "-5").code == 1


def test_an_option_is_not_guessed_from_its_beginning(project: Project) -> None:
    assert project.newel("status", "--en", "production").code == 1


def test_json_of_a_run_tells_each_step(project: Project) -> None:
    project.pair(
        "000005", "noisy", up="DO $$ BEGIN RAISE NOTICE '100 %% of :name'; END $$;\n", down="SELECT 1;\n"
    )
    project.stubs()
    project.newel("up", "4")
    done = project.newel("up", "--json").json
    assert done["environment"] == "development"
    assert [(step["revision"], step["slug"], step["direction"]) for step in done["steps"]] == [
        ("000005", "noisy", "up")
    ]
    assert done["steps"][0]["notices"] == ["NOTICE:  100 % of :name"]
    assert done["steps"][0]["seconds"] > 0
    assert project.newel("up", "--json").json["steps"] == []


def test_json_of_an_error_is_one_document_with_place_and_exit_code(project: Project) -> None:
    project.pair("000005", "broken", up="SELECT 1;\nSELECT nope;\n")
    project.stubs()
    refused = project.newel("up", "--json")
    error = refused.json["error"]
    assert refused.code == error["exit_code"] == 1
    assert (error["file"], error["line"], error["column"]) == ("sql/migrations/000005_broken.up.sql", 2, 8)
    assert "42703" in error["what"]
    assert "000001, 000002, 000003, 000004" in error["cure"]


def test_config_names_a_project_elsewhere(project: Project) -> None:
    root, project.root = project.root, project.root.parent
    done = project.newel("up", "--config", f"{root}/alembic.ini")
    assert done.code == 0, done.err
    assert project.newel("up").code == 2  # none here


def test_env_chooses_the_environment_over_the_variable(project: Project) -> None:
    assert project.newel("up", "--env", "production", MIGRATION_ENV="staging").code == 0
    assert project.tables() == {"first", "second", "fourth"}
    assert project.newel("status", "--env", "production", "--json").json["label"] == "production"


def test_output_in_a_pipe_is_one_line_a_revision_with_notices_under_it_and_a_summary(
    project: Project,
) -> None:
    project.pair("000005", "noisy", up="DO $$ BEGIN RAISE NOTICE 'half way'; END $$;\n")
    project.stubs()
    done = project.newel_process("up")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "\033" not in done.out
    assert "\r" not in done.out
    lines = done.lines
    assert lines[0].startswith("development: ")
    for line, name in zip(lines[1:6], ("first", "second", "sample", "fourth", "noisy"), strict=True):
        assert re.fullmatch(rf"up +00000\d +{name} +\d+(\.\d)? m?s", line)
    assert lines[6] == "NOTICE:  half way"
    assert re.fullmatch(r"Applied 5 revisions in .+", lines[7])
    assert len(lines) == 8


def test_a_failure_says_where_and_what_was_applied_before_it(project: Project) -> None:
    project.pair(
        "000005", "broken", up="CREATE TABLE half (id integer);\nINSERT INTO half\nVALUES (1 / 0);\n"
    )
    project.stubs()
    failed = project.newel("up")
    assert failed.code == 1
    assert "sql/migrations/000005_broken.up.sql:2:1: division by zero (22012)" in failed.err
    assert "     2 | INSERT INTO half\n       | ^\n" in failed.err
    assert "000005_broken was rolled back whole." in failed.err
    assert "applied 000001, 000002, 000003, 000004; that stays" in failed.err
    assert [line.split()[1] for line in failed.lines if line.startswith("up ")] == ALL


def test_after_a_failure_the_same_command_finishes_the_work(project: Project) -> None:
    project.pair("000005", "fifth", up="SELECT nope;\n")
    project.stubs()
    assert project.newel("up").code == 1
    project.pair("000005", "fifth")
    assert project.newel("up").code == 0
    assert project.applied() == [*ALL, "000005"]
    assert [row for row in project.journal() if row[0] == "000005"] == [
        ("000005", "up", "failed"),
        ("000005", "up", "applied"),
    ]


def test_a_script_is_not_printed_by_an_env_py_that_is_not_newels(project: Project) -> None:
    project.write("alembic/env.py", "from alembic import context  # somebody else's\n")
    refused = project.newel("up", "--sql")
    assert refused.code != 0
    assert "alembic/env.py" in refused.err


def test_an_env_py_that_is_missing_or_not_newels_is_found_by_validate(project: Project) -> None:
    project.write("alembic/env.py", "from alembic import context  # somebody else's\n")
    assert "alembic/env.py" in project.newel("validate").out
    (project.root / "alembic/env.py").unlink()
    refused = project.newel("validate")
    assert (refused.code, "alembic/env.py" in refused.out) == (2, True)
    assert project.newel("up", "--sql").code == 2


def test_a_failure_tells_a_machine_what_was_done_before_it(project: Project) -> None:
    project.pair("000005", "broken", up="SELECT 1/0;")
    project.stubs()
    told = project.newel("up", "--json")
    assert told.code == 1
    assert [step["revision"] for step in told.json["steps"]] == ["000001", "000002", "000003", "000004"]
    assert told.json["error"]["file"] == "sql/migrations/000005_broken.up.sql"
    assert told.json["error"]["line"] == 1


def _steps(result: Result) -> list[str]:
    return [line.split()[1] for line in result.lines if line.startswith(("up ", "down "))]


def test_another_run_is_waited_for_and_named_once_the_time_is_up(project: Project) -> None:
    from newel.database.lock import KEY

    project.newel("up", "2")
    project.write(
        "env/environments.json",
        '{"environments": {"development": {}}, "migration_locking": {"timeout_seconds": 0.1}}',
    )
    holder = project.database.connect()
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        with project.nothing_changes():
            refused = project.newel("up")
        in_json = project.newel("env", "set", "development", "--json")
    pid = holder.info.backend_pid
    assert refused.code == 1
    assert f"pid {pid}" in refused.out
    assert f"pid {pid}" in refused.err
    assert "pg_terminate_backend" in refused.err
    assert f"pid {pid}" in in_json.json["error"]["what"]
    assert _steps(refused) == []


def test_a_run_with_nothing_pending_does_not_wait_for_another(project: Project) -> None:
    from newel.database.lock import KEY

    project.newel("up")
    with project.database.connect().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        assert project.newel("up").code == 0


def test_an_interrupted_run_stops_after_the_statement_and_says_what_stays(project: Project) -> None:
    project.newel("up", "1")
    project.pair(
        "000002", "second", up="CREATE TABLE second ();\nLOCK TABLE first;\nCREATE TABLE third ();\n"
    )
    holder = project.database.connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE first")
    run = project.start("up")
    while not project.rows("SELECT FROM pg_locks WHERE NOT granted") and run.poll() is None:
        pass
    run.send_signal(signal.SIGINT)
    holder.rollback()
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130
    assert project.tables() == {"first"}
    assert project.applied() == ["000001"]
    assert project.journal()[-1] == ("000002", "up", "failed")
    assert "interrupted" in said
    assert "000002_second was rolled back whole." in said
    assert project.newel("up").code == 0


def test_a_reader_that_has_gone_ends_no_run_half_way(project: Project) -> None:
    run = project.start("up")
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait(timeout=30) == 0, run.stderr and run.stderr.read()
    assert project.applied() == ALL


def test_an_error_stands_behind_what_was_said_before_it(project: Project) -> None:
    project.newel("up", "1")
    project.write("sql/migrations/000001_first.up.sql", "CREATE TABLE other ();\n")
    both = subprocess.run(
        [sys.executable, "-m", "newel.cli.main", "up"],
        cwd=project.root,
        env=project.variables({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout
    assert both.index("development: ") < both.index("error: ")


@pytest.mark.parametrize("nonsense", ["nonsense", "1,x", "1@12"])
def test_an_approval_that_is_none_is_refused_also_with_nothing_to_do(project: Project, nonsense: str) -> None:
    project.newel("up")
    refused = project.newel("up", "--approve", nonsense)
    assert refused.code == 1
    assert "is no approval" in refused.err
