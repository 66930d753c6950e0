"""A copy of this project as a user has it, in a folder whose name holds blanks and an apostrophe.

The copy shares this environment's packages, so that no package index is asked; .ci/run makes a real .venv.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NAME = "a folder's name"
SHARED = (
    "Makefile",
    "alembic.ini",
    "requirements.txt",
    "requirements-server.txt",
    "pyproject.toml",
    "alembic",
    "sql",
    "env",
    "newel",
    "examples",
    "tests",
)
PROGRAMS = {
    "python": "",
    "pytest": "-m pytest",
    "alembic": "-m alembic.config",
    "newel": "-m newel.cli.main",
}
_STEERING = ("DATABASE", "MIGRATION", "MAKE", "PG", "BACKUP_DIR")


@dataclass(frozen=True)
class ProjectCopy:
    """A copy in `root`, with programs in `.venv/bin` and a database server of its own once a command starts it."""

    root: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a command: those of this process but for what steers newel, make and libpq."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_STEERING)}
        return kept | {"PYTHONPATH": str(self.root)}

    def make(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run make in the copy, without a terminal."""
        return subprocess.run(
            ["make", *arguments],
            cwd=self.root,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )


def copy_project(source: Path, into: Path) -> ProjectCopy:
    """Copy the project into a new folder below `into`."""
    root = into / NAME
    root.mkdir()
    for name in SHARED:
        if (source / name).is_dir():
            shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / name, root)
    binaries = root / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for program, arguments in PROGRAMS.items():
        path = binaries / program
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        path.chmod(0o755)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\nexport PATH\n')
    (root / ".venv" / ".requirements-installed").touch()
    return ProjectCopy(root)
