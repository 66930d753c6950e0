"""What a run executes on a real server, how it is committed, and what a failing file leaves."""

from __future__ import annotations

import pytest
from made import table

from newel.errors import NewelError, PermissionDenied
from newel.migrate.events import Noticed


def test_the_work_of_a_run_persists(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('one') IS NOT NULL") == [(True,)]
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000001",)]


def test_colons_and_percent_signs_reach_the_server_unchanged(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a text);\nINSERT INTO t VALUES (':name %s %(x)s 100% a::b');\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(":name %s %(x)s 100% a::b",)]


def test_every_notice_is_kept_in_its_order(made, database):
    made.pair("000001_one", "DO $$ BEGIN FOR i IN 1..120 LOOP RAISE NOTICE 'note %', i; END LOOP; END $$;\n")
    events = made.run("upgrade", "head", database.engine())
    assert [item.text for item in events if isinstance(item, Noticed)] == [
        f"NOTICE:  note {i}" for i in range(1, 121)
    ]


def test_a_copy_block_is_loaded(made, database, rows):
    made.pair("000001_one", "CREATE TABLE t (a int, b text);\nCOPY t FROM stdin;\n1\tit's\n2\t\\N\n\\.\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT * FROM t ORDER BY 1") == [(1, "it's"), (2, None)]


def test_an_empty_file_is_a_revision_that_does_nothing(made, database, rows):
    made.pair("000001_one", "", "-- nothing\n")
    made.run("upgrade", "head", database.engine())
    made.run("downgrade", "base", database.engine())
    assert rows(database, "SELECT direction, result FROM newel.journal ORDER BY id") == [
        ("up", "applied"),
        ("down", "rolled back"),
    ]


def test_byte_order_mark_and_crlf_are_fine(made, database, rows):
    path = made.pair("000001_one", "")
    path.write_bytes("\ufeffCREATE TABLE t (a int);\r\n-- note\r\nINSERT INTO t VALUES (1);\r\n".encode())
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_a_failing_statement_takes_its_revision_back_whole_and_leaves_those_before(made, database, rows):
    made.pair("000001_one", *table("one"))
    path = made.pair(
        "000002_two", "CREATE TABLE two (id int);\n\n-- why\nINSERT INTO two\n  SELECT nothing FROM one;\n"
    )
    made.pair("000003_three", *table("three"))
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000002_two.up.sql:5:10"
    assert "42703" in caught.value.what
    assert "000001" in str(caught.value.cure)
    assert rows(database, "SELECT to_regclass('one')::text, to_regclass('two')::text") == [("one", None)]
    journal = "SELECT revision, result, error IS NOT NULL FROM newel.journal ORDER BY id"
    assert rows(database, journal) == [("000001", "applied", False), ("000002", "failed", True)]
    path.write_text("CREATE TABLE two (id int);\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT version_num FROM newel.alembic_version") == [("000003",)]


def test_an_error_at_run_time_points_at_its_statement_not_at_the_comment_before_it(made, database):
    made.pair("000001_one", "SELECT 1;\n-- divide\n  SELECT 1 / (SELECT 0);\n")
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql:3:3"


def test_every_file_is_checked_before_the_first_one_runs(made, database, rows):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "SELEC 1;\n")
    with pytest.raises(NewelError, match="syntax error") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000002_two.up.sql:1:1"
    assert rows(database, "SELECT to_regclass('one'), to_regnamespace('newel')") == [(None, None)]


def test_only_the_files_of_the_planned_steps_are_read(made, database):
    made.pair("000001_one", *table("one"))
    made.pair("000002_two", "SELEC 1;\n")
    assert len(made.run("upgrade", "1", database.engine())) == 2


def test_a_file_that_empties_search_path_does_not_harm_the_next(made, database, rows):
    made.environments({"development": {"search_path": ["app", "public"]}})
    made.pair("000001_one", "CREATE SCHEMA app;\nSELECT pg_catalog.set_config('search_path', '', false);\n")
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('app.two') IS NOT NULL") == [(True,)]


