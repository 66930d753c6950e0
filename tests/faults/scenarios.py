"""What is run and disturbed: every step of the project and of the nasty revisions, from a database just before it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import nasty
import psycopg2
from breakable import BreakableServer

from newel.migrate.direct import run_direct
from newel.migrate.request import Request
from newel.project import stubs
from newel.project.graph import load_revisions
from newel.project.project import load_project

REPOSITORY = Path(__file__).parents[2]
LOCK_TIMEOUT = "200ms"

ROWS = {
    "000001": """\
INSERT INTO user_service.users (email, first_name, last_name, created_at, updated_at)
SELECT 'user' || g || '@example.com', 'First ' || g, 'Last ' || g % 50, timestamptz '2026-01-01' + g * interval '1 min',
       timestamptz '2026-02-01' FROM generate_series(1, 400) g;""",
    "000002": """\
INSERT INTO user_service.user_settings (user_id, setting_key, setting_value, created_at, updated_at)
SELECT id, 'colour', '"red"', timestamptz '2026-02-01', timestamptz '2026-02-01' FROM user_service.users
 WHERE id % 4 = 0;""",
    "000003": "UPDATE user_service.users SET deleted_at = timestamptz '2026-03-01' WHERE id % 25 = 0;",
    "000004": """\
INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id, created_at)
SELECT id, 'login', 'user', id, timestamptz '2026-02-03' FROM user_service.users WHERE id % 3 = 0;""",
    "000005": """\
INSERT INTO user_service.user_profiles (user_id, phone, timezone, location, created_at, updated_at)
SELECT id, '+43 ' || id, CASE WHEN id % 6 = 0 THEN 'Europe/Vienna' END, 'Vienna', timestamptz '2026-02-04',
       timestamptz '2026-02-04' FROM user_service.users WHERE id % 2 = 0;""",
}
"""Rows that the project's tables hold once a revision is applied; none of their times is of today."""


@dataclass(frozen=True)
class Scenario:
    """A command on a database at a state: everything up to `before` is applied (base: nothing)."""

    project: str
    environment: str
    before: str
    command: tuple[str, str]

    @property
    def name(self) -> str:
        """Words for a report: `nasty 000005 up`."""
        return f"{self.project} {self.environment}: {self.before} -> {' '.join(self.command)}"


def make_projects(folder: Path) -> dict[str, Path]:
    """Write both projects: a copy of this one, and the nasty one. A lock is waited for 200 ms in both."""
    roots = {"project": folder / "project", "nasty": folder / "nasty"}
    environments = json.loads((REPOSITORY / "env" / "environments.json").read_text())["environments"]
    described = {"project": environments, "nasty": {"development": {}}}
    for name, root in roots.items():
        (root / "env").mkdir(parents=True)
        shutil.copytree(REPOSITORY / "alembic", root / "alembic", ignore=shutil.ignore_patterns("versions"))
        shutil.copy(REPOSITORY / "alembic.ini", root)
        for environment in described[name].values():  # what a policy asks for is not what is tested here
            environment["config"] = {"allow_destructive_operations": True, "lock_timeout": LOCK_TIMEOUT}
        (root / "env" / "environments.json").write_text(json.dumps({"environments": described[name]}))
    shutil.copytree(REPOSITORY / "sql", roots["project"] / "sql")
    nasty.write(roots["nasty"])
    for root in roots.values():
        stubs.write(root, load_revisions(root))
    return roots


def scenarios(roots: dict[str, Path]) -> list[Scenario]:
    """Every revision up and down, once for each row of revisions that an environment has below it; and all at once."""
    found: list[Scenario] = []
    seen: set[tuple[str, ...]] = set()
    for name, root in roots.items():
        for environment in load_project(root, {}, "development").environments.by_name:
            chain = [item.id for item in load_project(root, {}, environment).environment_revisions]
            for number, revision in enumerate(chain):
                below = (name, *chain[: number + 1])
                if below in seen:
                    continue
                seen.add(below)
                before = chain[number - 1] if number else "base"
                found.append(Scenario(name, environment, before, ("up", revision)))
                found.append(Scenario(name, environment, revision, ("down", before)))
        found.append(Scenario(name, "development", "base", ("up", "head")))
        last = load_project(root, {}, "development").environment_revisions[-1].id
        found.append(Scenario(name, "development", last, ("goto", "base")))
    return found


def make_template(server: BreakableServer, roots: dict[str, Path], scenario: Scenario, name: str) -> None:
    """Make the database that a scenario starts from."""
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    if scenario.before == "base":
        return
    project = load_project(roots[scenario.project], {"DATABASE_URL": server.url(name)}, scenario.environment)
    for revision in project.environment_revisions:
        connection = psycopg2.connect(server.url(name))
        try:
            run_direct(project, Request("upgrade", revision.id), connection, lambda _: None)
        finally:
            connection.close()
        if scenario.project == "project" and revision.id in ROWS:
            server.execute(ROWS[revision.id], name)
        if revision.id == scenario.before:
            return
