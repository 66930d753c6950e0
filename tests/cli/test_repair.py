"""`newel repair`, and what `status` and `log` say of changed files."""

from __future__ import annotations

import pytest
from small_project import Project

from newel.database.lock import migration_lock

FIRST = "sql/migrations/000001_first"


@pytest.fixture
def applied(project: Project) -> Project:
    """All but 000004 applied."""
    assert project.newel("up", "3").code == 0
    return project


def change(project: Project, path: str = f"{FIRST}.up.sql", table: str = "first") -> None:
    project.write(path, f"CREATE TABLE {table} (id bigint);\n")


def rename(project: Project) -> None:
    for direction in ("up", "down"):
        (project.root / f"{FIRST}.{direction}.sql").rename(
            project.root / f"sql/migrations/000001_premier.{direction}.sql"
        )
    project.stubs()


def test_repair_without_changes_says_so(applied: Project) -> None:
    with applied.nothing_changes():
        shown = applied.newel("repair")
        named = applied.newel("repair", "1", "000002_second")
    assert (shown.code, named.code) == (0, 0)
    assert shown.out == "development: every file is as applied; nothing to record\n"
    assert "nothing to record" in named.out


def test_repair_of_a_database_where_nothing_was_ever_run_has_nothing_to_show(project: Project) -> None:
    with project.nothing_changes():
        assert project.newel("repair").code == 0
        assert project.newel("repair", "1").code == 5


def test_a_changed_file_refuses_up_with_5_and_repair_shows_it_and_ends_with_1(applied: Project) -> None:
    change(applied)
    applied.write("sql/migrations/000002_second.down.sql", "DROP TABLE second CASCADE;\n")
    with applied.nothing_changes():
        refused = applied.newel("up")
        shown = applied.newel("repair")
        told = applied.newel("repair", "--json")
    assert (refused.code, shown.code, told.code) == (5, 1, 1)
    for text in (refused.err, shown.out):
        assert f"{FIRST}.up.sql:1: changed\n    -CREATE TABLE first (id integer);\n" in text
        assert "newel repair 000001 000002" in text
    assert "000002_second.down.sql:1: changed" in shown.out
    assert told.json["recorded"] == []
    assert [(item["revision"], item["file"]) for item in told.json["changed"]] == [
        ("000001", f"{FIRST}.up.sql"),
        ("000002", "sql/migrations/000002_second.down.sql"),
    ]
    assert "+CREATE TABLE first (id bigint);" in told.json["changed"][0]["difference"]


def test_repair_records_a_reviewed_change_and_up_goes_on(applied: Project) -> None:
    change(applied)
    before = applied.newel("status", "--json").json["revisions"]
    done = applied.newel("repair", "000001")
    assert done.code == 0, done.err
    assert "+CREATE TABLE first (id bigint);" in done.out
    assert "Recorded as reviewed: 000001. Nothing was run." in done.out
    assert applied.journal()[-1] == ("000001", "up", "repaired")
    after = applied.newel("status", "--json").json["revisions"]
    assert [{**row, "state": "applied"} for row in before[:1]] + before[1:] == after
    assert applied.newel("repair").code == 0
    assert applied.newel("up").code == 0
    assert applied.newel("down", "-2").code == 0  # 000004 and 000003: the order of application is as it was
    assert applied.applied() == ["000001", "000002"]


def test_repair_records_some_and_says_what_is_left(applied: Project) -> None:
    change(applied)
    change(applied, "sql/migrations/000002_second.up.sql", "second")
    change(applied, "sql/migrations/development/000003_sample.up.sql", "sample")
    done = applied.newel("repair", "1", "3")
    assert done.code == 0, done.err
    assert "Recorded as reviewed: 000001 000003" in done.out
    assert "1 file still changed" in done.out
    assert applied.newel("up").code == 5
    told = applied.newel("repair", "2", "--json")
    assert told.code == 0
    assert [item["revision"] for item in told.json["recorded"]] == ["000002"]
    assert told.json["changed"] == []
    assert applied.newel("up").code == 0


