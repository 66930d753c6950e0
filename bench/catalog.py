"""Times a catalog snapshot of 500 tables against `pg_dump --schema-only` of the same database.

    python bench/catalog.py URI [PG_DUMP]

The tables are made in schema bench_catalog of the database at URI, and dropped at the end.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import psycopg2

from newel.database.catalog.difference import difference
from newel.database.catalog.snapshot import snapshot

TABLES = 500
ROUNDS = 5
TABLE = """
CREATE TABLE bench_catalog.t{n} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name varchar(100) NOT NULL,
    email text UNIQUE,
    amount numeric(12, 2) DEFAULT 0 CHECK (amount >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    data jsonb
);
CREATE INDEX ON bench_catalog.t{n} (created_at);
COMMENT ON TABLE bench_catalog.t{n} IS 'table {n}';
GRANT SELECT ON bench_catalog.t{n} TO PUBLIC;
"""


def best(work: Callable[[], object]) -> float:
    """The shortest of a few runs, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main(uri: str, pg_dump: str = "pg_dump") -> None:
    connection = psycopg2.connect(uri)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS bench_catalog CASCADE; CREATE SCHEMA bench_catalog")
        for n in range(TABLES):
            cursor.execute(TABLE.format(n=n))
        cursor.execute("VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_depend")
        try:
            catalog = snapshot(connection)
            dump = [pg_dump, "--schema-only", "--dbname", uri]
            print(
                f"server {catalog.server_version}, {TABLES} tables, {len(catalog)} objects, best of {ROUNDS}"
            )
            other = catalog.without("index")
            print(f"snapshot               {best(lambda: snapshot(connection)):.3f} s")
            print(f"difference             {best(lambda: difference(catalog, other)):.3f} s")
            print(
                f"pg_dump --schema-only  {best(lambda: subprocess.run(dump, check=True, capture_output=True)):.3f} s"
            )
        finally:
            for n in range(
                TABLES
            ):  # DROP SCHEMA would lock them all at once: more than max_locks_per_transaction
                cursor.execute(f"DROP TABLE bench_catalog.t{n}")
            cursor.execute("DROP SCHEMA bench_catalog")
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
