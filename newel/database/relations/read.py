"""Reads relations from the catalog: the user's own, which no extension made, without newel's schema.

A statement for each kind of thing, however many tables there are. They run with the settings of a catalog snapshot,
so that no object of the user's hides one of the catalog and every name that is shown has its schema.
"""

# ruff: noqa: S608 - SQL is put together from constants of this module
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from newel.database.catalog.snapshot import isolated
from newel.database.connection import server_refusal
from newel.database.relations.model import (
    Column,
    Constraint,
    ForeignKey,
    Index,
    Relation,
    Table,
    name_in_words,
)
from newel.errors import NewelError

LOCK_SECONDS = 5
"""How long looking waits for a table that another session has locked: the server opens a table to tell its size."""

_KINDS = "'r', 'p', 'v', 'm', 'f'"

_RELATION = """
WITH relation AS MATERIALIZED (
    SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname NOT IN ('information_schema', 'newel') AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                        AND d.objsubid = 0 AND d.deptype = 'e')
)
"""

# A table of which nothing was counted yet (reltuples -1) may be known to the statistics of what was written to it.
_RELATIONS = f"""{_RELATION}
SELECT r.oid, up.inhparent, r.nspname::text, r.relname::text,
       CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
           WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END,
       pg_get_userbyid(r.relowner)::text,
       CASE r.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
       obj_description(r.oid, 'pg_class'),
       CASE WHEN r.relkind IN ('v', 'p') THEN NULL
            WHEN r.reltuples >= 0 THEN r.reltuples::bigint
            ELSE CASE WHEN s.live > 0 OR s.bytes = 0 THEN s.live END END,
       CASE WHEN r.relkind IN ('r', 'm') THEN pg_total_relation_size(r.oid) ELSE 0 END,
       CASE WHEN r.relkind IN ('r', 'm') THEN pg_table_size(r.oid) ELSE 0 END,
       CASE WHEN r.relkind IN ('r', 'm') THEN pg_indexes_size(r.oid) ELSE 0 END,
       CASE r.relkind WHEN 'p' THEN pg_get_partkeydef(r.oid) END,
       pg_get_expr(r.relpartbound, r.oid)
  FROM relation r
       LEFT JOIN pg_inherits up ON up.inhrelid = r.oid AND r.relispartition
       LEFT JOIN LATERAL (SELECT pg_stat_get_live_tuples(r.oid) AS live, pg_relation_size(r.oid) AS bytes
                           WHERE r.relkind IN ('r', 'm')) s ON true
 WHERE r.relkind IN ({_KINDS}) ORDER BY r.nspname, r.relname
"""

_INHERITS = f"""{_RELATION}
SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN relation r ON r.oid = i.inhrelid
 WHERE NOT r.relispartition AND r.relkind IN ({_KINDS}) ORDER BY i.inhrelid, i.inhseqno
"""

_COLUMNS = f"""{_RELATION}
SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid, true), CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
       CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
       col_description(a.attrelid, a.attnum)
  FROM relation r
       JOIN pg_attribute a ON a.attrelid = r.oid
       JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE r.relkind IN ({_KINDS}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""

_CONSTRAINTS = f"""{_RELATION}
SELECT c.conrelid, c.conname::text,
       CASE c.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'c' THEN 'check' ELSE 'exclude' END,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
       pg_get_constraintdef(c.oid, true)
  FROM pg_constraint c JOIN relation r ON r.oid = c.conrelid
 WHERE c.contype IN ('p', 'u', 'c', 'x')
 ORDER BY c.conrelid, position(c.contype::text IN 'pucx'), c.conname
