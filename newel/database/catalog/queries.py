"""The SQL behind a catalog snapshot: one SELECT for each kind of object.

Every SELECT in OBJECTS yields the same ten columns: the object's address (catalog, oid, sub-object, as in
pg_depend; PostgreSQL manual, "System Catalogs"), its parent's address, its kind, identity, definition and owner.
Oids join the rows to comments and grants and never leave `snapshot()`. An object without a definition is not
listed itself but bears comments and grants (the columns of a view). %(excluded)s are schemas to leave out;
a percent sign can therefore not be used otherwise.

16384 is FirstNormalObjectId: objects with a smaller oid were made by initdb (access/transam.h).
"""

# ruff: noqa: S608 - SQL is put together from constants of this module; values go in as parameters
from __future__ import annotations

# Rendered definitions obey these settings (ruleutils.c prints names by search_path and constants by their
# type's output function), so a snapshot sets each. pg_temp is named last, since unnamed it would come first and
# a temporary table named pg_class would hide the catalog.
SETTINGS = {
    "search_path": "pg_catalog, pg_temp",
    "quote_all_identifiers": "off",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    # Compiling, or starting workers, takes longer than the query.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

SHARED = """
WITH space AS MATERIALIZED (
    SELECT oid, nspowner, quote_ident(nspname) AS name FROM pg_namespace
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' AND nspname <> ALL (%(excluded)s::name[])
), relation AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpersistence, c.relowner, c.relam, c.relrowsecurity, c.relforcerowsecurity,
        c.relreplident, c.reloptions, c.reltoastrelid, c.relispartition, c.reloftype, c.relpartbound,
        c.reltablespace, s.name || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN space s ON s.oid = c.relnamespace
), tablespace AS MATERIALIZED (
    SELECT oid, 'tablespace ' || quote_ident(spcname) AS clause FROM pg_tablespace
)
"""


def options(column: str) -> str:
    """SQL for the text of an FDW options array. A secret shows only that it changed: 16 bits of its hash
    are too few to check a guess against."""
    return f"""(SELECT '(' || string_agg(quote_ident(option_name) || ' ' ||
        CASE WHEN option_name ~* 'pass|secret|token'
            THEN '<hidden ' || left(encode(sha256(convert_to(option_value, 'UTF8')), 'hex'), 4) || '>'
            ELSE quote_literal(option_value) END, ', ' ORDER BY option_name) || ')'
        FROM pg_options_to_table({column}))"""


def storage_options(column: str, prefix: str = "") -> str:
    """SQL for the text of a reloptions array, in name order: the array keeps the order of the commands."""
    return f"(SELECT string_agg('{prefix}' || o, ', ' ORDER BY o) FROM unnest({column}) AS o)"


def enabled(column: str) -> str:
    """SQL for the firing state of a trigger or rule (pg_trigger.tgenabled, pg_rewrite.ev_enabled)."""
    return f"CASE {column} WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled replica' WHEN 'A' THEN 'enabled always' END"


SCHEMA = """
SELECT 'pg_namespace'::regclass::oid, oid, 0, NULL::oid, NULL::oid, 0, 'schema', name, '', nspowner
FROM space
"""

TABLE = f"""
SELECT 'pg_class'::regclass::oid, r.oid, 0, NULL, NULL, 0,
    CASE r.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END, r.name,
    concat_ws(' ',
        CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
        CASE WHEN r.reloftype <> 0 THEN 'of ' || format_type(r.reloftype, NULL) END,
        CASE WHEN r.relispartition THEN 'partition of ' ELSE 'inherits ' END ||
            (SELECT string_agg(i.inhparent::regclass::text ||
                    CASE WHEN i.inhdetachpending THEN ' (detach pending)' ELSE '' END, ', ' ORDER BY i.inhseqno)
                FROM pg_inherits i WHERE i.inhrelid = r.oid),
        pg_get_expr(r.relpartbound, r.oid),
        CASE r.relkind WHEN 'p' THEN 'partition by ' || pg_get_partkeydef(r.oid) END,
        'using ' || (SELECT quote_ident(amname) FROM pg_am WHERE pg_am.oid = r.relam AND amname <> 'heap'),
        'with (' || NULLIF(concat_ws(', ', {storage_options("r.reloptions")}, t.options), '') || ')',
        p.clause,
        CASE WHEN r.relrowsecurity THEN 'row level security' END,
        CASE WHEN r.relforcerowsecurity THEN 'forced row level security' END,
        CASE r.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity nothing' END,
        'server ' || (SELECT concat_ws(' options ', quote_ident(srvname), {options("ftoptions")})
            FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver WHERE ftrelid = r.oid)),
    r.relowner
FROM relation r
LEFT JOIN (SELECT oid, {storage_options("reloptions", "toast.")} AS options FROM pg_class
    WHERE relkind = 't' AND reloptions IS NOT NULL) t ON t.oid = r.reltoastrelid
LEFT JOIN tablespace p ON p.oid = r.reltablespace
WHERE r.relkind IN ('r', 'p', 'f')
"""

# attnum itself is left out: a column dropped and added again has a new one. Its place among the live columns is
# the object "column order". A column of a view is listed only where it has something of its own to say.
COLUMN = f"""
SELECT 'pg_class'::regclass::oid, r.oid, a.attnum,
    CASE r.relkind WHEN 'c' THEN 'pg_type'::regclass::oid ELSE 'pg_class'::regclass::oid END,
    CASE r.relkind WHEN 'c' THEN (SELECT ct.oid FROM pg_type ct WHERE ct.typrelid = r.oid) ELSE r.oid END, 0,
    'column', r.name || '.' || quote_ident(a.attname),
    CASE WHEN r.relkind IN ('r', 'p', 'f') OR r.relkind <> 'c' AND (a.atthasdef OR a.attstorage <> t.typstorage
            OR a.attcompression <> '' OR a.attstattarget >= 0 OR a.attoptions IS NOT NULL) THEN
        concat_ws(' ',
            format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || a.attcollation::regcollation::text END,
            CASE WHEN d.oid IS NULL THEN NULL
                WHEN a.attgenerated = 's' THEN 'generated always as (' || pg_get_expr(d.adbin, r.oid) || ') stored'
                WHEN a.attgenerated = 'v' THEN 'generated always as (' || pg_get_expr(d.adbin, r.oid) || ') virtual'
                ELSE 'default ' || pg_get_expr(d.adbin, r.oid) END,
            CASE a.attidentity WHEN 'a' THEN 'generated always as identity'
                WHEN 'd' THEN 'generated by default as identity' END,
            CASE WHEN a.attnotnull THEN 'not null' END,
            CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || CASE a.attstorage WHEN 'p' THEN 'plain'
                WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END,
            CASE a.attcompression WHEN 'p' THEN 'compression pglz' WHEN 'l' THEN 'compression lz4' END,
            CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END,
            'with (' || {storage_options("a.attoptions")} || ')',
            'options ' || {options("a.attfdwoptions")},
            CASE WHEN a.attinhcount > 0 THEN CASE WHEN a.attislocal THEN 'inherited and local'
                ELSE 'inherited' END END)
    END,
    NULL
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND a.attnum > 0 AND NOT a.attisdropped
"""

# Sub-object -1 exists nowhere in PostgreSQL, so no comment can claim this address.
COLUMN_ORDER = """
SELECT 'pg_class'::regclass::oid, r.oid, -1, 'pg_class'::regclass::oid, r.oid, 0, 'column order', min(r.name),
    string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), NULL
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
WHERE r.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY r.oid
"""

# Left out: constraint triggers (listed as triggers), and the rows that a foreign key to a partitioned table has
# for each referenced partition, which carry generated names.
CONSTRAINT = """
SELECT 'pg_constraint'::regclass::oid, c.oid, 0, 'pg_class'::regclass::oid, r.oid, 0,
    'constraint', quote_ident(c.conname) || ' on ' || r.name,
    concat_ws(' ', pg_get_constraintdef(c.oid), CASE WHEN c.coninhcount > 0 THEN
        CASE WHEN c.conislocal THEN 'inherited and local' ELSE 'inherited' END END),
    NULL
FROM pg_constraint c JOIN relation r ON r.oid = c.conrelid
LEFT JOIN pg_constraint parent ON parent.oid = c.conparentid
WHERE c.contype <> 't' AND NOT (c.contype = 'f' AND parent.oid IS NOT NULL AND parent.conrelid = c.conrelid)
"""

INDEX = """
SELECT 'pg_class'::regclass::oid, r.oid, 0,
    CASE WHEN c.oid IS NULL THEN 'pg_class'::regclass::oid ELSE 'pg_constraint'::regclass::oid END,
    coalesce(c.oid, i.indrelid), 0, 'index', r.name,
    concat_ws(' ', pg_get_indexdef(r.oid), p.clause,
        CASE WHEN r.relispartition THEN 'attached to ' ||
            (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = r.oid) END,
        CASE WHEN i.indisclustered THEN 'clustered' END,
        CASE WHEN i.indisreplident THEN 'replica identity' END,
        'statistics (' || s.targets || ')',
        CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
        CASE WHEN NOT i.indisready THEN 'NOT READY' END),
    NULL
FROM pg_index i
JOIN relation r ON r.oid = i.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('p', 'u', 'x')
LEFT JOIN tablespace p ON p.oid = r.reltablespace
LEFT JOIN (SELECT a.attrelid, string_agg(a.attnum || ': ' || a.attstattarget, ', ' ORDER BY a.attnum) AS targets
    FROM pg_attribute a JOIN relation ON relation.oid = a.attrelid AND relation.relkind IN ('i', 'I')
    WHERE a.attstattarget >= 0 GROUP BY a.attrelid) s ON s.attrelid = r.oid
"""

VIEW = f"""
SELECT 'pg_class'::regclass::oid, r.oid, 0, NULL, NULL, 0,
    CASE r.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, r.name,
    concat_ws(E'\\n', NULLIF(concat_ws(' ',
            'with (' || {storage_options("r.reloptions")} || ')',
            'using ' || (SELECT quote_ident(amname) FROM pg_am WHERE pg_am.oid = r.relam AND amname <> 'heap'),
            p.clause,
            CASE WHEN NOT c.relispopulated THEN 'not populated' END), ''),
        btrim(pg_get_viewdef(r.oid), E' \\n')),
    r.relowner
FROM relation r
JOIN pg_class c ON c.oid = r.oid
LEFT JOIN tablespace p ON p.oid = r.reltablespace
WHERE r.relkind IN ('v', 'm')
"""

# A sequence owned by a column has its table's owner, and goes with the column.
SEQUENCE = """
SELECT 'pg_class'::regclass::oid, r.oid, 0, d.refclassid, d.refobjid, coalesce(d.refobjsubid, 0), 'sequence', r.name,
    concat_ws(' ', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
        'as ' || format_type(s.seqtypid, NULL), 'start ' || s.seqstart, 'increment ' || s.seqincrement,
        'minvalue ' || s.seqmin, 'maxvalue ' || s.seqmax, 'cache ' || s.seqcache,
        CASE WHEN s.seqcycle THEN 'cycle' END,
        CASE d.deptype WHEN 'i' THEN 'identity of ' ELSE 'owned by ' END || t.name || '.' || quote_ident(a.attname)),
    CASE WHEN d.objid IS NULL THEN r.relowner END
FROM pg_sequence s
JOIN relation r ON r.oid = s.seqrelid
LEFT JOIN (pg_depend d JOIN relation t ON t.oid = d.refobjid
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid)
    ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.objsubid = 0
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
"""

FUNCTION = """
SELECT 'pg_proc'::regclass::oid, p.oid, 0, NULL, NULL, 0,
    CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, p.oid::regprocedure::text,
    rtrim(pg_get_functiondef(p.oid), E' \\n'), p.proowner
FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
WHERE p.prokind <> 'a'
"""


def regproc(label: str, column: str) -> str:
    """SQL for 'label function' where the column names a function, else NULL."""
    return f"CASE WHEN {column} <> 0 THEN '{label} ' || {column}::regproc::text END"


AGGREGATE = f"""
SELECT 'pg_proc'::regclass::oid, p.oid, 0, NULL, NULL, 0, 'aggregate', p.oid::regprocedure::text,
    concat_ws(' ', 'arguments (' || pg_get_function_arguments(p.oid) || ')',
        CASE a.aggkind WHEN 'o' THEN 'ordered-set' WHEN 'h' THEN 'hypothetical' END,
        'sfunc ' || a.aggtransfn::regproc::text, 'stype ' || format_type(a.aggtranstype, NULL),
        CASE WHEN a.aggtransspace <> 0 THEN 'sspace ' || a.aggtransspace END,
        {regproc("finalfunc", "a.aggfinalfn")}, CASE WHEN a.aggfinalextra THEN 'finalfunc_extra' END,
        'finalfunc_modify ' || a.aggfinalmodify::text,
        {regproc("combinefunc", "a.aggcombinefn")}, {regproc("serialfunc", "a.aggserialfn")},
        {regproc("deserialfunc", "a.aggdeserialfn")}, 'initcond ' || quote_literal(a.agginitval),
        {regproc("msfunc", "a.aggmtransfn")}, {regproc("minvfunc", "a.aggminvtransfn")},
        CASE WHEN a.aggmtranstype <> 0 THEN 'mstype ' || format_type(a.aggmtranstype, NULL) END,
        CASE WHEN a.aggmtransspace <> 0 THEN 'msspace ' || a.aggmtransspace END,
        {regproc("mfinalfunc", "a.aggmfinalfn")}, CASE WHEN a.aggmfinalextra THEN 'mfinalfunc_extra' END,
        'mfinalfunc_modify ' || a.aggmfinalmodify::text, 'minitcond ' || quote_literal(a.aggminitval),
        CASE WHEN a.aggsortop <> 0 THEN 'sortop ' || a.aggsortop::regoperator::text END,
        'parallel ' || p.proparallel::text),
    p.proowner
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN space s ON s.oid = p.pronamespace
"""

TRIGGER = f"""
SELECT 'pg_trigger'::regclass::oid, t.oid, 0, 'pg_class'::regclass::oid, r.oid, 0,
    'trigger', quote_ident(t.tgname) || ' on ' || r.name,
    concat_ws(' ', pg_get_triggerdef(t.oid), {enabled("t.tgenabled")},
        CASE WHEN t.tgparentid <> 0 THEN 'inherited' END), NULL
FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid
WHERE NOT t.tgisinternal
"""

# ALTER TABLE ... DISABLE TRIGGER ALL switches foreign keys off. Their triggers' names hold oids: name the functions.
CONSTRAINT_TRIGGER = f"""
SELECT 'pg_trigger'::regclass::oid, min(t.oid), 0, 'pg_class'::regclass::oid, r.oid, 0,
    'constraint trigger', quote_ident(c.conname) || ' of ' || c.conrelid::regclass::text || ' on ' || min(r.name),
    string_agg(concat_ws(' ', p.proname, {enabled("t.tgenabled")}), ', ' ORDER BY p.proname), NULL
FROM pg_trigger t
JOIN relation r ON r.oid = t.tgrelid
JOIN pg_constraint c ON c.oid = t.tgconstraint
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgisinternal AND t.tgenabled <> 'O'
GROUP BY r.oid, c.oid, c.conname, c.conrelid
"""

EVENT_TRIGGER = f"""
SELECT 'pg_event_trigger'::regclass::oid, oid, 0, NULL, NULL, 0, 'event trigger', quote_ident(evtname),
    concat_ws(' ', 'on ' || evtevent,
        'when tag in (' ||
            (SELECT string_agg(quote_literal(tag), ', ' ORDER BY tag) FROM unnest(evttags) AS tag) || ')',
        'execute function ' || evtfoid::regprocedure::text, {enabled("evtenabled")}),
    evtowner
FROM pg_event_trigger
"""

RULE = f"""
SELECT 'pg_rewrite'::regclass::oid, w.oid, 0, 'pg_class'::regclass::oid, r.oid, 0,
    'rule', quote_ident(w.rulename) || ' on ' || r.name,
    concat_ws(' ', pg_get_ruledef(w.oid), {enabled("w.ev_enabled")}), NULL
FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class
WHERE NOT (w.rulename = '_RETURN' AND r.relkind IN ('v', 'm'))
"""

POLICY = """
SELECT 'pg_policy'::regclass::oid, p.oid, 0, 'pg_class'::regclass::oid, r.oid, 0,
    'policy', quote_ident(p.polname) || ' on ' || r.name,
    concat_ws(' ', CASE WHEN NOT p.polpermissive THEN 'restrictive' END,
        CASE p.polcmd WHEN 'r' THEN 'for select' WHEN 'a' THEN 'for insert' WHEN 'w' THEN 'for update'
            WHEN 'd' THEN 'for delete' ELSE 'for all' END,
        'to ' || (SELECT string_agg(role, ', ' ORDER BY role) FROM (SELECT CASE u WHEN 0 THEN 'public'
            ELSE quote_ident(pg_get_userbyid(u)) END FROM unnest(p.polroles) AS u) AS roles (role)),
        'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'), NULL
FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
"""

TYPE = f"""
SELECT 'pg_type'::regclass::oid, t.oid, 0, NULL, NULL, 0, 'type', s.name || '.' || quote_ident(t.typname),
    CASE WHEN NOT t.typisdefined THEN 'shell'
    WHEN t.typtype = 'e' THEN 'enum (' || coalesce((
        SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
        FROM pg_enum WHERE enumtypid = t.oid), '') || ')'
    WHEN t.typtype = 'c' THEN 'composite (' || coalesce((SELECT string_agg(concat_ws(' ', quote_ident(a.attname),
            format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcollation <> at.typcollation
                THEN 'collate ' || a.attcollation::regcollation::text END), ', ' ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')'
    WHEN t.typtype = 'r' THEN (SELECT concat_ws(' ', 'range of ' || format_type(g.rngsubtype, NULL),
            'opclass ' || quote_ident(n.nspname) || '.' || quote_ident(o.opcname),
            CASE WHEN g.rngcollation <> 0 THEN 'collate ' || g.rngcollation::regcollation::text END,
            {regproc("canonical", "g.rngcanonical")}, {regproc("subtype_diff", "g.rngsubdiff")},
            'multirange ' || format_type(g.rngmultitypid, NULL))
        FROM pg_range g JOIN pg_opclass o ON o.oid = g.rngsubopc JOIN pg_namespace n ON n.oid = o.opcnamespace
        WHERE g.rngtypid = t.oid)
    ELSE concat_ws(' ', 'base length ' || t.typlen, CASE WHEN t.typbyval THEN 'passed by value' END,
        'alignment ' || t.typalign::text, 'storage ' || t.typstorage::text, 'category ' || t.typcategory::text,
        CASE WHEN t.typispreferred THEN 'preferred' END, 'delimiter ' || t.typdelim::text,
        CASE WHEN t.typelem <> 0 THEN 'element ' || format_type(t.typelem, NULL) END,
        {regproc("input", "t.typinput")}, {regproc("output", "t.typoutput")},
        {regproc("receive", "t.typreceive")}, {regproc("send", "t.typsend")},
        {regproc("typmod_in", "t.typmodin")}, {regproc("typmod_out", "t.typmodout")},
        {regproc("analyze", "t.typanalyze")},
        {regproc("subscript", "t.typsubscript")}, CASE WHEN t.typcollation <> 0 THEN 'collatable' END,
        'default ' || quote_literal(t.typdefault))
    END,
    t.typowner
FROM pg_type t
JOIN space s ON s.oid = t.typnamespace
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE t.typtype NOT IN ('d', 'm') AND (c.oid IS NULL OR c.relkind = 'c')
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid)
"""

DOMAIN = """
SELECT 'pg_type'::regclass::oid, t.oid, 0, NULL, NULL, 0, 'domain', s.name || '.' || quote_ident(t.typname),
    concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
        CASE WHEN t.typcollation <> b.typcollation THEN 'collate ' || t.typcollation::regcollation::text END,
        'default ' || coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)),
        CASE WHEN t.typnotnull THEN 'not null' END),
    t.typowner
FROM pg_type t JOIN space s ON s.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype
WHERE t.typtype = 'd'
UNION ALL
SELECT 'pg_constraint'::regclass::oid, c.oid, 0, 'pg_type'::regclass::oid, t.oid, 0,
    'domain constraint', quote_ident(c.conname) || ' on ' || s.name || '.' || quote_ident(t.typname),
    pg_get_constraintdef(c.oid), NULL
FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid JOIN space s ON s.oid = t.typnamespace
"""

# The columns for the locale differ from release to release, hence by name through jsonb. The collation's version
# comes from the operating system's library and is left out.
COLLATION = """
SELECT 'pg_collation'::regclass::oid, c.oid, 0, NULL, NULL, 0, 'collation', s.name || '.' || quote_ident(c.collname),
    concat_ws(' ', 'provider ' || c.collprovider::text, CASE WHEN NOT c.collisdeterministic THEN 'nondeterministic' END,
        CASE WHEN c.collencoding >= 0 THEN 'encoding ' || pg_encoding_to_char(c.collencoding) END,
        'lc_collate ' || quote_literal(to_jsonb(c) ->> 'collcollate'),
        'lc_ctype ' || quote_literal(to_jsonb(c) ->> 'collctype'),
        'locale ' || quote_literal(coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale')),
        'rules ' || quote_literal(to_jsonb(c) ->> 'collicurules')),
    c.collowner
FROM pg_collation c JOIN space s ON s.oid = c.collnamespace
"""

OPERATOR = """
SELECT 'pg_operator'::regclass::oid, o.oid, 0, NULL, NULL, 0, 'operator', o.oid::regoperator::text,
    CASE WHEN o.oprcode = 0 THEN 'shell' ELSE
        concat_ws(' ', 'function ' || o.oprcode::regproc::text,
        CASE WHEN o.oprcom <> 0 THEN 'commutator ' || o.oprcom::regoperator::text END,
        CASE WHEN o.oprnegate <> 0 THEN 'negator ' || o.oprnegate::regoperator::text END,
        CASE WHEN o.oprrest <> 0 THEN 'restrict ' || o.oprrest::regproc::text END,
        CASE WHEN o.oprjoin <> 0 THEN 'join ' || o.oprjoin::regproc::text END,
        CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END) END,
    o.oprowner
FROM pg_operator o JOIN space s ON s.oid = o.oprnamespace
"""

OPERATOR_CLASS = """
SELECT 'pg_opclass'::regclass::oid, o.oid, 0, NULL, NULL, 0,
    'operator class', s.name || '.' || quote_ident(o.opcname) || ' using ' || quote_ident(m.amname),
    concat_ws(' ', CASE WHEN o.opcdefault THEN 'default' END, 'for type ' || format_type(o.opcintype, NULL),
        'family ' || quote_ident(n.nspname) || '.' || quote_ident(f.opfname),
        CASE WHEN o.opckeytype <> 0 THEN 'storage ' || format_type(o.opckeytype, NULL) END),
    o.opcowner
FROM pg_opclass o
JOIN space s ON s.oid = o.opcnamespace
JOIN pg_am m ON m.oid = o.opcmethod
JOIN pg_opfamily f ON f.oid = o.opcfamily
JOIN pg_namespace n ON n.oid = f.opfnamespace
UNION ALL
SELECT 'pg_opfamily'::regclass::oid, f.oid, 0, NULL, NULL, 0,
    'operator family', s.name || '.' || quote_ident(f.opfname) || ' using ' || quote_ident(m.amname), '', f.opfowner
FROM pg_opfamily f JOIN space s ON s.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
"""

# A member belongs to the operator class that it was made with, else to the family; a family of initdb's is no
# object of the snapshot, so a member added to it loosely has no parent.
OPERATOR_FAMILY_MEMBER = """
SELECT member.class, member.oid, 0,
    CASE WHEN d.objid IS NOT NULL THEN 'pg_opclass'::regclass::oid
        WHEN f.oid >= 16384 THEN 'pg_opfamily'::regclass::oid END,
    CASE WHEN d.objid IS NOT NULL THEN d.refobjid WHEN f.oid >= 16384 THEN f.oid END, 0,
    'operator family member', member.name || ' of ' || quote_ident(n.nspname) || '.' || quote_ident(f.opfname)
        || ' using ' || quote_ident(m.amname), member.definition, NULL
FROM (
    SELECT 'pg_amop'::regclass::oid AS class, o.oid, o.amopfamily AS family,
        'operator ' || o.amopstrategy || ' (' || format_type(o.amoplefttype, NULL) || ', '
            || format_type(o.amoprighttype, NULL) || ')' AS name,
        concat_ws(' ', o.amopopr::regoperator::text, 'order by ' || quote_ident(n.nspname) || '.'
            || quote_ident(sort.opfname)) AS definition
    FROM pg_amop o LEFT JOIN (pg_opfamily sort JOIN pg_namespace n ON n.oid = sort.opfnamespace)
        ON sort.oid = o.amopsortfamily
    WHERE o.oid >= 16384
    UNION ALL
    SELECT 'pg_amproc'::regclass, p.oid, p.amprocfamily,
        'function ' || p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', '
            || format_type(p.amprocrighttype, NULL) || ')', p.amproc::regprocedure::text
    FROM pg_amproc p WHERE p.oid >= 16384) AS member
JOIN pg_opfamily f ON f.oid = member.family
JOIN pg_namespace n ON n.oid = f.opfnamespace
JOIN pg_am m ON m.oid = f.opfmethod
LEFT JOIN pg_depend d ON d.classid = member.class AND d.objid = member.oid AND d.deptype = 'i'
    AND d.refclassid = 'pg_opclass'::regclass
"""

CAST = """
SELECT 'pg_cast'::regclass::oid, oid, 0, NULL, NULL, 0, 'cast',
    '(' || format_type(castsource, NULL) || ' as ' || format_type(casttarget, NULL) || ')',
    concat_ws(' ', CASE castmethod WHEN 'b' THEN 'without function' WHEN 'i' THEN 'with inout'
            ELSE 'with function ' || castfunc::regprocedure::text END,
        CASE castcontext WHEN 'a' THEN 'as assignment' WHEN 'i' THEN 'as implicit' END), NULL
FROM pg_cast WHERE oid >= 16384
"""

TEXT_SEARCH = f"""
SELECT 'pg_ts_config'::regclass::oid, c.oid, 0, NULL, NULL, 0,
    'text search configuration', s.name || '.' || quote_ident(c.cfgname),
    concat_ws(E'\\n', 'parser ' || quote_ident(n.nspname) || '.' || quote_ident(p.prsname),
        (SELECT string_agg(token || ': ' || dictionaries, E'\\n' ORDER BY token) FROM (
            SELECT k.alias, string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno)
            FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) k ON k.tokid = m.maptokentype
            WHERE m.mapcfg = c.oid GROUP BY k.alias) AS map (token, dictionaries))),
    c.cfgowner
FROM pg_ts_config c
JOIN space s ON s.oid = c.cfgnamespace
JOIN pg_ts_parser p ON p.oid = c.cfgparser
JOIN pg_namespace n ON n.oid = p.prsnamespace
UNION ALL
SELECT 'pg_ts_dict'::regclass::oid, d.oid, 0, NULL, NULL, 0,
    'text search dictionary', s.name || '.' || quote_ident(d.dictname),
    concat_ws(', ', 'template ' || quote_ident(n.nspname) || '.' || quote_ident(t.tmplname), d.dictinitoption),
    d.dictowner
FROM pg_ts_dict d
JOIN space s ON s.oid = d.dictnamespace
JOIN pg_ts_template t ON t.oid = d.dicttemplate
JOIN pg_namespace n ON n.oid = t.tmplnamespace
UNION ALL
SELECT 'pg_ts_parser'::regclass::oid, p.oid, 0, NULL, NULL, 0,
    'text search parser', s.name || '.' || quote_ident(p.prsname),
    concat_ws(' ', {regproc("start", "p.prsstart")}, {regproc("gettoken", "p.prstoken")}, {regproc("end", "p.prsend")},
        {regproc("headline", "p.prsheadline")}, {regproc("lextypes", "p.prslextype")}), NULL
FROM pg_ts_parser p JOIN space s ON s.oid = p.prsnamespace
UNION ALL
SELECT 'pg_ts_template'::regclass::oid, t.oid, 0, NULL, NULL, 0,
    'text search template', s.name || '.' || quote_ident(t.tmplname),
    concat_ws(' ', {regproc("init", "t.tmplinit")}, {regproc("lexize", "t.tmpllexize")}), NULL
FROM pg_ts_template t JOIN space s ON s.oid = t.tmplnamespace
"""

EXTENSION = """
SELECT 'pg_extension'::regclass::oid, e.oid, 0, NULL, NULL, 0, 'extension', quote_ident(e.extname),
    'version ' || quote_literal(e.extversion) || ' schema ' || quote_ident(n.nspname), e.extowner
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

STATISTICS = """
SELECT 'pg_statistic_ext'::regclass::oid, x.oid, 0, 'pg_class'::regclass::oid, x.stxrelid, 0,
    'statistics', s.name || '.' || quote_ident(x.stxname),
    concat_ws(' ', pg_get_statisticsobjdef(x.oid),
        CASE WHEN x.stxstattarget >= 0 THEN 'target ' || x.stxstattarget END),
    x.stxowner
FROM pg_statistic_ext x JOIN space s ON s.oid = x.stxnamespace
"""

PUBLICATION = """
SELECT 'pg_publication'::regclass::oid, p.oid, 0, NULL, NULL, 0, 'publication', quote_ident(p.pubname),
    concat_ws(', ', CASE WHEN p.puballtables THEN 'all tables' END,
        CASE WHEN (to_jsonb(p) ->> 'puballsequences')::boolean THEN 'all sequences' END,
        CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
        CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END,
        CASE WHEN p.pubviaroot THEN 'via partition root' END,
        'generated columns ' || NULLIF(to_jsonb(p) ->> 'pubgencols', 'n')),
    p.pubowner
FROM pg_publication p
"""

# Row filters, column lists and whole schemas came with PostgreSQL 15.
PUBLICATION_TABLE_14 = """
SELECT 'pg_publication_rel'::regclass::oid, x.oid, 0, 'pg_publication'::regclass::oid, x.prpubid, 0,
    'publication table', r.name || ' in ' || quote_ident(p.pubname), '', NULL
FROM pg_publication_rel x JOIN relation r ON r.oid = x.prrelid JOIN pg_publication p ON p.oid = x.prpubid
"""

PUBLICATION_TABLE = """
SELECT 'pg_publication_rel'::regclass::oid, x.oid, 0, 'pg_publication'::regclass::oid, x.prpubid, 0,
    'publication table', r.name || ' in ' || quote_ident(p.pubname),
    concat_ws(' ', 'columns (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname)
            FROM pg_attribute a WHERE a.attrelid = x.prrelid AND a.attnum = ANY (x.prattrs)) || ')',
        'where ' || pg_get_expr(x.prqual, x.prrelid)), NULL
