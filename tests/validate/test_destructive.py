"""The rule about statements that destroy data or what others depend on."""

from __future__ import annotations

import re

import psycopg2
import pytest

from newel.project.files import read
from newel.project.sql.parser import parse
from newel.validate.rules import destructive
from newel.validate.rules.destructive import Destruction, destructions, find_destructions

CASCADE = "CASCADE takes along whatever depends on it, known or not"
CUT = "values that do not fit are cut or refused"
USING = "USING puts another value in the place of each"


def said(sql: str) -> list[str]:
    return [item.what for item in destructions(parse(sql))]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DROP TABLE app.users", ["drops table app.users"]),
        ("DROP TABLE a, b", ["drops table a, b"]),
        ("DROP TABLE IF EXISTS \"App\".users", ['drops table "App".users']),
        ("DROP SCHEMA app CASCADE", ["drops schema app", CASCADE]),
        ("DROP TYPE app.mood", ["drops type app.mood"]),
        ("DROP DOMAIN d", ["drops domain d"]),
        ("DROP SEQUENCE s", ["drops sequence s"]),
        ("DROP VIEW v", ["drops view v"]),
        ("DROP MATERIALIZED VIEW v", ["drops materialized view v"]),
        ("DROP FOREIGN TABLE t", ["drops foreign table t"]),
        ("DROP FUNCTION app.f(int)", ["drops function app.f"]),
        ("DROP PROCEDURE p", ["drops procedure p"]),
        ("DROP ROUTINE p", ["drops routine p"]),
        ("DROP AGGREGATE a(int)", ["drops aggregate a"]),
        ("DROP OPERATOR app.+ (int, int)", ["drops operator app.+"]),
        ("DROP OPERATOR CLASS app.c USING btree", ["drops operator class app.c of btree"]),
        ("DROP OPERATOR FAMILY c USING btree", ["drops operator family c of btree"]),
        ("DROP TRIGGER g ON app.t", ["drops trigger g on app.t"]),
        ("DROP RULE r ON t", ["drops rule r on t"]),
        ("DROP POLICY p ON app.t", ["drops policy p on app.t"]),
        ("DROP EVENT TRIGGER e", ["drops event trigger e"]),
        ("DROP EXTENSION e", ["drops extension e"]),
        ("DROP LANGUAGE l", ["drops language l"]),
        ("DROP CAST (int AS app.mood)", ["drops cast from integer to app.mood"]),
        ("DROP TRANSFORM FOR hstore LANGUAGE l", ["drops transform for hstore of language l"]),
        ("DROP COLLATION c", ["drops collation c"]),
        ("DROP CONVERSION c", ["drops conversion c"]),
        ("DROP ACCESS METHOD m", ["drops access method m"]),
        ("DROP TEXT SEARCH CONFIGURATION c", ["drops text search configuration c"]),
        ("DROP TEXT SEARCH DICTIONARY c", ["drops text search dictionary c"]),
        ("DROP TEXT SEARCH PARSER c", ["drops text search parser c"]),
        ("DROP TEXT SEARCH TEMPLATE c", ["drops text search template c"]),
        ("DROP FOREIGN DATA WRAPPER w", ["drops foreign-data wrapper w"]),
        ("DROP SERVER s", ["drops server s"]),
        ("DROP USER MAPPING FOR CURRENT_USER SERVER s", ["drops user mapping of CURRENT_USER on server s"]),
        ("DROP PUBLICATION p", ["drops publication p"]),
        ("DROP SUBSCRIPTION s", ["drops subscription s"]),
        ("DROP DATABASE d", ["drops database d"]),
        ("DROP TABLESPACE s", ["drops tablespace s"]),
        ("DROP ROLE a, b", ["drops role a, b"]),
        ("DROP USER a", ["drops role a"]),
        ("DROP OWNED BY r CASCADE", ["drops everything a role owns", CASCADE]),
        ("TRUNCATE a, app.b", ["empties a, app.b"]),
        ("TRUNCATE a CASCADE", ["empties a", CASCADE]),
        ("DELETE FROM app.t", ["deletes every row of app.t"]),
        ("DELETE FROM t USING s", ["deletes every row of t"]),
        ("UPDATE app.t SET a = 1", ["changes every row of app.t"]),
        ("UPDATE t SET a = s.a FROM s", ["changes every row of t"]),
        (
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
            ["deletes rows of t by a WHEN without a condition"],
        ),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", ["deletes every row of t"]),
        ("(WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone)", ["deletes every row of t"]),
        ("WITH a AS (UPDATE s SET a = 1) DELETE FROM t", ["deletes every row of t", "changes every row of s"]),
        ("EXPLAIN ANALYZE DELETE FROM t", ["deletes every row of t"]),
        ("EXPLAIN (ANALYZE off, ANALYZE 1) WITH g AS (DELETE FROM t) SELECT 1", ["deletes every row of t"]),
        ("EXPLAIN ANALYZE CREATE TABLE c AS WITH g AS (DELETE FROM t) SELECT 1", ["deletes every row of t"]),
        ("COPY (DELETE FROM t RETURNING *) TO '/tmp/t'", ["deletes every row of t"]),
        ("CREATE TABLE c AS WITH g AS (DELETE FROM t RETURNING *) SELECT * FROM g", ["deletes every row of t"]),
        ("PREPARE p AS DELETE FROM t", ["deletes every row of t"]),
        ("ALTER TABLE t DROP COLUMN c", ["drops column t.c"]),
        ("ALTER TABLE t DROP COLUMN a, DROP b CASCADE", ["drops column t.a", "drops column t.b", CASCADE]),
        ("ALTER FOREIGN TABLE t DROP COLUMN c", ["drops column t.c"]),
        ("ALTER TYPE app.pair DROP ATTRIBUTE a", ["drops attribute app.pair.a"]),
        ("ALTER TYPE pair ALTER ATTRIBUTE a TYPE int", [f"changes the type of pair.a: {CUT}"]),
        ("ALTER TABLE t ALTER COLUMN c TYPE int", [f"changes the type of t.c: {CUT}"]),
        ("ALTER TABLE t ALTER c TYPE varchar(5)", [f"changes the type of t.c: {CUT}"]),
        ("ALTER TABLE t ALTER c TYPE int USING c::int", [f"changes the type of t.c: {CUT}"]),
        ("ALTER TABLE t ALTER c TYPE text USING left(c, 3)", [f"changes the type of t.c: {USING}"]),
        ("ALTER TABLE t ALTER c TYPE text USING c::int", [f"changes the type of t.c: {USING}"]),
        ("ALTER TABLE t ALTER c TYPE text USING d", [f"changes the type of t.c: {USING}"]),
        ("ALTER TABLE t DROP CONSTRAINT k CASCADE", [CASCADE]),
        ("ALTER DOMAIN d DROP CONSTRAINT k CASCADE", [CASCADE]),
        ("DROP INDEX i CASCADE", [CASCADE]),
        ("REVOKE SELECT ON t FROM a CASCADE", [CASCADE]),
        ("REVOKE a FROM b CASCADE", [CASCADE]),
    ],
)  # fmt: skip
def test_what_a_statement_destroys_is_said(sql, words):
    assert said(sql) == words


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a int REFERENCES s ON DELETE CASCADE)",
        "CREATE EXTENSION e CASCADE",
        "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC DELETE FROM t; END",
        "CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM s",
        "DO 'BEGIN DROP TABLE t; END'",
        "DELETE FROM t WHERE a < 3",
        "UPDATE t SET a = 1 WHERE a IS NULL",
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND s.gone THEN DELETE WHEN NOT MATCHED THEN DO NOTHING",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 1",
        "EXPLAIN DELETE FROM t",
        "EXPLAIN (ANALYZE false) DELETE FROM t",
        "EXPLAIN (ANALYZE 0) DELETE FROM t",
        "DROP INDEX i",
        "DROP STATISTICS s",
        "ALTER TABLE t DROP CONSTRAINT k",
        "ALTER TABLE t ALTER c DROP DEFAULT, ALTER c DROP NOT NULL, ALTER c DROP IDENTITY, ALTER c DROP EXPRESSION",
        "ALTER TABLE t ADD COLUMN c int",
        "ALTER TABLE t DETACH PARTITION p",
        "ALTER TABLE t NO INHERIT p",
        "ALTER TABLE t ALTER c TYPE text",
        "ALTER TABLE t ALTER c TYPE varchar USING c::varchar",
        "ALTER TABLE t ALTER c TYPE text USING t.c",
        "ALTER TYPE pair ADD ATTRIBUTE a int CASCADE",
        "ALTER TYPE pair RENAME ATTRIBUTE a TO b CASCADE",
        "WITH gone AS (DELETE FROM t WHERE a = 1 RETURNING *) SELECT * FROM gone",
        "INSERT INTO t SELECT 1",
        "COMMENT ON TABLE t IS 'DROP TABLE t'",
    ],
)
def test_what_destroys_nothing_is_passed_over(sql):
    assert said(sql) == []


