"""A new project: its schema's name, what it holds, and that it comes into its folder whole or not at all."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.errors import NewelError
from newel.project.new import engine, layout
from newel.project.sql.parser import spans
from newel.validate.project import validate_project

REQUIREMENT = "newel==0.2.0"


def lay_down(target: Path, source: Path | str = REQUIREMENT) -> tuple[str, ...]:
    return layout.lay_down(target, source, date(2026, 11, 26))


def picture(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the contents of the files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    ("folder", "schema"),
    [
        ("user-service", "user_service"),
        ("User Service", "user_service"),
        ("billing.v2", "billing_v2"),
        ("orders", "orders"),
        ("_internal", "_internal"),
        ("x" * 63, "x" * 63),
    ],
)
def test_the_schema_has_the_folders_name(folder, schema):
    assert layout.schema_name(folder) == schema


@pytest.mark.parametrize(
    ("folder", "reason", "example"),
    [
        ("2nd-service", "`2nd_service` is no identifier", "nd-service"),
        ("o'brien", "`o'brien` is no identifier", "o-brien"),
        ("Über-dienst", "`über_dienst` is no identifier", "uber-dienst"),
        ("", "`` is no identifier", "user-service"),
        ("日本", "is no identifier", "user-service"),
        ("select", "`select` is a keyword of SQL", "select-service"),
        ("User", "`user` is a keyword of SQL", "user-service"),
        ("left", "`left` is a keyword of SQL", "left-service"),
        ("pg-tools", "names that begin with pg_", "tools"),
        ("public", "there is a schema `public` already", "public-service"),
        ("newel", "there is a schema `newel` already", "newel-service"),
        ("x" * 64, "cuts a name behind 63 characters; this one has 64", "user-service"),
    ],
)
def test_a_name_that_gives_no_schema_is_refused_with_one_that_does(folder, reason, example):
    with pytest.raises(NewelError) as refused:
        layout.schema_name(folder)
    assert reason in refused.value.what
    assert refused.value.cure.endswith(f"  {example}")
    assert layout.schema_name(example)


@given(st.text(max_size=70))
def test_a_name_is_a_schema_that_needs_no_quotes_or_is_refused_with_one_that_is(folder):
    try:
        name = layout.schema_name(folder)
    except NewelError as refused:
        name = layout.schema_name(refused.cure.rpartition("  ")[2])
    assert re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name)
    assert len(spans(f"CREATE SCHEMA {name}; SELECT * FROM {name}.t".encode())) == 2


def test_a_new_project_is_found_sound_and_has_no_placeholder_left(tmp_path):
    files = lay_down(tmp_path / "user service")
    root = tmp_path / "user service"
    assert validate_project(root) == []
    assert set(files) == {path for path, text in picture(root).items() if text is not None}
    assert {".gitignore", "alembic/versions/000001_create_settings.py"} < set(files)
    assert [path for path in files if path.endswith(".in") or "{{" in (root / path).read_text()] == []
    assert (
        "CREATE SCHEMA user_service;" in (root / "sql/migrations/000001_create_settings.up.sql").read_text()
    )
    assert "-- Created: 2026-11-26\n" in (root / "sql/migrations/000001_create_settings.up.sql").read_text()
    assert (root / "requirements.txt").read_text().endswith(f"\n{REQUIREMENT}\n")


def test_the_python_of_a_new_project_is_as_clean_as_this_projects(tmp_path, project_root):
    lay_down(tmp_path / "service")
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--config", project_root / "pyproject.toml", "."],
            cwd=tmp_path / "service",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_folders_of_a_new_project_are_open_to_others_as_the_umask_says(tmp_path):
    (tmp_path / "plain").mkdir()
    lay_down(tmp_path / "service")
    assert (tmp_path / "service").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_folders_above_are_made(tmp_path):
    lay_down(tmp_path / "some" / "where" / "service")
    assert [path.name for path in tmp_path.iterdir()] == ["some"]
    assert [path.name for path in (tmp_path / "some" / "where").iterdir()] == ["service"]


@pytest.mark.parametrize("inside", [None, ".git"])
def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path, inside):
    target = tmp_path / "service"
    target.mkdir()
    if inside:
        (target / inside).mkdir()
    before = target.stat().st_ino
    files = lay_down(target)
    assert target.stat().st_ino == before
    assert {path.split("/")[0] for path in files} == {item.name for item in target.iterdir()} - {inside}


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_leaves_everything_as_it_was(tmp_path, there):
    target = tmp_path / "some" / "service"
    if there:
        target.mkdir(parents=True)
    before = picture(tmp_path)
    with pytest.raises(NewelError, match="is not there any more"):
        lay_down(target, tmp_path / "gone")
    assert picture(tmp_path) == before


@pytest.mark.parametrize("name", ["alembic", "sql"])
def test_what_something_else_makes_meanwhile_is_kept_and_nothing_added(tmp_path, monkeypatch, name):
    target = tmp_path / "service"
    target.mkdir()

    def put_wheel(source: Path, folder: Path) -> str:
        (target / name).write_text("mine")
        return "newel.whl"

    monkeypatch.setattr(engine, "put_wheel", put_wheel)
    with pytest.raises(NewelError, match="made meanwhile"):
        lay_down(target, tmp_path)
    assert picture(target) == {name: b"mine"}


def lines(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}


SKELETON = Path(layout.__file__).with_name("skeleton")


@pytest.mark.parametrize(
    "path", ["alembic.ini", "alembic/env.py", "env/development.env", "env/staging.env", "env/production.env"]
)
def test_a_new_project_begins_with_this_projects_own_text(project_root, path):
    assert (
        dict(layout.skeleton({"schema": "s", "name": "n", "date": "d", "newel": "x"}))[path]
        == (project_root / path).read_text()
    )


def test_the_environments_of_a_new_project_are_this_projects(project_root):
    words = {"schema": "user_service", "name": "n", "date": "d", "newel": "x"}
    made = dict(layout.skeleton(words))["env/environments.json"]
    assert made == (project_root / "env" / "environments.json").read_text()


def test_a_new_project_pins_what_this_project_was_tested_with(project_root):
    pinned = lines(SKELETON / "requirements.txt.in") - {"{{newel}}"}
    assert pinned <= lines(project_root / "requirements.txt")
    assert lines(SKELETON / "requirements-server.txt") == lines(project_root / "requirements-server.txt")
    names = {line.partition("==")[0] for line in pinned}
    wanted = {"alembic", "sqlalchemy", "psycopg2-binary", "python-dotenv", "pytest", "pytest-alembic"}
    assert names == wanted | {"postgast", "protobuf"}


def test_a_new_project_makes_its_venv_as_this_project_does(project_root):
    def recipe(path: Path) -> str:
        return re.search(r"^\$\(STAMP\):.*\n((?:\t.*\n)+)", path.read_text(), re.MULTILINE)[1]

    assert recipe(SKELETON / "Makefile.in") == recipe(project_root / "Makefile")


def test_the_readme_of_a_new_project_names_targets_that_it_has():
    makefiles = (SKELETON / "Makefile.in").read_text() + (SKELETON / "newel.mk").read_text()
    named = re.findall(r"^make ([a-z-]+)", (SKELETON / "README.md.in").read_text(), re.MULTILINE)
    assert len(named) == 5
    assert set(named) <= set(re.findall(r"^([a-z-]+):.* ## ", makefiles, re.MULTILINE))
