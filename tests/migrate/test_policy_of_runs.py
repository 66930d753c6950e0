"""What the policy of an environment refuses, demands and takes back, whichever way a run is started."""

from __future__ import annotations

import contextlib
import io
import stat
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made import MadeProject, table

from newel.errors import ConnectionFailed, FileMissing, NewelError, PermissionDenied
from newel.migrate.direct import run_direct
from newel.migrate.events import BackedUp, Losing, StepFinished, StoredSql, TakingBack, Warned
from newel.migrate.invoke import through_alembic
from newel.migrate.policy.approval import Proposal
from newel.migrate.request import Request
from newel.project import stubs
from newel.project.files import read
from newel.project.graph import load_revisions
from newel.project.project import load_project

TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
JOURNAL = "SELECT revision, direction, result FROM newel.journal ORDER BY id"
APPROVALS = "SELECT revision, approval FROM newel.journal ORDER BY id"
BROKEN = "SELECT 1 / (SELECT 0);\n"


def config(made: MadeProject, **policy: Any) -> None:
    """Give development a policy; the other environments have none."""
    made.environments({"development": {"config": policy}, "staging": {}, "production": {}})


def told(events: list[Any], kind: type) -> list[Any]:
    return [item for item in events if isinstance(item, kind)]


def run_with_ask(made: MadeProject, database: Any, ask: Any, target: str = "head") -> None:
    """Run directly, with a person to ask."""
    project = load_project(made.root, {}, "development")
    run_direct(project, Request("upgrade", target), plain(database), lambda _: None, ask)


def plain(database: Any) -> Any:
    """A connection that is not in autocommit mode."""
    connection = database.connect()
    connection.autocommit = False
    return connection


def script(made: MadeProject, command: Any, target: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        project = load_project(made.root, {}, "development")
        through_alembic(project, Request(command, target), lambda _: None, sql=True)
    return printed.getvalue()


# What destroys


@pytest.mark.parametrize("directive", ["", "-- newel: allow destructive: nobody needs it\n"])
def test_a_destructive_statement_is_refused_with_its_place_and_nothing_runs(made, database, rows, directive):
    config(made, allow_destructive_operations=False)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", f"{directive}SELECT 1;\n  DROP TABLE one;\n")
    with pytest.raises(PermissionDenied, match="drops table one") as caught:
        made.run("upgrade", "head", database.engine())
    line = 3 if directive else 2
    assert str(caught.value.where) == f"sql/migrations/000002_two.up.sql:{line}:3"
    assert rows(database, TABLES) == []
    assert rows(database, "SELECT to_regnamespace('newel')") == [(None,)]


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("int", "bigint", True),
        ("varchar(50)", "varchar(100)", True),
        ("varchar(50)", "text", True),
        ("bigint", "int", False),
        ("varchar(100)", "varchar(50)", False),
        ("int", "bigint USING c + 1", False),
    ],
)
def test_a_change_of_type_is_refused_where_values_may_not_fit(made, database, rows, old, new, allowed):
    made.environments(
        {"development": {"search_path": ["app"], "config": {"allow_destructive_operations": False}}}
    )
    made.pair("000001_one", f"CREATE SCHEMA app;\nCREATE TABLE app.t (c {old});\n")
    made.run("upgrade", "head", database.engine())
    made.pair("000002_two", f"ALTER TABLE t ALTER COLUMN c TYPE {new};\n")
    if allowed:
        made.run("upgrade", "head", database.engine())
        words = new.replace("varchar", "character varying")
        query = (
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'c' AND attrelid = "
        )
        assert rows(database, f"{query}'app.t'::regclass") == [(words,)]
    else:
        with pytest.raises(PermissionDenied, match=r"changes the type of t\.c"):
            made.run("upgrade", "head", database.engine())


