"""The record of a revision, derived from SQL and graph: tables, what it stands on, whether rolling back is safe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from newel.project.project import load_project
from newel.project.sql.parser import parse
from newel.validate.record import Dependency, Finding, RevisionRecord, record_of
from newel.validate.touched import made, not_looked_into, touched


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., RevisionRecord]:
    """Derive the record of the last of some revisions; each is an up file, or a pair of them."""

    def of(*files: str | tuple[str, str], search_path: str = "app") -> RevisionRecord:
        (tmp_path / "env").mkdir()
        (tmp_path / "sql/migrations").mkdir(parents=True)
        described = {"environments": {"development": {"search_path": [search_path]}, "production": {}}}
        (tmp_path / "env/environments.json").write_text(json.dumps(described))
        for number, pair in enumerate(files, 1):
            up, down = (pair, "SELECT 1;") if isinstance(pair, str) else pair
            stem = tmp_path / f"sql/migrations/{number:06}_step_{number}"
            Path(f"{stem}.up.sql").write_text(up)
            Path(f"{stem}.down.sql").write_text(down)
        project = load_project(tmp_path, {})
        return record_of(project, project.revisions[-1])

    return of


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE a.b (i int REFERENCES c, FOREIGN KEY (i) REFERENCES d.e)",
         "a.b creates, c references, d.e references"),
        ("CREATE TABLE a (LIKE b) INHERITS (c)", "a creates, b reads, c reads"),
        ("CREATE TABLE a PARTITION OF b DEFAULT", "a creates, b alters"),
        ("ALTER TABLE a ATTACH PARTITION b DEFAULT", "a alters, b alters"),
        ("ALTER TABLE a DETACH PARTITION b", "a alters, b alters"),
        ("ALTER INDEX a ATTACH PARTITION b", ""),
        ("SELECT * INTO a FROM b", "a creates, b reads"),
        ("SELECT i INTO a FROM b UNION SELECT i FROM c", "a creates, b reads, c reads"),
        ("CREATE TABLE a AS SELECT * FROM b", "a creates, b reads"),
        ("ALTER TABLE a.b ADD c int REFERENCES d", "a.b alters, d references"),
        ("ALTER INDEX i SET (fillfactor = 50)", ""),
        ("ALTER TABLE a RENAME COLUMN b TO c", "a renames"),
        ("ALTER TABLE a SET SCHEMA s", "a moves"),
        ("DROP TABLE a.b, c", "a.b drops, c drops"),
        ("DROP TRIGGER t ON a.b", "a.b alters"),
        ("DROP VIEW v", ""),
        ("CREATE INDEX ON a.b (c)", "a.b indexes"),
        ("INSERT INTO a SELECT * FROM b JOIN c USING (i)", "a inserts, b reads, c reads"),
        ("INSERT INTO a VALUES (1) ON CONFLICT (i) DO UPDATE SET i = 2", "a updates, a inserts"),
        ("UPDATE a SET b = (SELECT max(i) FROM c) FROM d WHERE a.i = d.i", "a updates, c reads, d reads"),
        ("DELETE FROM a USING b WHERE EXISTS (SELECT FROM c)", "a deletes, b reads, c reads"),
        ("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
         "a deletes, a inserts, b reads"),
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", "b inserts, a deletes"),
        ("WITH RECURSIVE t AS (SELECT 1 UNION SELECT * FROM t) SELECT * FROM t, s.t", "s.t reads"),
        ("TRUNCATE a, b.c", "a empties, b.c empties"),
        ("COPY a FROM '/f'", "a inserts"),
        ("COPY a TO '/f'", "a reads"),
        ("COPY (SELECT * FROM a) TO '/f'", "a reads"),
        ("CREATE VIEW v AS SELECT * FROM a, LATERAL (SELECT * FROM b) x", "a reads, b reads"),
        ("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", "a adds a trigger"),
        ("CREATE POLICY p ON a USING (EXISTS (SELECT FROM b))", "a alters, b reads"),
        ("LOCK TABLE a, b", "a locks, b locks"),
        ("GRANT SELECT ON a TO PUBLIC", ""),
        ("EXPLAIN ANALYZE DELETE FROM a", "a deletes"),
        ("CREATE SEQUENCE s; ", ""),
        ("COMMENT ON TABLE a IS 'x'", ""),
        ("DO $$ BEGIN DELETE FROM a; END $$", ""),
        ("SET search_path TO a", ""),
    ],
)  # fmt: skip
def test_a_statement_touches(sql: str, expected: str) -> None:
    found = [f"{'.'.join(part for part in name if part)} {deed}" for name, deed in touched(parse(sql))]
    assert ", ".join(found) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY i ON a (b)", "index i"),
        ("CREATE SCHEMA s", "schema s"),
        ("CREATE VIEW a.v AS SELECT 1", "view a.v"),
        ("CREATE MATERIALIZED VIEW a.v AS SELECT 1", "materialized view a.v"),
        ("CREATE FUNCTION a.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function a.f"),
        ("CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'", "procedure p"),
        ('CREATE TYPE a."E" AS ENUM ()', 'type a."E"'),
        ("CREATE TYPE t AS (i int)", "type t"),
        ("CREATE DOMAIN d AS int", "domain d"),
        ("CREATE SEQUENCE a.s", "sequence a.s"),
        ("CREATE EXTENSION hstore", "extension hstore"),
        ("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", "trigger t"),
        ("CREATE POLICY p ON a", "policy p"),
        ("CREATE PUBLICATION p FOR TABLE a", "publication p"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "subscription s"),
        ("CREATE RULE r AS ON INSERT TO a DO NOTHING", "rule r"),
        ("CREATE STATISTICS a.s ON b, c FROM a.t", "statistics a.s"),
        ("CREATE ROLE r", "role r"),
        ("CREATE USER u", "role u"),
        ("CREATE AGGREGATE a.g (int) (sfunc = f, stype = int)", "aggregate a.g"),
        ("CREATE OPERATOR a.=== (leftarg = int, rightarg = int, function = f)", "operator a.==="),
        ("CREATE OPERATOR CLASS a.c FOR TYPE int USING btree AS STORAGE int", "operator class a.c"),
        ("CREATE OPERATOR FAMILY a.f USING btree", "operator family a.f"),
        ("CREATE COLLATION a.c (locale = 'C')", "collation a.c"),
        ("CREATE CONVERSION a.c FOR 'UTF8' TO 'LATIN1' FROM f", "conversion a.c"),
        ("CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()", "event trigger t"),
        ("CREATE FOREIGN DATA WRAPPER w", "foreign-data wrapper w"),
        ("CREATE SERVER s FOREIGN DATA WRAPPER w", "server s"),
        ("CREATE FOREIGN TABLE a.f (i int) SERVER s", "foreign table a.f"),
        ("CREATE USER MAPPING FOR CURRENT_USER SERVER s", "user mapping of CURRENT_USER on server s"),
        ("CREATE TEXT SEARCH CONFIGURATION a.c (parser = p)", "text search configuration a.c"),
        ("CREATE TEXT SEARCH DICTIONARY d (template = simple)", "text search dictionary d"),
        ("CREATE CAST (bigint AS a.t) WITHOUT FUNCTION", "cast from bigint to a.t"),
        ("CREATE TRANSFORM FOR hstore LANGUAGE l (FROM SQL WITH FUNCTION f(internal))",
         "transform for hstore of language l"),
        ("CREATE LANGUAGE l HANDLER f", "language l"),
        ("CREATE ACCESS METHOD m TYPE INDEX HANDLER f", "access method m"),
        ("CREATE TABLESPACE t LOCATION '/t'", "tablespace t"),
        ("CREATE DATABASE d", "database d"),
        ("CREATE TYPE a.t", "type a.t"),
        ("CREATE TYPE a.t AS RANGE (subtype = int)", "type a.t"),
        ("SELECT 1 INTO a", None),
        ("CREATE TABLE a (i int)", None),
        ("CREATE TABLE a AS SELECT 1", None),
        ("CREATE INDEX ON a (b)", None),
    ],
)  # fmt: skip
def test_a_statement_makes(sql: str, expected: str | None) -> None:
    assert made(parse(sql)) == expected


def test_what_is_not_looked_into_is_said_and_nothing_else() -> None:
    assert not_looked_into(parse("DO $$ BEGIN END $$")) == "a DO block"
    assert not_looked_into(parse("CALL p()")) == "what a CALL does"
    assert (
        not_looked_into(parse("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
        == "the body of a function"
    )
    assert (
        not_looked_into(parse("SELECT " + "1 + (" * 300 + "1" + ")" * 300))
        == "a statement that is nested too deeply"
    )
    assert not_looked_into(parse("SELECT 1")) is None


def test_it_stands_on_the_revision_before_it_and_on_those_that_made_its_tables(record) -> None:
    found = record(
        "CREATE TABLE users (i int PRIMARY KEY); CREATE TABLE old (i int);",
        "CREATE TABLE app.orders (i int); ALTER TABLE old RENAME TO newer;",
        "SELECT 1;",
        "INSERT INTO orders SELECT u.i FROM users u JOIN app.newer USING (i), pg_class, nowhere;",
    )
    assert found.depends_on == (
        Dependency("000003", "comes before it in the mainline"),
        Dependency("000002", "makes app.orders"),
        Dependency("000001", "makes app.users, app.newer"),
    )
    assert found.affects_tables == {"app.orders": ("inserts",)}
    assert found.reads == ("app.users", "app.newer", "app.nowhere")


def test_a_table_that_a_select_makes_is_one_of_its_tables(record) -> None:
    found = record(
        "CREATE TABLE a (i int);", "SELECT i INTO b FROM a; SELECT i INTO TEMP c FROM b; SELECT * FROM c;"
    )
    assert found.affects_tables == {"app.b": ("creates",)}
    assert found.reads == ("app.a",)


def test_temporary_tables_are_none_of_the_databases(record) -> None:
    found = record(
        "CREATE TEMP TABLE t (i int); INSERT INTO t SELECT i FROM a; CREATE TEMP TABLE u AS TABLE t;"
        "UPDATE b SET i = 1 FROM u;"
    )
    assert (found.affects_tables, found.reads) == ({"app.b": ("updates",)}, ("app.a",))


@pytest.mark.parametrize(
    ("up", "down", "reasons"),
    [
        ("CREATE INDEX i ON a (b);", "DROP INDEX i;", []),
        ("ALTER TABLE a ALTER b SET DEFAULT 1;", "ALTER TABLE a ALTER b DROP DEFAULT;", []),
        ("CREATE TABLE a (i int);", "DROP TABLE a;", ["loses a: all of it"]),
        ("ALTER TABLE a ADD b int;", "-- newel: lossy a.b dear to us\nALTER TABLE a DROP b;",
         ["loses a.b: dear to us"]),
        ("ALTER TABLE a DROP b;", "ALTER TABLE a ADD b int;",
         ["line 1 of the up file drops column a.b, which no down file brings back"]),
        ("CREATE EXTENSION e;", "DROP EXTENSION e CASCADE;",
         ["line 1 of the down file: CASCADE takes along whatever depends on it, known or not"]),
        ("DELETE FROM a WHERE i > 1;", "SELECT 1;",
         ["line 1 of the up file deletes rows of app.a, and the down file puts nothing back"]),
        ("WITH g AS (DELETE FROM a WHERE i > 1 RETURNING *) INSERT INTO b SELECT * FROM g;", "UPDATE app.a SET i = 1;",
         ["loses app.a.i: all of it",
          "line 1 of the up file deletes rows of app.a, and the down file puts nothing back"]),
        ("DELETE FROM a WHERE i > 1;", "DO $$ BEGIN END $$;",
         ["line 1 of the up file deletes rows of app.a, and the down file puts nothing back, "
          "as far as it is looked into"]),
        ("DELETE FROM a WHERE i > 1;", "INSERT INTO app.a VALUES (2);", []),
        ("DELETE FROM a WHERE i > 1;", "-- newel: lossy a no loss\nSELECT 1;", ["loses a: no loss"]),
        ("DELETE FROM a;", "SELECT 1;",
         ["line 1 of the up file deletes every row of a, which no down file brings back"]),
        ('UPDATE "A b" SET c = 1 WHERE c = 2;', "SELECT 1;",
         ['line 1 of the up file changes c of app."A b", and the down file puts nothing back']),
        ("UPDATE a SET b = 1 WHERE b = 2;", "INSERT INTO a SELECT * FROM c;", []),
        ("ALTER TABLE a ADD b int; UPDATE a SET b = 1 WHERE i > 1;", "ALTER TABLE a DROP b;", ["loses a.b: all of it"]),
        ("CREATE TABLE a (i int); DELETE FROM a WHERE i > 1;", "DROP TABLE a;", ["loses a: all of it"]),
        ("CREATE TEMP TABLE t (i int); DELETE FROM t WHERE i > 1;", "SELECT 1;", []),
        ("INSERT INTO a VALUES (1, 2) ON CONFLICT (i) DO UPDATE SET j = 2;", "SELECT 1;",
         ["line 1 of the up file changes j of app.a, and the down file puts nothing back"]),
        ("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED AND a.j THEN DELETE;", "SELECT 1;",
         ["line 1 of the up file deletes rows of app.a, and the down file puts nothing back"]),
        ("SELECT 1;", "-- newel: irreversible it is late\n", ["the down file says it is irreversible: it is late"]),
        ("SELECT 1;", "-- nothing\n", ["the down file holds no statement, so it takes nothing back"]),
    ],
)  # fmt: skip
def test_a_rollback_is_safe_if_it_can_be_run_and_loses_nothing(
    record, up: str, down: str, reasons: list[str]
) -> None:
    found = record((up, down))
    assert list(found.rollback_reasons) == reasons
    assert found.rollback_safe == (not reasons)


def test_description_statements_and_ways_are_those_of_the_files(record) -> None:
    found = record(
        (
            "-- Description:  What it is for \nCREATE INDEX CONCURRENTLY i ON a (b);\n\nDO $$ BEGIN END $$;",
            "DROP INDEX i;",
        )
    )
    assert found.description == "What it is for"
    assert (found.statements, found.down_statements) == (2, 1)
    assert (found.transactional, found.down_transactional) == (False, True)
    assert found.not_looked_into == (Finding("sql/migrations/000001_step_1.up.sql", 4, "a DO block"),)
    assert found.environments == ("development", "production")


def test_without_a_description_the_name_tells(record) -> None:
    assert record("SELECT 1;").description == "Step 1"


def test_the_projects_own_revisions_are_described(project_root: Path) -> None:
    project = load_project(project_root, {}, "development")
    records = {item.id: record_of(project, item) for item in project.revisions}
    assert records["000008"].environments == ("development",)
    assert records["000008"].depends_on[0] == Dependency("000007", "is the mainline below it")
    assert records["000006"].rollback_safe
    assert not records["000006"].transactional
    profiles = records["000005"]
    assert profiles.description == "Add user profiles table with bio and preferences"
    assert profiles.affects_tables == {
        "user_service.user_profiles": ("creates", "indexes"),
        "user_service.users": ("references",),
    }
    assert profiles.lossy == ("user_service.user_profiles: every profile is lost with the table",)
    assert [(item.line, item.what) for item in profiles.destructive] == [
        (9, "drops table user_service.user_profiles")
    ]
    assert records["000009"].reads == ("user_service.user_profiles",)
