"""The tables that up files make, read without a database, against the catalog of a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from newel.project.graph import Revision, load_revisions
from newel.project.sql.parser import parse
from newel.project.sql.statements import split
from newel.project.tables.objects import Objects
from newel.project.tables.read import objects_of, read_definitions

ONE = Revision("000001", "one", None, "x.up.sql", "x.down.sql", None, None)

COLUMNS = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attname),
    array_agg(t.typname::text ORDER BY a.attname),
    (SELECT array_agg(k.attname::text ORDER BY array_position(i.indkey::int2[], k.attnum))
       FROM pg_index i JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey)
      WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'newel')
GROUP BY n.nspname, c.relname, c.oid
"""


def read(sql: str, default: str = "public") -> Objects:
    trees = [(ONE, parse(statement.text)) for statement in split(sql.encode(), "x.up.sql")]
    return objects_of(trees, default)


def as_rows(found: Objects) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        name: (
            sorted((column.name, column.type) for column in table.columns),
            list(table.key) or None,
        )
        for name, table in found.tables.items()
    }


def catalog_rows(cursor: Any) -> dict[tuple[str, str], tuple[Any, ...]]:
    cursor.execute(COLUMNS)
    return {
        (schema, name): (
            [
                (column, f"{kind[1:]}[]" if kind.startswith("_") else kind)
                for column, kind in zip(columns, kinds, strict=True)
            ],
            key,
        )
        for schema, name, columns, kinds, key in cursor.fetchall()
    }


def test_the_projects_own_files_give_the_tables_that_its_database_has(
    project_root: Path, database_at
) -> None:
    found = objects_of(read_definitions(project_root, load_revisions(project_root)), "user_service")
    assert as_rows(found) == catalog_rows(database_at("head").connect().cursor())
    assert found.schemas == {"user_service": "000001"}
    assert found.tables["user_service", "user_profiles"].made_by == "000005"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (i int, j varchar(9)[], k numeric(3,1), PRIMARY KEY (j, i))",
        "CREATE TABLE a (i bigserial PRIMARY KEY); CREATE TABLE IF NOT EXISTS a (other text)",
        "CREATE TABLE a (i int, j int); ALTER TABLE a DROP i, ADD k json, ALTER j TYPE bigint, ADD l uuid, "
        "ADD PRIMARY KEY (l)",
        "CREATE TABLE a (i int PRIMARY KEY, j int); ALTER TABLE a RENAME j TO k; ALTER TABLE a RENAME i TO h; "
        "ALTER TABLE a RENAME TO b",
        "CREATE TABLE a (i int PRIMARY KEY); ALTER TABLE a DROP i; ALTER TABLE a ADD i text",
        'CREATE SCHEMA s CREATE TABLE t (i int); CREATE SCHEMA "T u"; ALTER TABLE s.t SET SCHEMA "T u"',
        "CREATE SCHEMA s; CREATE TABLE s.t (i int); ALTER SCHEMA s RENAME TO r",
        "CREATE SCHEMA s; CREATE TABLE s.t (i int); DROP SCHEMA s CASCADE; CREATE TABLE t (i int)",
        "CREATE TABLE a (i int); CREATE TABLE b (j int); DROP TABLE a",
        "CREATE TABLE a (i int PRIMARY KEY, j text); CREATE TABLE b (LIKE a INCLUDING ALL); "
        "CREATE TABLE c (LIKE a, k int)",
        "CREATE TABLE a (i int, j text) PARTITION BY LIST (i); CREATE TABLE b PARTITION OF a DEFAULT",
        "CREATE TABLE a (i int); CREATE TABLE b (j int) INHERITS (a)",
        "CREATE TABLE a (i int); CREATE INDEX b ON a (i); CREATE VIEW v AS TABLE a; CREATE SEQUENCE q",
        "CREATE TEMP TABLE x (i int); CREATE TABLE a (i timestamptz, b boolean, c \"char\", d char(3), e interval day)",
        'CREATE TYPE mood AS ENUM (\'low\'); CREATE TABLE "A b" ("I" mood)',
        "CREATE TABLE a (i int); ALTER TABLE a ADD COLUMN IF NOT EXISTS i int",
        "CREATE TABLE a (i int, j text NOT NULL); CREATE UNIQUE INDEX u ON a (j); "
        "ALTER TABLE a ADD CONSTRAINT k PRIMARY KEY USING INDEX u",
        "CREATE TABLE a (i int PRIMARY KEY); ALTER TABLE a DROP CONSTRAINT a_pkey",
    ],
)  # fmt: skip
def test_a_row_of_statements_gives_the_tables_that_the_server_makes_of_it(database, sql: str) -> None:
    cursor = database.connect().cursor()
    cursor.execute(sql)
    assert as_rows(read(sql)) == catalog_rows(cursor)


