"""`newel renumber`: a revision that lost a number race, or arrived below an applied one, gets another number."""

from __future__ import annotations

import stat

import pytest
from small_project import REPOSITORY, Project

from newel.project.generate.templates import types
from newel.testing import Database

HEADER = (
    "-- Migration: {0}\n-- Description: about 000004_other\n-- Created: today\nCREATE TABLE other (i int);\n"
)


@pytest.fixture
def race(project: Project) -> Project:
    """A project in which 000004 is the number of two pairs, of which `other` came by a merge."""
    project.pair(
        "000004",
        "other",
        up=HEADER.format("000004_other"),
        down="-- Migration Rollback: 000004_other\nDROP TABLE other;\n",
    )
    return project


def files(project: Project, folder: str = "sql/migrations") -> list[str]:
    return sorted(path.name for path in (project.root / folder).iterdir() if path.is_file())


def test_the_one_that_lost_a_number_race_gets_the_next_free_number(race: Project) -> None:
    refused = race.newel("up")
    assert refused.code == 5
    assert (
        "Give the one that was not merged first the next free number:  newel renumber sql/migrations/"
        in refused.err
    )
    done = race.newel("renumber", "sql/migrations/000004_other.up.sql")
    assert done.code == 0, done.err
    assert done.lines == [
        "moved    sql/migrations/000004_other.up.sql -> 000005_other.up.sql",
        "moved    sql/migrations/000004_other.down.sql -> 000005_other.down.sql",
        "wrote    alembic/versions/000005_other.py",
        "development: it is not applied there",
        "Not asked: staging, production. What is applied there keeps its number.",
        "Next:  git add --all sql alembic env && newel validate",
    ]
    up = race.root / "sql/migrations/000005_other.up.sql"
    assert up.read_text() == HEADER.format("000005_other")
    assert (
        (race.root / "sql/migrations/000005_other.down.sql")
        .read_text()
        .startswith("-- Migration Rollback: 000005_other\n")
    )
    assert not any("000004_other" in name for name in files(race))
    assert race.newel("validate").code == 0
    assert race.newel("up").code == 0
    assert race.applied() == ["000001", "000002", "000003", "000004", "000005"]


@pytest.mark.parametrize(
    "named",
    [
        "000004_other",
        "4_other",
        "sql/migrations/000004_other.down.sql",
        "./sql/migrations/000004_other.up.sql",
        "/",
    ],
)
def test_a_revision_is_named_by_number_and_name_or_by_path(race: Project, named: str) -> None:
    named = str(race.root / "sql/migrations/000004_other.up.sql") if named == "/" else named
    document = race.newel("renumber", named, "000009", "--json").json
    assert document == {
        "was": "000004",
        "revision": "000009",
        "slug": "other",
        "moved": {
            f"sql/migrations/000004_other.{direction}.sql": f"sql/migrations/000009_other.{direction}.sql"
            for direction in ("up", "down")
        },
        "changed": [],
        "written": ["alembic/versions/000009_other.py"],
        "removed": [],
        "asked": "development",
        "not_asked": ["staging", "production"],
        "obstacle": None,
        "problem": None,
    }


def test_the_page_of_the_old_number_goes_if_it_is_that_revisions(race: Project) -> None:
    race.newel("renumber", "000004_other", "000009")
    race.newel("show", "000009", "--write")
    done = race.newel("renumber", "000009", "000008")
    assert "removed  docs/migrations/000009.md" in done.lines
    assert "note: a page for the new number is written by  newel show 000008 --write" in done.lines
    assert done.lines[-1] == "Next:  git add --all sql alembic env docs/migrations && newel validate"
    for text in (
        "# 000008_other\nby hand\n",
        "# 000008_another\n\nDerived from the SQL files and the graph by x\n",
    ):
        page = race.write("docs/migrations/000008.md", text)
        race.newel("renumber", "000008", "000007")
        assert page.read_text() == text
        race.newel("renumber", "000007", "000008")


def test_a_late_revision_below_an_applied_one_moves_by_the_command_that_the_refusal_names(
    empty_project: Project,
) -> None:
    project = empty_project
    project.pair("000001", "first")
    project.pair("000004", "fourth")
    project.stubs()
    project.newel("up")
    project.pair("000003", "late", up="CREATE TABLE late (i int);\r\n", down="DROP TABLE late;")
    project.stubs()
    refused = project.newel("up")
    assert refused.code == 5
    assert "try again:  newel renumber 000003 000005" in refused.err
    done = project.newel("renumber", "000003", "000005")
    assert "removed  alembic/versions/000003_late.py" in done.lines
    assert (
        project.root / "sql/migrations/000005_late.up.sql"
    ).read_bytes() == b"CREATE TABLE late (i int);\r\n"
    assert project.newel("up").code == 0
    assert project.applied() == ["000001", "000004", "000005"]


