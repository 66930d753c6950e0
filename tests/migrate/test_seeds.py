"""How many rows a seed inserts, updates, deletes and skips, and what becomes of a CSV file's rows in odd tables."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import MadeProject

from newel.database.connection import connect
from newel.errors import ConnectionFailed, NewelError, Terminated
from newel.migrate.seed.run import Advanced, Event, Seeded, run_seeds
from newel.migrate.seed.tally import Tally
from newel.project.csv_file import fields, read_csv, records
from newel.project.project import load_project
from newel.project.seeds import seed_paths
from newel.testing import Database

TABLE = "CREATE TABLE t (id integer PRIMARY KEY, v text);\nINSERT INTO t VALUES (1, 'one'), (2, 'two');\n"
Seed = Callable[..., Tally]


@pytest.fixture
def tables(tmp_path: Path, project_root: Path, database: Database) -> Callable[[str], Seed]:
    """Apply one revision, and return what runs one seed file then: `seed(text, "users.csv")` is its tally."""
    made = MadeProject(tmp_path / "project", project_root, "direct")
    folder = made.root / "sql" / "seeds" / "base"
    folder.mkdir(parents=True)

    def seed(
        text: str, name: str = "x.sql", options: str = "", listener: Callable[[Event], None] = lambda _: None
    ) -> Tally:
        for old in folder.iterdir():
            old.unlink()
        (folder / name).write_text(text)
        project = load_project(made.root, {}, "development")
        paths = seed_paths(made.root, project.environments, "development")
        connection = connect({**database.server.params(database.name), "options": options})
        events: list[Event] = []
        try:
            run_seeds(project, paths, connection, lambda event: (events.append(event), listener(event)))
        finally:
            connection.close()
        [done] = [event for event in events if isinstance(event, Seeded)]
        return done.tally

    def make(up: str) -> Seed:
        made.pair("000001_tables", up)
        made.run("upgrade", "head", database.engine())
        return seed

    return make


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INSERT INTO t VALUES (1, 'x'), (3, 'y') ON CONFLICT DO NOTHING", (1, 0, 0, 1)),
        ("INSERT INTO t VALUES (1, 'x'), (3, 'y') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v", (1, 1, 0, 0)),
        ("INSERT INTO t VALUES (1, 'one'), (2, 'x'), (3, 'y') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v "
         "WHERE t.v <> EXCLUDED.v", (1, 1, 0, 1)),
        ("WITH n AS (INSERT INTO t VALUES (1, 'x'), (3, 'y') ON CONFLICT DO NOTHING RETURNING id) "
         "INSERT INTO t SELECT id + 7, 'z' FROM n", (2, 0, 0, 1)),
        ("WITH n AS (INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING id) SELECT * FROM n", (0, 0, 0, 1)),
        ("INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING id", (0, 0, 0, 1)),
        ("INSERT INTO t VALUES (3, 'on conflict')", (1, 0, 0, 0)),
        ("INSERT INTO t SELECT 1, 'x' WHERE NOT EXISTS (SELECT FROM t WHERE id = 1)", (0, 0, 0, 0)),
        ("UPDATE t SET v = 'x'; DELETE FROM t WHERE id = 1", (0, 2, 1, 0)),
        ("COPY t FROM stdin;\n3\tx\n4\ty\n\\.\n", (2, 0, 0, 0)),
        ("CREATE TEMP TABLE s (i int); INSERT INTO s VALUES (1), (2); INSERT INTO t SELECT i, 'x' FROM s "
         "ON CONFLICT DO NOTHING", (0, 0, 0, 2)),
        ("INSERT INTO t VALUES (1, 'a'), (7, 'b') ON CONFLICT DO NOTHING; INSERT INTO t VALUES (7, 'b') "
         "ON CONFLICT DO NOTHING", (1, 0, 0, 2)),
        ("SET jit TO on; SET jit_above_cost TO 0; INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING", (0, 0, 0, 1)),
        ("TRUNCATE t; INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING", (1, 0, 0, 0)),
        ("DO $$ BEGIN INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING; END $$", (0, 0, 0, 0)),
        ("-- nothing", (0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_a_file_is_counted(tables, text: str, expected: tuple[int, int, int, int]):
    assert tables(TABLE)(text) == Tally(*expected)


def test_what_merge_passes_over_is_skipped(tables, database: Database):
    seed = tables(TABLE)
    text = (
        "MERGE INTO t USING (VALUES (1, 'one'), (2, 'x'), (3, 'y')) s (id, v) ON t.id = s.id "
        "WHEN MATCHED AND t.v <> s.v THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)"
    )
    if database.connect().server_version < 150000:
        with pytest.raises(NewelError, match="syntax error"):
            seed(text)
    else:
        assert seed(text) == Tally(1, 1, 0, 1)
        assert seed(text) == Tally(0, 0, 0, 3)


def test_rows_of_partitions_and_of_triggers_are_counted(tables):
    seed = tables(
        "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);\n"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);\n"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);\n"
        "CREATE TABLE log (id int);\n"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO log VALUES (new.id); RETURN new; END $$;\n"
        "CREATE TRIGGER note AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION note();\n"
    )
    assert seed("INSERT INTO p VALUES (1), (11) ON CONFLICT DO NOTHING") == Tally(4, 0, 0, 0)
    assert seed("INSERT INTO p VALUES (1), (12) ON CONFLICT DO NOTHING") == Tally(2, 0, 0, 1)
    assert seed("id,v\n1,\n11,x\n13,y\n", "p.csv") == Tally(2, 1, 0, 1)


def test_a_rule_that_adds_a_command_is_refused_where_it_would_not_be_executed(tables, rows, database):
    seed = tables(TABLE + "CREATE TABLE u (id int);\nCREATE RULE r AS ON INSERT TO u DO ALSO NOTIFY heard;\n")
    text = "WITH n AS (INSERT INTO t VALUES (3) ON CONFLICT DO NOTHING RETURNING id)\nINSERT INTO u SELECT id FROM n"
    with pytest.raises(NewelError, match="a rule of its table adds a command") as refused:
        seed(f"SELECT 1;\n{text}")
    assert str(refused.value.where) == "sql/seeds/base/x.sql:2"
    assert rows(database, "SELECT count(*) FROM t") == [(2,)]
    assert seed("INSERT INTO u VALUES (1)") == Tally(1, 0, 0, 0)


def test_a_key_without_overlaps_is_no_key_to_find_a_row_by(tables, database: Database):
    up = "CREATE TABLE t (id int4range, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS));\n"
    if database.connect().server_version < 180000:
        with pytest.raises(NewelError, match="syntax error"):
            tables(up)
    else:
        with pytest.raises(NewelError, match="the header names no key"):
            tables(up)('id,during\n"[1,2)","[2026-01-01,2026-02-01)"\n', "t.csv")


def test_where_the_server_does_not_count_rows_they_are_not_told(tables):
    seed = tables(TABLE)
    text = "INSERT INTO t VALUES (1, 'x'), (3, 'y') ON CONFLICT DO NOTHING"
    assert seed(text, options="-c track_counts=off") == Tally(None, None, None, 1)


def test_odd_names_and_types_are_taken_as_they_are(tables, rows, database):
    seed = tables(
        'CREATE TABLE "Odd %s {0}" ("row" serial, "a ""b""" int4range, "100%" json, "{x}" numeric, p point, '
        'PRIMARY KEY ("row"), UNIQUE ("{x}"));\n'
    )
    text = '{x},"a ""b""",row,100%,p\n1.0,"[1,2)",5,"{""a"": 1}","(1,2)"\n2,,6,,\n'
    assert seed(text, "Odd %s {0}.csv") == Tally(2, 0, 0, 0)
    assert seed(text, "Odd %s {0}.csv") == Tally(0, 0, 0, 2)
    assert seed(text.replace("1.0", "1.00"), "Odd %s {0}.csv") == Tally(0, 1, 0, 1)  # equal, and yet changed
    assert seed(text.replace('": 1', '":1'), "Odd %s {0}.csv") == Tally(0, 1, 0, 1)
    assert rows(database, 'INSERT INTO "Odd %s {0}" DEFAULT VALUES RETURNING "row"') == [(7,)]


