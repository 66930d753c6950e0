"""The catalog snapshot notices every change, and that it was undone, on a real server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS

from newel.database.catalog.difference import difference
from newel.database.catalog.snapshot import Catalog, CatalogObject, snapshot

# What most changes are made to. pg_monitor stands for any role other than the owner: every server has it.
SETUP = """
CREATE SCHEMA app;
CREATE TABLE app.users (
    id integer PRIMARY KEY, email varchar(255) NOT NULL, name text DEFAULT 'x', age integer,
    CONSTRAINT users_age CHECK (age > 0));
CREATE INDEX users_name ON app.users (name);
CREATE TABLE app.orders (id integer PRIMARY KEY, user_id integer CONSTRAINT orders_user REFERENCES app.users);
CREATE VIEW app.names AS SELECT id, name FROM app.users;
CREATE MATERIALIZED VIEW app.ages AS SELECT age, count(*) AS n FROM app.users GROUP BY age;
CREATE UNIQUE INDEX ages_age ON app.ages (age);
CREATE SEQUENCE app.numbers;
CREATE FUNCTION app.one() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER users_touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE TYPE app.mood AS ENUM ('sad', 'happy');
CREATE TYPE app.pair AS (a integer, b text);
CREATE DOMAIN app.positive AS integer CONSTRAINT positive_check CHECK (VALUE > 0);
CREATE TABLE app.events (id integer, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2025-01-01 00:00+00');
CREATE POLICY users_policy ON app.users USING (id > 0);
CREATE STATISTICS app.users_stats ON name, age FROM app.users;
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER remote FOREIGN DATA WRAPPER wrapper OPTIONS (host 'a');
CREATE FOREIGN TABLE app.far (id integer) SERVER remote OPTIONS (table_name 't');
CREATE PUBLICATION pub FOR TABLE app.users;
CREATE TEXT SEARCH CONFIGURATION app.search (COPY = pg_catalog.english);
CREATE TEXT SEARCH DICTIONARY app.words (TEMPLATE = pg_catalog.simple);
CREATE RULE orders_rule AS ON DELETE TO app.orders DO INSTEAD NOTHING;
"""


@dataclass(frozen=True)
class Case:
    """A change and its undoing, and the object that the difference must name."""

    names: str
    change: str
    undo: str
    since: int = 14


CASES = [
    # schemas, tables
    Case("schema other", "CREATE SCHEMA other", "DROP SCHEMA other"),
    Case("table app.t", "CREATE TABLE app.t (id integer PRIMARY KEY)", "DROP TABLE app.t"),
    Case("table app.people", "ALTER TABLE app.users RENAME TO people", "ALTER TABLE app.people RENAME TO users"),
    Case("table app.users", "ALTER TABLE app.users SET SCHEMA public", "ALTER TABLE public.users SET SCHEMA app"),
    Case("table app.orders", "ALTER TABLE app.orders SET UNLOGGED", "ALTER TABLE app.orders SET LOGGED"),
    Case("table app.users", "ALTER TABLE app.users ENABLE ROW LEVEL SECURITY",
         "ALTER TABLE app.users DISABLE ROW LEVEL SECURITY"),
    Case("table app.users", "ALTER TABLE app.users FORCE ROW LEVEL SECURITY",
         "ALTER TABLE app.users NO FORCE ROW LEVEL SECURITY"),
    Case("table app.users", "ALTER TABLE app.users REPLICA IDENTITY FULL",
         "ALTER TABLE app.users REPLICA IDENTITY DEFAULT"),
    Case("index app.users_pkey", "ALTER TABLE app.users REPLICA IDENTITY USING INDEX users_pkey",
         "ALTER TABLE app.users REPLICA IDENTITY DEFAULT"),
    Case("table app.users", "ALTER TABLE app.users SET (fillfactor = 70)", "ALTER TABLE app.users RESET (fillfactor)"),
    Case("table app.users", "ALTER TABLE app.users SET (toast.autovacuum_enabled = off)",
         "ALTER TABLE app.users RESET (toast.autovacuum_enabled)"),
    Case("table app.events_1", "ALTER TABLE app.events DETACH PARTITION app.events_1",
         "ALTER TABLE app.events ATTACH PARTITION app.events_1 "
         "FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2025-01-01 00:00+00')"),
    Case("table app.events_2", "CREATE TABLE app.events_2 PARTITION OF app.events DEFAULT", "DROP TABLE app.events_2"),
    Case("table app.parts", "CREATE TABLE app.parts (a integer) PARTITION BY HASH (a)", "DROP TABLE app.parts"),
    Case("table app.child", "CREATE TABLE app.child () INHERITS (app.users)", "DROP TABLE app.child"),
    Case("table app.users", "CREATE TABLE app.base (id integer NOT NULL); ALTER TABLE app.users INHERIT app.base",
         "ALTER TABLE app.users NO INHERIT app.base; DROP TABLE app.base"),
    Case("table app.typed", "CREATE TABLE app.typed OF app.pair", "DROP TABLE app.typed"),
    # columns
    Case("column app.users.extra", "ALTER TABLE app.users ADD extra integer", "ALTER TABLE app.users DROP extra"),
    Case("column app.users.mail", "ALTER TABLE app.users RENAME email TO mail",
         "ALTER TABLE app.users RENAME mail TO email"),
    Case("column order of table app.orders", "ALTER TABLE app.orders RENAME id TO x;"
         "ALTER TABLE app.orders RENAME user_id TO id; ALTER TABLE app.orders RENAME x TO user_id",
         "ALTER TABLE app.orders RENAME user_id TO x;"
         "ALTER TABLE app.orders RENAME id TO user_id; ALTER TABLE app.orders RENAME x TO id"),
    Case("column app.users.email", "ALTER TABLE app.users ALTER email TYPE varchar(300)",
         "ALTER TABLE app.users ALTER email TYPE varchar(255)"),
    Case("column app.users.age", "ALTER TABLE app.users ALTER age SET NOT NULL",
         "ALTER TABLE app.users ALTER age DROP NOT NULL"),
    Case("column app.users.name", "ALTER TABLE app.users ALTER name DROP DEFAULT",
         "ALTER TABLE app.users ALTER name SET DEFAULT 'x'"),
    Case("column app.orders.id", "ALTER TABLE app.orders ALTER id ADD GENERATED ALWAYS AS IDENTITY",
         "ALTER TABLE app.orders ALTER id DROP IDENTITY"),
    Case("column app.users.double", "ALTER TABLE app.users ADD double integer GENERATED ALWAYS AS (age * 2) STORED",
         "ALTER TABLE app.users DROP double"),
    Case("column app.users.double", "ALTER TABLE app.users ADD double integer GENERATED ALWAYS AS (age * 2) VIRTUAL",
         "ALTER TABLE app.users DROP double", 18),
    Case("column app.far.id", "ALTER FOREIGN TABLE app.far ALTER id OPTIONS (ADD column_name 'c')",
         "ALTER FOREIGN TABLE app.far ALTER id OPTIONS (DROP column_name)"),
    Case("column app.orders.note", 'ALTER TABLE app.orders ADD note text COLLATE "C"',
         "ALTER TABLE app.orders DROP note"),
    Case("column app.users.age", "ALTER TABLE app.users ALTER age SET STATISTICS 500",
         "ALTER TABLE app.users ALTER age SET STATISTICS -1"),
    Case("column app.users.name", "ALTER TABLE app.users ALTER name SET STORAGE EXTERNAL",
         "ALTER TABLE app.users ALTER name SET STORAGE EXTENDED"),
    Case("column app.users.name", "ALTER TABLE app.users ALTER name SET COMPRESSION pglz",
         "ALTER TABLE app.users ALTER name SET COMPRESSION default"),
    Case("column app.users.age", "ALTER TABLE app.users ALTER age SET (n_distinct = 5)",
         "ALTER TABLE app.users ALTER age RESET (n_distinct)"),
    Case("column app.names.name", "ALTER VIEW app.names ALTER name SET DEFAULT 'y'",
         "ALTER VIEW app.names ALTER name DROP DEFAULT"),
    # constraints
    Case("constraint users_age on app.users", "ALTER TABLE app.users DROP CONSTRAINT users_age",
         "ALTER TABLE app.users ADD CONSTRAINT users_age CHECK (age > 0)"),
    Case("constraint users_email on app.users", "ALTER TABLE app.users ADD CONSTRAINT users_email UNIQUE (email)",
         "ALTER TABLE app.users DROP CONSTRAINT users_email"),
    Case("constraint years on app.users", "ALTER TABLE app.users RENAME CONSTRAINT users_age TO years",
         "ALTER TABLE app.users RENAME CONSTRAINT years TO users_age"),
    Case("constraint orders_user on app.orders", "ALTER TABLE app.orders DROP CONSTRAINT orders_user;"
         "ALTER TABLE app.orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES app.users NOT VALID",
         "ALTER TABLE app.orders VALIDATE CONSTRAINT orders_user"),
    Case("constraint orders_user on app.orders",
         "ALTER TABLE app.orders ALTER CONSTRAINT orders_user DEFERRABLE INITIALLY DEFERRED",
         "ALTER TABLE app.orders ALTER CONSTRAINT orders_user NOT DEFERRABLE"),
    Case("constraint orders_user on app.orders", "ALTER TABLE app.orders ALTER CONSTRAINT orders_user NOT ENFORCED",
         "ALTER TABLE app.orders ALTER CONSTRAINT orders_user ENFORCED", 18),
    Case("constraint needed on app.users", "ALTER TABLE app.users RENAME CONSTRAINT users_email_not_null TO needed",
         "ALTER TABLE app.users RENAME CONSTRAINT needed TO users_email_not_null", 18),
    Case("constraint apart on app.orders",
         "ALTER TABLE app.orders ADD CONSTRAINT apart EXCLUDE USING btree (user_id WITH =)",
         "ALTER TABLE app.orders DROP CONSTRAINT apart"),
    # indexes
    Case("index app.users_age", "CREATE INDEX users_age ON app.users (age) WHERE age > 1", "DROP INDEX app.users_age"),
    Case("index app.users_name", "ALTER INDEX app.users_name SET (fillfactor = 50)",
         "ALTER INDEX app.users_name RESET (fillfactor)"),
    Case("index app.users_name", "ALTER TABLE app.users CLUSTER ON users_name",
         "ALTER TABLE app.users SET WITHOUT CLUSTER"),
    Case("statistics (1: 300)", "CREATE INDEX upper ON app.users (upper(name));"
         "ALTER INDEX app.upper ALTER COLUMN 1 SET STATISTICS 300", "DROP INDEX app.upper"),
    Case("index app.events_id", "CREATE INDEX events_id ON ONLY app.events (id)", "DROP INDEX app.events_id"),
    Case("INVALID", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.users_name'::regclass",
         "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'app.users_name'::regclass"),
    # views, rules
    Case("view app.names", "CREATE OR REPLACE VIEW app.names AS SELECT id, name FROM app.users WHERE id > 1",
         "CREATE OR REPLACE VIEW app.names AS SELECT id, name FROM app.users"),
    Case("view app.names", "ALTER VIEW app.names SET (security_barrier)",
         "ALTER VIEW app.names RESET (security_barrier)"),
    Case("view app.names", "ALTER VIEW app.names SET (check_option = local)",
         "ALTER VIEW app.names RESET (check_option)"),
    Case("materialized view app.ages", "REFRESH MATERIALIZED VIEW app.ages WITH NO DATA",
         "REFRESH MATERIALIZED VIEW app.ages"),
    Case("rule orders_rule on app.orders", "DROP RULE orders_rule ON app.orders",
         "CREATE RULE orders_rule AS ON DELETE TO app.orders DO INSTEAD NOTHING"),
    Case("rule orders_rule on app.orders", "ALTER TABLE app.orders DISABLE RULE orders_rule",
         "ALTER TABLE app.orders ENABLE RULE orders_rule"),
    # sequences
    Case("sequence app.more", "CREATE SEQUENCE app.more AS smallint", "DROP SEQUENCE app.more"),
    Case("sequence app.numbers", "ALTER SEQUENCE app.numbers INCREMENT 5", "ALTER SEQUENCE app.numbers INCREMENT 1"),
    Case("sequence app.numbers", "ALTER SEQUENCE app.numbers CACHE 5", "ALTER SEQUENCE app.numbers CACHE 1"),
    Case("sequence app.numbers", "ALTER SEQUENCE app.numbers CYCLE", "ALTER SEQUENCE app.numbers NO CYCLE"),
    Case("sequence app.numbers", "ALTER SEQUENCE app.numbers MAXVALUE 9", "ALTER SEQUENCE app.numbers NO MAXVALUE"),
    Case("sequence app.numbers", "ALTER SEQUENCE app.numbers START 5", "ALTER SEQUENCE app.numbers START 1"),
    Case("sequence app.numbers", "ALTER SEQUENCE app.numbers OWNED BY app.orders.id",
         "ALTER SEQUENCE app.numbers OWNED BY NONE"),
    # functions
    Case("function app.two(integer)", "CREATE FUNCTION app.two(x integer) RETURNS integer LANGUAGE sql AS 'SELECT 2'",
         "DROP FUNCTION app.two"),
    Case("function app.one()", "CREATE OR REPLACE FUNCTION app.one() RETURNS integer LANGUAGE sql AS 'SELECT 3'",
         "CREATE OR REPLACE FUNCTION app.one() RETURNS integer LANGUAGE sql AS 'SELECT 1'"),
    Case("function app.one()", "ALTER FUNCTION app.one() IMMUTABLE", "ALTER FUNCTION app.one() VOLATILE"),
    Case("function app.one()", "ALTER FUNCTION app.one() SECURITY DEFINER",
         "ALTER FUNCTION app.one() SECURITY INVOKER"),
    Case("function app.one()", "ALTER FUNCTION app.one() SET work_mem = '1MB'",
         "ALTER FUNCTION app.one() RESET work_mem"),
    Case("function app.atomic()",
         "CREATE FUNCTION app.atomic() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM app.users; END",
         "DROP FUNCTION app.atomic"),
    Case("procedure app.act()", "CREATE PROCEDURE app.act() LANGUAGE sql AS ''", "DROP PROCEDURE app.act"),
    Case("aggregate app.total(integer)", "CREATE AGGREGATE app.total(integer) (sfunc = int4pl, stype = integer)",
         "DROP AGGREGATE app.total(integer)"),
    Case("default grant on functions", "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
         "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC"),
    # triggers
    Case("trigger users_touch on app.users", "DROP TRIGGER users_touch ON app.users",
         "CREATE TRIGGER users_touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch()"),
    Case("trigger users_touch on app.users", "ALTER TABLE app.users DISABLE TRIGGER users_touch",
         "ALTER TABLE app.users ENABLE TRIGGER users_touch"),
    Case("constraint trigger orders_user of app.orders", "ALTER TABLE app.orders DISABLE TRIGGER ALL",
         "ALTER TABLE app.orders ENABLE TRIGGER ALL"),
    Case("trigger t on app.orders", "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON app.orders DEFERRABLE "
         "FOR EACH ROW EXECUTE FUNCTION app.touch()", "DROP TRIGGER t ON app.orders"),
    Case("event trigger watch", "CREATE FUNCTION app.ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
         "CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION app.ev()",
         "DROP EVENT TRIGGER watch; DROP FUNCTION app.ev"),
    # policies
    Case("policy users_policy on app.users", "DROP POLICY users_policy ON app.users",
         "CREATE POLICY users_policy ON app.users USING (id > 0)"),
    Case("policy users_policy on app.users", "ALTER POLICY users_policy ON app.users TO pg_monitor",
         "ALTER POLICY users_policy ON app.users TO PUBLIC"),
    Case("policy p on app.orders", "CREATE POLICY p ON app.orders AS RESTRICTIVE FOR INSERT WITH CHECK (id > 1)",
         "DROP POLICY p ON app.orders"),
    # types
    Case("type app.mood", "ALTER TYPE app.mood RENAME VALUE 'sad' TO 'low'",
         "ALTER TYPE app.mood RENAME VALUE 'low' TO 'sad'"),
    Case("type app.mood", "ALTER TYPE app.mood ADD VALUE 'ok' BEFORE 'happy'",
         "DROP TYPE app.mood; CREATE TYPE app.mood AS ENUM ('sad', 'happy')"),
    Case("type app.pair", "ALTER TYPE app.pair ADD ATTRIBUTE c date", "ALTER TYPE app.pair DROP ATTRIBUTE c"),
    Case("type app.span", "CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = float8mi)",
         "DROP TYPE app.span"),
    Case("type app.shell", "CREATE TYPE app.shell", "DROP TYPE app.shell"),
    Case("domain app.positive", "ALTER DOMAIN app.positive SET NOT NULL", "ALTER DOMAIN app.positive DROP NOT NULL"),
    Case("domain app.positive", "ALTER DOMAIN app.positive SET DEFAULT 7", "ALTER DOMAIN app.positive DROP DEFAULT"),
    Case("domain constraint positive_check on app.positive", "ALTER DOMAIN app.positive DROP CONSTRAINT positive_check",
         "ALTER DOMAIN app.positive ADD CONSTRAINT positive_check CHECK (VALUE > 0)"),
    # rarer objects
    Case("collation app.plain", "CREATE COLLATION app.plain (locale = 'C')", "DROP COLLATION app.plain"),
    Case("operator app.===(integer,integer)",
         "CREATE OPERATOR app.=== (leftarg = integer, rightarg = integer, function = int4eq)",
         "DROP OPERATOR app.=== (integer, integer)"),
    Case("operator class app.ints using btree", "CREATE OPERATOR CLASS app.ints FOR TYPE integer USING btree AS "
         "OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, "
         "FUNCTION 1 btint4cmp(integer, integer)", "DROP OPERATOR FAMILY app.ints USING btree"),
    Case("operator family app.fam using hash", "CREATE OPERATOR FAMILY app.fam USING hash",
         "DROP OPERATOR FAMILY app.fam USING hash"),
    Case("operator family member",
         "CREATE FUNCTION app.lt(integer, numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::numeric < $2';"
         "CREATE OPERATOR app.< (leftarg = integer, rightarg = numeric, function = app.lt);"
         "ALTER OPERATOR FAMILY pg_catalog.integer_ops USING btree ADD OPERATOR 1 app.< (integer, numeric)",
         "ALTER OPERATOR FAMILY pg_catalog.integer_ops USING btree DROP OPERATOR 1 (integer, numeric);"
         "DROP OPERATOR app.< (integer, numeric); DROP FUNCTION app.lt"),
    Case("cast (app.mood as integer)",
         "CREATE FUNCTION app.n(app.mood) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';"
         "CREATE CAST (app.mood AS integer) WITH FUNCTION app.n(app.mood) AS ASSIGNMENT",
         "DROP CAST (app.mood AS integer); DROP FUNCTION app.n"),
    Case("text search configuration app.search",
         "ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR word WITH simple",
         "ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR word WITH english_stem"),
    Case("text search dictionary app.words", "ALTER TEXT SEARCH DICTIONARY app.words (accept = false)",
         "ALTER TEXT SEARCH DICTIONARY app.words (accept)"),
    Case("statistics app.users_stats", "ALTER STATISTICS app.users_stats SET STATISTICS 50",
         "ALTER STATISTICS app.users_stats SET STATISTICS -1"),
    Case("statistics app.more", "CREATE STATISTICS app.more (ndistinct) ON id, age FROM app.users",
         "DROP STATISTICS app.more"),
    Case("language odd", "CREATE LANGUAGE odd HANDLER plpgsql_call_handler", "DROP LANGUAGE odd"),
    Case("access method lump", "CREATE ACCESS METHOD lump TYPE TABLE HANDLER heap_tableam_handler",
         "DROP ACCESS METHOD lump"),
    Case("using lump", "CREATE ACCESS METHOD lump TYPE TABLE HANDLER heap_tableam_handler;"
         "CREATE TABLE app.heap () USING lump", "DROP TABLE app.heap; DROP ACCESS METHOD lump"),
    Case("conversion app.conv", "CREATE CONVERSION app.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
         "DROP CONVERSION app.conv"),
    # publications, subscriptions, foreign data
    Case("publication pub", "ALTER PUBLICATION pub SET (publish = 'insert')",
         "ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate')"),
    Case("publication table app.orders in pub", "ALTER PUBLICATION pub ADD TABLE app.orders",
         "ALTER PUBLICATION pub DROP TABLE app.orders"),
    Case("publication table app.users in pub", "ALTER PUBLICATION pub SET TABLE app.users (id, age) WHERE (id > 3)",
         "ALTER PUBLICATION pub SET TABLE app.users", 15),
    Case("publication schema app in pub", "ALTER PUBLICATION pub ADD TABLES IN SCHEMA app",
         "ALTER PUBLICATION pub DROP TABLES IN SCHEMA app", 15),
    Case("subscription sub",
         "CREATE SUBSCRIPTION sub CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
         "DROP SUBSCRIPTION sub"),
    Case("foreign-data wrapper w", "CREATE FOREIGN DATA WRAPPER w OPTIONS (a 'b')", "DROP FOREIGN DATA WRAPPER w"),
    Case("server remote", "ALTER SERVER remote OPTIONS (SET host 'b')", "ALTER SERVER remote OPTIONS (SET host 'a')"),
    Case("foreign table app.far", "ALTER FOREIGN TABLE app.far OPTIONS (SET table_name 'u')",
         "ALTER FOREIGN TABLE app.far OPTIONS (SET table_name 't')"),
    Case("user mapping pg_monitor on remote", "CREATE USER MAPPING FOR pg_monitor SERVER remote OPTIONS (password 'p')",
         "DROP USER MAPPING FOR pg_monitor SERVER remote"),
    # comments
    *(
        Case(f"comment on {title}", f"COMMENT ON {sql} IS 'hint'", f"COMMENT ON {sql} IS NULL")
        for title, sql in [
            ("schema app", "SCHEMA app"),
            ("table app.users", "TABLE app.users"),
            ("column app.users.email", "COLUMN app.users.email"),
            ("column app.names.name", "COLUMN app.names.name"),
            ("column app.pair.a", "COLUMN app.pair.a"),
            ("constraint users_age on app.users", "CONSTRAINT users_age ON app.users"),
            ("domain constraint positive_check on app.positive", "CONSTRAINT positive_check ON DOMAIN app.positive"),
            ("index app.users_name", "INDEX app.users_name"),
            ("view app.names", "VIEW app.names"),
            ("materialized view app.ages", "MATERIALIZED VIEW app.ages"),
            ("sequence app.numbers", "SEQUENCE app.numbers"),
            ("function app.one()", "FUNCTION app.one()"),
            ("trigger users_touch on app.users", "TRIGGER users_touch ON app.users"),
            ("policy users_policy on app.users", "POLICY users_policy ON app.users"),
            ("rule orders_rule on app.orders", "RULE orders_rule ON app.orders"),
            ("type app.mood", "TYPE app.mood"),
            ("type app.pair", "TYPE app.pair"),
            ("domain app.positive", "DOMAIN app.positive"),
            ("statistics app.users_stats", "STATISTICS app.users_stats"),
            ("publication pub", "PUBLICATION pub"),
            ("server remote", "SERVER remote"),
            ("foreign table app.far", "FOREIGN TABLE app.far"),
            ("text search configuration app.search", "TEXT SEARCH CONFIGURATION app.search"),
        ]
    ),
    # owners and grants
    *(
        Case(f"owner of {title}", f"ALTER {sql} OWNER TO pg_monitor", f"ALTER {sql} OWNER TO SESSION_USER")
        for title, sql in [
            ("schema app", "SCHEMA app"),
            ("table app.users", "TABLE app.users"),
            ("view app.names", "VIEW app.names"),
            ("sequence app.numbers", "SEQUENCE app.numbers"),
            ("function app.one()", "FUNCTION app.one()"),
            ("type app.mood", "TYPE app.mood"),
            ("domain app.positive", "DOMAIN app.positive"),
            ("statistics app.users_stats", "STATISTICS app.users_stats"),
        ]
    ),
    *(
        Case(f"grant on {title}", f"GRANT {what} TO pg_monitor", f"REVOKE {what} FROM pg_monitor")
        for title, what in [
            ("schema app", "USAGE ON SCHEMA app"),
            ("table app.users", "SELECT, INSERT ON app.users"),
            ("column app.users.email", "UPDATE (email) ON app.users"),
            ("column app.names.name", "SELECT (name) ON app.names"),
            ("view app.names", "SELECT ON app.names"),
            ("sequence app.numbers", "USAGE ON SEQUENCE app.numbers"),
            ("function app.one()", "EXECUTE ON FUNCTION app.one()"),
            ("type app.mood", "USAGE ON TYPE app.mood"),
            ("domain app.positive", "USAGE ON DOMAIN app.positive"),
            ("server remote", "USAGE ON FOREIGN SERVER remote"),
            ("foreign-data wrapper wrapper", "USAGE ON FOREIGN DATA WRAPPER wrapper"),
            ("language plpgsql", "USAGE ON LANGUAGE plpgsql"),
            ("schema public", "CREATE ON SCHEMA public"),
        ]
    ),
    Case("revoke EXECUTE from public", "REVOKE EXECUTE ON FUNCTION app.one() FROM PUBLIC",
         "GRANT EXECUTE ON FUNCTION app.one() TO PUBLIC"),
    Case("SELECT*", "GRANT SELECT ON app.users TO pg_monitor WITH GRANT OPTION",
         "REVOKE SELECT ON app.users FROM pg_monitor"),
    Case("grant on function pg_catalog.pg_sleep(double precision)", "REVOKE EXECUTE ON FUNCTION pg_sleep FROM PUBLIC",
         "GRANT EXECUTE ON FUNCTION pg_sleep TO PUBLIC"),
    Case("default grant on tables", "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO pg_monitor",
         "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM pg_monitor"),
    # extensions, the database
    Case("security label on table app.users (dummy)",
         "INSERT INTO pg_seclabel VALUES ('app.users'::regclass, 'pg_class'::regclass, 0, 'dummy', 'secret')",
         "DELETE FROM pg_seclabel"),
    Case("extension dependency of function app.one()", "ALTER FUNCTION app.one() DEPENDS ON EXTENSION plpgsql",
         "ALTER FUNCTION app.one() NO DEPENDS ON EXTENSION plpgsql"),
    Case("database setting work_mem", "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''9MB''', "
         "current_database()); END$$", "DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET work_mem', "
         "current_database()); END$$"),
    Case("database setting work_mem for role ", "DO $$BEGIN EXECUTE format('ALTER ROLE SESSION_USER "
         "IN DATABASE %I SET work_mem = ''9MB''', current_database()); END$$", "DO $$BEGIN EXECUTE format("
         "'ALTER ROLE SESSION_USER IN DATABASE %I RESET work_mem', current_database()); END$$"),
    Case("grant on database", "DO $$BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', "
         "current_database()); END$$", "DO $$BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', "
         "current_database()); END$$"),
    Case("comment on database", "DO $$BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''x''', current_database()); "
         "END$$", "DO $$BEGIN EXECUTE format('COMMENT ON DATABASE %I IS NULL', current_database()); END$$"),
]  # fmt: skip


def run(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def value(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


@pytest.fixture
def connection(database: Any) -> Any:
    connection = database.connect()
    yield connection
    connection.close()


@pytest.fixture
def app(connection: Any) -> Any:
    run(connection, SETUP)
    return connection


def test_every_change_is_noticed_and_named_and_so_is_its_undoing(app: Any) -> None:
    """One database for all cases: each has to leave it as it found it, or it fails by name."""
    before = snapshot(app)
    wrong = []
    for case in CASES:
        if app.server_version < case.since * 10000:
            continue
        try:
            run(app, case.change)
            changed = difference(before, snapshot(app))
            run(app, case.undo)
            undone = difference(before, snapshot(app))
        except psycopg2.Error as error:
            wrong.append(f"{case}: {error}")
            continue
        if case.names not in str(changed) or undone:
            wrong.append(
                f"{case.change}\nexpected {case.names}, got:\n{changed}\nafter {case.undo}:\n{undone}\n"
            )
    assert not wrong, "\n".join(wrong)


def test_the_definitions_say_what_the_objects_are(app: Any) -> None:
    catalog = snapshot(app)
    assert catalog["column", "app.users.email"] == "character varying(255) not null"
    assert (
        catalog["constraint", "orders_user on app.orders"] == "FOREIGN KEY (user_id) REFERENCES app.users(id)"
    )
    assert catalog["index", "app.users_name"] == "CREATE INDEX users_name ON app.users USING btree (name)"
    assert catalog["type", "app.mood"] == "enum ('sad', 'happy')"
    assert catalog["table", "app.events"] == "partition by RANGE (at)"
    assert catalog["table", "app.events_1"] == (
        "partition of app.events FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2025-01-01 00:00:00+00')"
    )
    assert catalog.by_key["index", "app.users_pkey"].parent == ("constraint", "users_pkey on app.users")


def test_the_catalog_does_not_depend_on_oids_rows_or_sequences_in_use(app: Any) -> None:
    before = snapshot(app)
    run(
        app,
        "DROP SCHEMA app CASCADE; DROP SERVER remote; DROP FOREIGN DATA WRAPPER wrapper; DROP PUBLICATION pub",
    )
    assert snapshot(app) != before
    run(app, SETUP)
    assert snapshot(app) == before
    run(app, "INSERT INTO app.users VALUES (1, 'a@b', 'x', 5); SELECT nextval('app.numbers'); ANALYZE")
    assert snapshot(app) == before
    assert hash(snapshot(app)) == hash(before)


def test_a_column_added_again_at_the_end_is_a_change_of_order_only(app: Any) -> None:
    before = snapshot(app)
    run(app, "ALTER TABLE app.users DROP email; ALTER TABLE app.users ADD email varchar(255) NOT NULL")
    changes = difference(before, snapshot(app))
    assert changes.lines() == [
        "~ column order of table app.users: `id, email, name, age` became `id, name, age, email`"
    ]
    assert not difference(before.without("column order"), snapshot(app).without("column order"))


def test_the_sessions_settings_change_nothing_and_stay(app: Any) -> None:
    before = snapshot(app)
    settings = {
        "search_path": "app",
        "TimeZone": "Asia/Tokyo",
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "quote_all_identifiers": "on",
        "jit": "on",
    }
    for name, setting in settings.items():
        run(app, f"SET {name} = '{setting}'")
    assert snapshot(app) == before
    assert {name: value(app, f"SHOW {name}") for name in settings} == settings


def test_temporary_objects_are_left_out_and_hide_nothing(app: Any) -> None:
    before = snapshot(app)
    run(app, "CREATE TEMPORARY TABLE pg_class AS SELECT 1 AS x; CREATE TEMPORARY SEQUENCE users")
    run(app, "COMMENT ON TABLE pg_temp.pg_class IS 'x'; GRANT SELECT ON pg_temp.pg_class TO PUBLIC")
    assert snapshot(app) == before


def test_a_connection_without_a_transaction_has_none_afterwards(app: Any) -> None:
    snapshot(app)
    assert app.info.transaction_status == TRANSACTION_STATUS_IDLE
    assert app.autocommit
    app.autocommit = False
    snapshot(app)
    assert app.info.transaction_status == TRANSACTION_STATUS_IDLE
    assert not app.autocommit


@pytest.mark.parametrize("autocommit", [True, False])
def test_an_open_transaction_is_seen_and_goes_on(app: Any, autocommit: bool) -> None:
    before = snapshot(app)
    app.autocommit = autocommit
    if autocommit:
        run(app, "BEGIN")
    run(app, "CREATE TABLE app.t (id integer); SET LOCAL search_path = app")
    assert ("table", "app.t") in snapshot(app)
    assert app.info.transaction_status == TRANSACTION_STATUS_INTRANS
    assert value(app, "SHOW search_path") == "app"
    run(app, "ROLLBACK")
    assert snapshot(app) == before


@pytest.mark.parametrize("inside", [True, False])
def test_a_failed_snapshot_leaves_the_caller_as_it_was(app: Any, database: Any, inside: bool) -> None:
    other = database.connect()
    run(other, "BEGIN; LOCK TABLE app.users")
    run(app, "SET lock_timeout = '10ms'")
    if inside:
        run(app, "BEGIN; CREATE SCHEMA mine")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        snapshot(app)
    assert app.info.transaction_status == (TRANSACTION_STATUS_INTRANS if inside else TRANSACTION_STATUS_IDLE)
    other.close()
    assert (("schema", "mine") in snapshot(app)) is inside


def test_a_role_without_any_privilege_sees_the_same_but_secrets(app: Any) -> None:
    run(app, "CREATE USER MAPPING FOR pg_monitor SERVER remote OPTIONS (password 'hidden-word')")
    run(
        app,
        "CREATE SUBSCRIPTION sub CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    )
    full = snapshot(app)
    assert "hidden-word" not in json.dumps(full.to_json())
    run(app, "SET SESSION AUTHORIZATION pg_signal_backend")
    seen = snapshot(app)
    run(app, "RESET SESSION AUTHORIZATION; DROP SUBSCRIPTION sub")
    assert seen.without("user mapping") == full.without("user mapping")


def test_excluded_schemas_are_left_out_with_all_that_is_in_them(app: Any) -> None:
    before = snapshot(app)
    run(app, SETUP.partition("CREATE FOREIGN DATA")[0].replace("app", "newel"))
    run(app, "COMMENT ON TABLE newel.users IS 'x'; GRANT SELECT ON newel.users TO PUBLIC")
    run(app, "COMMENT ON TRIGGER users_touch ON newel.users IS 'x'; COMMENT ON SCHEMA newel IS 'x'")
    run(app, "ALTER DEFAULT PRIVILEGES IN SCHEMA newel GRANT SELECT ON TABLES TO PUBLIC")
    assert snapshot(app) == before
    assert any("newel" in identity for _, identity in snapshot(app, exclude_schemas=()))
    assert not any("app." in identity for kind, identity in snapshot(app, exclude_schemas={"app", "newel"}))


def test_an_extension_is_one_object_and_its_members_are_not_listed(app: Any) -> None:
    if not value(app, "SELECT count(*) FROM pg_available_extensions WHERE name = 'pgcrypto'"):
        pytest.skip("this server has no pgcrypto")
    before = snapshot(app)
    run(app, "CREATE EXTENSION pgcrypto SCHEMA app")
    changes = difference(before, snapshot(app))
    assert {item.kind for item in changes.extra} == {"extension", "owner", "comment"}
    run(app, "REVOKE EXECUTE ON FUNCTION app.gen_random_bytes FROM PUBLIC")
    lines = difference(before, snapshot(app)).lines()
    assert "+ grant on function app.gen_random_bytes(integer) is new: revoke EXECUTE from public" in lines
    run(app, "DROP EXTENSION pgcrypto")
    assert snapshot(app) == before


def test_a_catalog_goes_through_json(app: Any) -> None:
    catalog = snapshot(app)
    again = Catalog.from_json(json.loads(json.dumps(catalog.to_json())))
    assert again == catalog
    assert again.server_version == app.server_version
    assert again.by_key["column", "app.users.id"].parent == ("table", "app.users")


def test_a_new_table_is_one_line_with_a_count(app: Any) -> None:
    before = snapshot(app).without("constraint")  # PostgreSQL 18 lists NOT NULL among them
    run(
        app,
        "CREATE TABLE app.t (a integer, b text); CREATE INDEX ON app.t (a); COMMENT ON COLUMN app.t.a IS 'x'",
    )
    after = snapshot(app).without("constraint")
    assert difference(before, after).lines() == ["+ table app.t is new, with 2 columns, 1 index, 1 comment"]
    assert difference(after, before).lines() == [
        "- table app.t is missing, with 2 columns, 1 index, 1 comment"
    ]
    assert len(difference(before, after).extra) == 7


def test_a_new_constraint_says_its_definition_and_not_its_index(app: Any) -> None:
    before = snapshot(app)
    run(app, "ALTER TABLE app.users ADD CONSTRAINT users_email UNIQUE (email)")
    assert difference(before, snapshot(app)).lines() == [
        "+ constraint users_email on app.users is new: UNIQUE (email)"
    ]


def catalog(*objects: tuple[str, str, str]) -> Catalog:
    return Catalog(tuple(CatalogObject(*item) for item in objects))


def test_equal_catalogs_have_no_difference() -> None:
    one = catalog(("schema", "app", ""))
    assert not difference(one, one)
    assert str(difference(one, one)) == ""


def test_what_fits_is_one_line() -> None:
    before = catalog(("index", "app.i", "CREATE INDEX i ON app.t (a)"), ("column", "app.t.a", "text"))
    after = catalog(("column", "app.t.a", "text not null"), ("schema", "b", ""))
    assert difference(before, after).lines() == [
        "- index app.i is missing: CREATE INDEX i ON app.t (a)",
        "~ column app.t.a: `text` became `text not null`",
        "+ schema b is new",
    ]


def test_what_does_not_fit_is_wrapped() -> None:
    before = catalog(
        ("constraint", "c on app.t", "CHECK (" + " OR ".join(f"a = {n}" for n in range(12)) + ")")
    )
    after = catalog(("constraint", "c on app.t", "CHECK (a = 1)"))
    lines = difference(before, after).lines()
    assert lines[0] == "~ constraint c on app.t"
    assert lines[1].startswith("    was CHECK (a = 0 OR")
    assert lines[-1] == "    now CHECK (a = 1)"
    assert all(len(line) <= 100 for line in lines)
    assert difference(before, catalog()).lines()[0] == "- constraint c on app.t is missing:"


def test_several_lines_are_compared_line_by_line() -> None:
    text = "CREATE FUNCTION app.f()\n" + "\n".join(f"line {n}" for n in range(20))
    before, after = (
        catalog(("function", "app.f()", text)),
        catalog(("function", "app.f()", text.replace("9", "x", 1))),
    )
    assert difference(before, after).lines() == [
        "~ function app.f()",
        "     line 8",
        "    -line 9",
        "    +line x",
        "     line 10",
    ]
    assert difference(catalog(), before).lines()[-1] == "    … 17 more lines"


def test_a_quoted_column_name_may_hold_a_comma() -> None:
    before = catalog(("column order", "t", 'a, "b, c", d'), ("column", "t.d", "text"))
    assert difference(before, catalog(("column order", "t", 'a, "b, c"'))).lines() == [
        "- column t.d is missing: text"
    ]