@pytest.mark.parametrize(
    "second",
    [
        "ALTER TABLE t ALTER COLUMN c TYPE varchar(60);\n",
        "SET search_path TO other;\nALTER TABLE t ALTER COLUMN c TYPE varchar(100);\n",
        "ALTER TABLE nowhere ALTER COLUMN c TYPE bigint;\n",
    ],
)
def test_a_type_that_the_catalog_does_not_tell_is_no_reason_to_let_a_change_through(made, database, second):
    config(made, allow_destructive_operations=False)
    made.pair("000001_one", "CREATE TABLE t (c varchar(50));\n")
    made.run("upgrade", "head", database.engine())
    made.pair("000002_two", "ALTER TABLE t ALTER COLUMN c TYPE varchar(100);\n")
    made.pair("000003_three", second)
    with pytest.raises(PermissionDenied) as caught:
        made.run("upgrade", "head", database.engine())
    assert caught.value.where.path == "sql/migrations/000003_three.up.sql"


def test_a_script_is_refused_for_what_it_destroys_and_holds_the_rest(made):
    config(made, allow_destructive_operations=False, require_approval=True, backup_required=True,
           maintenance_window="Mon 00:00-00:01")  # fmt: skip
    made.pair("000001_one", *table("one"))
    assert "CREATE TABLE one" in script(made, "upgrade", "head")
    assert "DROP TABLE one" in script(made, "downgrade", "1:base")
    for text in ("DROP TABLE one;\n", "ALTER TABLE one ALTER COLUMN id TYPE bigint;\n"):
        made.pair("000002_two", text)
        with pytest.raises(PermissionDenied, match="does not allow destructive"):
            script(made, "upgrade", "head")
    made.pair("000002_two", "-- newel: allow nonsense: why\nSELECT 1;\n")
    with pytest.raises(NewelError, match="names no rule"):
        script(made, "upgrade", "head")
    assert not (made.root / "backups").exists()


# Static checks


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_fault_that_validate_finds_in_a_pending_file_stops_the_run_unless_it_is_skipped(
    made, database, rows, direction
):
    config(made, skip_validation=False)
    made.pair("000001_one", *table("one"))
    path = made.pair("000002_two", *table("two")).with_name(f"000002_two.{direction}.sql")
    path.write_text(f"-- newel: allow nonsense: why\n{path.read_text()}")
    with pytest.raises(NewelError, match="`allow nonsense` names no rule") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == f"sql/migrations/000002_two.{direction}.sql:1"
    assert rows(database, TABLES) == []
    made.run("upgrade", "1", database.engine())
    config(made, skip_validation=True)
    made.run("upgrade", "head", database.engine())


@pytest.mark.parametrize("policy", [{}, {"allow_destructive_operations": False}])
def test_a_warning_is_told_once_and_stops_nothing(made, database, policy):
    config(made, **policy)
    made.pair("000001_one", "-- nothing\n")
    warned = told(made.run("upgrade", "head", database.engine()), Warned)
    assert [item.text for item in warned] == [
        "sql/migrations/000001_one.up.sql:1: the up file holds no statement"
    ]
    made.pair("000002_two", "-- nothing\n")
    config(made, skip_validation=True, **policy)
    assert told(made.run("upgrade", "head", database.engine()), Warned) == []


# Approval


def test_a_run_that_nobody_has_approved_is_refused_and_names_what_would_run(made, database, rows):
    config(made, require_approval=True)
    made.pair("000001_one", *table("one"))
    checksum = read(made.root, "sql/migrations/000001_one.up.sql").checksum
    with pytest.raises(PermissionDenied, match="nobody has approved 000001") as caught:
        made.run("upgrade", "head", database.engine())
    cure = str(caught.value.cure)
    assert f"up    sql/migrations/000001_one.up.sql  sha256 {checksum[:16]}" in cure
    assert f"{database.name} on " in cure
    assert "`head`" in cure
    assert rows(database, "SELECT to_regnamespace('newel')") == [(None,)]


