"""Revisions made to be hard on a run that is broken off: each as (slug, up, down), on tables of the first.

Nothing depends on numbers that a sequence gives: a statement that was rolled back has used some up.
"""

from __future__ import annotations

from pathlib import Path

from breakable import ROLE

BASE_UP = f"""\
CREATE TABLE item (id serial PRIMARY KEY, name text NOT NULL, price int NOT NULL, note text);
INSERT INTO item (name, price, note) SELECT 'item ' || g, g % 90, repeat('x', 100) FROM generate_series(1, 3000) g;
CREATE TABLE step (id int GENERATED ALWAYS AS IDENTITY, what text NOT NULL);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE person (id int PRIMARY KEY, mood mood);
INSERT INTO person SELECT g, 'ok' FROM generate_series(1, 20) g;
CREATE TABLE reading (day date NOT NULL, value int) PARTITION BY RANGE (day);
CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE reading_2 PARTITION OF reading FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO reading SELECT date '2026-01-01' + g, g FROM generate_series(0, 50) g;
CREATE SCHEMA other;
GRANT USAGE, CREATE ON SCHEMA other TO {ROLE};
"""
BASE_DOWN = "DROP SCHEMA other CASCADE;\nDROP TABLE reading, person, step, item;\nDROP TYPE mood;\n"

COPY = (
    "COPY {} (name, price) FROM stdin;\n" + "".join(f"copied {n}\t{n % 7}\n" for n in range(1500)) + "\\.\n"
)