@pytest.mark.parametrize(
    ("sql", "destruction"),
    [
        (
            'ALTER TABLE app."Order" ALTER "Note" TYPE varchar(20)',
            ("type", 'app."Order"', "Note", "character varying(20)"),
        ),
        ("ALTER TABLE t ALTER c TYPE numeric(5) USING c::numeric(5)", ("type", "t", "c", "numeric(5,0)")),
        ("ALTER TABLE t ALTER c TYPE bigint USING 0", ("type", "t", "c", None)),
        ("ALTER TABLE t ALTER c TYPE geometry(Point, 4326)", ("type", "t", "c", None)),
        ("ALTER TABLE t DROP COLUMN c", ("column", "t", "c", None)),
        ("DELETE FROM app.t", ("delete", "app.t", None, None)),
        ("TRUNCATE app.t", ("truncate", "app.t", None, None)),
        ("TRUNCATE app.t, s", ("truncate", None, None, None)),
        ("DROP TABLE t", ("drop", None, None, None)),
    ],
)
def test_a_destruction_names_the_table_the_column_and_the_new_type(sql, destruction):
    found = [(item.kind, item.table, item.column, item.new_type) for item in destructions(parse(sql))]
    assert found == [destruction]


def in_file(folder, sql: str) -> list[tuple[int, Destruction]]:
    (folder / "x.up.sql").write_text(sql)
    return [(statement.line, item) for statement, item in find_destructions(read(folder, "x.up.sql"))]