def test_approvals_are_by_number_or_checksum_and_the_journal_keeps_the_whole_of_it(made, database, rows):
    config(made, require_approval=True)
    checksums = {}
    for number, slug in enumerate(("one", "two", "three", "four"), 1):
        made.pair(f"{number:06}_{slug}", *table(slug))
        checksums[number] = read(made.root, f"sql/migrations/{number:06}_{slug}.up.sql").checksum
    given = ("000001", f"2,3@{checksums[3][:16].upper()}", f" 000004@{checksums[4]} ")
    made.run("upgrade", "head", database.engine(), approvals=given)
    said = rows(database, APPROVALS)
    assert [revision for revision, _ in said] == ["000001", "000002", "000003", "000004"]
    for number, (_, words) in enumerate(said, 1):
        assert words.startswith("named beforehand, by ")
        assert words.endswith(f", sha256 {checksums[number]}")


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        (("000001",), PermissionDenied, "nobody has approved 000002"),
        (("1", "2", "3"), NewelError, "000003 is approved, but this run would not run it"),
        (("1", f"2@{'0' * 16}"), PermissionDenied, "000002 is approved with the checksum 0000000000000000"),
        (("1", f"2@{'0' * 16},2"), PermissionDenied, "it is another file than the one that was approved"),
        (("1", "2@0123"), NewelError, "`2@0123` is no approval"),
        (("1", "head"), NewelError, "`head` is no approval"),
        (("1", "٢"), NewelError, "`٢` is no approval"),
        (("", " , "), PermissionDenied, "nobody has approved 000001, 000002"),
    ],
)
def test_an_approval_that_does_not_fit_runs_nothing(made, database, rows, given, kind, says):
    config(made, require_approval=True)
    for number, slug in enumerate(("one", "two", "three"), 1):
        made.pair(f"{number:06}_{slug}", *table(slug))
    with pytest.raises(kind, match=says):
        made.run("upgrade", "000002", database.engine(), approvals=given)
    assert rows(database, TABLES) == []


def test_the_same_command_goes_on_behind_a_failure_with_the_same_approvals(made, database, rows):
    config(made, require_approval=True)
    made.pair("000001_one", *table("one"))
    path = made.pair("000002_two", BROKEN)
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine(), approvals=("1", "2"))
    path.write_text(table("two")[0])
    made.run("upgrade", "head", database.engine(), approvals=("1", "2"))
    assert rows(database, TABLES) == [("one",), ("two",)]
    assert made.run("upgrade", "head", database.engine(), approvals=("1", "2")) == []
    assert made.run("upgrade", "head", database.engine()) == []


def test_a_half_done_revision_is_approved_again_before_it_goes_on(made, database, rows):
    config(made, require_approval=True)
    path = made.pair("000001_one", f"-- newel: no-transaction\nCREATE TABLE one ();\n{BROKEN}")
    with pytest.raises(NewelError, match="division by zero"):
        made.run("upgrade", "head", database.engine(), approvals=("1",))
    path.write_text("-- newel: no-transaction\nCREATE TABLE one ();\nCREATE TABLE two ();\n")
    with pytest.raises(PermissionDenied):
        made.run("upgrade", "head", database.engine())
    checksum = read(made.root, "sql/migrations/000001_one.up.sql").checksum
    made.run("upgrade", "head", database.engine(), approvals=("1",))
    assert rows(database, TABLES) == [("one",), ("two",)]
    assert rows(database, APPROVALS)[-1][1].endswith(checksum)


def test_a_stamp_asks_nobody_and_backs_nothing_up(made, database, rows):
    config(made, require_approval=True, allow_destructive_operations=False, backup_required=True,
           maintenance_window="Mon 00:00-00:01")  # fmt: skip
    made.pair("000001_one", "DROP TABLE IF EXISTS one;\n")
    made.run("goto", "head", database.engine(), stamp=True)
    made.run("goto", "base", database.engine(), stamp=True)
    assert [row[2] for row in rows(database, JOURNAL)] == ["stamped", "stamped"]
    assert not (made.root / "backups").exists()


