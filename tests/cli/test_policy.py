"""The policy of an environment, by the command line: refusals, approval on a terminal and off it, backups, windows."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_project import REPOSITORY, Project, Result, Role

from newel.project.files import read

CTRL_C, CTRL_D = "\x03", "\x04"
SECRET = "hunter2-Geheim"


@pytest.fixture
def production(empty_project: Project) -> Project:
    """Two revisions for production, whose policy each test writes."""
    project = empty_project
    project.environ["MIGRATION_ENV"] = "production"
    project.pair("000001", "first")
    project.pair("000002", "second")
    project.stubs()
    return project


def policy(project: Project, **config: Any) -> None:
    project.environments(development={}, production={"config": config})


def paste(project: Project, line: str) -> Result:
    """Run a command that was printed, in a shell without the variables that named the environment."""
    words = shlex.split(line)
    variables: dict[str, str | None] = {"MIGRATION_ENV": None}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    run = {"newel": project.newel_process, "alembic": project.alembic}[words[0]]
    return run(*words[1:], **variables)


def printed(text: str, program: str) -> str:
    """The one line of a message that runs a program."""
    [line] = [line for line in text.splitlines() if re.match(rf"  ([A-Z_]+=\S+ )?{program} ", line)]
    return line.strip()


def on_terminal(project: Project, answer: str | None, *arguments: str) -> Result:
    """Run newel on a terminal and type an answer when it asks; None expects no question."""
    ours, theirs = pty.openpty()

    def take_it() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job's children ignore it
        os.login_tty(theirs)

    process = subprocess.Popen(
        [sys.executable, "-m", "newel.cli.main", *arguments],
        cwd=project.root,
        env=project.variables({"TERM": "dumb"}),
        preexec_fn=take_it,
        close_fds=False,
    )
    os.close(theirs)
    shown, asked = b"", False
    try:
        while True:
            # A Ctrl-C between the prompt and the read behind it is lost, as in any program: a person presses it again.
            if select.select([ours], [], [], 1 if asked and answer == CTRL_C else None)[0]:
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # the other end is closed
                    break
                if asked or answer is None or b"Type yes" not in shown:
                    continue
            asked = True
            os.write(ours, str(answer).encode())
    finally:
        os.close(ours)
    assert asked == (answer is not None), shown
    return Result(process.wait(60), shown.decode().replace("\r\n", "\n"), "")


# What is refused


def test_a_destructive_statement_ends_with_4_and_its_place_and_plain_alembic_with_255(
    production: Project,
) -> None:
    policy(production, allow_destructive_operations=False)
    production.pair("000003", "third", up="SELECT 1;\n  DROP TABLE first;\n")
    production.stubs()
    with production.nothing_changes():
        refused = production.newel("up")
        script = production.newel("up", "--sql")
        plain = production.alembic("upgrade", "head")
    assert (refused.code, script.code, plain.code) == (4, 4, 255)
    for result in (refused, script, plain):
        said = result.out + result.err
        assert "sql/migrations/000003_third.up.sql:2:3: production does not allow destructive" in said
        assert "CREATE TABLE" not in result.out
    assert "`allow_destructive_operations` of `production` in env/environments.json" in refused.err


def test_warnings_are_shown_and_a_script_has_them_beside_it(production: Project) -> None:
    production.pair("000003", "third", up="-- nothing\n")
    production.stubs()
    words = "warning: sql/migrations/000003_third.up.sql:1: the up file holds no statement"
    script = production.newel("up", "--sql")
    assert script.code == 0
    assert words in script.err
    assert "warning" not in script.out
    done = production.newel("up")
    assert done.code == 0
    assert done.lines.count(words) == 1


def test_outside_the_window_a_run_ends_with_4_and_looking_is_not_refused(production: Project) -> None:
    now: datetime = production.rows("SELECT clock_timestamp() AT TIME ZONE 'Asia/Tokyo'")[0][0]
    window = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} Asia/Tokyo"
    policy(production, maintenance_window=window, maintenance_window_required=True)
    with production.nothing_changes():
        refused = production.newel("up")
        assert refused.code == 4
        assert f"in its maintenance window only, {window}; there it is" in refused.err
        assert production.alembic("upgrade", "head").code == 255
        for command in ("status", "log", "history"):
            assert production.newel(command).code == 0
        assert production.newel("up", "--sql").code == 0


@pytest.mark.parametrize(
    ("config", "place", "says"),
    [
        ({"maintenance_window": "Sat 25:00-04:00"}, "6:9", "`25:00` is no time here"),
        ({"maintenance_window": 7}, "6:9", "`maintenance_window` is 7; it takes a window such as"),
        ({"maintenance_window_required": True}, "6:9", "maintenance_window_required, but no"),
    ],
)
def test_a_bad_window_is_refused_with_its_place(
    production: Project, config: dict[str, Any], place: str, says: str
) -> None:
    production.environments(production={"config": config})
    text = (production.root / "env/environments.json").read_text().splitlines()
    line = next(number for number, words in enumerate(text, 1) if "maintenance" in words)
    column = text[line - 1].index('"') + 1
    refused = production.newel("status")
    assert refused.code == 1
    assert f"env/environments.json:{line}:{column}: " in refused.err
    assert says in refused.err


# Approval


def test_without_a_terminal_a_run_is_refused_and_the_printed_command_goes_on(production: Project) -> None:
    policy(production, require_approval=True)
    with production.nothing_changes():
        refused = production.newel_process("up", "1")
        assert refused.code == 4
        assert "production asks for approval, and nobody has approved 000001" in refused.err
        as_json = production.newel_process("up", "--json")
        assert as_json.code == 4
        assert as_json.json["error"]["exit_code"] == 4
        assert production.alembic("upgrade", "head").code == 255
    assert paste(production, printed(refused.err, "newel")).code == 0
    assert production.applied() == ["000001"]
    refused = production.alembic("upgrade", "head")
    assert paste(production, printed(refused.err, "alembic")).code == 0
    assert production.applied() == ["000001", "000002"]
    for command, applied in ((("down",), ["000001"]), (("goto", "base"), [])):
        refused = production.newel_process(*command)
        assert refused.code == 4
        assert paste(production, printed(refused.err, "newel")).code == 0
        assert production.applied() == applied


def test_a_printed_command_does_not_approve_another_file(production: Project) -> None:
    policy(production, require_approval=True)
    line = printed(production.newel_process("up").err, "newel")
    production.pair("000002", "second", up="CREATE TABLE surprise ();\n")
    with production.nothing_changes():
        refused = paste(production, line)
    assert refused.code == 4
    assert "it is another file than the one that was approved" in refused.err


def test_the_journal_and_the_log_hold_who_approved_which_file_and_how(production: Project) -> None:
    policy(production, require_approval=True)
    assert production.newel("up", "1", "--approve", "000001", LOGNAME="anna").code == 0
    assert production.alembic("-x", "approve=2", "upgrade", "head", LOGNAME="bert").code == 0
    newest, oldest = production.newel("log", "--json").json
    first, second = (
        read(production.root, f"sql/migrations/{name}.up.sql").checksum
        for name in ("000001_first", "000002_second")
    )
    assert oldest["approval"] == f"named beforehand, by anna, sha256 {first}"
    assert newest["approval"] == f"named beforehand, by bert, sha256 {second}"


def test_on_a_terminal_the_files_are_listed_and_yes_goes_on(production: Project) -> None:
    policy(production, require_approval=True)
    done = on_terminal(production, "yes\n", "up")
    assert done.code == 0, done.out
    for name in ("000001_first", "000002_second"):
        checksum = read(production.root, f"sql/migrations/{name}.up.sql").checksum
        assert f"  up    sql/migrations/{name}.up.sql  sha256 {checksum[:16]}" in done.out
    assert "production asks for approval. This run brings " in done.out
    assert f"{production.database.name} on " in done.out
    assert " to `head`:" in done.out
    assert production.applied() == ["000001", "000002"]
    assert production.newel("log", "--json").json[0]["approval"].startswith("typed yes, by ")
    assert "nothing to do" in on_terminal(production, None, "up").out


@pytest.mark.parametrize(
    ("answer", "code"),
    [("y\n", 4), ("YES\n", 4), ("yes, please\n", 4), ("\n", 4), (CTRL_D, 4), (CTRL_C, 130)],
)
def test_any_other_answer_runs_nothing(production: Project, answer: str, code: int) -> None:
    policy(production, require_approval=True)
    with production.nothing_changes():
        refused = on_terminal(production, answer, "up")
    assert refused.code == code
    assert "nothing was run" in refused.out
    assert "Traceback" not in refused.out


def test_a_rollback_says_what_it_loses_before_it_asks_and_counts_where_it_is_told_to(
    production: Project,
) -> None:
    assert production.newel("up").code == 0
    production.execute("INSERT INTO second SELECT generate_series(1, 1234)")
    policy(production, allow_destructive_operations=False)
    with production.nothing_changes():
        asked = on_terminal(production, "no\n", "down", "--count")
        plain = production.newel_process("down")
    assert asked.out.index("The rollback loses:\n  second: 1,234 rows\n") < asked.out.index("Type yes")
    assert "second: rows unknown" in plain.out
    assert plain.code == 4
    done = production.newel("down", "--count", "--json", "--approve", "2")
    assert done.code == 0
    assert done.json["losses"] == ["second: 1,234 rows"]
    policy(production)
    quiet = production.newel("down")
    assert quiet.code == 0
    assert "loses" not in quiet.out


# Backup


def test_a_backup_is_named_with_a_command_that_restores_it_when_it_is_pasted(
    production: Project, tmp_path: Path
) -> None:
    assert production.newel("up", "1").code == 0
    production.execute("INSERT INTO first VALUES (41), (42)")
    policy(production, backup_required=True)
    folder = tmp_path / "safe place"
    done = production.newel("down", BACKUP_DIR=str(folder))
    assert done.code == 0, done.err
    [dump] = folder.glob("*.dump")
    assert f"Backup: {dump}, " in done.out
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert production.tables() == set()
    line = done.out.split("To restore it:\n")[1].splitlines()[0]
    subprocess.run(line, shell=True, check=True, capture_output=True, env=production.variables({}))
    assert production.rows("SELECT * FROM first") == [(41,), (42,)]
    assert production.applied() == ["000001"]
    with production.nothing_changes():
        assert production.newel("up", "1").code == 0  # nothing to do


def test_plain_alembic_makes_a_backup_as_well(production: Project) -> None:
    policy(production, backup_required=True)
    done = production.alembic("upgrade", "head")
    assert done.code == 0, done.err
    [dump] = (production.root / "backups").glob("*.dump")
    assert f"Backup in {dump}, " in done.err
    assert "pg_restore" in done.err


def test_without_its_backup_a_run_does_nothing(production: Project) -> None:
    policy(production, backup_required=True)
    production.write("backups", "a file")
    with production.nothing_changes():
        refused = production.newel("up")
        assert production.alembic("upgrade", "head").code == 255
    assert refused.code == 1
    assert "the backup of " in refused.err


def test_a_backup_with_a_password_tells_it_nobody(
    production: Project, role: Callable[[str], Role], tmp_path: Path
) -> None:
    policy(production, backup_required=True)
    made = role(SECRET)
    production.execute(f"GRANT CREATE ON DATABASE {production.database.name} TO {made.name}")
    production.execute(f"GRANT CREATE ON SCHEMA public TO {made.name}")
    url = made.url()
    results = [
        production.newel("up", "1", DATABASE_URL=url),
        production.alembic("upgrade", "head", DATABASE_URL=url),
        production.newel("down", "--json", DATABASE_URL=url),
    ]
    for result in results:
        assert result.code == 0, result.err
        assert SECRET not in result.out + result.err
    assert results[2].json["backup"]["restore"]


# Taking back


@pytest.mark.parametrize("way", ["newel", "alembic"])
def test_a_failed_run_takes_back_what_it_had_applied_and_ends_as_the_failure_does(
    production: Project, way: str
) -> None:
    policy(production, auto_rollback_on_failure=True)
    assert production.newel("up", "1").code == 0
    production.pair("000003", "third", up="SELECT nope;\n")
    production.stubs()
    failed = production.newel("up") if way == "newel" else production.alembic("upgrade", "head")
    assert failed.code == (1 if way == "newel" else 255)
    assert "sql/migrations/000003_third.up.sql:1:8: " in failed.err
    assert "It has taken back 000002." in failed.err
    assert production.applied() == ["000001"]
    assert production.journal()[1:] == [
        ("000002", "up", "applied"),
        ("000003", "up", "failed"),
        ("000002", "down", "rolled back"),
    ]


# The project's own policy


def test_the_projects_own_revisions_go_up_and_down_in_staging_and_production(
    empty_project: Project, tmp_path: Path, new_database: Callable[..., Any]
) -> None:
    project = empty_project
    for folder in ("sql", "alembic", "env"):
        shutil.rmtree(project.root / folder, ignore_errors=True)
        shutil.copytree(
            REPOSITORY / folder, project.root / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    project.environ["MIGRATION_ENV"] = "production"
    refused = project.newel_process("up", "--env", "production")
    assert refused.code == 4
    done = paste(project, printed(refused.err, "newel"))
    assert done.code == 0, done.err
    assert "Backup: " in done.out
    assert len(project.applied()) == 8
    refused = project.newel_process("down")
    assert refused.code == 4
    assert (
        "The rollback loses:\n  user_service.user_contacts: 0 rows; contacts added or changed" in refused.out
    )
    assert paste(project, printed(refused.err, "newel")).code == 0
    assert "000009" not in project.applied()
    staging = {"MIGRATION_ENV": "staging", "DATABASE_URL": new_database().url}
    for command in ("up", "down"):
        done = project.newel(command, **staging)
        assert done.code == 0, done.err
        assert "Backup: " in done.out
    assert json.loads(project.newel("status", "--json", **staging).out)["problem"] is None