def test_a_file_is_looked_through_whatever_it_allows(tmp_path):
    found = in_file(
        tmp_path,
        "-- newel: allow destructive: so it is meant\n"
        "CREATE TABLE t (a int);\n"
        "drop table t;\n"
        "(with g as (delete from s returning *) select * from g);\n"
        "SELECT 'DROP TABLE t';\n"
        "explain analyze update s set a = 1;\n"
        "create table u as with g as (delete from s returning *) select * from g;\n",
    )
    kinds = [(line, item.kind) for line, item in found]
    assert kinds == [(3, "drop"), (4, "delete"), (6, "update"), (7, "delete")]


@pytest.mark.parametrize("statement", ["DELETE FROM t", "UPDATE t SET a = 1 WHERE a = {}"])
def test_a_statement_that_is_nested_too_deeply_is_reported_unread(tmp_path, statement):
    deep = "abs(" * 60 + "1" + ")" * 60
    sql = statement.format(deep) if "{}" in statement else f"WITH a AS (SELECT {deep}) {statement}"
    assert [item.kind for _, item in in_file(tmp_path, f"{sql};\nSELECT {deep};\n")] == ["unread"]


def test_the_good_and_bad_sql_beside_the_rule_is_so():
    examples = re.findall(r"^(bad|good): +(.*);$", destructive.__doc__, re.MULTILINE)
    assert len(examples) >= 6
    assert [(word, sql) for word, sql in examples if (word == "bad") != bool(said(sql))] == []


@pytest.mark.parametrize(("heading", "found"), [("Bad", True), ("Good", False)])
def test_the_good_and_bad_sql_of_the_page_is_so(project_root, heading, found):
    page = (project_root / "docs/rules/destructive.md").read_text(encoding="utf-8")
    part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    examples = re.findall(r"```sql\n(.*?)\n```", part, re.DOTALL)
    assert [bool(said(sql)) for sql in examples] == [found] * len(examples) != []


@pytest.mark.parametrize(
    "sql",
    [
        "(WITH g AS (DELETE FROM t RETURNING a) SELECT a FROM g)",
        "CREATE TABLE c AS WITH g AS (DELETE FROM t RETURNING a) SELECT a FROM g",
        "COPY (DELETE FROM t RETURNING a) TO '/dev/null'",
        "EXPLAIN (ANALYZE off, ANALYZE 1) DELETE FROM t",
        "EXPLAIN (ANALYZE, ANALYZE off) DELETE FROM t",
        "EXPLAIN ANALYZE CREATE TABLE c AS WITH g AS (DELETE FROM t RETURNING a) SELECT a FROM g",
        "INSERT INTO t WITH g AS (DELETE FROM t RETURNING a) SELECT a FROM g",
        "SELECT 1 UNION (WITH g AS (DELETE FROM t RETURNING a) SELECT a FROM g)",
        "CREATE VIEW v AS WITH g AS (DELETE FROM t RETURNING a) SELECT a FROM g",
    ],
)
def test_a_hidden_delete_is_found_where_the_server_carries_it_out_and_nowhere_else(database, tmp_path, sql):
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    try:
        cursor.execute(sql)
    except psycopg2.Error:
        assert sql.startswith(("INSERT", "SELECT", "CREATE VIEW"))
    cursor.execute("SELECT count(*) FROM t")
    deleted = cursor.fetchone() == (0,)
    assert bool(in_file(tmp_path, f"{sql};\n")) == deleted
