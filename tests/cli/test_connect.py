"""`newel connect` becomes psql: its input, its exit code, and no secret among its arguments."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_project import Project, Result, Role

from newel.cli.commands.connect import invocation


def connect(project: Project, script: str, *arguments: str, **environ: str | None) -> Result:
    """Run newel connect with a script as its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "newel.cli.main", "connect", *arguments],
        cwd=project.root,
        env=project.variables({"PATH": _path(project), **environ}),
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def _path(project: Project) -> str:
    assert project.database.psql, "the server for the tests comes with psql"
    return f"{project.database.psql.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def recorder(tmp_path: Path) -> tuple[str, Callable[[], Any]]:
    """A folder for the PATH with a psql that writes down how it was started, and a function that reads it."""
    folder, record = tmp_path / "bin", tmp_path / "record.json"
    folder.mkdir()
    program, script = folder / "psql", tmp_path / "psql.py"
    script.write_text(
        "import json, os, sys\n"
        f"json.dump([sys.argv, dict(os.environ)], open({str(record)!r}, 'w'))\nraise SystemExit(7)\n"
    )
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder), lambda: json.loads(record.read_text())


def test_a_script_is_read_from_standard_input_and_the_exit_code_is_psqls(project: Project) -> None:
    done = connect(project, "\\pset format unaligned\nSELECT 6 * 7 AS answer;\n")
    assert (done.code, done.err) == (0, "")
    assert "answer\n42\n" in done.out
    failed = connect(project, "\\set ON_ERROR_STOP on\nSELECT 1 / 0;\n")
    assert failed.code == 3
    assert "division by zero" in failed.err


def test_psql_has_the_search_path_of_the_environment_behind_what_the_user_set(project: Project) -> None:
    project.environments(development={"search_path": ["app, one", 'quo"te\\d', "public"]})
    done = connect(
        project,
        "\\pset format unaligned\n\\pset tuples_only on\nSHOW search_path;\nSHOW work_mem;\n",
        PGOPTIONS="-c work_mem=5MB",
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2:] == ['"app, one","quo""te\\d","public"', "5MB"]


def test_options_of_the_url_keep_their_effect_beside_the_search_path() -> None:
    [argument], environ = invocation({"dbname": "d", "options": "-c work_mem=5MB"}, ("app",), {"HOME": "/x"})
    assert argument == "dbname=d options='-c work_mem=5MB -csearch_path=\"app\"'"
    assert environ == {"HOME": "/x"}


def test_the_password_is_in_psqls_environment_and_not_among_its_arguments(
    project: Project, role: Callable[[str], Role], recorder: tuple[str, Callable[[], Any]]
) -> None:
    made = role("s3cr@t")
    folder, record = recorder
    done = connect(project, "", DATABASE_URL=made.url(), PATH=folder, NEWEL_PG_BIN=None)
    assert done.code == 7
    arguments, environ = record()
    assert environ["PGPASSWORD"] == "s3cr@t"
    assert "s3cr@t" not in " ".join(arguments)
    assert f"user={made.name}" in arguments[1]
    real = connect(project, "SELECT current_user;\n", DATABASE_URL=made.url())
    assert made.name in real.out


def test_the_password_of_a_client_key_is_not_among_the_arguments_either() -> None:
    params = {"dbname": "d", "password": "hunter2", "sslpassword": "hunter3"}
    arguments, environ = invocation(params, (), {})
    assert arguments == ["dbname=d"]
    assert environ == {"PGPASSWORD": "hunter2"}


def test_json_says_how_the_database_is_reached_and_starts_nothing(
    project: Project, role: Callable[[str], Role], recorder: tuple[str, Callable[[], Any]]
) -> None:
    made = role("s3cr@t")
    folder, _ = recorder
    with project.nothing_changes():
        told = connect(project, "", "--json", DATABASE_URL=made.url(), PATH=folder, NEWEL_PG_BIN=None)
    assert told.code == 0, told.err
    assert told.json["parameters"]["user"] == made.name
    assert told.json["psql"] == f"{folder}/psql"
    assert "s3cr@t" not in told.out


def test_without_a_password_at_hand_psql_asks_for_it(
    project: Project, role: Callable[[str], Role], recorder: tuple[str, Callable[[], Any]]
) -> None:
    made = role("s3cr@t")
    folder, _ = recorder
    url = made.url().replace(":s3cr%40t@", "@")
    assert connect(project, "", DATABASE_URL=url, PATH=folder, NEWEL_PG_BIN=None).code == 7
    refused = connect(project, "", DATABASE_URL=made.url(password="another"), PATH=folder, NEWEL_PG_BIN=None)
    assert refused.code == 4
    assert "password authentication failed" in refused.err


def test_a_note_says_whose_database_it_is_before_psql_begins(project: Project) -> None:
    assert project.newel("up", MIGRATION_ENV="production").code == 0
    done = connect(project, "SELECT 1;\n")
    assert done.code == 0
    assert done.err == "note: the database belongs to production, but this command is for development\n"


def test_without_psql_newel_says_how_to_get_it(project: Project, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("newel.database.embedded.binaries.candidates", lambda _: iter(()))
    refused = project.newel("connect", PATH=str(tmp_path), NEWEL_PG_BIN=None)
    assert refused.code == 2
    assert refused.err.startswith(
        "error: there is no psql: not on the PATH, nor beside a server's programs\n"
    )
    assert "NEWEL_PG_BIN" in refused.err
