"""How much of what a rollback loses there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from newel.errors import ConnectionFailed
from newel.migrate.policy.estimate import Estimate, estimate
from newel.project.files import list_files, read
from newel.validate.losses import Loss, losses


@pytest.fixture
def lost(tmp_path: Path):
    """Return the losses of a down file's text."""

    def of(text: str) -> tuple[Loss, ...]:
        (tmp_path / "x.down.sql").write_text(text)
        return losses(read(tmp_path, "x.down.sql"))

    return of


@pytest.fixture
def cursor(database) -> Any:
    return database.connect().cursor()


@pytest.fixture
def cursor_at_work(database):
    """A cursor inside a transaction, which must still work afterwards."""
    connection = database.connect()
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE begun ()")
        yield cursor
        assert connection.info.transaction_status == TRANSACTION_STATUS_INTRANS
        cursor.execute("SELECT to_regclass('begun') IS NOT NULL")
        assert cursor.fetchone() == (True,)


def every(table: str, column: str | None = None) -> Loss:
    return Loss(table, column, "all")


def some(table: str, column: str | None = None) -> Loss:
    return Loss(table, column, "some")


def test_every_directive_of_the_project_names_something_that_is_lost_and_there(
    project_root: Path, database_at
) -> None:
    files = [
        read(project_root, item.path) for item in list_files(project_root)[0] if item.direction == "down"
    ]
    cursor = database_at("head").connect().cursor()
    for file in files:
        found = estimate(cursor, losses(file), count=True)
        said = " ".join(str(item) for item in found)
        assert [reason for _, reason in file.directives.lossy if reason not in said] == []
        assert all(item.exact for item in found)


def test_rows_are_estimated_from_statistics_or_counted(cursor) -> None:
    cursor.execute(
        "CREATE TABLE t AS SELECT i, CASE WHEN i <= 40 THEN i END AS j FROM generate_series(1, 12034) i"
    )
    table, column = every("t"), Loss("t", "j", "all", "who needs it")
    assert [str(item) for item in estimate(cursor, [table, column], count=False)] == [
        "t: rows unknown (never analysed; --count counts them)",
        "t.j: values unknown (never analysed; --count counts them); who needs it",
    ]
    cursor.execute("ANALYZE t")
    assert [item.rows for item in estimate(cursor, [table, column], count=False)] == [12034, 40]
    assert [str(item) for item in estimate(cursor, [table, column], count=False)] == [
        "t: about 12,000 rows",
        "t.j: about 40 values; who needs it",
    ]
    assert [str(item) for item in estimate(cursor, [some("t"), column], count=True)] == [
        "t: some of 12,034 rows",
        "t.j: 40 values; who needs it",
    ]


def test_a_table_that_has_grown_since_it_was_analysed_is_estimated_by_its_size(cursor) -> None:
    cursor.execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 10000) i")
    cursor.execute("ANALYZE t; INSERT INTO t SELECT i FROM generate_series(1, 30000) i")
    [found] = estimate(cursor, [every("t")], count=False)
    assert found.rows == pytest.approx(40000, rel=0.3)


def test_a_table_that_was_empty_when_it_was_analysed_is_not_taken_for_empty(cursor) -> None:
    cursor.execute("CREATE TABLE t (i int)")
    cursor.execute("ANALYZE t; INSERT INTO t VALUES (1)")
    assert estimate(cursor, [every("t")], count=False)[0].rows is None


def test_an_empty_table_is_known_to_be_empty_without_statistics(cursor) -> None:
    cursor.execute("CREATE TABLE t (i int); CREATE TABLE p (i int) PARTITION BY LIST (i)")
    found = estimate(cursor, [every("t"), some("t", "i"), every("p")], count=False)
    assert [str(item) for item in found] == ["t: 0 rows", "t.i: 0 values", "p: 0 rows"]


@pytest.mark.parametrize("count", [True, False])
def test_partitions_and_children_count_with_their_parent(cursor, count: bool) -> None:
    cursor.execute("""
        CREATE TABLE p (i int, j int) PARTITION BY LIST (i);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p DEFAULT PARTITION BY LIST (i);
        CREATE TABLE p3 (j int, i int);
        ALTER TABLE p2 ATTACH PARTITION p3 DEFAULT;
        INSERT INTO p SELECT i % 2, nullif(i % 4, 0) FROM generate_series(1, 1000) i;
        CREATE TABLE parent (i int);
        CREATE TABLE child () INHERITS (parent);
        INSERT INTO parent SELECT generate_series(1, 10);
        INSERT INTO child SELECT generate_series(1, 5);
    """)
    cursor.execute("ANALYZE")
    found = estimate(cursor, [every("p"), every("p", "j"), every("parent")], count=count)
    assert [(item.rows, item.exact) for item in found] == [(1000, count), (750, count), (15, count)]


def test_a_schema_stands_for_its_tables(cursor) -> None:
    cursor.execute("""
        CREATE SCHEMA "My app"; SET search_path TO "My app";
        CREATE TABLE b (i int); CREATE TABLE p (i int) PARTITION BY LIST (i);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE VIEW v AS SELECT 1; CREATE MATERIALIZED VIEW m AS SELECT 1;
    """)
    found = estimate(cursor, [every('"My app".*'), Loss("b", None, "some", "why")], count=True)
    assert [str(item) for item in found] == [
        '"My app".b: 0 rows; why',
        '"My app".m: 1 row',
        '"My app".p: 0 rows',
    ]
    assert found[0].loss.extent == "all"