PIECES = st.lists(st.sampled_from(["a", " ", "\\", ".", "é", '"', '""', ",", "\n", "\r\n"]), max_size=4).map(
    "".join
)
PLAIN = st.sampled_from(["", "a", " a ", "\\.", "\\N", "\\", "é"])
FIELD = PLAIN | PIECES.map(lambda text: f'"{text}"') | PIECES


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=4), line_end=st.sampled_from(["\n", "\r\n"]))
def test_what_is_read_as_sound_is_what_copy_takes_it_for(tmp_path: Path, database: Database, rows, line_end):
    text = line_end.join(["c1,c2", *(",".join(row) for row in rows)])
    (tmp_path / "x.csv").write_bytes(text.encode())
    try:
        read_csv(tmp_path, "x.csv", ("x",))
    except NewelError:
        return  # refusing more than COPY does is no harm
    found = [fields("x.csv", line, record) for line, record in records(tmp_path, "x.csv")]
    if not database.opened:
        database.connect().cursor().execute("CREATE TEMP TABLE x (n bigserial, c1 text, c2 text)")
    with database.opened[0].cursor() as cursor, (tmp_path / "x.csv").open("rb") as file:
        cursor.execute("TRUNCATE x")
        cursor.copy_expert("COPY x (c1, c2) FROM STDIN (FORMAT csv, HEADER true)", file)
        cursor.execute("SELECT coalesce(c1, ''), coalesce(c2, '') FROM x ORDER BY n")
        assert [list(row) for row in cursor.fetchall()] == found[1:]


