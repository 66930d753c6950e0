"""Times `newel up` with nothing to do on a project of 1,000 revisions against `python -c "import sqlalchemy"`.

    python bench/noop.py [ROUNDS]

It must take less time, and import neither SQLAlchemy nor Alembic.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from made_project import NEWEL, MadeProject, Pair, made_project
from measure import Figure, alternate, report, seconds

REVISIONS = 1000
ROUNDS = 15
DATABASE = "bench_noop"
FORBIDDEN = {"sqlalchemy", "alembic"}


def main(rounds: int = ROUNDS) -> int:
    pairs = [Pair(f"step_{n}", f"SELECT {n};\n", f"SELECT -{n};\n") for n in range(1, REVISIONS + 1)]
    with made_project(pairs) as project:
        environ = project.environ(DATABASE)
        seconds([*NEWEL, "up"], environ, project.root)
        commands = {
            "newel": [*NEWEL, "up"],
            "sqlalchemy": [sys.executable, "-c", "import sqlalchemy"],
            "python": [sys.executable, "-c", "pass"],
        }

        def side(name: str) -> Callable[[], dict[str, float]]:
            return lambda: {name: seconds(commands[name], environ, project.root)}

        taken = alternate(rounds, [side(name) for name in commands])
        imported = forbidden_imports(project)
        title = f"newel up with nothing to do, {REVISIONS} revisions, PostgreSQL {project.server.binaries.version}"
    return report(
        f"{title}, median of {rounds}",
        [
            Figure("newel up", taken["newel"] * 1000, "ms", limit=taken["sqlalchemy"] * 1000),
            Figure('python -c "import sqlalchemy"', taken["sqlalchemy"] * 1000, "ms"),
            Figure('python -c "pass"', taken["python"] * 1000, "ms"),
            Figure("modules of SQLAlchemy and Alembic imported", len(imported), "", limit=0),
        ],
    )


def forbidden_imports(project: MadeProject) -> set[str]:
    """The modules of SQLAlchemy and Alembic that the command imports, by Python's own account of its imports."""
    command = [sys.executable, "-X", "importtime", *NEWEL[1:], "up"]
    environ = project.environ(DATABASE)
    done = subprocess.run(command, env=environ, cwd=project.root, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    modules = {line.rpartition("|")[2].strip() for line in lines}
    return {module for module in modules if module.partition(".")[0] in FORBIDDEN}


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
