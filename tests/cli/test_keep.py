"""`newel backup` and `newel restore`: a file that can be trusted, and a database that no failure harms."""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from small_project import Project, Result

from newel.database.backup.tools import Tools, find_tools, newest_tools
from newel.database.connection import connect, quote_identifier
from newel.database.lock import migration_lock


@pytest.fixture
def administrator(project: Project) -> Iterator[Any]:
    """A cursor on another database of the server; databases that restores have kept are dropped at the end."""
    connection = connect(project.database.server.params("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
        for name in databases(cursor):
            if re.match(rf"{project.database.name}_(before|restore)_", name):
                cursor.execute(f"DROP DATABASE {quote_identifier(name)} WITH (FORCE)")
    connection.close()


@pytest.fixture
def made(project: Project, administrator: Any) -> Path:
    """A backup of a database with two revisions and rows; since then the third has come, and other rows."""
    assert project.newel("up", "2").code == 0
    project.execute("INSERT INTO first SELECT generate_series(1, 5000)")
    path = Path(project.newel("backup", "--json").json["path"])
    assert project.newel("up").code == 0
    project.execute("DELETE FROM first WHERE id > 10; CREATE TABLE later ()")
    return path


def databases(cursor: Any) -> set[str]:
    cursor.execute("SELECT datname FROM pg_database")
    return {name for (name,) in cursor.fetchall()}


def patched(path: Path, change: Callable[[bytes], bytes], *, checksum: bool = True) -> Path:
    """Return a changed copy of a dump, with the checksum that fits it."""
    copy = path.with_name("patched.dump")
    copy.write_bytes(change(path.read_bytes()))
    if checksum:
        digest = sha256(copy.read_bytes()).hexdigest()
        copy.with_name("patched.dump.sha256").write_text(f"{digest}  patched.dump\n")
    return copy


@contextmanager
def unharmed(project: Project, administrator: Any) -> Iterator[None]:
    """Fail if the block changes which databases there are, or anything of the one: itself, its rows, the files."""

    def picture() -> Any:
        administrator.execute("SELECT to_jsonb(d) FROM pg_database d ORDER BY datname")
        whole = [{**row, "datfrozenxid": 0, "datminmxid": 0} for (row,) in administrator.fetchall()]
        tables = [name for name in (*sorted(project.tables()), "newel.journal") if name != "later"]
        rows = [project.rows(f"SELECT * FROM {name} ORDER BY 1") for name in tables]
        files = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
        return whole, rows, files

    before = picture()
    yield
    assert picture() == before


def real_tools(project: Project) -> Tools:
    return find_tools(os.environ, project.database.server.binaries.major)


def stand_in(folder: Path, project: Project, restoring: str) -> dict[str, str]:
    """Put a script in the place of pg_restore that does something else where it would restore; `$REAL` is that one."""
    real = real_tools(project).folder
    folder.mkdir()
    for name in ("pg_dump", "psql"):
        (folder / name).write_text(f'#!/bin/sh\nexec "{real}/{name}" "$@"\n')
    (folder / "pg_restore").write_text(
        f'#!/bin/sh\nREAL="{real}/pg_restore"\ncase "$*" in *--dbname=*) ;; *) exec "$REAL" "$@" ;; esac\n{restoring}\n'
    )
    for file in folder.iterdir():
        file.chmod(0o755)
    return {"NEWEL_PG_BIN": str(folder)}


class Terminal(io.StringIO):
    """A terminal on which somebody has typed."""

    def isatty(self) -> bool:
        return True


def typed(project: Project, monkeypatch: pytest.MonkeyPatch, words: str, *arguments: str) -> Result:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{words}\n"))
    return project.newel(*arguments)


def test_a_backup_says_where_it_is_and_its_checksum_can_be_checked(project: Project) -> None:
    project.newel("up")
    shown = project.newel("backup", BACKUP_DIR="my backups")
    assert shown.code == 0, shown.err
    (path,) = (project.root / "my backups").glob("*.dump")
    assert re.fullmatch(rf"{project.database.name}-development-\d{{8}}T\d{{6}}Z\.dump", path.name)
    beside = path.with_name(f"{path.name}.sha256")
    assert [file.stat().st_mode & 0o777 for file in (path, beside, path.parent)] == [0o600, 0o600, 0o700]
    assert beside.read_text() == f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    for words in (str(path), sha256(path.read_bytes()).hexdigest(), " kB", "PostgreSQL ", "newel restore "):
        assert words in shown.out
    told = project.newel("backup", "--json").json
    assert {"environment", "database", "path", "bytes", "sha256", "server_version", "seconds"} <= set(told)
    assert told["bytes"] == Path(told["path"]).stat().st_size
    assert shlex.split(told["restore"]) == ["newel", "restore", told["path"], "--env", "development"]


def test_a_backup_before_a_run_has_its_checksum_and_can_be_restored(
    project: Project, administrator: Any
) -> None:
    project.newel("up", "1")
    project.environments(development={"config": {"backup_required": True}})
    path = project.newel("up", "--json").json["backup"]["path"]
    assert Path(f"{path}.sha256").read_text().startswith(sha256(Path(path).read_bytes()).hexdigest())
    assert project.newel("restore", path, "--yes").code == 0
    assert project.applied() == ["000001"]


def test_a_backup_of_another_environments_database_is_refused(project: Project) -> None:
    project.newel("up")
    refused = project.newel("backup", MIGRATION_ENV="staging")
    assert refused.code == 1
    assert "belongs to development, but this command is for staging" in refused.err
    assert not (project.root / "backups").exists()


def test_a_backup_without_a_database_ends_with_3(project: Project) -> None:
    assert project.newel("backup", DATABASE_URL=None).code == 3
    assert project.newel("backup", DATABASE_URL="postgresql://app@localhost:1/x").code == 3


def test_a_backup_that_cannot_be_written_ends_with_an_error_and_names_the_variable(project: Project) -> None:
    project.newel("up")
    project.write("a file", "")
    refused = project.newel("backup", BACKUP_DIR="a file")
    assert refused.code == 1
    assert "BACKUP_DIR" in refused.err


def test_a_restore_gives_back_schema_and_rows_and_keeps_what_was_there(
    project: Project, made: Path, administrator: Any
) -> None:
    done = project.newel("restore", str(made), "--yes")
    assert done.code == 0, done.err
    assert "checksum as recorded" in done.out
    assert "3 revisions applied" not in done.out
    assert project.applied() == ["000001", "000002"]
    assert project.tables() == {"first", "second"}
    assert project.rows("SELECT count(*) FROM first") == [(5000,)]
    assert project.newel("up").code == 0
    kept = re.search(r"it is kept as (\S+)\.", done.out)
    assert kept
    connection = connect(project.database.server.params(kept[1]))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM first")
        assert cursor.fetchone() == (10,)
    connection.close()
    subprocess.run(done.out.splitlines()[-1], shell=True, check=True)
    assert kept[1] not in databases(administrator)


def test_a_bare_name_is_found_among_the_backups_and_a_path_from_here(
    project: Project, made: Path, administrator: Any
) -> None:
    project.write("-odd.dump", made.read_bytes())
    project.write("-odd.dump.sha256", Path(f"{made}.sha256").read_bytes())
    for name in (made.name, f"backups/{made.name}", "-odd.dump"):
        told = project.newel("restore", "--yes", "--json", "--", name)
        assert told.code == 0, told.out
        assert told.json["applied"] == ["000001", "000002"]
        assert told.json["checksum_recorded"] is True
        assert told.json["kept"] in databases(administrator)


def test_a_restore_asks_first_and_takes_the_name_of_the_database_alone_for_yes(
    project: Project, made: Path, administrator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unharmed(project, administrator):
        assert "no terminal to ask on" in project.newel("restore", str(made)).err
        assert project.newel("restore", str(made), "--json").code == 1
        refused = typed(project, monkeypatch, "yes", "restore", str(made))
        assert (refused.code, "nothing was changed" in refused.err) == (4, True)
    assert f"development: {project.database.name} on " in refused.out
    assert made.name in refused.out
    assert "4 revisions applied" in refused.out
    assert typed(project, monkeypatch, project.database.name, "restore", str(made)).code == 0


def test_what_is_no_dump_is_told_for_what_it_is(project: Project, made: Path, administrator: Any) -> None:
    tools = real_tools(project).folder
    url = project.database.url
    folder = made.parent
    subprocess.run([tools / "pg_dump", "-f", folder / "plain.sql", url], check=True)
    subprocess.run([tools / "pg_dump", "-Ft", "-f", folder / "tar", url], check=True)
    subprocess.run([tools / "pg_dump", "-Fd", "-f", folder / "parts", url], check=True)
    project.write("backups/empty", "")
    project.write("backups/noise", os.urandom(10_000))
    project.write("backups/a.gz", gzip.compress(made.read_bytes()))
    with unharmed(project, administrator):
        for name, code, words in (
            ("plain.sql", 1, "plain SQL dump"),
            ("plain.sql", 1, "psql -X -v ON_ERROR_STOP=1"),
            ("tar", 1, "tar format"),
            ("parts", 1, "directory format"),
            ("../sql", 1, "is a folder"),
            ("empty", 1, "is empty"),
            ("noise", 1, "no dump"),
            ("a.gz", 1, "gunzip"),
            ("nothing.dump", 2, f"The newest backup in {folder} is {made.name}"),
            (made.name[:-6] + ".dump", 2, f"Did you mean {made.name}?"),
        ):
            refused = project.newel("restore", f"backups/{name}", "--yes")
            assert (refused.code, words in refused.err) == (code, True), (name, refused.err)
        assert project.newel("restore", "", "--yes").code == 1
        assert "make db-restore FILE=" in project.newel("restore", "", "--yes").err


@pytest.mark.parametrize("checksum", [True, False])
def test_a_truncated_backup_is_refused_with_and_without_a_checksum(
    project: Project, made: Path, administrator: Any, checksum: bool
) -> None:
    size = made.stat().st_size
    shutil.copy(f"{made}.sha256", made.with_name("patched.dump.sha256"))
    if not checksum:
        made.with_name("patched.dump.sha256").unlink()
    words = "is not the file that was written" if checksum else "is cut off or damaged"
    for length in (20, 500, size // 2, size - 1):
        cut = patched(made, lambda data, length=length: data[:length], checksum=False)
        with unharmed(project, administrator):
            refused = project.newel("restore", str(cut), "--yes")
        assert (refused.code, words in refused.err) == (1, True), (length, refused.err)


def test_a_changed_checksum_is_refused_and_a_missing_one_is_told(
    project: Project, made: Path, administrator: Any
) -> None:
    beside = Path(f"{made}.sha256")
    right = beside.read_text()
    with unharmed(project, administrator):
        for wrong, words in (("0" * 64 + right[64:], f"says {'0' * 64}"), ("", "holds no SHA-256")):
            beside.write_text(wrong)
            refused = project.newel("restore", str(made), "--yes")
            assert (refused.code, words in refused.err) == (1, True), refused.err
        beside.write_text(right)
    beside.unlink()
    done = project.newel("restore", str(made), "--yes")
    assert (done.code, "no checksum beside it" in done.out) == (0, True)


def test_a_server_of_a_lower_version_than_the_dumps_is_refused_with_both_versions(
    project: Project, made: Path, administrator: Any
) -> None:
    version = project.database.server.binaries.version.encode()
    higher = patched(made, lambda data: data.replace(version, b"99" + version[2:]))
    with unharmed(project, administrator):
        refused = project.newel("restore", str(higher), "--yes")
    assert refused.code == 1
    assert f"dumped from PostgreSQL 99{version[2:].decode()}" in refused.err
    assert f"this server is PostgreSQL {version.decode()}" in refused.err
    assert "PostgreSQL 99 or higher" in refused.err


def test_a_dump_by_a_pg_dump_newer_than_every_pg_restore_is_refused_with_the_cure(
    project: Project, made: Path, administrator: Any
) -> None:
    newer = patched(made, lambda data: data[:6] + b"\x63" + data[7:])
    with unharmed(project, administrator):
        refused = project.newel("restore", str(newer), "--yes")
    assert (refused.code, "written by a newer pg_dump" in refused.err) == (1, True), refused.err
    assert "NEWEL_PG_BIN" in refused.err


def test_a_dump_by_the_newest_pg_dump_goes_into_an_older_server(
    project: Project, made: Path, administrator: Any
) -> None:
    newest = newest_tools(os.environ)
    path = made.with_name("newest.dump")
    subprocess.run([newest.folder / "pg_dump", "-Fc", "-f", path, project.database.url], check=True)
    done = project.newel("restore", str(path), "--yes")
    assert done.code == 0, done.err
    assert len(project.applied()) == 4


def test_a_backup_of_another_environment_is_refused_before_the_swap(
    project: Project, made: Path, administrator: Any
) -> None:
    project.execute("UPDATE newel.environment SET name = 'staging'")
    staging = project.newel("backup", "--json", MIGRATION_ENV="staging").json["path"]
    project.execute("UPDATE newel.environment SET name = 'development'")
    with unharmed(project, administrator):
        refused = project.newel("restore", staging, "--yes")
        assert refused.code == 1
        assert "is of a database of staging, and this command is for development" in refused.err
        refused = project.newel("restore", staging, "--yes", MIGRATION_ENV="staging")
        assert refused.code == 1
        assert "belongs to development, but this command is for staging" in refused.err


def test_an_assumed_environment_is_not_trusted_with_a_database_that_nothing_labels(
    project: Project, made: Path, administrator: Any
) -> None:
    project.execute("DROP TABLE newel.environment")
    with unharmed(project, administrator):
        refused = project.newel("restore", str(made), "--yes", MIGRATION_ENV=None)
    assert (refused.code, "was only assumed" in refused.err) == (1, True)


def test_a_dump_without_newels_tables_is_restored_and_called_so(
    project: Project, made: Path, administrator: Any
) -> None:
    project.execute("DROP SCHEMA newel CASCADE")
    foreign = project.newel("backup", "--json").json["path"]
    done = project.newel("restore", foreign, "--yes")
    assert (done.code, "has no revision applied" in done.out) == (0, True), done.err


def test_a_dump_without_a_label_does_not_take_the_label_from_a_database(
    project: Project, made: Path, administrator: Any
) -> None:
    kept = project.rows("SELECT name FROM newel.environment")
    project.execute("DELETE FROM newel.environment")
    bare = project.newel("backup", "--json").json["path"]
    project.execute(f"INSERT INTO newel.environment (name) VALUES ('{kept[0][0]}')")
    with unharmed(project, administrator):
        refused = project.newel("restore", bare, "--yes")
    assert (refused.code, "the backup holds no label of newel" in refused.err) == (1, True), refused.err


def test_a_name_that_no_file_can_have_is_an_error_and_no_traceback(project: Project) -> None:
    refused = project.newel("restore", "x" * 300, "--yes")
    assert (refused.code, "cannot read the file" in refused.err) == (1, True)


def test_a_backup_that_is_ended_leaves_nothing(project: Project, tmp_path: Path) -> None:
    project.newel("up")
    environ = stand_in(tmp_path / "tools", project, "exit 1")
    (tmp_path / "tools" / "pg_dump").write_text(
        f'#!/bin/sh\ncase "$1" in --version) exec "{real_tools(project).folder}/pg_dump" --version;; esac\n'
        "kill -TERM $PPID\nexec sleep 600\n"
    )
    ended = project.newel_process("backup", **environ)
    assert (ended.code, "nothing of the backup is left" in ended.err) == (143, True), ended.err
    assert list((project.root / "backups").iterdir()) == []


def test_a_backup_whose_version_rows_and_journal_disagree_is_refused(
    project: Project, made: Path, administrator: Any
) -> None:
    project.execute("UPDATE newel.alembic_version SET version_num = '000001' WHERE version_num = '000004'")
    bad = project.newel("backup", "--json").json["path"]
    project.execute("UPDATE newel.alembic_version SET version_num = '000004' WHERE version_num = '000001'")
    with unharmed(project, administrator):
        refused = project.newel("restore", bad, "--yes")
    assert (refused.code, "the version rows say" in refused.err) == (5, True), refused.err


def test_a_backup_newer_than_the_checkout_is_restored_with_a_warning(
    project: Project, made: Path, administrator: Any
) -> None:
    newer = project.newel("backup", "--json").json["path"]
    for path in (
        *project.root.glob("sql/migrations/000004*"),
        *project.root.glob("alembic/versions/000004*"),
    ):
        path.unlink()
    done = project.newel("restore", newer, "--yes")
    assert done.code == 0, done.err
    assert "the database holds revision 000004" in done.out
    assert project.newel("down").code == 0  # with the SQL that the restored journal keeps


def test_missing_roles_are_named_with_the_commands_that_make_them(
    project: Project, made: Path, administrator: Any
) -> None:
    project.execute(
        'CREATE ROLE keep_owner; CREATE ROLE "keep \'grantee"; ALTER TABLE first OWNER TO keep_owner;'
        'GRANT SELECT ON second TO "keep \'grantee" WITH GRANT OPTION;'
        "CREATE FUNCTION talk() RETURNS text LANGUAGE sql AS $$ SELECT '\nGRANT ALL ON x TO nobody_at_all;\n"
        "ALTER TABLE x OWNER TO nobody_at_all;\n' $$"
    )
    path = project.newel("backup", "--json").json["path"]
    project.execute(
        'REASSIGN OWNED BY keep_owner TO CURRENT_USER; DROP OWNED BY keep_owner, "keep \'grantee"'
    )
    project.execute('DROP ROLE keep_owner, "keep \'grantee"')
    with unharmed(project, administrator):
        refused = project.newel("restore", path, "--yes")
    assert refused.code == 1
    assert "roles that the server lacks: keep 'grantee, keep_owner\n" in refused.err
    commands = re.findall(r"^  (CREATE ROLE .*)$", refused.err, re.MULTILINE)
    for command in commands:
        administrator.execute(command)
    try:
        assert project.newel("restore", path, "--yes").code == 0
        owner = project.rows("SELECT tableowner FROM pg_tables WHERE tablename = 'first'")
        assert owner == [("keep_owner",)]
    finally:
        project.execute('DROP OWNED BY keep_owner, "keep \'grantee" CASCADE')
        administrator.execute('DROP ROLE keep_owner, "keep \'grantee"')


def test_a_restore_that_fails_half_way_leaves_the_database_as_it_was(
    project: Project, made: Path, administrator: Any
) -> None:
    project.execute(
        "CREATE TABLE limits (most int); INSERT INTO limits VALUES (10);"
        "CREATE FUNCTION fits(int) RETURNS bool LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN $1 <= (SELECT most FROM limits); END $$;"  # finds no table with an empty search_path
        "CREATE TABLE stock (amount int CHECK (fits(amount))); INSERT INTO stock VALUES (1)"
    )
    path = project.newel("backup", "--json").json["path"]
    with unharmed(project, administrator):
        refused = project.newel("restore", path, "--yes")
        told = project.newel("restore", path, "--yes", "--json")
    assert refused.code == 1
    assert 'relation "limits" does not exist' in refused.err
    assert "the database is as it was" in refused.err
    assert told.json["error"]["exit_code"] == 1


def test_a_file_that_changes_once_it_was_looked_at_is_not_put_in_place(
    project: Project, made: Path, administrator: Any, tmp_path: Path
) -> None:
    tools = stand_in(
        tmp_path / "tools", project, '"$REAL" "$@"; for file; do :; done; printf x >> "$file"; exit 0'
    )
    before = databases(administrator)
    done = project.newel("restore", str(made), "--yes", **tools)
    assert (done.code, f"{made} has changed since it was looked at" in done.err) == (1, True), done.err
    assert databases(administrator) == before
    assert project.rows("SELECT count(*) FROM later") == [(0,)]


@pytest.mark.parametrize(
    ("restoring", "code", "words"),
    [
        ("kill -KILL $$", 1, "pg_restore was ended by SIGKILL"),
        ('"$REAL" "$@"; kill -KILL $$', 1, "pg_restore was ended by SIGKILL"),
        ('"$REAL" "$@"; kill -INT $PPID; exec sleep 600', 130, "interrupted; the database is as it was"),
        ('"$REAL" "$@"; kill -TERM $PPID; exec sleep 600', 143, "interrupted; the database is as it was"),
    ],
)
def test_a_restore_that_is_ended_leaves_the_database_as_it_was(
    project: Project, made: Path, administrator: Any, tmp_path: Path, restoring: str, code: int, words: str
) -> None:
    environ = stand_in(tmp_path / "bin", project, restoring)
    with unharmed(project, administrator):
        refused = project.newel("restore", str(made), "--yes", **environ)
    assert (refused.code, words in refused.err) == (code, True), refused.err


def test_a_killed_restore_leaves_the_database_as_it_was_and_a_copy_beside_it(
    project: Project, made: Path, administrator: Any, tmp_path: Path
) -> None:
    environ = stand_in(tmp_path / "bin", project, "kill -KILL $PPID")
    before = databases(administrator)
    tables = project.tables()
    assert project.newel_process("restore", str(made), "--yes", **environ).code == -9
    (copy,) = databases(administrator) - before
    assert copy.startswith(f"{project.database.name}_restore_")
    assert project.tables() == tables
    assert (
        f"{copy} is left of a restore that was broken off" in project.newel("restore", str(made), "--yes").out
    )


def test_sessions_on_the_database_are_named_and_ended(
    project: Project, made: Path, administrator: Any
) -> None:
    watching = project.database.connect()
    idle = project.database.connect()
    idle.autocommit = False
    idle.cursor().execute("LOCK TABLE first")
    shown = project.newel("restore", str(made))
    assert "2 sessions on it will be ended" in shown.err
    done = project.newel("restore", str(made), "--yes")
    assert done.code == 0, done.err
    assert project.applied() == ["000001", "000002"]
    administrator.execute("SELECT count(*) FROM pg_stat_activity WHERE datname ~ '_before_'")
    assert administrator.fetchone() == (0,)
    del watching, idle


def test_a_run_under_way_refuses_a_restore(project: Project, made: Path, administrator: Any) -> None:
    running = connect(project.database.server.params(project.database.name))
    with migration_lock(running, 1, lambda _: None), unharmed(project, administrator):
        refused = project.newel("restore", str(made), "--yes")
    running.close()
    assert (refused.code, "a run is under way: newel " in refused.err) == (1, True)


def test_no_run_begins_while_a_restore_is_under_way(
    project: Project, made: Path, administrator: Any, tmp_path: Path
) -> None:
    psql = real_tools(project).folder / "psql"
    ask = (
        f'"{psql}" -X -At -d "{project.database.url}" -c "SELECT count(*) FROM pg_locks '
        f'WHERE locktype = \'advisory\' AND granted" > "{tmp_path}/locks"; exec "$REAL" "$@"'
    )
    environ = stand_in(tmp_path / "bin", project, ask)
    assert project.newel("restore", str(made), "--yes", **environ).code == 0
    assert (tmp_path / "locks").read_text() == "1\n"


@pytest.fixture
def owner(project: Project, made: Path, administrator: Any) -> Iterator[str]:
    """A role that owns the database and all in it, has CREATEDB, and is no superuser: its URL, with a password."""
    name, database = f"keeper_of_{project.database.name}", project.database.name
    administrator.execute(f"CREATE ROLE {name} LOGIN CREATEDB; GRANT {name} TO postgres")
    administrator.execute(f"ALTER DATABASE {database} OWNER TO {name}")
    project.execute(
        "DO $$ DECLARE o record; BEGIN FOR o IN SELECT format('%I.%I', schemaname, tablename) t FROM pg_tables "
        f"WHERE schemaname IN ('public', 'newel') LOOP EXECUTE format('ALTER TABLE %s OWNER TO {name}', o.t); "
        f"END LOOP; END $$; ALTER SCHEMA newel OWNER TO {name}"
    )
    yield project.database.url.replace(
        f"user={project.database.server.user}", f"user={name}&password=s3cr%40t%20word"
    )
    for found in databases(administrator):
        if found.startswith(database):
            administrator.execute(f"ALTER DATABASE {found} OWNER TO postgres")
            connection = connect(project.database.server.params(found))
            with connection, connection.cursor() as cursor:
                cursor.execute(f"DROP OWNED BY {name} CASCADE")
            connection.close()
    administrator.execute(f"DROP ROLE {name}")


def test_an_owner_without_superuser_restores_and_shows_no_password(
    project: Project, administrator: Any, owner: str, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    environ = stand_in(
        tmp_path / "bin",
        project,
        f'echo "$@" >> "{said}"; echo "$PGPASSWORD" > "{said}.2"; exec "$REAL" "$@"',
    )
    backup = project.newel("backup", "--json", DATABASE_URL=owner)
    assert backup.code == 0, backup.out
    done = project.newel("restore", backup.json["path"], "--yes", DATABASE_URL=owner, **environ)
    assert done.code == 0, done.err
    assert (tmp_path / "said.2").read_text() == "s3cr@t word\n"
    for text in (backup.out, done.out, done.err, said.read_text()):
        assert "s3cr" not in text
    administrator.execute(
        "SELECT datdba::regrole::text FROM pg_database WHERE datname = %s", (project.database.name,)
    )
    assert administrator.fetchone() == (f"keeper_of_{project.database.name}",)


def test_a_session_that_may_not_be_ended_stops_the_swap_and_nothing_changes(
    project: Project, administrator: Any, owner: str
) -> None:
    path = project.newel("backup", "--json", DATABASE_URL=owner).json["path"]
    superuser = project.database.connect()
    with unharmed(project, administrator):
        refused = project.newel("restore", path, "--yes", DATABASE_URL=owner)
        assert refused.code == 4, refused.err
        assert "may not end the sessions" in refused.err
        assert "pg_signal_backend" in refused.err
        superuser.cursor().execute("SELECT 1")
    assert project.newel("status", DATABASE_URL=owner).code == 0


def test_a_drop_that_a_session_stops_says_who_may_end_it(
    project: Project, administrator: Any, owner: str
) -> None:
    superuser = project.database.connect()
    with unharmed(project, administrator):
        refused = project.newel("drop", "--yes", DATABASE_URL=owner)
        assert (refused.code, "since there are sessions on it" in refused.err) == (4, True), refused.err
        assert "connect as a member of pg_signal_backend" in refused.err
        assert "CREATEDB" not in refused.err
        superuser.cursor().execute("SELECT 1")


def test_a_setting_that_the_user_may_not_give_is_told_with_the_databases_own_name(
    project: Project, administrator: Any, owner: str
) -> None:
    name = project.database.name
    administrator.execute(f"ALTER DATABASE {name} SET log_min_duration_statement TO 1000")
    path = project.newel("backup", "--json", DATABASE_URL=owner).json["path"]
    done = project.newel("restore", path, "--yes", DATABASE_URL=owner)
    assert done.code == 0, done.err
    assert f'may not set it:  ALTER DATABASE "{name}" SET "log_min_duration_statement"' in done.out


def test_owners_that_the_user_cannot_make_owners_are_named(
    project: Project, made: Path, administrator: Any, owner: str
) -> None:
    with unharmed(project, administrator):
        refused = project.newel("restore", str(made), "--yes", DATABASE_URL=owner)
    assert refused.code == 4
    assert "cannot make postgres the owner" in refused.err
    assert "Connect as a superuser, as which postgres owns a part of it." in refused.err
    assert "GRANT" not in refused.err


@pytest.mark.parametrize(
    "lacks", ["ALTER ROLE {role} NOCREATEDB", "ALTER DATABASE {database} OWNER TO postgres"]
)
def test_who_lacks_createdb_or_the_database_is_told_before_anything(
    project: Project, administrator: Any, owner: str, lacks: str
) -> None:
    path = project.newel("backup", "--json", DATABASE_URL=owner).json["path"]
    name = f"keeper_of_{project.database.name}"
    administrator.execute(lacks.format(role=name, database=project.database.name))
    with unharmed(project, administrator):
        refused = project.newel("restore", path, "--yes", DATABASE_URL=owner)
    assert refused.code == 4
    assert f"{name} may not replace" in refused.err
    assert f'ALTER ROLE "{name}" CREATEDB' in refused.err


def test_what_belongs_to_the_database_itself_goes_along(
    project: Project, made: Path, administrator: Any
) -> None:
    name = project.database.name
    for command in (
        "CREATE ROLE keep_guest",
        f"GRANT CONNECT, CREATE ON DATABASE {name} TO keep_guest WITH GRANT OPTION",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"COMMENT ON DATABASE {name} IS 'it''s a \\ database'",
        f"ALTER DATABASE {name} CONNECTION LIMIT 30",
        f'ALTER DATABASE {name} SET search_path TO "$user", public, "a, B"',
        f"ALTER DATABASE {name} SET default_transaction_read_only TO on",
        f"ALTER DATABASE {name} SET app.word TO 'it''s'",
        f"ALTER ROLE keep_guest IN DATABASE {name} SET work_mem TO '8MB'",
    ):
        administrator.execute(command)
    facts = """
        SELECT datdba, encoding, datcollate, datctype, dattablespace, datconnlimit,
               shobj_description(d.oid, 'pg_database'),
               (SELECT array_agg(a::text ORDER BY a::text) FROM aclexplode(datacl) a),
               (SELECT array_agg((setrole, setconfig)::text ORDER BY setrole) FROM pg_db_role_setting
                 WHERE setdatabase = d.oid)
          FROM pg_database d WHERE datname = %s
    """
    administrator.execute(facts, (name,))
    before = administrator.fetchone()
    try:
        done = project.newel("restore", str(made), "--yes")
        assert done.code == 0, done.err
        assert "warning" not in done.out
        administrator.execute(facts, (name,))
        assert administrator.fetchone() == before
    finally:
        for found in databases(administrator):
            if found.startswith(name):
                administrator.execute(f"REVOKE ALL ON DATABASE {found} FROM keep_guest CASCADE")
        administrator.execute("DROP ROLE keep_guest")


def test_a_name_as_long_as_a_name_may_be_is_cut_for_the_copies(
    project: Project, made: Path, administrator: Any
) -> None:
    name = "ü" * 31
    administrator.execute(f'CREATE DATABASE "{name}"')
    url = project.database.url.replace(f"/{project.database.name}?", f"/{'%C3%BC' * 31}?")
    try:
        done = project.newel("restore", str(made), "--yes", DATABASE_URL=url)
        assert done.code == 0, done.err
        kept = [found for found in databases(administrator) if re.match("ü+_before_", found)]
        assert len(kept) == 1
        assert len(kept[0].encode()) <= 63
    finally:
        for found in databases(administrator):
            if found.startswith("ü"):
                administrator.execute(f'DROP DATABASE "{found}" WITH (FORCE)')


def test_a_database_that_is_not_there_is_made_without_a_question(
    project: Project, made: Path, administrator: Any
) -> None:
    project.database.close()
    administrator.execute(f"DROP DATABASE {project.database.name} WITH (FORCE)")
    done = project.newel("restore", str(made))
    assert done.code == 0, done.err
    assert "no such database" in done.out
    assert "kept as" not in done.out
    assert project.applied() == ["000001", "000002"]