FROM pg_publication_rel x JOIN relation r ON r.oid = x.prrelid JOIN pg_publication p ON p.oid = x.prpubid
UNION ALL
SELECT 'pg_publication_namespace'::regclass::oid, x.oid, 0, 'pg_publication'::regclass::oid, x.pnpubid, 0,
    'publication schema', s.name || ' in ' || quote_ident(p.pubname), '', NULL
FROM pg_publication_namespace x JOIN space s ON s.oid = x.pnnspid JOIN pg_publication p ON p.oid = x.pnpubid
"""

FOREIGN = f"""
SELECT 'pg_foreign_data_wrapper'::regclass::oid, w.oid, 0, NULL, NULL, 0,
    'foreign-data wrapper', quote_ident(w.fdwname),
    concat_ws(' ', {regproc("handler", "w.fdwhandler")}, {regproc("validator", "w.fdwvalidator")},
        'options ' || {options("w.fdwoptions")}), w.fdwowner
FROM pg_foreign_data_wrapper w
UNION ALL
SELECT 'pg_foreign_server'::regclass::oid, s.oid, 0, NULL, NULL, 0, 'server', quote_ident(s.srvname),
    concat_ws(' ', 'type ' || quote_literal(s.srvtype), 'version ' || quote_literal(s.srvversion),
        'foreign data wrapper ' || quote_ident(w.fdwname), 'options ' || {options("s.srvoptions")}), s.srvowner
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
UNION ALL
SELECT 'pg_user_mapping'::regclass::oid, u.umid, 0, 'pg_foreign_server'::regclass::oid, u.srvid, 0,
    'user mapping',
    CASE u.umuser WHEN 0 THEN 'public' ELSE quote_ident(u.usename) END || ' on ' || quote_ident(u.srvname),
    concat_ws(' ', 'options ' || {options("u.umoptions")}), NULL