REVISIONS: tuple[tuple[str, str, str], ...] = (
    ("base", BASE_UP, BASE_DOWN),
    (
        "one_index",
        "CREATE INDEX CONCURRENTLY item_name ON item (name);\n",
        "DROP INDEX CONCURRENTLY item_name;\n",
    ),
    (
        "unique_index",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS item_name_once ON item (name);\n"
        "ALTER TABLE item ADD CONSTRAINT item_name_once UNIQUE USING INDEX item_name_once;\n",
        "ALTER TABLE item DROP CONSTRAINT item_name_once;\n",
    ),
    (
        "several_indexes",
        "CREATE INDEX CONCURRENTLY item_price ON item (price);\n"
        "COMMENT ON INDEX item_price IS 'by price';\n"
        "CREATE INDEX CONCURRENTLY item_cheap ON item (id) WHERE price < 10;\n"
        'CREATE INDEX CONCURRENTLY "Item Upper" ON item (upper(name));\n',
        'DROP INDEX CONCURRENTLY "Item Upper";\n'
        "DROP INDEX CONCURRENTLY item_cheap;\n"
        "DROP INDEX CONCURRENTLY IF EXISTS item_price;\n",
    ),
    (
        "reindex",
        "REINDEX INDEX CONCURRENTLY item_pkey;\nREINDEX TABLE CONCURRENTLY item;\n",
        "INSERT INTO step (what) VALUES ('before');\nREINDEX (VERBOSE) TABLE CONCURRENTLY person;\n",
    ),
    (
        "enum_value",
        "-- newel: no-transaction\nALTER TYPE mood ADD VALUE 'fine' AFTER 'ok';\n"
        "UPDATE person SET mood = 'fine' WHERE id < 5;\n"
        "INSERT INTO step (what) VALUES ('moods are up');\n",
        "DELETE FROM step;\nUPDATE person SET mood = 'ok' WHERE mood = 'fine';\n"
        "ALTER TYPE mood RENAME TO mood_before;\nCREATE TYPE mood AS ENUM ('sad', 'ok');\n"
        "ALTER TABLE person ALTER mood TYPE mood USING mood::text::mood;\nDROP TYPE mood_before;\n",
    ),
    (
        "detach",
        "INSERT INTO step (what) VALUES ('detach');\n"
        "ALTER TABLE reading DETACH PARTITION reading_1 CONCURRENTLY;\n"
        "INSERT INTO step (what) SELECT 'detached ' || count(*) FROM reading;\n",
        "ALTER TABLE reading ATTACH PARTITION reading_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');\n",
    ),
    (
        "vacuum",
        "UPDATE item SET price = price + 1;\nVACUUM (ANALYZE) item;\nINSERT INTO step (what) VALUES ('vacuumed');\n",
        "UPDATE item SET price = price - 1;\nVACUUM FULL item;\nDELETE FROM step WHERE what = 'vacuumed';\n",
    ),
    (
        "mixed",
        "INSERT INTO step (what) VALUES ('one');\n"
        "CREATE INDEX CONCURRENTLY item_note ON item (note, price);\n"
        "INSERT INTO step (what) VALUES ('two');\n"
        "UPDATE item SET price = price * 2;\n"
        "SELECT pg_sleep(0.2);\n"
        "DELETE FROM item WHERE name LIKE '%50';\n"
        "CREATE INDEX CONCURRENTLY item_price_name ON item (price, name);\n"
        "INSERT INTO step (what) SELECT count(*) || ' items' FROM item;\n",
        "DROP INDEX CONCURRENTLY item_price_name;\n"
        "INSERT INTO step (what) VALUES ('down');\n"
        "UPDATE item SET price = price / 2;\n"
        "DROP INDEX CONCURRENTLY item_note;\n"
        "INSERT INTO step (what) VALUES ('down twice');\n",
    ),
    (
        "copy",
        f"INSERT INTO step (what) VALUES ('before');\n{COPY.format('item')}"
        "SELECT setval('item_id_seq', (SELECT max(id) FROM item));\n",
        "DELETE FROM item WHERE name LIKE 'copied%';\n",
    ),
    (
        "copy_without_transaction",
        f"-- newel: no-transaction\nCREATE TABLE copied (name text, price int);\n{COPY.format('copied')}"
        "INSERT INTO step (what) SELECT count(*)::text FROM copied;\n",
        "DROP TABLE copied;\n",
    ),
    (
        "long_update",
        "UPDATE item SET price = price + 1 FROM (SELECT pg_sleep(0.3)) AS slow;\n",
        "-- newel: no-transaction\nUPDATE item SET price = price - 1 FROM (SELECT pg_sleep(0.3)) AS slow;\n",
    ),
    (
        "do_block",
        "DO $$ BEGIN\n  FOR n IN 1..4 LOOP\n    UPDATE item SET price = price + n WHERE length(name) % 4 = n - 1;\n"
        "    INSERT INTO step (what) VALUES ('round ' || n);\n    PERFORM pg_sleep(0.05);\n  END LOOP;\nEND $$;\n",
        "-- newel: no-transaction\n"
        "DO $$ BEGIN\n  WHILE EXISTS (SELECT FROM step WHERE what LIKE 'round%') LOOP\n"
        "    UPDATE item SET price = price - n FROM (SELECT max(right(what, 1)::int) AS n FROM step"
        " WHERE what LIKE 'round%') AS last WHERE length(name) % 4 = n - 1;\n"
        "    DELETE FROM step WHERE what = (SELECT max(what) FROM step WHERE what LIKE 'round%');\n"
        "    COMMIT;\n    PERFORM pg_sleep(0.05);\n  END LOOP;\nEND $$;\n",
    ),
    (
        "leaks",
        f"SET ROLE {ROLE};\nSET search_path TO other;\nCREATE TABLE mine (a int);\nINSERT INTO mine VALUES (1);\n"
        "SET default_transaction_read_only TO on;\nSET statement_timeout TO '5min';\n",
        "DROP TABLE other.mine;\n",
    ),
    (
        "leaks_without_transaction",
        f"-- newel: no-transaction\nSET ROLE {ROLE};\nSELECT pg_catalog.set_config('search_path', 'other', false);\n"
        "CREATE TABLE yours (a int);\nINSERT INTO yours VALUES (1);\nRESET ROLE;\nCREATE TABLE ours (a int);\n",
        f"SET search_path TO other;\nDROP TABLE ours;\nSET ROLE {ROLE};\nDROP TABLE yours;\n",
    ),
    (
        "drop_index",
        "DROP INDEX CONCURRENTLY item_cheap;\nINSERT INTO step (what) VALUES ('dropped');\n",
        "DELETE FROM step WHERE what = 'dropped';\n"
        "CREATE INDEX CONCURRENTLY item_cheap ON item (id) WHERE price < 10;\n",
    ),
    (
        "partitioned_index",
        "CREATE TABLE reading_3 PARTITION OF reading FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');\n"
        "CREATE INDEX reading_day ON ONLY reading (day);\n"
        "CREATE INDEX CONCURRENTLY reading_2_day ON reading_2 (day);\n"
        "CREATE INDEX CONCURRENTLY reading_3_day ON reading_3 (day);\n"
        "ALTER INDEX reading_day ATTACH PARTITION reading_2_day;\n"
        "ALTER INDEX reading_day ATTACH PARTITION reading_3_day;\n",
        "DROP INDEX reading_day;\nDROP TABLE reading_3;\n",
    ),
    (
        "database",
        "CREATE DATABASE nasty_made TEMPLATE template0;\nINSERT INTO step (what) VALUES ('database');\n",
        "DROP DATABASE nasty_made;\nINSERT INTO step (what) VALUES ('no database');\n",
    ),
    (
        "big",
        "".join(
            f"CREATE TABLE big_{n} (id serial PRIMARY KEY, item_id int REFERENCES item (id) DEFERRABLE);\n"
            f"INSERT INTO big_{n} (item_id) SELECT id FROM item WHERE price = {n};\n"
            for n in range(12)
        )
        + "ALTER TABLE item ADD COLUMN weight numeric(9,2) NOT NULL DEFAULT 1.5;\nCREATE INDEX ON item (weight);\n",
        "ALTER TABLE item DROP COLUMN weight;\n" + "".join(f"DROP TABLE big_{n};\n" for n in range(12)),
    ),
    (
        "rewrite",
        "ALTER TABLE item ALTER price TYPE bigint;\n"
        "CREATE TABLE copy_of_item AS SELECT name, price, note FROM item, generate_series(1, 4);\n",
        "DROP TABLE copy_of_item;\nALTER TABLE item ALTER price TYPE int;\n",
    ),
    (
        "constraint",
        "-- newel: no-transaction\nUPDATE item SET note = name WHERE note IS NULL;\n"
        "ALTER TABLE item ADD CONSTRAINT item_price CHECK (price >= 0) NOT VALID;\n"
        "ALTER TABLE item VALIDATE CONSTRAINT item_price;\nALTER TABLE item ALTER note SET NOT NULL;\n",
        "ALTER TABLE item ALTER note DROP NOT NULL, DROP CONSTRAINT item_price;\n",
    ),
)


def write(root: Path) -> None:
    """Write every revision as a pair of files into a project's sql/migrations."""
    folder = root / "sql" / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (slug, up, down) in enumerate(REVISIONS, 1):
        (folder / f"{number:06}_{slug}.up.sql").write_text(up)
        (folder / f"{number:06}_{slug}.down.sql").write_text(down)
