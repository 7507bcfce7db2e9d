"""A database's schema, read from PostgreSQL's catalogs: SQLAlchemy's inspector sees less than half of it.

Definitions are the server's own (`pg_get_constraintdef` and its like), so that two servers of one version say the
same of the same. https://www.postgresql.org/docs/current/catalogs.html
"""

import json
from typing import Any

from sqlalchemy import Connection

from multidb.database import journal
from multidb.schema.objects import OWNER, Schema, Thing

# What a definition looks like depends on these; a savepoint that is rolled back puts them back. With an empty
# search_path every name in it has its schema.
_SETTINGS = """
    SAVEPOINT multidb_reading;
    SELECT set_config('multidb.schema', coalesce(current_schema(), 'public'), true),
           set_config('multidb.search_path', current_setting('search_path'), true);
    SET LOCAL search_path = ''; SET LOCAL quote_all_identifiers = off; SET LOCAL datestyle = 'ISO';
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1;
    SELECT current_setting('server_version_num')::int, (
        SELECT quote_ident(CASE WHEN r.rolsuper THEN pg_get_userbyid(d.datdba) ELSE r.rolname END)
        FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()
    ), current_setting('multidb.schema'), current_setting('multidb.search_path')
"""
_DONE = "ROLLBACK TO SAVEPOINT multidb_reading; RELEASE SAVEPOINT multidb_reading"


def _extensions(catalog: str, oid: str) -> str:
    """The condition that something belongs to no extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass "
        f"AND e.objid = {oid} AND e.deptype = 'e')"
    )


def _shown(name: str) -> str:
    """A name as it is shown: it is quoted if it has a dot, for which it could be taken for another thing's."""
    return f"CASE WHEN {name} ~ '[.:()]' THEN quote_ident({name}) ELSE {name}::text END"


_COMMON = f"""
WITH roles AS (
    SELECT r.oid, CASE WHEN r.oid = d.datdba OR r.rolname = current_user AND NOT r.rolsuper THEN '{OWNER}'
                       ELSE r.rolname END AS name
    FROM pg_roles r, pg_database d WHERE d.datname = current_database()
), spaces AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) AS ident,
           n.nspname = current_setting('multidb.schema') AS is_default,
           CASE WHEN n.nspname <> current_setting('multidb.schema') THEN ARRAY['schema', n.nspname::text] END AS of,
           CASE WHEN n.nspname <> current_setting('multidb.schema') THEN n.nspname || '.' ELSE '' END AS prefix
    FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND {_extensions("pg_namespace", "n.oid")}
), relations AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, s.of,
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
           c.relpersistence, c.reloptions, s.prefix || {_shown("c.relname")} AS name,
           s.ident || '.' || quote_ident(c.relname) AS ident, (SELECT name FROM roles WHERE oid = c.relowner) AS owner
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
    WHERE NOT (s.is_default AND c.relname IN ('alembic_version', '{journal.NAME}'))
      AND NOT c.relispartition AND {_extensions("pg_class", "c.oid")}
      AND NOT EXISTS (
          SELECT FROM pg_depend d
          WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i'
      )
), functions AS (
    SELECT p.oid, p.proowner, p.proacl, s.of, p.prokind, (SELECT name FROM roles WHERE oid = p.proowner) AS owner,
           s.prefix || {_shown("p.proname")} || a.text AS name,
           s.ident || '.' || quote_ident(p.proname) || a.text AS ident
    FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
    CROSS JOIN LATERAL (SELECT '(' || pg_get_function_identity_arguments(p.oid) || ')' AS text) a
    WHERE p.prokind IN ('f', 'p') AND {_extensions("pg_proc", "p.oid")}
), enums AS (
    SELECT t.oid, t.typowner, t.typacl, s.of, s.prefix || {_shown("t.typname")} AS name,
           s.ident || '.' || quote_ident(t.typname) AS ident, (SELECT name FROM roles WHERE oid = t.typowner) AS owner
    FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace
    WHERE t.typtype = 'e' AND {_extensions("pg_type", "t.oid")}
), indexes AS (
    SELECT i.*, ARRAY[r.kind, r.name] AS of, r.name || '.' || {_shown("c.relname")} AS name, r.ident AS table_ident,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS ident, quote_ident(c.relname) AS own_ident
    FROM pg_index i JOIN relations r ON r.oid = i.indrelid
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
)
"""
_KEYS = """ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts::int) AS n)"""