NAMES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'newel')
"""


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (i serial PRIMARY KEY, j int UNIQUE, k int, UNIQUE (k, j), CONSTRAINT c UNIQUE (k))",
        "CREATE TABLE a (i int GENERATED BY DEFAULT AS IDENTITY, r int4range, EXCLUDE USING gist (r WITH &&))",
        "CREATE TABLE a (i int CONSTRAINT c PRIMARY KEY, EXCLUDE (i WITH =, lower(i::text) WITH =))",
        "CREATE TABLE a_i_key (i int); CREATE TABLE a (i int UNIQUE); ALTER TABLE a ADD UNIQUE (i)",
        "CREATE TABLE a (i int, j text, k int); CREATE INDEX ON a (i, lower(j), (k + 1), (k + 2)) INCLUDE (k)",
        "CREATE TABLE a (i int); CREATE INDEX b ON a (i); CREATE INDEX IF NOT EXISTS b ON a (i)",
        "CREATE TABLE a (i int NOT NULL); CREATE UNIQUE INDEX u ON a (i); ALTER TABLE a ADD CONSTRAINT k UNIQUE USING "
        "INDEX u; CREATE UNIQUE INDEX w ON a (i); ALTER TABLE a ADD PRIMARY KEY USING INDEX w",
        "CREATE TABLE a (i int); ALTER TABLE a ADD j serial UNIQUE, ADD PRIMARY KEY (i); ALTER TABLE a DROP j",
        "CREATE TABLE a (i int UNIQUE); ALTER TABLE a DROP CONSTRAINT a_i_key; ALTER TABLE a ADD UNIQUE (i)",
        "CREATE TABLE a (i int UNIQUE); ALTER TABLE a RENAME i TO j; ALTER TABLE a RENAME CONSTRAINT a_i_key TO k; "
        "ALTER TABLE a RENAME TO b; ALTER TABLE b DROP j",
        "CREATE TABLE a (i int NOT NULL); ALTER TABLE a ALTER i ADD GENERATED ALWAYS AS IDENTITY",
        "CREATE TABLE a (i int GENERATED ALWAYS AS IDENTITY PRIMARY KEY); ALTER TABLE a ALTER i DROP IDENTITY",
        "CREATE SCHEMA s; CREATE TABLE a (i serial PRIMARY KEY); ALTER TABLE a SET SCHEMA s; "
        "ALTER SCHEMA s RENAME TO r",
        "CREATE TABLE a (i int, j int); CREATE INDEX x ON a (i); CREATE INDEX y ON a (j); DROP INDEX x; "
        "ALTER INDEX y RENAME TO z; DROP TABLE a",
        "CREATE TABLE a (i serial PRIMARY KEY, j int UNIQUE); CREATE TABLE b (LIKE a INCLUDING INDEXES)",
        "CREATE TABLE a (i int, j int, PRIMARY KEY (i), UNIQUE (i, j)) PARTITION BY LIST (i); "
        "CREATE TABLE b PARTITION OF a DEFAULT",
        f"CREATE TABLE {'t' * 60} ({'c' * 50} serial PRIMARY KEY, d int, UNIQUE (d, {'c' * 50}))",
        f'CREATE TABLE "{"é" * 29}" ("{"ü" * 20}" int UNIQUE)',
        "SELECT 1 AS i INTO a UNION SELECT 2; WITH w AS (SELECT 1 AS i) SELECT i INTO b FROM w; SELECT 1 INTO TEMP c",
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
        "CREATE FOREIGN TABLE a (i int) SERVER s; CREATE FOREIGN TABLE b (i int) SERVER s; "
        "ALTER FOREIGN TABLE a RENAME TO c; DROP FOREIGN TABLE b",
    ],
)  # fmt: skip
def test_names_that_a_statement_takes_without_saying_them_are_taken_too(database, sql: str) -> None:
    cursor = database.connect().cursor()
    cursor.execute(sql)
    cursor.execute(NAMES)
    assert set(read(sql).taken) == set(cursor.fetchall())


def test_a_key_without_overlaps_finds_no_row() -> None:
    found = read("CREATE TABLE a (i int4range, d daterange, PRIMARY KEY (i, d WITHOUT OVERLAPS))")
    assert found.tables["public", "a"].key == ()
    assert ("public", "a_pkey") in found.taken


def test_a_table_of_a_type_and_a_column_that_is_not_stored_are_known() -> None:
    found = read(
        "CREATE TABLE a OF t; CREATE TABLE b OF t; ALTER TABLE b NOT OF; "
        "CREATE TABLE c (i int, v int GENERATED ALWAYS AS (i) VIRTUAL, s int GENERATED ALWAYS AS (i) STORED)"
    )
    assert {name for (_, name), table in found.tables.items() if table.typed} == {"a"}
    assert [column.name for column in found.tables["public", "c"].columns if column.virtual] == ["v"]


def test_a_table_made_by_a_query_has_the_columns_that_its_text_names() -> None:
    found = read("CREATE TABLE a AS SELECT i, b.j AS k, now() FROM b; CREATE TABLE c (x) AS SELECT 1")
    assert [column.name for column in found.tables["public", "a"].columns] == ["i", "k"]
    assert [column.name for column in found.tables["public", "c"].columns] == ["x"]


def test_indexes_views_sequences_and_types_take_names_too() -> None:
    found = read(
        "CREATE TABLE s.t (i int UNIQUE, j int); CREATE INDEX n ON s.t (j); CREATE VIEW s.v AS SELECT 1; "
        "CREATE SEQUENCE s.q; CREATE TYPE s.e AS ENUM (); CREATE DOMAIN s.d AS int; CREATE INDEX gone ON s.t (i); "
        "DROP INDEX s.gone; ALTER INDEX s.n RENAME TO m; CREATE MATERIALIZED VIEW mv AS SELECT 1; DROP TYPE s.e",
    )
    assert {name for name in found.taken if name != ("s", "t_i_key")} == {
        ("s", "t"), ("s", "m"), ("s", "v"), ("s", "q"), ("s", "d"), ("public", "mv")
    }  # fmt: skip
    assert found.tables["s", "t"].indexed == {"i", "j"}


def test_partitions_are_known_and_may_come_and_go() -> None:
    found = read(
        "CREATE TABLE p (i int) PARTITION BY LIST (i); CREATE TABLE a PARTITION OF p DEFAULT; CREATE TABLE b (i int); "
        "CREATE TABLE c (i int); ALTER TABLE p ATTACH PARTITION b FOR VALUES IN (1); ALTER TABLE p DETACH PARTITION a"
    )
    assert {name for (_, name), table in found.tables.items() if table.partition} == {"b"}
    assert found.tables["public", "p"].partitioned
