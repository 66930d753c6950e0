"""No password in any output: not in an error, a traceback, the journal or the offline script."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_project import Project, Result, Role

SECRET = "hunter2-Geheim"
MakeRole = Callable[[str], Role]


def clean(result: Result) -> None:
    """Require that a command failed and told nothing."""
    assert result.code != 0
    assert SECRET not in result.out + result.err


@pytest.mark.parametrize("debug", [False, True])
def test_a_failing_command_never_prints_the_password(project: Project, debug: bool) -> None:
    variables = {"MIGRATION_DEBUG": "1"} if debug else {}
    for url in (
        f"postgresql://app:{SECRET}@localhost:1/service",
        f"postgresql+psycopg2://app:{SECRET}@localhost:1/service",
        f"postgresql://app@localhost:1/service?password={SECRET}",
        f"host=localhost port=1 user=app password='{SECRET}'",
        f"host=localhost port=1 user=app oauth_client_secret={SECRET}",
        f"postgresql://app@localhost:1/service?scram_client_key={SECRET}",
        f"mysql://app:{SECRET}@localhost/service",
        f"postgresql://app:{SECRET}%zz@localhost/service",
    ):
        for command in (("up",), ("down",), ("status",), ("log", "--json"), ("env", "set", "development")):
            clean(project.newel(*command, *(["--debug"] if debug else []), DATABASE_URL=url, **variables))


@pytest.mark.parametrize("url", [
    f"postgresql://app:p@{SECRET}@localhost:1/service",
    f"postgresql://app:p/{SECRET}@localhost:1/service",
    f"postgresql://app:{SECRET}/p@localhost:1/service",
    f"postgresql://app:{SECRET}#p@localhost:1/service",
    f"postgresql://app:p?{SECRET}@localhost:1/service",
    f"postgresql://app:p:{SECRET}@localhost:1/service",
    f"postgresql://app:p [{SECRET}]@localhost:1/service",
])  # fmt: skip
def test_a_password_that_was_not_escaped_in_the_url_is_not_printed_either(project: Project, url: str) -> None:
    clean(project.newel("status", DATABASE_URL=url))
    clean(project.newel("status", "--debug", "--json", DATABASE_URL=url))


def test_the_cure_for_a_bad_url_shows_how_one_reads(project: Project) -> None:
    refused = project.newel("status", DATABASE_URL=f"mysql://app:{SECRET}@localhost/service")
    assert "postgresql://USER:PASSWORD@HOST:PORT/NAME" in refused.err


def test_plain_alembic_never_prints_the_password(project: Project, role: MakeRole) -> None:
    url = role(SECRET).url()
    clean(
        project.alembic("upgrade", "head", DATABASE_URL=url, MIGRATION_DEBUG="1")
    )  # may not create a schema
    clean(project.alembic("current", DATABASE_URL=f"postgresql://app:{SECRET}@localhost:1/service"))


def test_a_failing_revision_leaves_no_password_in_output_or_journal(project: Project, role: MakeRole) -> None:
    made = role(SECRET)
    project.execute(f"GRANT CREATE ON DATABASE {project.database.name} TO {made.name}")
    project.execute(f"GRANT CREATE ON SCHEMA public TO {made.name}")
    project.pair(
        "000005",
        "broken",
        up="DO $$ BEGIN RAISE 'cannot reach postgresql://app:" + SECRET + "@db/x'; END $$;\n",
    )
    project.stubs()
    failed = project.newel("up", DATABASE_URL=made.url())
    assert failed.code == 1
    assert "postgresql://app:***@db/x" in failed.err.splitlines()[0]
    told = project.newel("log", "--json", DATABASE_URL=made.url()).out
    assert "failed" in told
    assert SECRET not in told.splitlines()[0]
    assert all(SECRET not in str(row) for row in project.rows("SELECT error FROM newel.journal"))
    shown = project.newel("status", DATABASE_URL=made.url())
    assert SECRET not in shown.out + shown.err


def test_a_successful_run_prints_no_password(project: Project, role: MakeRole) -> None:
    made = role(SECRET)
    project.execute(f"GRANT CREATE ON DATABASE {project.database.name} TO {made.name}")
    project.execute(f"GRANT CREATE ON SCHEMA public TO {made.name}")
    for command in (("up",), ("status",), ("log",), ("history",), ("up", "--sql"), ("down",)):
        done = project.newel(*command, DATABASE_URL=made.url(), MIGRATION_DEBUG="1")
        assert done.code == 0, done.err
        assert SECRET not in done.out + done.err