FROM pg_user_mappings u
"""

LANGUAGE = f"""
SELECT 'pg_language'::regclass::oid, l.oid, 0, NULL, NULL, 0, 'language', quote_ident(l.lanname),
    concat_ws(' ', CASE WHEN l.lanpltrusted THEN 'trusted' END, {regproc("handler", "l.lanplcallfoid")},
        {regproc("inline", "l.laninline")}, {regproc("validator", "l.lanvalidator")}), l.lanowner
FROM pg_language l WHERE l.oid >= 16384
UNION ALL
SELECT 'pg_transform'::regclass::oid, t.oid, 0, NULL, NULL, 0, 'transform',
    'for ' || format_type(t.trftype, NULL) || ' language ' || quote_ident(l.lanname),
    concat_ws(' ', {regproc("from sql", "t.trffromsql")}, {regproc("to sql", "t.trftosql")}), NULL
FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
"""

ACCESS_METHOD = """
SELECT 'pg_am'::regclass::oid, m.oid, 0, NULL, NULL, 0, 'access method', quote_ident(m.amname),
    'type ' || m.amtype::text || ' handler ' || m.amhandler::regproc::text, NULL
FROM pg_am m WHERE m.oid >= 16384
"""

CONVERSION = """
SELECT 'pg_conversion'::regclass::oid, c.oid, 0, NULL, NULL, 0, 'conversion', s.name || '.' || quote_ident(c.conname),
    concat_ws(' ', CASE WHEN c.condefault THEN 'default' END, 'for ' || pg_encoding_to_char(c.conforencoding),
        'to ' || pg_encoding_to_char(c.contoencoding), 'from ' || c.conproc::regproc::text), c.conowner