# Of each kind: name, what it belongs to, the facts, and what DDL needs.
_KINDS = {
    "schema": """
        SELECT nspname, NULL::text[], jsonb_build_object('owner', (SELECT name FROM roles WHERE oid = nspowner)),
               jsonb_build_object('ident', ident, 'oid', oid)
        FROM spaces WHERE NOT is_default
    """,
    "extension": """
        SELECT extname, NULL::text[], '{}'::jsonb, jsonb_build_object('ident', quote_ident(extname), 'oid', oid)
        FROM pg_extension
    """,
    "enum": """
        SELECT name, of,
               jsonb_build_object('values', ARRAY(
                   SELECT enumlabel::text FROM pg_enum WHERE enumtypid = enums.oid ORDER BY enumsortorder
               ), 'owner', owner),
               jsonb_build_object('ident', ident, 'oid', oid)
        FROM enums
    """,
    "table": """
        SELECT name, of,
               jsonb_build_object(
                   'owner', owner, 'partitioned', pg_get_partkeydef(oid), 'unlogged', relpersistence = 'u',
                   'inherits', ARRAY(
                       SELECT p.ident FROM pg_inherits JOIN relations p ON p.oid = inhparent
                       WHERE inhrelid = relations.oid ORDER BY inhseqno
                   ),
                   'foreign keys enforced', NOT EXISTS (
                       SELECT FROM pg_trigger WHERE tgrelid = relations.oid AND tgisinternal AND tgenabled = 'D'
                   )
               ),
               jsonb_build_object('ident', ident, 'oid', oid)
        FROM relations WHERE relkind IN ('r', 'p')
    """,
    "column": f"""
        SELECT r.name || '.' || {_shown("a.attname")}, ARRAY[r.kind, r.name],
               jsonb_build_object(
                   'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
                   'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                   'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                   'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
                   'identity options', (
                       SELECT concat_ws(', ', 'START ' || seqstart, 'INCREMENT ' || seqincrement, 'MINVALUE ' || seqmin,
                                        'MAXVALUE ' || seqmax, 'CACHE ' || seqcache,
                                        CASE WHEN seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
                       FROM pg_depend JOIN pg_sequence ON seqrelid = objid
                       WHERE classid = 'pg_class'::regclass AND deptype = 'i'
                         AND refobjid = a.attrelid AND refobjsubid = a.attnum
                   ),
                   'collation', CASE WHEN a.attcollation <> t.typcollation THEN l.collname END
               ),
               jsonb_build_object(
                   'ident', quote_ident(a.attname), 'name', a.attname, 'table', r.ident, 'oid', r.oid,
                   'base', format_type(a.atttypid, NULL),
                   'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum)
               )
        FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraint": f"""
        SELECT r.name || '.' || {_shown("k.conname")}, ARRAY[r.kind, r.name],
               jsonb_build_object(
                   'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
                   'valid', k.convalidated
               ),
               jsonb_build_object(
                   'ident', quote_ident(k.conname), 'table', r.ident, 'type', k.contype, 'oid', k.oid,
                   'condition', pg_get_expr(k.conbin, k.conrelid),
                   'keys', CASE WHEN i.indexrelid IS NULL THEN (
                       SELECT array_agg(quote_ident(attname) ORDER BY n)
                       FROM unnest(k.conkey) WITH ORDINALITY u (num, n)
                       JOIN pg_attribute ON attrelid = k.conrelid AND attnum = num
                   ) ELSE {_KEYS} END,
                   'parent', (SELECT ident FROM relations WHERE oid = k.confrelid),
                   'parents', (
                       SELECT array_agg(quote_ident(attname) ORDER BY n)
                       FROM unnest(k.confkey) WITH ORDINALITY u (num, n)
                       JOIN pg_attribute ON attrelid = k.confrelid AND attnum = num
                   )
               )
        FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
        LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u')
        WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0
    """,
    "index": f"""
        SELECT name, of,
               jsonb_build_object(
                   'unique', indisunique, 'valid', indisvalid,
                   'definition', regexp_replace(pg_get_indexdef(indexrelid), '^.*? USING ', 'USING ')
               ),
               jsonb_build_object(
                   'ident', ident, 'own_ident', own_ident, 'table', table_ident, 'oid', indexrelid,
                   'keys', {_KEYS}, 'predicate', pg_get_expr(indpred, indrelid)
               )
        FROM indexes i
    """,
    "sequence": """
        SELECT r.name, CASE WHEN o.name IS NULL THEN r.of ELSE ARRAY['table', o.name] END,
               jsonb_build_object(
                   'type', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement,
                   'minimum', s.seqmin, 'maximum', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle,
                   'owned by', o.column, 'owner', CASE WHEN o.name IS NULL THEN r.owner END
               ),
               jsonb_build_object('ident', r.ident, 'oid', r.oid)
        FROM relations r JOIN pg_sequence s ON s.seqrelid = r.oid
        LEFT JOIN LATERAL (
            SELECT t.name, t.ident || '.' || quote_ident(a.attname) AS column
            FROM pg_depend d JOIN relations t ON t.oid = d.refobjid
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'a'
        ) o ON true
    """,
    "view": """
        SELECT name, of,
               jsonb_build_object(
                   'definition', pg_get_viewdef(oid), 'materialized', relkind = 'm', 'owner', owner,
                   'options', ARRAY(SELECT unnest(reloptions) ORDER BY 1)
               ),
               jsonb_build_object('ident', ident, 'oid', oid)
        FROM relations WHERE relkind IN ('v', 'm')
    """,
    "function": """
        SELECT name, of, jsonb_build_object('definition', pg_get_functiondef(oid), 'owner', owner),
               jsonb_build_object(
                   'ident', ident, 'word', CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, 'oid', oid
               )
        FROM functions
    """,
    "trigger": f"""
        SELECT r.name || '.' || {_shown("t.tgname")}, ARRAY[r.kind, r.name],
               jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled),
               jsonb_build_object('ident', quote_ident(t.tgname), 'table', r.ident, 'oid', t.oid)
        FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgparentid = 0
    """,
    "comment": f"""
        SELECT o.name, ARRAY[o.kind, o.name], jsonb_build_object('text', d.description), jsonb_build_object('on', o.on)
        FROM pg_description d JOIN (
            SELECT 'pg_class'::regclass AS classid, oid, 0 AS sub, kind, name,
                   CASE relkind WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN 'MATERIALIZED VIEW ' WHEN 'S' THEN 'SEQUENCE '
                                ELSE 'TABLE ' END || ident AS on
            FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'pg_class'::regclass, r.oid, a.attnum, 'column', r.name || '.' || {_shown("a.attname")},
                   'COLUMN ' || r.ident || '.' || quote_ident(a.attname)
            FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE r.relkind IN ('r', 'p', 'v', 'm')
            UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, 'index', name, 'INDEX ' || ident FROM indexes
            UNION ALL
            SELECT 'pg_constraint'::regclass, k.oid, 0, 'constraint', r.name || '.' || {_shown("k.conname")},
                   'CONSTRAINT ' || quote_ident(k.conname) || ' ON ' || r.ident
            FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
            UNION ALL
            SELECT 'pg_trigger'::regclass, t.oid, 0, 'trigger', r.name || '.' || {_shown("t.tgname")},
                   'TRIGGER ' || quote_ident(t.tgname) || ' ON ' || r.ident
            FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
            UNION ALL SELECT 'pg_type'::regclass, oid, 0, 'enum', name, 'TYPE ' || ident FROM enums
            UNION ALL SELECT 'pg_proc'::regclass, oid, 0, 'function', name, 'ROUTINE ' || ident FROM functions
            UNION ALL
            SELECT 'pg_namespace'::regclass, oid, 0, 'schema', nspname, 'SCHEMA ' || ident FROM spaces
            WHERE NOT is_default
        ) o ON o.classid = d.classoid AND o.oid = d.objoid AND o.sub = d.objsubid
    """,
    "privilege": f"""
        SELECT o.name || ': ' || g.name, ARRAY[o.kind, o.name],
               jsonb_build_object('privileges', jsonb_agg(
                   DISTINCT x.privilege_type || coalesce(' (' || o.column || ')', '') || option
               )),
               jsonb_build_object('grantee', g.name, 'on', o.on)
        FROM (
            SELECT kind, name, relowner AS owner, NULL AS column,
                   coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)) AS acl,
                   CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || ident AS on
            FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'column', r.name || '.' || {_shown("a.attname")}, r.relowner, quote_ident(a.attname), a.attacl,
                   'TABLE ' || r.ident
            FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
            WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
            UNION ALL
            SELECT 'function', name, proowner, NULL, coalesce(proacl, acldefault('f', proowner)), 'ROUTINE ' || ident
            FROM functions
            UNION ALL
            SELECT 'enum', name, typowner, NULL, coalesce(typacl, acldefault('T', typowner)), 'TYPE ' || ident
            FROM enums
            UNION ALL
            SELECT 'schema', nspname, nspowner, NULL, coalesce(nspacl, acldefault('n', nspowner)), 'SCHEMA ' || ident
            FROM spaces
        ) o
        CROSS JOIN LATERAL aclexplode(o.acl) x
        JOIN (VALUES (''), (' WITH GRANT OPTION')) AS options (option) ON option = '' OR x.is_grantable
        CROSS JOIN LATERAL (
            SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' WHEN x.grantee = o.owner THEN '{OWNER}'
                        ELSE coalesce((SELECT r.name FROM roles r WHERE r.oid = x.grantee), x.grantee::text) END AS name
        ) g
        GROUP BY o.kind, o.name, o.on, g.name
    """,
}


_COLUMN_NAMES = f"""
    SELECT r.name || '.' || {_shown("a.attname")} FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