def test_what_a_file_sets_is_gone_in_the_next(made, database, rows):
    made.pair("000001_one", "SET work_mem TO '77MB';\nSET session_replication_role TO replica;\n")
    show = "SELECT current_setting('work_mem') a, current_setting('session_replication_role') b"
    made.pair("000002_two", f"CREATE TABLE t AS {show};\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT * FROM t") == rows(database, show)


@pytest.mark.parametrize(
    "command", ["SET ROLE pg_monitor", "SET LOCAL ROLE pg_monitor", "SET SESSION AUTHORIZATION pg_monitor"]
)
def test_a_file_may_end_as_another_role(made, database, rows, command):
    made.pair("000001_one", f"{command};\n")
    made.pair("000002_two", "CREATE TABLE t AS SELECT current_user AS who;\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT who = session_user FROM t") == [(True,)]


def test_a_deferred_constraint_is_reported_with_its_file(made, database, rows):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO t VALUES (1, 2);\n",
    )
    with pytest.raises(NewelError, match=r"deferred constraint(?s:.*)23503") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql"
    assert rows(database, "SELECT to_regclass('t')") == [(None,)]


def test_an_error_position_counts_characters_where_bytes_differ(made, database):
    made.pair("000001_one", "SELECT 'žluťoučký kůň', nothing;\n")
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql:1:25"


def test_a_setting_of_the_environment_holds_in_every_file(made, database, rows):
    made.environments({"development": {"config": {"lock_timeout": "3s", "statement_timeout": "4min"}}})
    show = "INSERT INTO t SELECT current_setting('lock_timeout'), current_setting('statement_timeout');\n"
    made.pair(
        "000001_one", "CREATE TABLE t (a text, b text);\nSET lock_timeout = 0;\nSET statement_timeout = 0;\n"
    )
    made.pair("000002_two", show)
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT * FROM t") == [("3s", "4min")]


def test_two_databases_of_other_search_paths_keep_one_version_table(made, database, rows):
    made.pair("000001_one", "CREATE SCHEMA app;\n", "DROP SCHEMA app;\n")
    made.run("upgrade", "head", database.engine())
    made.environments({"development": {"search_path": ["app"]}})
    assert made.run("upgrade", "head", database.engine()) == []


def test_a_label_added_to_an_enum_needs_a_file_without_transaction(made, database, rows):
    made.pair("000001_one", "CREATE TYPE mood AS ENUM ('low');\nCREATE TABLE t (m mood);\n")
    use = "ALTER TYPE mood ADD VALUE 'high';\nINSERT INTO t VALUES ('high');\n"
    path = made.pair("000002_two", use)
    with pytest.raises(NewelError, match="55P04"):
        made.run("upgrade", "head", database.engine())
    path.write_text(f"-- newel: no-transaction\n{use}")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT m::text FROM t") == [("high",)]


def test_concurrently_is_found_by_itself_and_waits_for_locks_as_long_as_it_takes(made, database, rows):
    made.environments({"development": {"config": {"lock_timeout": "7s"}}})
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int);\nCREATE FUNCTION spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN\n"
        "RAISE NOTICE 'lock_timeout %', current_setting('lock_timeout'); RETURN $1; END $$;\n"
        "INSERT INTO t VALUES (1);\n"
        "CREATE INDEX CONCURRENTLY i ON t (spy(a));\nSELECT spy(2);\n",
    )
    texts = {
        item.text for item in made.run("upgrade", "head", database.engine()) if isinstance(item, Noticed)
    }
    assert texts == {"NOTICE:  lock_timeout 0", "NOTICE:  lock_timeout 7s"}
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_a_procedure_that_commits_runs_in_a_file_without_transaction(made, database, rows):
    made.pair(
        "000001_one",
        "-- newel: no-transaction\nCREATE TABLE t (a int);\nDO $$ BEGIN FOR i IN 1..3 LOOP\n"
        "INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$;\nINSERT INTO t VALUES (9);\n",
    )
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,), (9,)]


def test_an_irreversible_down_file_stops_before_anything_is_rolled_back(made, database, rows):
    made.pair("000001_one", "CREATE TABLE one (id int);\n", "-- newel: irreversible the old rows are gone\n")
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    with pytest.raises(NewelError, match="the old rows are gone"):
        made.run("downgrade", "base", database.engine())
    assert rows(database, "SELECT to_regclass('two') IS NOT NULL") == [(True,)]