def test_what_is_not_there_gives_no_estimate(cursor_at_work) -> None:
    absent = [every("nowhere"), every("no.where"), every("pg_class", "nothing"), every('"x; DROP TABLE begun"'),
              every('"%s"'), every("nowhere.*"), every("x.y.z")]  # fmt: skip
    assert estimate(cursor_at_work, absent, count=True) == []


def test_a_function_of_the_search_path_that_fits_better_than_postgresqls_own_is_not_called(cursor) -> None:
    cursor.execute("""
        CREATE TABLE t (i int); INSERT INTO t VALUES (1); CREATE TABLE called ();
        CREATE FUNCTION format(text, name, name) RETURNS text LANGUAGE sql AS
            $$ INSERT INTO called DEFAULT VALUES; SELECT 'other' $$;
    """)
    cursor.execute("SHOW search_path")
    before = cursor.fetchone()
    [found] = estimate(cursor, [every("t")], count=True)
    assert str(found) == "t: 1 row"
    cursor.execute("SELECT count(*) FROM called")
    assert cursor.fetchone() == (0,)
    cursor.execute("SHOW search_path")
    assert cursor.fetchone() == before


def test_the_first_table_of_a_name_is_meant_even_if_it_lacks_the_column(cursor) -> None:
    cursor.execute("CREATE SCHEMA one; CREATE TABLE one.t (); CREATE TABLE t (i int)")
    cursor.execute("SET search_path TO one, public")
    assert estimate(cursor, [some("t", "i")], count=False) == []


def test_names_resolve_by_the_search_path_and_odd_ones_are_quoted(cursor, lost) -> None:
    cursor.execute("""
        CREATE SCHEMA one; CREATE SCHEMA two; CREATE TABLE one.t (); CREATE TABLE two.t ();
        INSERT INTO two.t DEFAULT VALUES; SET search_path TO two, one;
        CREATE TABLE one."a "" b%s.c" ("order" int, "X"" %" int); INSERT INTO one."a "" b%s.c" VALUES (1, 1);
    """)
    odd = lost('DROP TABLE t; ALTER TABLE "a "" b%s.c" DROP "order", DROP "X"" %";')
    assert [str(item) for item in estimate(cursor, odd, count=True)] == [
        "t: 1 row",
        '"a "" b%s.c"."order": 1 value',
        '"a "" b%s.c"."X"" %": 1 value',
    ]


@pytest.mark.parametrize("count", [True, False])
def test_rows_that_may_not_be_read_are_said_to_be_so(cursor_at_work, server, count: bool) -> None:
    cursor = cursor_at_work
    cursor.execute("""
        CREATE SCHEMA secret; CREATE TABLE secret.t AS SELECT 1 AS i;
        CREATE TABLE t AS SELECT 1 AS i, 2 AS j; CREATE TABLE u AS SELECT 1 AS i; CREATE TABLE r AS SELECT 1 AS i;
        ALTER TABLE r ENABLE ROW LEVEL SECURITY;
        ANALYZE u;
        CREATE ROLE newel_reader;
        GRANT SELECT (i) ON t TO newel_reader; GRANT SELECT ON r TO newel_reader;
        SET ROLE newel_reader;
    """)
    wanted = [every("secret.t"), every("t"), every("t", "j"), every("u"), every("r")]
    found = [str(item) for item in estimate(cursor, wanted, count=count)]
    cursor.execute("RESET ROLE")
    assert found == [
        "secret.t: rows unknown (no permission to count them)",
        "t: 1 row" if count else "t: rows unknown (never analysed; --count counts them)",
        "t.j: values unknown (no permission to count them)",
        "u: about 1 row (no permission to count them)" if count else "u: about 1 row",
        "r: rows unknown (row-level security keeps this user from counting them)",
    ]


def test_a_count_that_the_server_breaks_off_leaves_the_transaction_alone(cursor_at_work) -> None:
    cursor = cursor_at_work
    cursor.execute("CREATE VIEW v AS SELECT 1 / g AS i FROM generate_series(0, 1) g")
    cursor.execute("CREATE TABLE t AS SELECT 1 AS i; ANALYZE t")
    found = estimate(cursor, [every("v", "i"), every("t")], count=True)
    assert [str(item) for item in found] == [
        "v.i: values unknown (not counted: division by zero)",
        "t: 1 row",
    ]


def test_a_table_that_somebody_has_locked_is_not_waited_for_longer_than_lock_timeout(
    database, cursor
) -> None:
    cursor.execute("CREATE TABLE t AS SELECT 1 AS i")
    other = database.connect()
    other.autocommit = False
    other.cursor().execute("LOCK TABLE t")
    cursor.execute("SET lock_timeout = '10ms'")
    assert estimate(cursor, [every("t")], count=True) == [
        Estimate(every("t"), None, False, "not counted: canceling statement due to lock timeout")
    ]
    cursor.execute("SELECT 1")


def test_a_lost_connection_is_an_error(database, cursor) -> None:
    cursor.execute("CREATE VIEW v AS SELECT pg_terminate_backend(pg_backend_pid()) AS i")
    with pytest.raises(ConnectionFailed):
        estimate(cursor, [every("v", "i")], count=True)
