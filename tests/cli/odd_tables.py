"""Tables with everything that a name, a column and a comment can hold."""

QUOTED = '"Odd Schema"."My ""quoted"" Table %s"'
ODD = f"""\
CREATE SCHEMA app; CREATE SCHEMA "Odd Schema";
CREATE TYPE app.mood AS ENUM ('ok', 'it''s "bad"');
CREATE DOMAIN app.email AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE app.nothing ();
CREATE TABLE {QUOTED} (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "a column, 100% odd" text DEFAULT E'\\x1b[2J%s',
    "naïve" app.mood[] NOT NULL DEFAULT '{{}}',
    "日本語" numeric(12,2)[],
    pk integer,
    "order" app.email COLLATE "C",
    total numeric(10,2) GENERATED ALWAYS AS (pk * 1.19) STORED,
    CHECK (pk > 1 OR "Id" > 5),
    EXCLUDE USING gist (int4range(pk, pk + 1) WITH &&)
);
COMMENT ON TABLE {QUOTED} IS E'clears \\x1b[2J the\\nscreen';
COMMENT ON COLUMN {QUOTED}.pk IS E'\\u202Eevil \\x07 %%{{init: {{}}}}%% "quoted"';
CREATE TABLE app.leaves (
    id serial PRIMARY KEY, note varchar(20) DEFAULT 'none',
    odd bigint NOT NULL UNIQUE REFERENCES {QUOTED} ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE app.events (id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2024 PARTITION OF app.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO app.events SELECT number, date '2024-01-01' FROM generate_series(1, 1200) number;
CREATE TABLE app.twice (v integer, w text);
INSERT INTO app.twice VALUES (1, 'a'), (1, 'b');
CREATE UNIQUE INDEX twice_w ON app.twice (w) WHERE w <> '';
CREATE VIEW app.a_view AS SELECT * FROM app.twice;
CREATE UNLOGGED TABLE app.heir () INHERITS (app.twice);
"""
INVALID = "CREATE UNIQUE INDEX CONCURRENTLY twice_v ON app.twice (v)"
"""Fails, since both rows have the same v, and leaves an index that is not valid."""