def test_a_repaired_down_file_is_the_one_that_a_rollback_without_file_runs(applied: Project) -> None:
    applied.write(
        "sql/migrations/development/000003_sample.down.sql",
        "DROP TABLE sample;\nCREATE TABLE trace ();\n",
    )
    assert applied.newel("repair", "3").code == 0
    for direction in ("up", "down"):
        (applied.root / f"sql/migrations/development/000003_sample.{direction}.sql").unlink()
    applied.stubs()
    done = applied.newel("down")
    assert done.code == 0, done.err
    assert "CREATE TABLE trace" in done.out
    assert applied.tables() == {"first", "second", "trace"}


def test_a_repair_changes_nothing_of_a_half_done_rollback(applied: Project) -> None:
    applied.write(
        "sql/migrations/development/000003_sample.down.sql",
        "-- newel: no-transaction\nDROP TABLE sample;\nSELECT nope;\n",
    )
    assert applied.newel("repair", "3").code == 0
    assert applied.newel("down").code == 1
    change(applied)
    applied.write(
        "sql/migrations/development/000003_sample.down.sql",
        "-- newel: no-transaction\nDROP TABLE sample;\nSELECT 1;\n",
    )
    assert applied.newel("repair", "1", "3").code == 0
    states = {row["revision"]: row["state"] for row in applied.newel("status", "--json").json["revisions"]}
    assert states["000003"] == "applied, down failed, 1 statement done"
    assert applied.newel("up").code == 5
    done = applied.newel("down")
    assert done.code == 0, done.err
    assert applied.applied() == ["000001", "000002"]


def test_a_rename_is_recorded(applied: Project) -> None:
    rename(applied)
    refused = applied.newel("up")
    assert refused.code == 5
    assert "newel repair 000001" in refused.err
    shown = applied.newel("repair")
    assert shown.code == 1
    assert "It was applied as 000001_first." in shown.out
    assert applied.newel("repair", "1").code == 0
    assert applied.newel("up").code == 0
    assert applied.newel("down", "base").code == 0


def test_a_rename_in_a_journal_of_newel_0_1_0_is_recorded(applied: Project) -> None:
    applied.execute(
        "ALTER TABLE newel.journal DROP COLUMN branch, DROP COLUMN down_revision, DROP COLUMN depends_on, "
        "DROP COLUMN down_checksum, DROP COLUMN up_sql, DROP COLUMN down_sql, DROP COLUMN down_transactional, "
        "DROP COLUMN approval, DROP COLUMN backend, DROP COLUMN host"
    )
    applied.execute("ALTER TABLE newel.journal RENAME up_checksum TO checksum")
    rename(applied)
    assert applied.newel("status").code == 5
    assert applied.newel("log", "--long").code == 0
    assert applied.newel("repair", "1").code == 0
    assert applied.newel("up").code == 0


def test_a_revision_that_is_not_applied_or_none_is_refused(applied: Project) -> None:
    with applied.nothing_changes():
        pending = applied.newel("repair", "4")
        unknown = applied.newel("repair", "000001_frist")
        both = applied.newel("repair", "1", "9")
    assert (pending.code, unknown.code, both.code) == (5, 1, 1)
    assert "000004 is not applied here" in pending.err
    assert "did you mean 000001?" in unknown.err


def test_a_checkout_that_lacks_an_applied_revision_may_not_record_its_own_files(applied: Project) -> None:
    change(applied)
    for direction in ("up", "down"):
        (applied.root / f"sql/migrations/000002_second.{direction}.sql").unlink()
    applied.stubs()
    with applied.nothing_changes():
        refused = applied.newel("repair", "1")
    assert refused.code == 5
    assert "000002" in refused.err


def test_what_cannot_be_run_is_shown_and_not_recorded(applied: Project) -> None:
    applied.write(f"{FIRST}.up.sql", "CREATE TABEL first ();\n")
    with applied.nothing_changes():
        assert "first.up.sql:1:8: syntax error" in applied.newel("up").err
        assert "first.up.sql:1:8: syntax error" in applied.newel("repair").out
        refused = applied.newel("repair", "1")
    assert refused.code == 1
    assert f"{FIRST}.up.sql:1:8: syntax error" in refused.err