def test_what_was_shown_is_what_is_approved(made, database, rows):
    config(made, require_approval=True)
    made.pair("000001_one", *table("one"))
    shown: list[Proposal] = []
    run_with_ask(made, database, lambda proposal: bool(shown.append(proposal)) or True)
    assert shown[0].environment == "development"
    assert shown[0].target == "head"
    assert [words.split()[1] for words in shown[0].lines()] == ["sql/migrations/000001_one.up.sql"]
    assert rows(database, APPROVALS)[0][1].startswith("typed yes, by ")


def test_a_file_that_changes_behind_the_approval_does_not_run(made, database, rows):
    config(made, require_approval=True)
    path = made.pair("000001_one", *table("one"))

    def change_it(_: Proposal) -> bool:
        path.write_text("CREATE TABLE another ();\n")
        return True

    with pytest.raises(PermissionDenied, match="has changed since it was approved"):
        run_with_ask(made, database, change_it)
    assert rows(database, TABLES) == []


def test_an_approval_does_not_hold_where_another_run_did_some_of_the_work_meanwhile(made, database, rows):
    config(made, require_approval=True)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", *table("two"))

    def overtaken(target: str) -> Any:
        def ask(_: Proposal) -> bool:
            made.run("upgrade", target, database.engine(), approvals=("1",) if target == "1" else ("2",))
            return True

        return ask

    with pytest.raises(PermissionDenied, match="has changed since it was approved"):
        run_with_ask(made, database, overtaken("1"))
    assert rows(database, TABLES) == [("one",)]
    run_with_ask(made, database, overtaken("2"))  # all of it: nothing is left to do
    assert rows(database, TABLES) == [("one",), ("two",)]
    assert len(rows(database, JOURNAL)) == 2


# What a rollback loses


def test_a_rollback_that_loses_something_is_told_and_approved_where_destruction_is_not_allowed(
    made, database, rows
):
    config(made, allow_destructive_operations=False)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "CREATE INDEX i ON one (id);\n", "DROP INDEX i;\n")
    made.run("upgrade", "head", database.engine())
    assert told(made.run("downgrade", "-1", database.engine()), Losing) == []
    rows(database, "INSERT INTO one VALUES (1), (2) RETURNING id")
    with pytest.raises(PermissionDenied, match="nobody has approved 000001"):
        made.run("downgrade", "-1", database.engine())
    events = made.run("downgrade", "-1", database.engine(), approvals=("1",), count=made.way == "direct")
    [losing] = told(events, Losing)
    amount = "2 rows" if made.way == "direct" else "rows unknown (never analysed; --count counts them)"
    assert losing.losses == (f"one: {amount}",)
    assert events.index(losing) == 0


def test_rows_that_a_condition_picks_are_a_loss_as_well(made, database):
    config(made, allow_destructive_operations=False)
    made.pair("000001_one", "CREATE TABLE one (id int);\n", "DELETE FROM one WHERE id = 1;\n")
    made.run("upgrade", "head", database.engine())
    with pytest.raises(PermissionDenied, match="nobody has approved 000001"):
        made.run("downgrade", "-1", database.engine())


def test_where_destruction_is_allowed_a_rollback_asks_and_tells_nothing(made, database):
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    assert told(made.run("downgrade", "-1", database.engine()), Losing) == []


# Backup


