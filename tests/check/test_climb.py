"""The stairway finds a down file that does not restore what was there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from newel.check.stairway import climb
from newel.project import stubs
from newel.project.graph import load_revisions
from newel.project.project import load_project

UP = """\
CREATE TABLE t (a int DEFAULT 1);
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON TABLE t IS 'a table';
GRANT SELECT ON t TO pg_monitor;
"""


@pytest.fixture
def outcome(tmp_path: Path, project_root: Path, database):
    """Climb a project of one revision and say how it came out."""

    def climbed(up: str, down: str, before: str = "") -> tuple[str, str]:
        (tmp_path / "env").mkdir()
        (tmp_path / "sql/migrations").mkdir(parents=True)
        (tmp_path / "alembic").mkdir()
        shutil.copy(project_root / "alembic.ini", tmp_path)
        (tmp_path / "env/environments.json").write_text(json.dumps({"environments": {"development": {}}}))
        (tmp_path / "sql/migrations/000001_one.up.sql").write_text(up)
        (tmp_path / "sql/migrations/000001_one.down.sql").write_text(down)
        stubs.write(tmp_path, load_revisions(tmp_path))
        runs, looks = database.connect(), database.connect()
        runs.autocommit = False
        if before:
            with looks.cursor() as cursor:
                cursor.execute(before)
        (only,) = climb(load_project(tmp_path, {}), runs, looks)
        return only.outcome, str(only)

    return climbed


def test_a_down_file_that_restores_everything_holds(outcome):
    assert outcome(UP, "DROP FUNCTION f();\nDROP TABLE t;\n")[0] == "holds"


@pytest.mark.parametrize(
    ("up", "down", "before", "named"),
    [
        (UP, "DROP TABLE t;\n", "", "function public.f()"),
        (
            "ALTER TABLE t ALTER a SET DEFAULT 2;\n",
            "ALTER TABLE t ALTER a DROP DEFAULT;\n",
            UP,
            "column public.t.a",
        ),
        ("COMMENT ON TABLE t IS 'other';\n", "COMMENT ON TABLE t IS NULL;\n", UP, "a table"),
        ("REVOKE SELECT ON t FROM pg_monitor;\n", "SELECT 1;\n", UP, "pg_monitor"),
        ("CREATE TYPE mood AS ENUM ('low');\n", "SELECT 1;\n", "", "public.mood"),
    ],
)
def test_what_a_down_file_forgets_is_named(outcome, up, down, before, named):
    result, words = outcome(up, down, before)
    assert result == "down differs"
    assert named in words


def test_a_column_that_comes_back_in_another_place_is_no_fault(outcome):
    up, down = "ALTER TABLE t DROP COLUMN a;\n", "ALTER TABLE t ADD COLUMN a int;\n"
    assert outcome(up, down, "CREATE TABLE t (a int, b int)")[0] == "holds"


def test_an_up_file_that_gives_something_else_the_second_time_is_found(outcome):
    up = "DO $$ BEGIN EXECUTE format('CREATE TABLE t_%s ()', (SELECT last_value FROM s)); END $$;\n"
    down = "DO $$ BEGIN EXECUTE format('DROP TABLE t_%s', (SELECT last_value FROM s)); PERFORM nextval('s'); END $$;\n"
    result, words = outcome(up, down, "CREATE SEQUENCE s; SELECT nextval('s')")
    assert result == "second up differs"
    assert "public.t_2" in words


def test_an_irreversible_revision_is_passed_over_and_said(outcome):
    assert outcome(UP, "-- newel: irreversible it was time\n")[0] == "irreversible"
