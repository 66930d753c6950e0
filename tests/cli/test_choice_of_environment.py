"""Which environment a command is for, which database it reaches, and which revisions it runs there."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from small_project import Project, Role

MakeRole = Callable[[str], Role]


def _socket(project: Project) -> str:
    return str(project.database.server.socket_dir)


def _environment(project: Project, *arguments: str, **environ: str | None) -> str:
    return str(project.newel("status", "--json", *arguments, **environ).json["environment"])


def test_env_wins_over_migration_env_and_that_over_current_environment(project: Project) -> None:
    text = {
        "environments": {"development": {}, "staging": {}, "production": {}},
        "current_environment": "staging",
    }
    project.write("env/environments.json", json.dumps(text))
    assert _environment(project, MIGRATION_ENV=None) == "staging"
    assert _environment(project, MIGRATION_ENV="") == "staging"
    assert _environment(project, MIGRATION_ENV="production") == "production"
    assert _environment(project, "--env", "development", MIGRATION_ENV="production") == "development"


@pytest.mark.parametrize("where", ["option", "variable"])
def test_an_unknown_environment_is_refused_with_the_nearest_name(project: Project, where: str) -> None:
    with project.nothing_changes():
        refused = (
            project.newel("up", "--env", "prodution")
            if where == "option"
            else project.newel("up", MIGRATION_ENV="prodution")
        )
    assert refused.code == 1
    assert "did you mean `production`?" in refused.err


def test_an_empty_env_option_is_not_taken_for_none(project: Project) -> None:
    assert project.newel("status", "--env", "").code == 1


def test_an_unlabelled_database_is_refused_until_its_environment_is_named(project: Project) -> None:
    with project.nothing_changes():
        refused = project.newel("up", MIGRATION_ENV=None)
    assert refused.code == 1
    assert "MIGRATION_ENV=development" in refused.err
    assert "--env development" in refused.err
    assert project.newel("status", MIGRATION_ENV=None).code == 0
    assert project.newel("up", "--env", "development").code == 0
    assert project.newel("down", MIGRATION_ENV=None).code == 0  # the label names it now


def test_current_environment_alone_does_not_name_an_unlabelled_database(project: Project) -> None:
    text = {"environments": {"development": {}, "production": {}}, "current_environment": "production"}
    project.write("env/environments.json", json.dumps(text))
    with project.nothing_changes():
        assert project.newel("up", MIGRATION_ENV=None).code == 1


def test_a_database_of_another_environment_is_refused(project: Project) -> None:
    project.newel("up", "2")
    with project.nothing_changes():
        for command in ("up", "down"):
            refused = project.newel(command, "--env", "production")
            assert refused.code == 1
            assert "belongs to development, but this command is for production" in refused.err
            assert "newel env set production" in refused.err


@pytest.mark.parametrize("name", ["staging", "production"])
def test_staging_and_production_without_connection_settings_are_refused(project: Project, name: str) -> None:
    for command in ("up", "status", "log"):
        refused = project.newel(command, "--env", name, DATABASE_URL=None)
        assert refused.code == 1
        assert f"{name} has no connection settings" in refused.err
        assert f"env/{name}.env" in refused.err
    assert not (project.root / ".newel").exists()


def test_the_process_environment_wins_over_the_env_file(project: Project) -> None:
    project.write("env/development.env", "DATABASE_HOST=nowhere.invalid\nDATABASE_USER=nobody\n")
    assert project.newel("status").code == 0  # DATABASE_URL
    parts = {"DATABASE_URL": None, "DATABASE_HOST": _socket(project), "DATABASE_NAME": project.database.name}
    assert project.newel("status", **parts, DATABASE_USER="postgres").code == 0
    refused = project.newel("status", **parts)
    assert refused.code in (3, 4)
    assert "as nobody" in refused.err


def test_the_env_file_alone_is_enough(project: Project) -> None:
    project.write("env/production.env", f"DATABASE_URL={project.database.url}\n")
    project.write("env/staging.env", "DATABASE_HOST=/no/such/folder\n")
    assert project.newel("up", "--env", "production", DATABASE_URL=None).code == 0
    assert project.newel("up", "--env", "staging", DATABASE_URL=None).code == 3


def test_the_parts_of_a_connection_are_understood(project: Project, role: MakeRole) -> None:
    made = role("p@ss %40 w/rd:#1")
    parts = {
        "DATABASE_URL": None,
        "DATABASE_HOST": _socket(project),
        "DATABASE_PORT": "5432",
        "DATABASE_NAME": project.database.name,
        "DATABASE_USER": made.name,
        "DATABASE_PASSWORD": made.password,
        "DATABASE_SSL_MODE": "prefer",
    }
    assert project.newel("status", **parts).code == 0
    assert project.newel("status", **{**parts, "DATABASE_PASSWORD": "wrong"}).code == 4


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_url_may_hold_any_password_and_sqlalchemys_scheme(
    project: Project, role: MakeRole, scheme: str
) -> None:
    made = role("p@ss %40 w/rd:#1")
    url = made.url(scheme=scheme)
    assert "%40" in url
    assert project.newel("status", DATABASE_URL=url).code == 0
    assert project.newel("status", DATABASE_URL=made.url("wrong", scheme)).code == 4


def test_plain_alembic_understands_such_a_url_too(project: Project, role: MakeRole) -> None:
    made = role("p@ss %40 w/rd")
    project.execute(f"GRANT CREATE ON DATABASE {project.database.name} TO {made.name}")
    project.execute(f"GRANT CREATE ON SCHEMA public TO {made.name}")
    done = project.alembic("upgrade", "head", DATABASE_URL=made.url(scheme="postgresql+psycopg2"))
    assert done.code == 0, done.err
    assert project.tables() == {"first", "second", "sample", "fourth"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DATABASE_URL": None, "DATABASE_PORT": "abc"}, "DATABASE_PORT is `abc`"),
        ({"DATABASE_URL": "mysql://app@localhost/service"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://app@localhost:abc/service"}, "DATABASE_URL"),
        ({"DATABASE_URL": None, "DATABASE_NAME": "é" * 32}, "the name of the database has 64 bytes"),
        ({"DATABASE_URL": f"postgresql://app@localhost/{'a' * 64}"}, "the name of the database has 64 bytes"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    project: Project, variables: dict[str, str | None], words: str
) -> None:
    refused = project.newel("status", **variables)
    assert refused.code == 1
    assert words in refused.err


def test_a_list_that_omits_what_a_listed_revision_stands_on_is_refused(project: Project) -> None:
    project.pair("000005", "fifth", folder="development")
    project.stubs()
    project.environments(development={"migrations": ["development/000005_fifth.up.sql"]})
    with project.nothing_changes():
        refused = project.newel("up")
    assert refused.code == 5
    assert "env/environments.json:" in refused.err
    assert "000005_fifth without 000003" in refused.err


def test_the_place_of_such_a_list_is_the_environments_own_line(project: Project) -> None:
    project.pair("000005", "fifth", folder="development")
    project.stubs()
    project.write(
        "env/environments.json",
        '{"current_environment": "development",\n "environments": {\n  "development": '
        '{"migrations": ["development/000005_fifth.up.sql"]}}}',
    )
    assert "env/environments.json:3:" in project.newel("up").err


def test_a_list_may_be_paths_or_globs(project: Project) -> None:
    project.environments(
        development={"migrations": ["development/000003_sample.up.sql"]},
        staging={"migrations": ["dev*/*.up.sql"]},
    )
    told = project.newel("history", "--json").json
    assert [row["environments"] for row in told if row["branch"]] == [["development", "staging"]]
    assert project.newel("up", "--env", "staging").code == 0
    assert "sample" in project.tables()


def test_a_pair_that_no_environment_lists_is_a_finding_and_never_runs(project: Project) -> None:
    project.environments(development={"migrations": []})
    found = project.newel("validate")
    assert found.code == 1
    assert (
        "sql/migrations/development/000003_sample.up.sql: error: no environment runs this revision"
        in found.out
    )
    assert project.newel("up").code == 0
    assert "sample" not in project.tables()


def test_a_development_branch_that_is_added_late_still_runs(empty_project: Project) -> None:
    project = empty_project
    project.pair("000001", "first")
    project.pair("000004", "fourth")
    project.stubs()
    assert project.newel("up").code == 0
    project.pair("000002", "sample", folder="development")
    project.stubs()
    assert project.newel("up").code == 0
    assert project.applied() == ["000001", "000004", "000002"]
    assert project.newel("down").code == 0
    assert project.applied() == ["000001", "000004"]


def test_search_path_of_the_environment_holds_for_every_file(project: Project) -> None:
    project.environments(development={"search_path": ["app", "public"]})
    project.pair(
        "000001", "first", up="CREATE SCHEMA app;\nSET search_path TO public;\n", down="DROP SCHEMA app;\n"
    )
    project.stubs()
    assert project.newel("up").code == 0
    assert project.tables() == set()
    assert project.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'app'") == [(3,)]


def test_a_database_name_with_odd_characters_is_reached(project: Project) -> None:
    url = project.database.url.replace(project.database.name, quote("a b/c", safe=""))
    assert 'database "a b/c" does not exist' in project.newel("status", DATABASE_URL=url).err
