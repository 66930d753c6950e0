"""Dumps on disk: what is cut off or altered is found before anything is restored, and what they name is read."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from newel.database.administer import databases
from newel.database.administer.databases import derived_name, maintenance
from newel.database.administer.facts import find_database
from newel.database.administer.swap import swap
from newel.database.backup.archive import read_archive, read_roles, tools_for
from newel.database.backup.dump import checksum_file, dump
from newel.database.backup.tools import newest_tools
from newel.database.connection import connect
from newel.errors import ConnectionFailed, NewelError

few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def path(server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A dump of a table whose rows do not fit into one block of the file."""
    params = server.params("archive_test")
    with maintenance(params) as connection:
        databases.create(connection, "archive_test", None)
        with connect(params) as filling, filling.cursor() as cursor:
            cursor.execute("CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 3000) i")
        filling.close()
        yield dump(params, tmp_path_factory.mktemp("dumps"), "x", os.environ).path
        databases.drop(connection, "archive_test", end_sessions=True)


@pytest.fixture(scope="module")
def altered(path: Path) -> Callable[..., Path]:
    """Write what is left of the dump into a file, with the checksum of the whole or without one."""

    def write(data: bytes, *, checksum: bool) -> Path:
        copy = path.with_name("altered.dump")
        copy.write_bytes(data)
        checksum_file(copy).unlink(missing_ok=True)
        if checksum:
            checksum_file(copy).write_bytes(checksum_file(path).read_bytes())
        return copy

    return write


def test_a_dump_is_read_for_what_it_is(path: Path, server) -> None:
    found = read_archive(path, os.environ)
    assert (found.size, found.recorded, found.dbname) == (path.stat().st_size, True, "archive_test")
    assert found.server_major == server.binaries.major
    assert found.server_version == server.binaries.version
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found.made)


@few
@given(st.data())
def test_a_dump_that_is_cut_off_anywhere_is_refused(path: Path, altered, data: st.DataObject) -> None:
    whole = path.read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1))
    for checksum, words in (
        (True, r"not the file that was|is empty|no dump"),
        (False, r"cut off|is empty|no dump"),
    ):
        with pytest.raises(NewelError, match=words):
            read_archive(altered(whole[:length], checksum=checksum), os.environ)


@few
@given(st.data())
def test_a_bit_that_flips_is_found_by_the_checksum_and_in_the_rows_without_one(
    path: Path, altered, data: st.DataObject
) -> None:
    whole = path.read_bytes()
    rows = whole.index(b"\x78\x9c") if b"\x78\x9c" in whole else whole.index(b"\x78\x01")  # zlib's header
    at, bit = data.draw(st.integers(11, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    with pytest.raises(NewelError, match="not the file that was written"):
        read_archive(altered(bytes(changed), checksum=True), os.environ)
    at = data.draw(st.integers(rows, len(whole) - 1000))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    with pytest.raises(NewelError, match="cut off or damaged"):
        read_archive(altered(bytes(changed), checksum=False), os.environ)


def test_a_server_of_the_same_or_a_higher_version_is_served_and_a_lower_one_refused(path: Path) -> None:
    archive = read_archive(path, os.environ)
    major = archive.server_major
    assert tools_for(archive, major, "x", os.environ).major >= max(major, archive.dumped_by)
    with pytest.raises(
        NewelError, match=rf"this server is PostgreSQL {major - 1}\.3: a dump goes to the same"
    ):
        tools_for(archive, major - 1, f"{major - 1}.3", os.environ)


def test_roles_in_the_text_of_a_function_are_none_of_the_dumps(path: Path, server) -> None:
    params = server.params("archive_test")
    connection = connect(params)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute('CREATE ROLE archive_a; CREATE ROLE "archive ""b"""; CREATE ROLE archive_c')
    try:
        cursor.execute(
            "CREATE TABLE owned (); ALTER TABLE owned OWNER TO archive_a;"
            'GRANT SELECT ON t TO "archive ""b"""; GRANT UPDATE ON t TO PUBLIC;'
            "ALTER DEFAULT PRIVILEGES FOR ROLE archive_c GRANT SELECT ON TABLES TO archive_a WITH GRANT OPTION;"
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '\nGRANT ALL ON x TO somebody;\n"
            "ALTER TABLE x OWNER TO somebody;\n' $$"
        )
        archive = read_archive(dump(params, path.parent, "roles", os.environ).path, os.environ)
        roles = read_roles(archive, newest_tools(os.environ), os.environ)
    finally:
        cursor.execute("DROP FUNCTION f()")
        cursor.execute('DROP OWNED BY archive_a, "archive ""b""", archive_c')
        cursor.execute('DROP ROLE archive_a, "archive ""b""", archive_c')
        connection.close()
    assert roles.owners == {"archive_a", server.user}
    assert roles.others == {"archive_a", 'archive "b"', "archive_c"}


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63), st.integers(0, 3)
)
def test_a_derived_name_is_free_and_within_the_limit(name: str, taken: int) -> None:
    names: list[str] = []
    for _ in range(taken + 1):
        names.append(derived_name(name, "before", "20260131_235959", names))
    assert len(set(names)) == taken + 1
    assert all(len(found.encode()) <= databases.LONGEST_NAME for found in names)