def test_the_database_of_another_environment_is_refused(applied: Project) -> None:
    change(applied)
    with applied.nothing_changes():
        for arguments in (("repair",), ("repair", "1")):
            refused = applied.newel(*arguments, "--env", "production")
            assert refused.code == 1
            assert "belongs to development" in refused.err


def test_repair_waits_for_the_lock(applied: Project) -> None:
    change(applied)
    text = (applied.root / "env/environments.json").read_text()
    applied.write(
        "env/environments.json", text.rstrip()[:-1] + ', "migration_locking": {"timeout_seconds": 0.1}}'
    )
    connection = applied.database.connect()
    connection.autocommit = False
    with migration_lock(connection, 10, lambda _: None), applied.nothing_changes():
        assert applied.newel("repair").code == 1  # looking does not wait
        refused = applied.newel("repair", "1")
    assert refused.code == 1
    assert "waiting for another run" in refused.err
    assert "another run has held the lock" in refused.err


def test_who_may_only_read_can_look_and_not_record(applied: Project, role) -> None:
    change(applied)
    reader = role("secret")
    applied.execute(f"GRANT USAGE ON SCHEMA newel TO {reader.name}")
    applied.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA newel TO {reader.name}")
    with applied.nothing_changes():
        assert applied.newel("repair", DATABASE_URL=reader.url()).code == 1
        refused = applied.newel("repair", "1", DATABASE_URL=reader.url())
    assert refused.code == 4
    assert "permission denied" in refused.err
    assert "GRANT SELECT" in refused.err


def test_status_shows_changed_files_and_the_cure(applied: Project) -> None:
    change(applied)
    with applied.nothing_changes():
        shown = applied.newel("status")
        told = applied.newel("status", "--json").json
    assert shown.code == 0
    assert "applied, file changed" in next(line for line in shown.lines if line.startswith("000001"))
    assert "To see how:  newel repair" in shown.out
    assert [row["state"] for row in told["revisions"]] == [
        "applied, file changed",
        "applied",
        "applied",
        "pending",
    ]


def test_status_says_whether_the_down_sql_of_a_revision_without_files_is_kept(applied: Project) -> None:
    for path in ("000001_first", "development/000003_sample"):
        for direction in ("up", "down"):
            (applied.root / f"sql/migrations/{path}.{direction}.sql").unlink()
    applied.stubs()
    applied.execute("UPDATE newel.journal SET down_sql = NULL WHERE revision = '000001'")
    shown = applied.newel("status")
    assert shown.code == 5
    lines = {line.split()[0]: line for line in shown.lines if line.startswith("0000")}
    assert "applied, not in this checkout; no down SQL kept" in lines["000001"]
    assert "applied, not in this checkout; down SQL kept" in lines["000003"]


def test_log_shows_a_repair_and_long_all_that_is_known(applied: Project) -> None:
    change(applied)
    applied.newel("repair", "1")
    applied.write("sql/migrations/000004_fourth.up.sql", "SELECT 1;\nSELECT nope;\n")
    applied.newel("up")
    short = applied.newel("log")
    assert [line.split()[2] for line in short.lines[1:6]] == [
        "000004",
        "000001",
        "000003",
        "000002",
        "000001",
    ]
    assert "repaired" in short.lines[2]
    assert max(map(len, short.lines[:6])) <= 80
    long = applied.newel("log", "--long", "-n", "2")
    assert [line for line in long.lines if line.startswith("0000")] == [
        "000004_fourth up: failed",
        "000001_first up: repaired",
    ]
    newest = applied.newel("log", "--json", "-n", "1").json[0]
    for value in (
        "development",
        newest["up_checksum"],
        newest["down_checksum"],
        newest["executed_by"],
        newest["host"],
        newest["application"],
        "sql/migrations/000004_fourth.up.sql:2:8",
    ):
        assert value in long.out.partition("000001_first")[0]
    for name in ("started", "finished", "duration", "statements"):
        assert f"  {name}" in long.out
