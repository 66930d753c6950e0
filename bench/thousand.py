"""Times 1,000 small revisions, up and down: newel, plain Alembic, and one psql process as the measure.

    python bench/thousand.py [ROUNDS]

psql runs one script that says BEGIN; \\i file; COMMIT for each file, on the same server. `newel up` may take 1.5
times as long. Whole processes are timed, each on a new database.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from made_project import ALEMBIC, NEWEL, MadeProject, Pair, made_project
from measure import Figure, alternate, report, seconds

from newel.project.files import MIGRATIONS

REVISIONS = 1000
ROUNDS = 5
LIMIT = 1.5
UP = """\
-- Orders of region {n}.
CREATE TABLE orders_{n} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL,
    status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'paid', 'sent')),
    total numeric(12, 2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX orders_{n}_customer_id ON orders_{n} (customer_id);
"""
DOWN = "DROP TABLE orders_{n};\n"
NUMBERS = itertools.count(1)


def main(rounds: int = ROUNDS) -> int:
    pairs = [Pair(f"add_orders_{n}", UP.format(n=n), DOWN.format(n=n)) for n in range(1, REVISIONS + 1)]
    with made_project(pairs) as project:
        with new_database(project) as database:  # compiles every module, so that no round pays for it
            seconds([*NEWEL, "up", "+1"], project.environ(database), project.root)
        sides = (by_psql, by_newel, by_alembic)
        taken = alternate(rounds, [partial(side, project) for side in sides])
        version = project.server.binaries.version
    figures = [
        Figure("newel up / psql", taken["newel up"] / taken["psql up"], "times", LIMIT),
        Figure("newel down base / psql", taken["newel down base"] / taken["psql down"], "times"),
        *(Figure(name, taken[name], "s") for name in sorted(taken, key=lambda name: "down" in name)),
    ]
    return report(f"{REVISIONS} small revisions, PostgreSQL {version}, median of {rounds}", figures)


def by_psql(project: MadeProject) -> dict[str, float]:
    up = script(project.root, "up", range(1, REVISIONS + 1))
    down = script(project.root, "down", range(REVISIONS, 0, -1))
    with new_database(project) as database:
        psql = project.psql(database)
        return {
            "psql up": seconds([*psql, "-f", up], project.environ(database), project.root),
            "psql down": seconds([*psql, "-f", down], project.environ(database), project.root),
        }


def by_newel(project: MadeProject) -> dict[str, float]:
    with new_database(project) as database:
        environ = project.environ(database)
        return {
            "newel up": seconds([*NEWEL, "up"], environ, project.root),
            "newel down base": seconds([*NEWEL, "down", "base"], environ, project.root),
        }


def by_alembic(project: MadeProject) -> dict[str, float]:
    with new_database(project) as database:
        environ = project.environ(database)
        return {
            "alembic upgrade head": seconds([*ALEMBIC, "upgrade", "head"], environ, project.root),
            "alembic downgrade base": seconds([*ALEMBIC, "downgrade", "base"], environ, project.root),
        }


@contextmanager
def new_database(project: MadeProject) -> Iterator[str]:
    """A database for one measurement. Another run's tables and version rows would be its own work."""
    name = project.new_database(f"bench_{next(NUMBERS)}")
    try:
        yield name
    finally:
        project.drop_database(name)


def script(root: Path, direction: str, numbers: range) -> str:
    """Write what psql runs: each file in a transaction of its own."""
    path = root / f"{direction}.psql"
    files = (f"{MIGRATIONS}/{n:06}_add_orders_{n}.{direction}.sql" for n in numbers)
    path.write_text("".join(f"BEGIN;\n\\i {file}\nCOMMIT;\n" for file in files))
    return str(path)


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
