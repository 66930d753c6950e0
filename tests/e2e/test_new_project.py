"""From a wheel to a tested project: newel is built, installed elsewhere, and lays down a project whose tests pass.

Only the build asks a package index, for setuptools. What newel needs is this environment's own, without newel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from project_copy import NAME

from newel import __version__
from newel.project.new import engine

pytestmark = pytest.mark.long

Run = Callable[..., subprocess.CompletedProcess[str]]
STEERING = ("DATABASE", "MIGRATION", "MAKE", "PYTHON", "PG", "BACKUP_DIR")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    """newel's wheel, built as `newel init` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    return folder / engine.put_wheel(project_root, folder)


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python whose virtual environments find this environment's packages, all but newel."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("newel", "__editable__", "pip", "setuptools")):
            (packages / entry.name).symlink_to(entry)
    program = tmp_path / "python"
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    program.write_text(
        f'#!/bin/sh\n"{sys.executable}" "$@" || exit\n[ "$2" = venv ] || exit 0\nfor last; do :; done\n'
        f'echo "{packages}" > "$last/{site}/these.pth"\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a program in a folder below an awkward one; no package index is asked. The server is stopped at the end."""
    awkward = tmp_path / NAME
    awkward.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}

    def program(*arguments: str | Path, cwd: str = ".", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            arguments,
            cwd=awkward / cwd,
            env=environ | {"PIP_NO_INDEX": "1"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    yield program
    if (awkward / "user service").is_dir():
        program("make", "db-stop", cwd="user service")


def test_the_wheel_has_every_file_of_the_package_and_its_licence(wheel: Path, project_root: Path):
    packed = set(zipfile.ZipFile(wheel).namelist())
    information = f"newel-{__version__}.dist-info"
    files = {
        path.relative_to(project_root).as_posix()
        for path in (project_root / "newel").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in packed if not name.startswith(information)} == files
    assert f"{information}/licenses/LICENSE" in packed
    assert "newel/project/new/skeleton/.gitignore.in" in packed
    described = zipfile.ZipFile(wheel).read(f"{information}/METADATA").decode()
    assert "\nLicense-Expression: Apache-2.0\n" in described


def test_a_project_from_an_installed_wheel_runs_its_revision_and_its_tests(
    wheel: Path, python: Path, run: Run, tmp_path: Path
):
    run(python, "-m", "venv", "--without-pip", tmp_path / "installed")
    programs = tmp_path / "installed" / "bin"
    run(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-deps", wheel)
    assert run(programs / "newel", "--version").stdout == f"newel {__version__}\n"
    assert "newel init FOLDER" in run(programs / "newel", "up", code=2).stderr

    made = json.loads(run(programs / "newel", "init", "--json", "user service").stdout)
    root = tmp_path / NAME / "user service"
    assert made["directory"] == str(root)
    assert (root / "wheels" / wheel.name).read_bytes() == wheel.read_bytes()

    up = run("make", "db-migrate-up", f"PYTHON={python}", cwd="user service")
    assert "  up    000001  create_settings" in up.stdout
    assert "Applied 1 revision" in up.stdout
    where = run(
        root / ".venv/bin/python", "-P", "-c", "import newel; print(newel.__file__)", cwd="user service"
    )
    assert where.stdout.startswith(str(root / ".venv"))
    tested = run("make", "test", cwd="user service").stdout
    assert " passed" in tested
    assert "skipped" not in tested
    assert "1 revision: 0 errors, 0 warnings" in run("make", "db-validate", cwd="user service").stdout
    listed = run("make", cwd="user service").stdout
    assert [
        name for name in ("setup", "test", "db-migrate-up", "db-stop") if f"  {name} " not in listed
    ] == []