"""


def _action(column: str) -> str:
    return (
        f"CASE {column} WHEN 'r' THEN 'restrict' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' "
        "WHEN 'd' THEN 'set default' ELSE 'no action' END"
    )


# A key that refers to a partitioned table has a row of its own for each partition there, with a generated name.
_FOREIGN_KEYS = f"""{_RELATION}
SELECT c.conrelid, c.confrelid, c.conparentid = 0, c.conname::text, n.nspname::text, t.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
       fn.nspname::text, f.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, place)
               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place),
       {_action("c.confupdtype")}, {_action("c.confdeltype")}, pg_get_constraintdef(c.oid, true)
  FROM pg_constraint c
       JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
       JOIN pg_class f ON f.oid = c.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
       LEFT JOIN pg_constraint parent ON parent.oid = c.conparentid
 WHERE c.contype = 'f' AND parent.conrelid IS DISTINCT FROM c.conrelid
   AND (c.conrelid IN (SELECT oid FROM relation) OR c.confrelid IN (SELECT oid FROM relation))
 ORDER BY n.nspname, t.relname, c.conname
"""

_INDEXES = f"""{_RELATION}
SELECT i.indrelid, x.relname::text, r.nspname::text, r.relname::text, m.amname::text,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) k),
       pg_get_expr(i.indpred, i.indrelid, true),
       substr(pg_get_indexdef(i.indexrelid, 0, true), 1 + length(concat(
           'CREATE ', CASE WHEN i.indisunique THEN 'UNIQUE ' END,
           'INDEX ', quote_ident(x.relname), ' ON ', CASE x.relkind WHEN 'I' THEN 'ONLY ' END,
           quote_ident(r.nspname), '.', quote_ident(r.relname), ' USING ', quote_ident(m.amname), ' '))),
       i.indisunique, i.indisprimary,
       EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')),
       i.indisvalid, x.relispartition, pg_stat_get_numscans(i.indexrelid),
       CASE x.relkind WHEN 'i' THEN pg_relation_size(i.indexrelid) ELSE
           (SELECT coalesce(sum(pg_relation_size(t.relid)), 0)::bigint
              FROM pg_partition_tree(i.indexrelid) t WHERE t.isleaf) END,
       obj_description(i.indexrelid, 'pg_class')
  FROM pg_index i
       JOIN relation r ON r.oid = i.indrelid
       JOIN pg_class x ON x.oid = i.indexrelid
       JOIN pg_am m ON m.oid = x.relam
 WHERE r.relkind IN ({_KINDS}) ORDER BY i.indrelid, NOT i.indisprimary, x.relname
"""

_OTHERS = """
WITH member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
space AS (SELECT oid, nspname FROM pg_namespace
           WHERE nspname NOT IN ('information_schema', 'newel') AND nspname !~ '^pg_')
SELECT s.nspname::text, CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END AS kind,
       p.proname::text AS name, p.oid::regprocedure::text
  FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
 WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
UNION ALL
SELECT s.nspname::text, CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
           ELSE 'composite type' END,
       t.typname::text, t.oid::regtype::text
  FROM pg_type t JOIN space s ON s.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
UNION ALL
SELECT s.nspname::text, 'sequence', c.relname::text, c.oid::regclass::text
  FROM pg_class c JOIN space s ON s.oid = c.relnamespace
 WHERE c.relkind = 'S'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
 ORDER BY 1, 2, 3, 4