def test_a_sequence_that_counts_down_is_moved_down(tables, rows, database):
    seed = tables(
        "CREATE TABLE d (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1) PRIMARY KEY, v text UNIQUE);\n"
    )
    assert seed("id\n-7\n-3\n", "d.csv") == Tally(2, 0, 0, 0)
    assert rows(database, "INSERT INTO d DEFAULT VALUES RETURNING id") == [(-8,)]


def test_a_sequence_behind_a_column_of_text_stays_where_it_is(tables, rows, database):
    seed = tables(
        "CREATE SEQUENCE numbers;\nCREATE TABLE t (code text PRIMARY KEY DEFAULT 'U' || nextval('numbers'));\n"
        "ALTER SEQUENCE numbers OWNED BY t.code;\n"
    )
    assert seed("code\nU7\n", "t.csv") == Tally(1, 0, 0, 0)
    assert rows(database, "INSERT INTO t DEFAULT VALUES RETURNING code") == [("U1",)]


def test_a_deferrable_or_partial_or_computed_key_is_none(tables):
    seed = tables(
        "CREATE TABLE k (a int UNIQUE DEFERRABLE, b int, c text);\n"
        "CREATE UNIQUE INDEX ON k (b) WHERE b > 0;\nCREATE UNIQUE INDEX ON k (lower(c));\n"
    )
    with pytest.raises(NewelError, match="the header names no key"):
        seed("a,b,c\n1,1,x\n", "k.csv")


def test_a_lost_connection_says_so_and_what_was_run_before(tables):
    seed = tables(TABLE)
    with pytest.raises(ConnectionFailed) as lost:
        seed("SELECT 1;\nSELECT pg_terminate_backend(pg_backend_pid());\n")
    assert lost.value.where is not None
    assert lost.value.where.line == 2
    assert "The same command may be run again" in str(lost.value)


def test_a_signal_during_copy_ends_the_run_and_leaves_nothing_of_the_file(tables, rows, database):
    seed = tables(TABLE)

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.done and not event.checking:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated) as stopped:
        seed("id,v\n3,x\n", "t.csv", listener=stop)
    assert "The same command may be run again" in str(stopped.value)
    assert rows(database, "SELECT count(*) FROM t") == [(2,)]


def test_functions_and_operators_in_schema_public_do_not_stand_in_for_the_servers(tables, rows, database):
    seed = tables(
        TABLE + "CREATE FUNCTION min(bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT 1/0 $$;\n"
        "CREATE FUNCTION setval(regclass, integer) RETURNS bigint LANGUAGE sql AS $$ SELECT 1/0 $$;\n"
        "CREATE FUNCTION format_type(oid, integer) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;\n"
        "CREATE TABLE pg_stat_xact_all_tables ();\n"
        "CREATE TABLE s (id serial PRIMARY KEY);\n"
    )
    assert seed("id\n5\n", "s.csv") == Tally(1, 0, 0, 0)
    assert seed("id,v\n1,one\n", "t.csv") == Tally(0, 0, 0, 1)