def test_the_applied_one_of_two_keeps_the_number_and_the_other_may_move(race: Project) -> None:
    for direction in ("up", "down"):
        (race.root / f"sql/migrations/000004_other.{direction}.sql").rename(race.root / f"other.{direction}")
    race.newel("up")
    for direction in ("up", "down"):
        (race.root / f"other.{direction}").rename(race.root / f"sql/migrations/000004_other.{direction}.sql")
    with race.nothing_changes():
        refused = race.newel("renumber", "000004_fourth")
        assert refused.code == 5
        assert "000004_fourth is applied in development, so it keeps its number" in refused.err
        assert "newel renumber sql/migrations/000004_other.up.sql" in refused.err
    assert race.newel("renumber", "000004_other").code == 0
    assert race.newel("up").code == 0


@pytest.mark.parametrize("how", ["up", "stamp"])
def test_an_applied_or_stamped_revision_keeps_its_number(project: Project, how: str) -> None:
    if how == "up":
        project.newel("up")
    else:
        assert project.alembic("stamp", "000004").code == 0
    with project.nothing_changes():
        refused = project.newel("renumber", "4")
        assert refused.code == 5
        assert "000004_fourth is applied in development" in refused.err
        assert "take it back first" in refused.err


def test_a_half_done_revision_keeps_its_number(project: Project) -> None:
    project.pair("000005", "half", up="-- newel: no-transaction\nCREATE TABLE h (i int);\nSELECT 1/0;\n")
    project.stubs()
    assert project.newel("up").code == 1
    with project.nothing_changes():
        refused = project.newel("renumber", "5")
        assert refused.code == 5
        assert "000005_half is half done in development" in refused.err


