"""`newel init`: what it says, and what it refuses without changing anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_project import REPOSITORY, STEERING, Result

from newel.cli.main import main
from newel.project.new import engine

Newel = Callable[..., Result]


@pytest.fixture
def newel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Newel:
    """Run the command in an empty folder, as a newel that came from a wheel."""
    wheel = tmp_path / "downloads" / "newel-0.2.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"a wheel")
    monkeypatch.setattr(engine, "origin", lambda: wheel)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> Result:
        code = main(arguments)
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return run


def test_it_says_what_was_made_and_what_to_do_next(newel: Newel):
    done = newel("init", "user service")
    assert (done.code, done.err) == (0, "")
    assert done.lines == [
        "Laid down 22 files in user service; the service's schema is user_service.",
        "",
        "Next:",
        "cd 'user service'",
        "git init",
        "make db-migrate-up",
        "make test",
    ]
    assert Path("user service/wheels/newel-0.2.0-py3-none-any.whl").read_bytes() == b"a wheel"


def test_json_has_the_files_the_schema_and_the_next_commands(newel: Newel):
    done = newel("init", "user-service", "--json")
    assert list(done.json) == ["directory", "schema", "files", "next"]
    assert done.json["directory"] == str(Path("user-service").resolve())
    assert done.json["schema"] == "user_service"
    assert [name for name in done.json["files"] if not Path("user-service", name).is_file()] == []
    assert done.json["next"] == ["cd user-service", "git init", "make db-migrate-up", "make test"]


def test_a_repository_is_not_made_where_there_is_one_and_no_cd_said_in_the_folder_itself(newel: Newel):
    Path(".git").mkdir()
    Path("service").mkdir()
    assert "git init" not in newel("init", "service").lines
    Path("other").mkdir()
    os.chdir("other")
    assert newel("init", ".").lines[-3:] == ["Next:", "make db-migrate-up", "make test"]


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("full-service", "full-service is not empty: it has a, b, c and 2 more"),
        ("full-service/a", "a is there already, and is no folder"),
        ("full-service/a/service", "a is a file, so there can be no folder"),
        ("new/select", "`select` is a keyword of SQL"),
        ("new/2nd", "Take another name for the folder, such as  nd"),
        ("circle/service", "names no folder"),
        ("~nobody-of-that-name/service", "names no folder"),
        ("x" * 300, "PostgreSQL cuts a name behind 63 characters"),
        (f"{'x' * 300}/service", "File name too long"),
        ("", "the folder of the new project is missing\nFor make:  make db-init DIR=../my-service"),
    ],
)
def test_a_folder_that_will_not_do_is_refused_and_nothing_changes(newel: Newel, folder: str, words: str):
    Path("full-service").mkdir()
    for name in "abcde":
        Path("full-service", name).write_text(name)
    Path("circle").symlink_to("circle")
    before = sorted(Path.cwd().rglob("*"))
    done = newel("init", "--", folder)
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert sorted(Path.cwd().rglob("*")) == before
    assert Path("full-service", "a").read_text() == "a"


def test_a_wheel_that_is_gone_is_a_missing_file(newel: Newel, tmp_path: Path):
    engine.origin().unlink()
    done = newel("init", "service")
    assert (done.code, list(Path.cwd().iterdir())) == (2, [])
    assert "is not there any more\nInstall it again" in done.err


UNPRIVILEGED = 65534


def test_a_parent_that_nobody_may_write_to_is_a_question_of_permission(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o000)
    program = f"""
import os, sys
if os.geteuid() == 0:
    from newel.cli import main
    from newel.cli.commands import init
    from newel.project.new import engine, layout
    from newel.project.sql import parser
    parser.spans(b"SELECT 1")
    os.setgid({UNPRIVILEGED}); os.setuid({UNPRIVILEGED})
from newel.cli.main import main
from newel.project.new import engine
engine.origin = lambda: "newel==0.2.0"
for folder in ("closed/service", "closed/new/service", "sealed/service"):
    print(main(["init", folder]))
"""
    open_to_all(tmp_path)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    sealed.chmod(0o700)
    assert done.stdout.split() == ["4", "4", "4"], done.stderr
    assert done.stderr.count("error: cannot make the project in ") == 3
    assert done.stderr.count("Permission denied") == 3
    assert list(closed.iterdir()) == []


def open_to_all(folder: Path) -> None:
    """Let another user pass through pytest's folders, which are root's alone."""
    if os.geteuid() == 0:
        for above in (folder, *folder.parents):
            if above.name.startswith(("pytest-", "test_")) or above == folder:
                above.chmod(0o755)
