"""Which seed files an environment has, in which order, and the table that a CSV file's path names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newel.errors import FileMissing, Location, NewelError
from newel.project.environments import load_environments
from newel.project.seeds import read_seed, seed_paths, table_of


@pytest.fixture
def project(tmp_path: Path):
    """Write seed files and environments.json; return the order of the environment's seeds."""

    def order(*files: str, **environment: object) -> list[str]:
        for file in files:
            path = tmp_path / "sql" / "seeds" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (tmp_path / "env").mkdir(exist_ok=True)
        described = {"environments": {"staging": {}, "development": environment}}
        (tmp_path / "env" / "environments.json").write_text(json.dumps(described, indent=2))
        found = seed_paths(tmp_path, load_environments(tmp_path), "development")
        return [path.removeprefix("sql/seeds/") for path in found]

    return order


def test_base_comes_first_and_then_the_environments_own_folder_in_name_order(project):
    assert project(
        "development/020_b.csv", "development/010_a.sql", "base/z.sql", "staging/a.sql", "base/app/users.csv"
    ) == ["base/app/users.csv", "base/z.sql", "development/010_a.sql", "development/020_b.csv"]


def test_listed_files_come_in_the_order_of_the_list_each_once(project):
    files = ("base/a.sql", "development/1.sql", "development/2.sql", "shared/x.csv")
    listed = ["shared/*", "development/2.sql", "base/a.sql", "development/*.sql"]
    assert project(*files, seed_files=listed) == [
        "base/a.sql",
        "shared/x.csv",
        "development/2.sql",
        "development/1.sql",
    ]


def test_other_files_hidden_ones_and_folders_are_passed_over(project):
    assert project("base/README.md", "base/.x.sql", ".hidden/x.sql", "base/x.sql/y.SQL") == [
        "base/x.sql/y.SQL"
    ]


def test_a_link_that_leads_nowhere_is_a_seed_that_is_missing(project, tmp_path):
    project("base/a.sql")
    (tmp_path / "sql/seeds/base/b.sql").symlink_to("nowhere.sql")
    assert project("base/a.sql") == ["base/a.sql", "base/b.sql"]
    with pytest.raises(FileMissing):
        read_seed(tmp_path, "sql/seeds/base/b.sql")


def test_without_a_folder_there_are_none(project):
    assert project() == []


def test_a_listed_file_that_is_missing_is_named_with_the_line_of_the_list(project):
    with pytest.raises(FileMissing) as refused:
        project("base/a.sql", seed_files=["development/gone.sql"])
    assert refused.value.where == Location("env/environments.json", 6, 9)
    assert "lists the seed development/gone.sql" in refused.value.what


def test_a_listed_folder_is_refused_with_the_glob_that_was_meant(project):
    with pytest.raises(FileMissing) as refused:
        project("shared/a.sql", seed_files=["shared/"])
    assert refused.value.cure == "For all files in it:  shared/*"


def test_a_path_that_leaves_the_folder_is_no_seed(project):
    with pytest.raises(FileMissing):
        project("base/a.sql", seed_files=["../migrations/000001_x.up.sql"])


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("base/users.csv", ("users",)),
        ("base/010_users.csv", ("users",)),
        ("base/010-users.CSV", ("users",)),
        ("development/user_service/users.csv", ("user_service", "users")),
        ("development/01_user_service/2_users.csv", ("user_service", "users")),
        ("base/2fa.csv", ("2fa",)),
        ("base/oauth2_clients.csv", ("oauth2_clients",)),
        ("base/p15_x/1_level_1_answers.csv", ("p15_x", "level_1_answers")),
        ("users.csv", ("users",)),
    ],
)
def test_the_table_is_that_of_the_path(path: str, table: tuple[str, ...]):
    assert table_of(f"sql/seeds/{path}") == table


def test_a_csv_file_that_lies_too_deep_names_no_table():
    with pytest.raises(NewelError, match="the path names no table"):
        table_of("sql/seeds/base/a/b/users.csv")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (a);\n", 2),
        ("-- note\n-- newel: no-transaction\nSELECT 1;\n", 2),
    ],
)
def test_a_seed_that_cannot_run_in_one_transaction_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int
):
    (tmp_path / "x.sql").write_text(text)
    with pytest.raises(NewelError, match="a seed file runs in one transaction") as refused:
        read_seed(tmp_path, "x.sql")
    assert refused.value.where is not None
    assert refused.value.where.line == line