def test_a_failed_second_rename_leaves_the_first_undone(database, server) -> None:
    params = server.params(database.name)
    ours = database.connect()
    with maintenance(params) as connection:
        present = find_database(connection, database.name)
        assert present
        with pytest.raises(NewelError, match="does not exist"):
            swap(params, present, "no_such_copy", f"{database.name}_kept", ours, ours.close)
        assert find_database(connection, database.name) == replace(present, sessions=())
    database.connect()


class LostBehindCommit(Connection):
    """A connection that is lost between COMMIT and its answer."""

    def commit(self) -> None:
        super().commit()
        self.close()
        raise psycopg2.OperationalError("server closed the connection unexpectedly")


class LostBeforeCommit(LostBehindCommit):
    """One that is lost a moment sooner."""

    def commit(self) -> None:
        self.rollback()
        super().commit()


@pytest.mark.parametrize("kind", [LostBehindCommit, LostBeforeCommit])
def test_where_the_connection_is_lost_in_commit_the_server_says_whether_it_was_done(
    database, new_database, server, kind: type[Connection]
) -> None:
    params, copy, kept = server.params(database.name), new_database(), f"{database.name}_kept"
    ours = database.connect()
    with maintenance(params) as connection:
        present = find_database(connection, database.name)
        assert present
        lossy = {**params, "connection_factory": kind}
        if kind is LostBeforeCommit:
            with pytest.raises(ConnectionFailed, match="cannot rename the database"):
                swap(lossy, present, copy.name, kept, ours, ours.close)
        else:
            swap(lossy, present, copy.name, kept, ours, ours.close)
        names = databases.existing_names(connection)
        assert (kept in names, copy.name in names) == (
            (False, True) if kind is LostBeforeCommit else (True, False)
        )
        databases.drop(connection, kept, end_sessions=True)


def test_a_server_that_is_gone_leaves_it_open_whether_the_swap_was_done(
    database, new_database, server, monkeypatch
) -> None:
    params, copy = server.params(database.name), new_database()
    ours = database.connect()
    with maintenance(params) as connection:
        present = find_database(connection, database.name)
        assert present

        def gone(_: object) -> NoReturn:
            raise ConnectionFailed("no answer")

        class Gone(LostBehindCommit):
            def commit(self) -> None:
                monkeypatch.setattr("newel.database.administer.swap.maintenance", gone)
                super().commit()

        with pytest.raises(ConnectionFailed, match="whether it was is not known: no answer") as raised:
            swap(
                {**params, "connection_factory": Gone},
                present,
                copy.name,
                f"{database.name}_kept",
                ours,
                ours.close,
            )
        assert f"a database {database.name}_kept" in str(raised.value.cure)
        databases.drop(connection, f"{database.name}_kept", end_sessions=True)


def test_a_session_that_comes_back_at_once_does_not_stop_the_swap(database, new_database, server) -> None:
    """A pool opens a new session as soon as one is ended: it waits at the locked name."""
    params, copy = server.params(database.name), new_database()
    database.connect().cursor().execute("CREATE TABLE old ()")
    ours, stop = database.connect(), threading.Event()

    def pool() -> None:
        while not stop.is_set():
            try:
                connect(params).cursor().execute("SELECT pg_sleep(60)")
            except Exception:
                continue

    threads = [threading.Thread(target=pool, daemon=True) for _ in range(3)]
    with maintenance(params) as connection:
        for thread in threads:
            thread.start()
        present = find_database(connection, database.name)
        assert present
        while len(present.sessions) < 4:
            present = find_database(connection, database.name)
            assert present
        swap(params, present, copy.name, f"{database.name}_kept", ours, ours.close)
        stop.set()
        databases.drop(connection, f"{database.name}_kept", end_sessions=True)
        connection.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database.name,)
        )
        for thread in threads:
            thread.join()
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT to_regclass('old')")
        assert cursor.fetchone() == (None,)