def test_a_renamed_revision_that_is_applied_is_known_by_its_number(project: Project) -> None:
    project.newel("up")
    for direction in ("up", "down"):
        path = project.root / f"sql/migrations/000004_fourth.{direction}.sql"
        path.rename(path.with_name(f"000004_renamed.{direction}.sql"))
    with project.nothing_changes():
        refused = project.newel("renumber", "4")
        assert refused.code == 5
        assert "000004_fourth is applied in development" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("4",), 1, "4 is the number of sql/migrations/000004_fourth.up.sql and of sql/migrations/000004_other.up.sql"),
        (("4_others",), 1, "there is no revision `4_others`; did you mean 000004_other?"),
        (("000099",), 1, "there is no revision `000099`"),
        (("4_other", "000002"), 5, "number 000002 is taken by sql/migrations/000002_second.down.sql"),
        (("4_other", "000003"), 5, "is taken by sql/migrations/development/000003_sample.down.sql"),
        (("4_other", "7"), 1, "`7` is no revision's number, which has six digits\nnewel renumber 4_other 000007"),
        (("4_other", "2"), 1, "newel renumber 4_other 000005"),
        (("4_other", "000005x"), 1, "`000005x` is no revision's number"),
        (("4_other", "٠٠٠٠٠٩"), 1, "is no revision's number"),
        (("4_other", "-3"), 1, "`-3` is no revision's number"),
        (("2", "000002"), 1, "sql/migrations/000002_second.up.sql has the number 000002 already"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_nothing_changes(
    race: Project, arguments: tuple[str, ...], code: int, said: str
) -> None:
    with race.nothing_changes():
        refused = race.newel("renumber", *arguments)
        assert refused.code == code
        assert said in refused.err


def test_a_number_below_an_applied_revision_is_refused(project: Project) -> None:
    project.newel("up")
    project.pair("000006", "late")
    project.pair("000010", "late_too", folder="development")
    project.stubs()
    with project.nothing_changes():
        refused = project.newel("renumber", "6", "000000")
        assert refused.code == 5
        assert "000000 is below 000001_first, which is applied in development" in refused.err
        assert "newel renumber sql/migrations/000006_late.up.sql" in refused.err
        assert "is below 000003_sample" in project.newel("renumber", "10", "000000").err
    assert project.newel("renumber", "10", "000005").code == 0


def test_a_pair_without_its_down_file_is_refused(race: Project) -> None:
    (race.root / "sql/migrations/000004_other.down.sql").unlink()
    with race.nothing_changes():
        refused = race.newel("renumber", "4_other")
        assert refused.code == 2
        assert "its down file sql/migrations/000004_other.down.sql is missing" in refused.err


def test_of_three_with_one_number_two_move_one_after_the_other(race: Project) -> None:
    race.pair("000004", "another")
    done = race.newel("renumber", "4_another")
    assert done.code == 0
    assert (
        "note: the scripts were not written, since sql/migrations/000004_other.up.sql: number 000004"
        in done.out
    )
    assert race.newel("renumber", "4_other").code == 0
    assert race.newel("validate").code == 0


def test_a_path_that_an_environment_lists_is_changed_with_it(project: Project) -> None:
    project.environments(
        production={},
        development={"migrations": ["development/000003_sample.up.sql", "nothing/*.up.sql"]},
        staging={"migrations": ["development/000003_sample.up.sql"]},
    )
    done = project.newel("renumber", "3", "000007")
    assert done.code == 0, done.err
    assert "changed  env/environments.json" in done.lines
    listed = (project.root / "env/environments.json").read_text()
    assert listed.count('"development/000007_sample.up.sql"') == 2
    assert "000003" not in listed
    assert files(project, "env") == ["environments.json"]
    assert project.newel("validate").code == 0


@pytest.mark.parametrize("listed", ["development/00000?_sample.up.sql", "development/000003_*"])
def test_a_glob_that_fits_the_old_path_alone_is_refused_with_the_line_to_change(
    project: Project, listed: str
) -> None:
    project.environments(production={}, development={"migrations": [listed]})
    with project.nothing_changes():
        refused = project.newel("renumber", "3", "000017")
        assert refused.code == 1
        assert "env/environments.json:4:5: `migrations` of `development` would not treat" in refused.err
        assert '"development/*.up.sql"' in refused.err


def test_an_environment_that_cannot_be_asked_is_told(race: Project) -> None:
    done = race.newel("renumber", "4_other", "--env", "staging", DATABASE_URL=None)
    assert done.code == 0
    assert "staging: not asked whether it is applied: staging has no connection settings" in done.out
    assert "Not asked: development, production." in done.out


def test_a_server_that_is_down_is_told_and_the_move_is_made(race: Project) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    document = race.newel("renumber", "4_other", "--json", DATABASE_URL=url).json
    assert document["asked"] is None
    assert document["not_asked"] == ["development", "staging", "production"]
    assert "cannot connect to" in document["obstacle"]


def test_a_project_without_a_database_yet_needs_none(race: Project) -> None:
    done = race.newel("renumber", "4_other", DATABASE_URL=None)
    assert done.code == 0
    assert "development: it is not applied there" in done.lines
    assert not (race.root / ".newel").exists()


@pytest.mark.parametrize("kind", types(REPOSITORY))
def test_nothing_of_the_old_number_is_left_in_a_generated_pair(project: Project, kind: str) -> None:
    project.pair(
        "000005", "users", up="CREATE TABLE users (id int PRIMARY KEY, x text);\n", down="DROP TABLE users;\n"
    )
    project.stubs()
    made = project.newel("generate", "add_things_to_users", "--type", kind, "--json").json
    moved = project.newel("renumber", made["revision"], "000017", "--json").json
    written = [*moved["moved"].values(), *moved["written"]]
    assert len(written) == 3
    assert [path for path in written if "000006" in (project.root / path).read_text()] == []
    assert "\n6 revisions: 0 errors, " in "\n" + project.newel("validate").out


def test_a_files_mode_is_kept(race: Project) -> None:
    (race.root / "sql/migrations/000004_other.up.sql").chmod(0o600)
    race.newel("renumber", "4_other")
    assert stat.S_IMODE((race.root / "sql/migrations/000005_other.up.sql").stat().st_mode) == 0o600


def test_what_the_file_system_refuses_leaves_everything_as_it_was(project: Project) -> None:
    project.environments(production={}, development={"migrations": ["development/000003_sample.up.sql"]})
    (project.root / "env/.environments.json.new").mkdir()
    with project.nothing_changes():
        refused = project.newel("renumber", "3", "000007")
        assert refused.code == 1
        assert "env/environments.json: cannot write the file: Is a directory" in refused.err


def test_the_database_of_the_chosen_environment_is_asked(project: Project, new_database) -> None:
    other: Database = new_database()
    project.environ["MIGRATION_ENV"] = "staging"
    assert project.newel("up", DATABASE_URL=other.url).code == 0
    refused = project.newel("renumber", "4", "--env", "staging", DATABASE_URL=other.url)
    assert refused.code == 5
    assert "000004_fourth is applied in staging" in refused.err
    assert project.newel("renumber", "4", "--env", "development").code == 0