FROM pg_conversion c JOIN space s ON s.oid = c.connamespace
"""

# The database bears a comment and grants; its name and owner are not part of the schema, so that two databases
# can be equal.
DATABASE = """
SELECT 'pg_database'::regclass::oid, oid, 0, NULL, NULL, 0, 'database', '', NULL, NULL::oid
FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'pg_db_role_setting'::regclass::oid, x.setrole, setting.number::integer, NULL, NULL, 0, 'database setting',
    split_part(setting.text, '=', 1) || CASE x.setrole WHEN 0 THEN ''
        ELSE ' for role ' || quote_ident(pg_get_userbyid(x.setrole)) END,
    substr(setting.text, strpos(setting.text, '=') + 1), NULL
FROM pg_db_role_setting x JOIN pg_database d ON d.oid = x.setdatabase AND d.datname = current_database(),
    unnest(x.setconfig) WITH ORDINALITY AS setting (text, number)
"""


def subscription(version: int) -> str:
    """All columns that everybody may read (the connection string is not one of them) and that are not state."""
    columns = ["subenabled", "subbinary", "substream", "subslotname", "subsynccommit"]
    columns += ["subdisableonerr"] if version >= 150000 else []
    columns += ["suborigin", "subpasswordrequired", "subrunasowner"] if version >= 160000 else []
    columns += ["subfailover"] if version >= 170000 else []
    fields = ", ".join(f"'{column[3:]} ' || {column}::text" for column in columns)
    return f"""