"""


@dataclass(frozen=True)
class Other:
    """A sequence, function or type. `identity` is as SQL takes it, a function's with its arguments' types."""

    schema: str
    kind: str
    name: str
    identity: str


@contextmanager
def looking(connection: Connection, doing: str) -> Iterator[Cursor]:
    """Give a cursor for the catalog: one snapshot, read only, with nothing left behind.

    Waits LOCK_SECONDS for a table that another session has locked. Raises what the server refuses as NewelError.
    """
    autocommit, connection.autocommit = connection.autocommit, True
    try:
        with connection.cursor(cursor_factory=Cursor) as cursor, isolated(connection, cursor):
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            yield cursor
    except psycopg2.errors.LockNotAvailable as error:
        raise NewelError(
            f"{doing}: another session has locked a table for more than {LOCK_SECONDS} s",
            cure="Try again when it is done. A run under way is named by  newel info",
        ) from error
    except psycopg2.Error as error:
        raise server_refusal(error, doing) from error
    finally:
        if not connection.closed:
            connection.autocommit = autocommit


def read_relations(cursor: Cursor) -> tuple[Relation, ...]:
    """Return every relation by schema and name."""
    return tuple(_relations(cursor).values())


def read_tables(cursor: Cursor) -> tuple[Table, ...]:
    """Return every relation that has columns, with what belongs to it, by schema and name."""
    relations = _relations(cursor)
    columns = _grouped(cursor, _COLUMNS, Column)
    constraints = _grouped(cursor, _CONSTRAINTS, Constraint)
    indexes = _grouped(cursor, _INDEXES, Index)
    keys, referring = defaultdict[int, list[ForeignKey]](list), defaultdict[int, list[ForeignKey]](list)
    cursor.execute(_FOREIGN_KEYS)
    for of, to, own, *fields in cursor.fetchall():
        key = ForeignKey(*_frozen(fields))
        keys[of].append(key)
        if own:
            referring[to].append(key)
    partitions = defaultdict[str, list[Relation]](list)
    for relation in relations.values():
        if relation.partition_of:
            partitions[relation.partition_of].append(relation)
    return tuple(
        Table(
            relation,
            tuple(columns[oid]),
            tuple(constraints[oid]),
            tuple(keys[oid]),
            tuple(referring[oid]),
            tuple(indexes[oid]),
            tuple(partitions[relation.identity]),
        )
        for oid, relation in relations.items()
    )


def read_others(cursor: Cursor) -> tuple[Other, ...]:
    """Return sequences, functions and types by schema, kind and name."""
    cursor.execute(_OTHERS)
    return tuple(Other(*row) for row in cursor.fetchall())


def _relations(cursor: Cursor) -> dict[int, Relation]:
    cursor.execute(_RELATIONS)
    rows = cursor.fetchall()
    cursor.execute(_INHERITS)
    inherits = defaultdict[int, list[int]](list)
    for oid, parent in cursor.fetchall():
        inherits[oid].append(parent)
    identities = {row[0]: name_in_words(row[2], row[3]) for row in rows}
    relations = dict[int, Relation]()
    for oid, parent, *fields, bound in rows:
        above = tuple(identities[item] for item in inherits[oid] if item in identities)
        relations[oid] = Relation(*[*fields, identities.get(parent), bound, above])
    return _summed(relations, {row[0]: row[1] for row in rows if row[1] in identities})


def _summed(relations: Mapping[int, Relation], parents: Mapping[int, int]) -> dict[int, Relation]:
    """Give each partitioned table the rows and sizes of its partitions, at every depth."""
    parts = defaultdict[int, list[Relation]](list)
    for oid, relation in relations.items():
        above = parents.get(oid)
        while above is not None and relation.kind != "partitioned table":
            parts[above].append(relation)
            above = parents.get(above)
    return {
        oid: replace(
            relation,
            rows=total([part.rows for part in parts[oid]]),
            bytes=sum(part.bytes for part in parts[oid]),
            table_bytes=sum(part.table_bytes for part in parts[oid]),
            index_bytes=sum(part.index_bytes for part in parts[oid]),
        )
        if relation.kind == "partitioned table"
        else relation
        for oid, relation in relations.items()
    }


def total(numbers: Sequence[int | None]) -> int | None:
    """Return the sum, None if one of the numbers is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _grouped(cursor: Cursor, query: str, kind: type[Any]) -> defaultdict[int, list[Any]]:
    """Make values of a query's rows, by the oid in its first column."""
    cursor.execute(query)
    found = defaultdict[int, list[Any]](list)
    for oid, *fields in cursor.fetchall():
        found[oid].append(kind(*_frozen(fields)))
    return found


def _frozen(fields: Sequence[Any]) -> list[Any]:
    return [tuple(field) if isinstance(field, list) else field for field in fields]