def test_a_backup_is_made_before_anything_runs_and_holds_what_was_there_before(made, database, rows, server):
    config(made, backup_required=True)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "1", database.engine())
    events = made.run("upgrade", "head", database.engine())
    [backup] = told(events, BackedUp)
    assert events[0] == backup
    path = Path(backup.path)
    assert path.parent == made.root / "backups"
    assert path.name.startswith(f"{database.name}-development-before-up-000002-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_size == backup.size
    rows(database, "INSERT INTO one VALUES (7) RETURNING id")
    done = subprocess.run(["sh", "-c", backup.restore], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rows(database, "SELECT count(*) FROM one") == [(0,)]
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000001",)]
    with database.connect().cursor() as cursor:
        cursor.execute("DROP TABLE two")  # made since: a restore leaves it
    made.run("upgrade", "head", database.engine())
    before = set(path.parent.iterdir())
    assert told(made.run("upgrade", "head", database.engine()), BackedUp) == []
    assert set(path.parent.iterdir()) == before


def test_without_a_backup_nothing_runs(made, database, rows, monkeypatch):
    config(made, backup_required=True)
    made.pair("000001_one", *table("one"))
    (made.root / "backups").write_text("a file stands where the folder has to be")
    with pytest.raises(NewelError, match=r"the backup of .* failed"):
        made.run("upgrade", "head", database.engine())
    (made.root / "backups").unlink()
    monkeypatch.setattr("newel.database.backup.tools._folders", lambda _: iter(()))
    with pytest.raises(FileMissing, match="there is no pg_dump"):
        made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regnamespace('newel'), to_regclass('one')") == [(None, None)]


# Window


def window(database: Any, zone: str, start: int, end: int) -> str:
    """A window from `start` to `end` hours from now, by the server's clock in a zone."""
    connection = database.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp() AT TIME ZONE %s", (zone,))
        now: datetime = cursor.fetchone()[0]
    return f"{now + timedelta(hours=start):%H:%M}-{now + timedelta(hours=end):%H:%M} {zone}"


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_a_run_is_refused_outside_the_maintenance_window_and_goes_on_inside_it(made, database, rows, zone):
    made.pair("000001_one", *table("one"))
    config(made, maintenance_window=window(database, zone, 2, 4))
    with pytest.raises(PermissionDenied, match=f"{zone}; there it is"):
        made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regnamespace('newel')") == [(None,)]
    config(made, maintenance_window=window(database, zone, -2, 2))
    made.run("upgrade", "head", database.engine())
    config(made, maintenance_window=window(database, zone, 2, 4))
    assert made.run("upgrade", "head", database.engine()) == []
    with pytest.raises(PermissionDenied, match="maintenance window"):
        made.run("downgrade", "-1", database.engine())


# Taking back


def fails(made: MadeProject, database: Any, target: str = "head", **options: Any) -> tuple[str, list[str]]:
    """Run what fails, and return the cure and the revisions taken back as the journal has them."""
    with pytest.raises(NewelError, match="division by zero") as caught:
        made.run("upgrade", target, database.engine(), **options)
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT revision FROM newel.journal WHERE result = 'rolled back' ORDER BY id")
        return str(caught.value.cure), [row[0] for row in cursor.fetchall()]


def test_a_failed_run_takes_back_what_it_had_applied_and_no_more(made, database, rows):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    made.pair("000002_two", *table("two"))
    made.pair("000003_three", *table("three"))
    made.pair("000004_four", BROKEN)
    cure, taken = fails(made, database)
    assert taken == ["000003", "000002"]
    assert "Before it, this run has applied 000002, 000003.\nIt has taken back 000003, 000002." in cure
    assert "that stays" not in cure
    assert rows(database, TABLES) == [("one",)]
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000001",)]
    assert [row for row in rows(database, JOURNAL) if row[2] == "failed"] == [("000004", "up", "failed")]
    assert rows(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    made.pair("000004_four", *table("four"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, TABLES) == [("four",), ("one",), ("three",), ("two",)]


def test_what_is_taken_back_is_told(made, database):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", BROKEN)
    events: list[Any] = []
    project = load_project(made.root, {}, "development")
    with pytest.raises(NewelError, match="division by zero"):
        run_direct(project, Request("upgrade", "head"), plain(database), events.append)
    at = events.index(told(events, TakingBack)[0])
    assert [item.step.direction for item in told(events[at:], StepFinished)] == ["down"]


@pytest.mark.parametrize("word", ["irreversible", "lossy two"])
def test_taking_back_stops_at_a_down_file_that_loses_something_and_says_so(made, database, rows, word):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", table("two")[0], f"-- newel: {word} the rows are gone\n{table('two')[1]}")
    made.pair("000003_three", *table("three"))
    made.pair("000004_four", BROKEN)
    cure, taken = fails(made, database)
    assert taken == ["000003"]
    word = word.split()[0]
    assert f"000002 stays, with what was applied before it: its down file is {word}." in cure
    assert rows(database, TABLES) == [("one",), ("two",)]


def test_nothing_is_taken_back_below_a_half_done_revision(made, database, rows):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", *table("one"))
    path = made.pair("000002_two", f"-- newel: no-transaction\nCREATE TABLE two ();\n{BROKEN}")
    cure, taken = fails(made, database)
    assert taken == []
    assert "000002 is half done, so what it stands on stays." in cure
    path.write_text("-- newel: no-transaction\nCREATE TABLE two ();\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, TABLES) == [("one",), ("two",)]


def test_nothing_is_taken_back_over_a_lost_connection(made, database, rows):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "SELECT pg_terminate_backend(pg_backend_pid());\n")
    with pytest.raises(ConnectionFailed) as caught:
        made.run("upgrade", "head", database.engine())
    assert "That stays: nothing is taken back after a lost connection" in str(caught.value.cure)
    assert rows(database, TABLES) == [("one",)]


@pytest.mark.parametrize(
    ("down", "says"),
    [
        ("DROP TABLE nowhere;\n", 'sql/migrations/000002_two.down.sql:1:1: table "nowhere" does not exist'),
        ("SELECT pg_terminate_backend(pg_backend_pid());\n", "server closed the connection unexpectedly"),
    ],
)
def test_a_failure_while_taking_back_is_told_beside_the_first_one(made, database, rows, down, says):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", table("two")[0], down)
    made.pair("000003_three", *table("three"))
    made.pair("000004_four", BROKEN)
    cure, taken = fails(made, database)
    assert taken == ["000003"]
    assert "It has taken back 000003.\nTaking back more of it failed: " in cure
    assert says in cure
    assert rows(database, TABLES) == [("one",), ("two",)]
    if "nowhere" in down:
        assert rows(database, JOURNAL)[-1] == ("000002", "down", "failed")


def test_a_rollback_that_fails_is_not_undone(made, database, rows):
    config(made, auto_rollback_on_failure=True)
    made.pair("000001_one", table("one")[0], BROKEN)
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    with pytest.raises(NewelError, match="division by zero") as caught:
        made.run("downgrade", "base", database.engine())
    assert "this run has rolled back 000002; that stays." in str(caught.value.cure)
    assert rows(database, TABLES) == [("one",)]


def test_without_the_policy_what_was_applied_stays(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", BROKEN)
    cure, taken = fails(made, database)
    assert taken == []
    assert "Before it, this run has applied 000001; that stays." in cure


# Throwaway databases


def test_a_throwaway_database_is_not_bound_by_the_policy(made, database, rows, new_database):
    config(made, require_approval=True, backup_required=True, allow_destructive_operations=False,
           maintenance_window="Mon 00:00-00:01")  # fmt: skip
    made.pair("000001_one", "DROP TABLE IF EXISTS one;\nCREATE TABLE one ();\n")
    database.root = made.root
    database.up()
    assert rows(database, TABLES) == [("one",)]
    assert not (made.root / "backups").exists()


def test_approvals_that_are_given_bind_the_run_also_where_none_is_asked_for(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", *table("two"))
    with pytest.raises(PermissionDenied, match="nobody has approved 000002"):
        made.run("upgrade", "head", database.engine(), approvals=("1",))
    assert rows(database, TABLES) == []


def test_stored_sql_is_shown_before_anybody_approves_it(made, database):
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    config(made, require_approval=True)
    for path in (made.root / "sql" / "migrations").glob("000001*"):
        path.unlink()
    stubs.write(made.root, load_revisions(made.root))
    events: list[Any] = []
    with pytest.raises(PermissionDenied, match="nobody has approved 000001"):
        made.run("downgrade", "-1", database.engine(), events=events)
    assert [item.sql for item in told(events, StoredSql)] == ["DROP TABLE one;\n"]
    events = made.run("downgrade", "-1", database.engine(), approvals=("1",))
    assert [item.sql for item in told(events, StoredSql)] == ["DROP TABLE one;\n"]