_SELECTED = """
    SELECT name, of, facts::text, sql::text FROM ({}) AS found (name, of, facts, sql)
    ORDER BY of, (sql ->> 'position')::int, (sql ->> 'oid')::bigint, name
"""


def read(connection: Connection) -> Schema:
    """Read the schema of a database.

    Args:
        connection: in a transaction, which it leaves as it was.

    Raises:
        DBAPIError: it could not be read.
    """
    if connection.dialect.name == "sqlite":
        from multidb.schema import sqlite

        return sqlite.read(connection)
    driver: Any = connection.connection.driver_connection
    things: list[Thing] = []
    with driver.cursor() as cursor:
        cursor.execute(_SETTINGS)
        version, owner, space, search_path = cursor.fetchone()
        for kind, select in _KINDS.items():
            cursor.execute(f"{_COMMON} {_SELECTED.format(select)}")
            things += [
                Thing(kind, name, json.loads(facts), (of[0], of[1]) if of else None, json.loads(sql))
                for name, of, facts, sql in cursor.fetchall()
            ]
        cursor.execute(_DONE)
    return Schema({thing.key: thing for thing in things}, version, owner, space, search_path)


def columns(connection: Connection) -> frozenset[str]:
    """The names of all columns that `read` would find, which is much less to read.

    Raises:
        DBAPIError: they could not be read.
    """
    if connection.dialect.name == "sqlite":
        from multidb.schema import sqlite

        return sqlite.columns(connection)
    with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr]
        cursor.execute(_SETTINGS)
        cursor.execute(f"{_COMMON} {_COLUMN_NAMES}")
        found = frozenset(name for (name,) in cursor.fetchall())
        cursor.execute(_DONE)
    return found
