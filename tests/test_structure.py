"""The structure of the code: imports go one way, and nothing hides Alembic."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

# Each room imports from itself and from those before it. Reasons: what is on disk knows no database, so that
# planning and validation need none; validate comes before migrate, because a run looks at its pending files
# the way `newel validate` does; migrate brings disk and database together; checks use migrate and are used by
# nothing but the command line; the command line prints, so nobody imports it. newel.testing serves tests, like cli.
ORDER = ["errors", "project", "validate", "database", "migrate", "check", "cli"]
ALLOWED_ACROSS = {
    "database": {"errors", "project"},  # reach() takes the settings read from disk
    "project": {"errors"},
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{item.name}" for item in node.names)


def test_imports_go_one_way(project_root):
    wrong = []
    for path in sorted((project_root / "newel").rglob("*.py")):
        room = path.relative_to(project_root / "newel").parts[0].removesuffix(".py")
        if room not in ORDER:
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "newel" or len(parts) < 2 or parts[1] not in ORDER or parts[1] == room:
                continue
            allowed = ALLOWED_ACROSS.get(room, set(ORDER[: ORDER.index(room)]))
            if parts[1] not in allowed:
                wrong.append(f"{path.relative_to(project_root)} imports {name}")
    assert wrong == []


def test_one_module_alone_knows_the_parser(project_root):
    users = [
        path.name
        for path in (project_root / "newel").rglob("*.py")
        if any(name.split(".")[0] == "postgast" for name in imports_of(path))
    ]
    assert users == ["parser.py"]


def test_only_the_command_line_prints(project_root):
    printing = [
        str(path.relative_to(project_root))
        for path in (project_root / "newel").rglob("*.py")
        if path.relative_to(project_root / "newel").parts[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_the_alembic_folder_does_not_hide_the_library(project_root):
    assert not (project_root / "alembic" / "__init__.py").exists()
    import alembic

    assert "site-packages" in str(alembic.__file__)


@pytest.mark.parametrize(
    "module", ["newel.cli.main", "newel.cli.commands.run", "newel.cli.commands.look", "newel.migrate.request"]
)
def test_what_a_run_with_nothing_to_do_imports_is_light(module):
    heavy = ("sqlalchemy", "alembic", "rich", "postgast")
    check = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_of_the_package_is_installed_with_it(project_root):
    import tomllib

    packages = tomllib.loads((project_root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(project_root).parts)
        for path in (project_root / "newel").rglob("*.py")
    }
    assert found == set(packages)