SELECT 'pg_subscription'::regclass::oid, s.oid, 0, NULL, NULL, 0, 'subscription', quote_ident(s.subname),
    concat_ws(' ', 'publications ' || (SELECT string_agg(quote_ident(p), ', ' ORDER BY p)
        FROM unnest(s.subpublications) AS p), {fields}), s.subowner
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
"""


def objects(version: int) -> str:
    """One statement for all objects of a server of this version (as in `connection.server_version`)."""
    # SCHEMA comes first: its casts give the columns of all others their types.
    queries = [
        SCHEMA, TABLE, COLUMN, COLUMN_ORDER, CONSTRAINT, INDEX, VIEW, SEQUENCE, FUNCTION, AGGREGATE, TRIGGER,
        CONSTRAINT_TRIGGER, EVENT_TRIGGER, RULE, POLICY, TYPE, DOMAIN, COLLATION, OPERATOR, OPERATOR_CLASS,
        OPERATOR_FAMILY_MEMBER, CAST, TEXT_SEARCH, EXTENSION, STATISTICS, PUBLICATION, FOREIGN, LANGUAGE,
        ACCESS_METHOD, CONVERSION, DATABASE,
        PUBLICATION_TABLE if version >= 150000 else PUBLICATION_TABLE_14,
        subscription(version),
    ]  # fmt: skip
    return SHARED + "UNION ALL".join(queries)
