"""`newel info` and `health`: what a server says of itself, and whether it answers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from socket import create_server

import psycopg2
import pytest
from small_project import Project, Role

from newel.database.lock import KEY


@pytest.fixture
def embedded(empty_project: Project) -> Iterator[Project]:
    """A project for an embedded server of its own, which is not made yet."""
    empty_project.environ["DATABASE_URL"] = ""
    yield empty_project
    empty_project.newel_process("server", "stop")


def test_info_tells_version_size_connections_and_what_is_applied(project: Project) -> None:
    assert project.newel("up", "2").code == 0
    with project.nothing_changes():
        shown = project.newel("info")
        told = project.newel("info", "--json").json
    assert shown.code == 0, shown.err
    assert f"database       {project.database.name}, owned by postgres; connected as postgres" in shown.lines
    assert "label          development" in shown.lines
    assert "revisions      2 applied" in shown.lines
    assert "a run          is not under way" in shown.lines
    assert re.search(r"^  size +\d+\.\d MB$", shown.out, re.MULTILINE)
    assert (told["name"], told["owner"], told["encoding"]) == (project.database.name, "postgres", "UTF8")
    assert (told["applied"], told["running"], told["replica"]) == (2, None, False)
    assert 1 <= told["states"]["active"] <= told["connections"] <= told["max_connections"]
    assert isinstance(told["bytes"], int)
    [version] = project.rows("SHOW server_version")[0]
    assert told["version"] == version
    assert told["host"] == str(project.database.server.socket_dir)


def test_info_names_the_run_that_is_under_way(project: Project) -> None:
    with project.database.connect().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        shown = project.newel("info")
        told = project.newel("info", "--json").json
    assert "a run          is under way: newel " in shown.out
    assert re.match(r"newel \S+ \(pid \d+, connected since ", told["running"])


def test_info_tells_a_user_without_rights_what_that_user_may_know(
    project: Project, role: Callable[[str], Role]
) -> None:
    project.newel("up")
    made = role("s3cr@t")
    shown = project.newel("info", DATABASE_URL=made.url())
    told = project.newel("info", "--json", DATABASE_URL=made.url()).json
    assert shown.code == 0, shown.err
    assert "revisions      not permitted to know" in shown.lines
    assert "label          not permitted to know" in shown.lines
    assert (told["applied"], told["label"], told["user"]) == (None, None, made.name)
    assert "s3cr@t" not in shown.out + str(told)


def test_health_is_one_line_with_the_times_and_quick(project: Project) -> None:
    with project.nothing_changes():
        shown = project.newel("health")
        told = project.newel("health", "--json").json
    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(
        r"development: \S+ on \S+ as postgres is reached; connected in \d+\.\d ms, "
        r"answered SELECT 1 in \d+\.\d ms\n",
        shown.out,
    )
    assert told["reachable"] is True
    assert 0 < told["answer_seconds"] < 10
    assert 0 < told["connect_seconds"] < 10


def test_health_of_a_server_that_is_not_there_ends_with_3_and_a_document(project: Project) -> None:
    nowhere = {"DATABASE_URL": "postgresql://app:hunter2@127.0.0.1:1/service_db"}
    refused = project.newel("health", "--json", **nowhere)
    assert refused.code == 3
    assert refused.json["reachable"] is False
    assert refused.json["error"]["exit_code"] == 3
    assert "hunter2" not in refused.out


def test_health_of_a_refused_login_ends_with_4(project: Project, role: Callable[[str], Role]) -> None:
    made = role("s3cr@t")
    refused = project.newel("health", "--json", DATABASE_URL=made.url(password="another"))
    assert (refused.code, refused.json["reachable"]) == (4, False)


def test_health_waits_no_longer_than_connect_timeout_says(project: Project) -> None:
    with closing(create_server(("127.0.0.1", 0))) as silent:  # accepts, and never says a word
        port = silent.getsockname()[1]
        begun = time.monotonic()
        refused = project.newel(
            "health", DATABASE_URL=f"postgresql://app@127.0.0.1:{port}/service_db?connect_timeout=2"
        )
    assert refused.code == 3
    assert "timeout expired" in refused.err
    assert time.monotonic() - begun < 9  # without it, 10


def test_health_starts_no_embedded_server_and_makes_none(embedded: Project) -> None:
    before = sorted(embedded.root.rglob("*"))
    refused = embedded.newel("health")
    assert refused.code == 3
    assert "the embedded server of development was not made yet" in refused.err
    assert sorted(embedded.root.rglob("*")) == before
    embedded.pair("000001", "first")
    embedded.stubs()
    assert embedded.newel_process("up").code == 0
    assert embedded.newel("health").code == 0
    assert embedded.newel_process("server", "stop").code == 0
    stopped = embedded.newel("health")
    told = embedded.newel("health", "--json").json
    assert stopped.code == 3
    assert stopped.err == (
        "error: the embedded server of development is stopped\nnewel server start  starts it.\n"
    )
    assert (told["reachable"], told["error"]["exit_code"]) == (False, 3)
    assert embedded.newel("server", "status", "--json").json["running"] is False


def test_health_answers_though_a_run_has_locked_every_table(project: Project) -> None:
    project.newel("up")
    with project.database.connect().cursor() as cursor:
        cursor.execute("BEGIN; LOCK newel.environment, first")
        assert project.newel("health").code == 0
        cursor.execute("ROLLBACK")


def test_health_of_a_missing_database_says_so(project: Project) -> None:
    url = project.database.url.replace(project.database.name, "no_such_database")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)
    refused = project.newel("health", DATABASE_URL=url)
    assert refused.code == 3
    assert "does not exist" in refused.err