def test_a_file_without_transaction_may_act_as_another_role(made, database, rows):
    made.pair("000001_one", "CREATE SCHEMA app;\nGRANT CREATE, USAGE ON SCHEMA app TO pg_monitor;\n")
    made.pair(
        "000002_two",
        "-- newel: no-transaction\nSET ROLE pg_monitor;\nCREATE TABLE app.t (a int);\n"
        "CREATE INDEX CONCURRENTLY i ON app.t (a);\nCREATE TABLE app.u (a int);\n",
    )
    made.run("upgrade", "head", database.engine())
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'app'"
    assert rows(database, owners) == [("pg_monitor",)]


def test_an_index_of_the_same_name_in_another_schema_is_not_confused(made, database, rows):
    made.environments({"development": {"search_path": ["a", "b"]}})
    made.pair(
        "000001_one",
        "CREATE SCHEMA a;\nCREATE SCHEMA b;\nCREATE TABLE b.t (x int);\nCREATE TABLE a.i (x int);\n",
    )
    made.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (x);\n")
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'b.i'::regclass") == [(True,)]


def test_a_files_own_lock_timeout_holds_again_behind_concurrently(made, database, rows):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a text);\nSET lock_timeout TO '4s';\nCREATE INDEX CONCURRENTLY i ON t (a);\n"
        "INSERT INTO t SELECT current_setting('lock_timeout');\n",
    )
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT a FROM t") == [("4s",)]


def test_a_file_that_makes_the_session_read_only_does_not_stop_the_next(made, database, rows):
    made.pair("000001_one", "SET default_transaction_read_only TO on;\n")
    made.pair("000002_two", *table("two"))
    made.run("upgrade", "head", database.engine())
    assert rows(database, "SELECT to_regclass('two') IS NOT NULL") == [(True,)]


def test_a_deferred_trigger_is_reported_with_its_file_whatever_it_raises(made, database):
    made.pair(
        "000001_one",
        "CREATE TABLE t (a int);\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS\n"
        "$$ BEGIN RAISE EXCEPTION 'bad total'; END $$;\nCREATE CONSTRAINT TRIGGER g AFTER INSERT ON t\n"
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f();\nINSERT INTO t VALUES (1);\n",
    )
    with pytest.raises(NewelError, match="bad total") as caught:
        made.run("upgrade", "head", database.engine())
    assert str(caught.value.where) == "sql/migrations/000001_one.up.sql"


@pytest.mark.parametrize("statement", ["DO $$ BEGIN COMMIT; END $$", "REINDEX TABLE p"])
def test_what_is_refused_in_a_transaction_names_the_directive(made, database, statement):
    made.pair("000001_one", "CREATE TABLE p (a int) PARTITION BY LIST (a);\nCREATE INDEX ON p (a);\n")
    made.pair("000002_two", f"{statement};\n")
    with pytest.raises(NewelError) as caught:
        made.run("upgrade", "head", database.engine())
    assert "-- newel: no-transaction" in str(caught.value.cure)


def test_functions_that_fit_better_than_those_of_the_catalog_are_not_called(made, database, rows):
    """Whoever may create in public could have newel's user run them (CVE-2018-1058)."""
    trap = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$"
    for function in ("unnest(text[]) RETURNS SETOF text", "quote_ident(name) RETURNS text"):
        rows(database, f"CREATE FUNCTION public.{function} {trap}")
    made.pair(
        "000001_one", "CREATE TABLE one (id int);\nGRANT SELECT ON one TO PUBLIC;\n", "DROP TABLE one;\n"
    )
    made.run("upgrade", "head", database.engine())
    rows(database, "GRANT INSERT ON newel.journal TO pg_monitor")
    with pytest.raises(PermissionDenied, match="pg_monitor may write"):
        made.run("downgrade", "base", database.engine())
    rows(database, "REVOKE INSERT ON newel.journal FROM pg_monitor")
    made.run("downgrade", "base", database.engine())
    assert rows(database, "SELECT to_regclass('one')") == [(None,)]
