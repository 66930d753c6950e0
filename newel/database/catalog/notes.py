"""The SQL for what hangs on objects: extension membership, comments, grants, security labels.

Each row names its object by catalog and OID; snapshot() joins them, and no OID reaches the Catalog.
"""

# ruff: noqa: S608 - SQL is put together from constants of this module; values go in as parameters
from __future__ import annotations

# What hangs on an object, by the object's address: note, catalog, oid, sub-object, detail, text, and a description
# for an object that came with initdb or an extension (only its grants are of interest).
MEMBER = """
SELECT 'member', classid, objid, 0, '', '', NULL FROM pg_depend WHERE deptype = 'e'
"""

COMMENT = """
SELECT 'comment', classoid, objoid, objsubid, '', description, NULL FROM pg_description
WHERE objoid >= 16384 OR classoid = 'pg_namespace'::regclass
UNION ALL
SELECT 'comment', classoid, objoid, 0, '', description, NULL FROM pg_shdescription
WHERE classoid = 'pg_database'::regclass
UNION ALL
SELECT 'security label', classoid, objoid, objsubid, provider, label, NULL FROM pg_seclabel
UNION ALL
SELECT 'security label', classoid, objoid, 0, provider, label, NULL FROM pg_shseclabel
WHERE classoid = 'pg_database'::regclass
UNION ALL
SELECT 'extension dependency', d.classid, d.objid, 0, e.extname, '', NULL
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.deptype = 'x' AND d.refclassid = 'pg_extension'::regclass
"""


def deviation(granted: str, base: str) -> str:
    """SQL for what an ACL grants and revokes beyond its base. GRANT followed by REVOKE leaves an ACL that says
    the same as none: as a deviation both are NULL. An asterisk stands for WITH GRANT OPTION."""
    return f"""(SELECT string_agg(verb || ' ' || privileges || ' ' || word || ' ' || grantee, '; '
            ORDER BY verb, grantee COLLATE "C")
        FROM (SELECT verb, word, role.grantee,
                string_agg(privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, ', '
                    ORDER BY privilege_type COLLATE "C", is_grantable) AS privileges
            FROM (SELECT 'grant' AS verb, 'to' AS word, *
                FROM (SELECT * FROM aclexplode({granted}) EXCEPT SELECT * FROM aclexplode({base})) AS more
                UNION ALL SELECT 'revoke', 'from', *
                FROM (SELECT * FROM aclexplode({base}) EXCEPT SELECT * FROM aclexplode({granted})) AS less) AS item,
            LATERAL (SELECT CASE item.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(item.grantee)) END
                || CASE WHEN item.grantor = acl.owner THEN ''
                    ELSE ' by ' || quote_ident(pg_get_userbyid(item.grantor)) END) AS role (grantee)
            GROUP BY verb, word, role.grantee) AS line)"""


# The base is what the object would have had from the start: acldefault() for the project's own, pg_init_privs for
# those of initdb and of extensions. Schema public is the project's own.
GRANT = f"""
SELECT 'grant', acl.class, acl.oid, acl.sub, '', {deviation("acl.granted", "acl.base")},
    CASE WHEN NOT acl.own THEN (SELECT type || ' ' || identity FROM pg_identify_object(acl.class, acl.oid, acl.sub)) END
FROM (
    SELECT item.class, item.oid, item.sub, item.owner, item.granted, own,
        CASE WHEN own THEN acldefault(item.type, item.owner)
            ELSE coalesce(i.initprivs, acldefault(item.type, item.owner)) END AS base
    FROM (
        SELECT 'pg_class'::regclass::oid AS class, oid, 0 AS sub, relowner AS owner, relacl AS granted,
            (CASE relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char" AS type, false AS public
        FROM pg_class WHERE relacl IS NOT NULL
            AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname = 'information_schema')
        UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum, c.relowner, a.attacl, 'c', false
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
        UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proowner, proacl, 'f', false FROM pg_proc WHERE proacl IS NOT NULL
        UNION ALL SELECT 'pg_type'::regclass, oid, 0, typowner, typacl, 'T', false FROM pg_type WHERE typacl IS NOT NULL
        UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspowner, nspacl, 'n', nspname = 'public'
        FROM pg_namespace WHERE nspacl IS NOT NULL AND nspname <> 'information_schema'
        UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanowner, lanacl, 'l', false
        FROM pg_language WHERE lanacl IS NOT NULL
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl, 'F', false
        FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl, 'S', false
        FROM pg_foreign_server WHERE srvacl IS NOT NULL
        UNION ALL SELECT 'pg_database'::regclass, oid, 0, datdba, datacl, 'd', true
        FROM pg_database WHERE datacl IS NOT NULL AND datname = current_database()) AS item
    LEFT JOIN pg_init_privs i ON i.classoid = item.class AND i.objoid = item.oid AND i.objsubid = item.sub
    CROSS JOIN LATERAL (SELECT item.public OR item.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = item.class AND d.objid = item.oid AND d.deptype = 'e')) AS whose (own)
) AS acl
WHERE acl.granted IS DISTINCT FROM acl.base
"""

# A role's default privileges everywhere replace acldefault(); those for one schema are added to it, and their base is
# empty. acldefault() of a column is so; aclexplode() refuses '{}', which has no dimension.
DEFAULT_GRANT = f"""
SELECT 'default grant', 'pg_default_acl'::regclass, acl.oid, 0, '', {deviation("acl.granted", "acl.base")},
    concat_ws(' ', CASE acl.type WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
        WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE acl.type::text END,
        'made by ' || quote_ident(pg_get_userbyid(acl.owner)), 'in schema ' || acl.schema)
FROM (SELECT d.oid, d.defaclobjtype AS type, d.defaclrole AS owner, d.defaclacl AS granted,
        quote_ident(n.nspname) AS schema,
        CASE WHEN d.defaclnamespace = 0 THEN acldefault(
            (CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END)::"char", d.defaclrole)
            ELSE acldefault('c', d.defaclrole) END AS base
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE n.oid IS NULL OR n.nspname <> ALL (%(excluded)s::name[])) AS acl
"""

NOTES = "UNION ALL".join([MEMBER, COMMENT, GRANT, DEFAULT_GRANT])
