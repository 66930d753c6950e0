"""The make targets, as a user types them, in a copy of the project whose folder's name holds spaces."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from project_copy import ProjectCopy

from newel.project.project import load_project

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make(project_copy: ProjectCopy) -> Make:
    """Run make in a copy of the project."""
    return project_copy.make


@pytest.mark.long
def test_make_db_migrate_up_gives_a_running_server_with_every_revision_applied(
    make: Make, project_root: Path
):
    numbers = [item.id for item in load_project(project_root, {}, "development").environment_revisions]
    first = make("db-migrate-up")
    assert first.returncode == 0, first.stderr
    for number in numbers:
        assert f"  up    {number}  " in first.stdout
    assert "NOTICE:  Migration completed:" in first.stdout
    assert f"Applied {len(numbers)} revisions" in first.stdout
    assert "The server stays running" in first.stdout
    assert "\033" not in first.stdout
    again = make("db-migrate-up")
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)
    seeded = make("db-seed")
    assert re.search(r"^base/010_support_account.sql +3 +0 +0 ", seeded.stdout, re.MULTILINE), seeded.stderr
    assert ": 0 inserted, 0 updated, " in make("db-seed-enhanced", "ENV=development").stdout
    assert "Error 1" in make("db-clean").stderr
    assert "Emptied " in make("db-clean", "YES=1").stdout
    down = make("db-migrate-down")
    assert f"  down  {numbers[-1]}  " in down.stdout
    goto = make("db-migrate-goto", "VERSION=000002")
    assert goto.stdout.count("  down  ") == len(numbers) - 3
    status = make("db-migrate-status")
    assert f"2 revisions applied, {len(numbers) - 2} not" in status.stdout
    executions = make("db-migrate-list")
    assert executions.stdout.count("rolled back") == len(numbers) - 2
    assert "depends on" in make("db-migration-deps").stdout
    assert make("db-validate").returncode == 0
    assert "has the schema of its 2 applied revisions" in make("db-drift").stdout


def test_make_says_what_is_missing(make: Make):
    done = make("db-migrate-goto")
    assert done.returncode == 2
    assert "VERSION=000002" in done.stderr


def test_a_variable_is_passed_through_the_environment_and_never_pasted_into_a_recipe(
    make: Make, tmp_path: Path
):
    done = make("db-migrate-goto", f"VERSION='; touch {tmp_path}/pasted; '")
    assert done.returncode == 2
    assert not (tmp_path / "pasted").exists()


@pytest.mark.long
def test_make_test_runs_the_suite(make: Make):
    done = make(
        "test", PYTEST_ADDOPTS="tests/stairs/test_stairway.py tests/migrate/test_plan.py -p no:cacheprovider"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_make_without_a_target_lists_the_targets(make: Make, project_root: Path):
    listed = make().stdout
    makefiles = ("Makefile", "newel/project/new/skeleton/newel.mk")
    declared = [
        name
        for path in makefiles
        for phony in re.findall(
            r"^\.PHONY: ((?:.*\\\n)*.*)$", (project_root / path).read_text(), re.MULTILINE
        )
        for name in phony.replace("\\\n", " ").split()
    ]
    assert len(declared) > 40
    assert [name for name in declared if f"  {name} " not in listed] == []


def test_a_python_without_ensurepip_is_named_with_its_cure(make: Make, tmp_path: Path):
    bare = tmp_path / "python-without-ensurepip"
    bare.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec "{sys.executable}" "$@"\n')
    bare.chmod(0o755)
    done = make("setup", f"PYTHON={bare}", "VENV=other")
    assert done.returncode == 2
    assert "apt-get install python3-venv" in done.stderr


@pytest.mark.long
def test_approvals_reach_newel_through_the_environment_alone(
    make: Make, project_copy: ProjectCopy, tmp_path: Path
):
    settings = project_copy.root / "env" / "environments.json"
    described = json.loads(settings.read_text())
    described["environments"]["development"]["config"] = {"require_approval": True}
    settings.write_text(json.dumps(described))
    refused = make("db-migrate-up")
    assert "Error 4" in refused.stderr
    pasted = tmp_path / "pasted"
    for hostile in (f"'; touch {pasted}; '", f'"; touch {pasted}; "', f"$(shell touch {pasted})", f"$(touch {pasted})",
                    f"`touch {pasted}`", "--sql"):  # fmt: skip
        done = make("db-migrate-up", f"APPROVE={hostile}")
        assert "is no approval" in done.stderr
        assert make("db-migrate-goto", f"VERSION={hostile}").returncode == 2
    assert "is no approval" in make("db-migrate-up", APPROVE=f"$(shell touch {pasted})").stderr
    assert not pasted.exists()
    numbers = [item.id for item in load_project(settings.parents[1], {}, "development").environment_revisions]
    done = make("db-migrate-up", f"APPROVE={', '.join(numbers)}")
    assert done.returncode == 0, done.stderr
    down = make("db-migrate-down", "COUNT=1", f"APPROVE={numbers[-1]}")
    assert down.returncode == 0, down.stderr
    assert re.search(r"user_service\.user_contacts: \d+ rows", down.stdout)
    goto = make("db-migrate-goto", f"VERSION={numbers[-3]}", "COUNT=1", f"APPROVE={numbers[-2]}")
    assert goto.returncode == 0, goto.stderr
