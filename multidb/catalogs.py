"""A database's schema, read from PostgreSQL's catalogs: SQLAlchemy's inspector sees less than half of it.

Definitions are the server's own (`pg_get_constraintdef` and its like), so that two servers of one version say the
same of the same. https://www.postgresql.org/docs/current/catalogs.html
"""

import json
from typing import Any

from sqlalchemy import Connection

from multidb import journal
from multidb.schemas import OWNER, Schema, Thing

# What a definition looks like depends on these; a savepoint that is rolled back puts them back. With an empty
# search_path every name in it has its schema.
_SETTINGS = """
    SAVEPOINT multidb_reading;
    SELECT set_config('multidb.schema', coalesce(current_schema(), 'public'), true);
    SET LOCAL search_path = ''; SET LOCAL quote_all_identifiers = off; SET LOCAL datestyle = 'ISO';
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1;
    SELECT current_setting('server_version_num')::int, (
        SELECT quote_ident(CASE WHEN r.rolsuper THEN pg_get_userbyid(d.datdba) ELSE r.rolname END)
        FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()
    )
"""
_DONE = "ROLLBACK TO SAVEPOINT multidb_reading; RELEASE SAVEPOINT multidb_reading"


def _extensions(catalog: str, oid: str) -> str:
    """The condition that something belongs to no extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass "
        f"AND e.objid = {oid} AND e.deptype = 'e')"
    )


_COMMON = f"""
WITH roles AS (
    SELECT r.oid, CASE WHEN r.oid = d.datdba OR r.rolname = current_user AND NOT r.rolsuper THEN '{OWNER}'
                       ELSE r.rolname END AS name
    FROM pg_roles r, pg_database d WHERE d.datname = current_database()
), spaces AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) AS ident,
           n.nspname = current_setting('multidb.schema') AS is_default,
           CASE WHEN n.nspname = current_setting('multidb.schema') THEN '' ELSE n.nspname END AS of
    FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND {_extensions("pg_namespace", "n.oid")}
), relations AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, s.of,
           concat_ws('.', nullif(s.of, ''), c.relname) AS name,
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
           concat_ws('.', nullif(s.of, ''), p.proname) || a.text AS name,
           s.ident || '.' || quote_ident(p.proname) || a.text AS ident
    FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
    CROSS JOIN LATERAL (SELECT '(' || pg_get_function_identity_arguments(p.oid) || ')' AS text) a
    WHERE p.prokind IN ('f', 'p') AND {_extensions("pg_proc", "p.oid")}
), enums AS (
    SELECT t.oid, t.typowner, t.typacl, s.of, concat_ws('.', nullif(s.of, ''), t.typname) AS name,
           s.ident || '.' || quote_ident(t.typname) AS ident, (SELECT name FROM roles WHERE oid = t.typowner) AS owner
    FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace
    WHERE t.typtype = 'e' AND {_extensions("pg_type", "t.oid")}
), indexes AS (
    SELECT i.*, r.name AS of, r.name || '.' || c.relname AS name, r.ident AS table_ident,
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
        SELECT nspname, '', jsonb_build_object('owner', (SELECT name FROM roles WHERE oid = nspowner)),
               jsonb_build_object('ident', ident)
        FROM spaces WHERE NOT is_default
    """,
    "extension": """
        SELECT extname, '', '{}'::jsonb, jsonb_build_object('ident', quote_ident(extname)) FROM pg_extension
    """,
    "enum": """
        SELECT name, of,
               jsonb_build_object('values', ARRAY(
                   SELECT enumlabel::text FROM pg_enum WHERE enumtypid = enums.oid ORDER BY enumsortorder
               ), 'owner', owner),
               jsonb_build_object('ident', ident)
        FROM enums
    """,
    "table": """
        SELECT name, of, jsonb_build_object('owner', owner, 'partitioned', pg_get_partkeydef(oid)),
               jsonb_build_object('ident', ident)
        FROM relations WHERE relkind IN ('r', 'p')
    """,
    "column": """
        SELECT r.name || '.' || a.attname, r.name,
               jsonb_build_object(
                   'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
                   'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                   'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                   'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
                   'collation', CASE WHEN a.attcollation <> t.typcollation THEN l.collname END
               ),
               jsonb_build_object(
                   'ident', quote_ident(a.attname), 'table', r.ident, 'base', format_type(a.atttypid, NULL),
                   'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum)
               )
        FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraint": f"""
        SELECT r.name || '.' || k.conname, r.name,
               jsonb_build_object(
                   'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
                   'valid', k.convalidated
               ),
               jsonb_build_object(
                   'ident', quote_ident(k.conname), 'table', r.ident, 'type', k.contype,
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
                   'ident', ident, 'own_ident', own_ident, 'table', table_ident,
                   'keys', {_KEYS}, 'predicate', pg_get_expr(indpred, indrelid)
               )
        FROM indexes i
    """,
    "sequence": """
        SELECT r.name, coalesce(o.name, r.of),
               jsonb_build_object(
                   'type', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement,
                   'minimum', s.seqmin, 'maximum', s.seqmax, 'cycle', s.seqcycle,
                   'owned by', o.column, 'owner', CASE WHEN o.name IS NULL THEN r.owner END
               ),
               jsonb_build_object('ident', r.ident)
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
                   'definition', pg_get_viewdef(oid), 'materialized', relkind = 'm', 'owner', owner
               ),
               jsonb_build_object('ident', ident)
        FROM relations WHERE relkind IN ('v', 'm')
    """,
    "function": """
        SELECT name, of, jsonb_build_object('definition', pg_get_functiondef(oid), 'owner', owner),
               jsonb_build_object('ident', ident, 'word', CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END)
        FROM functions
    """,
    "trigger": """
        SELECT r.name || '.' || t.tgname, r.name,
               jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled),
               jsonb_build_object('ident', quote_ident(t.tgname), 'table', r.ident)
        FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgparentid = 0
    """,
    "comment": """
        SELECT o.name, o.name, jsonb_build_object('text', d.description), jsonb_build_object('on', o.on)
        FROM pg_description d JOIN (
            SELECT 'pg_class'::regclass AS classid, oid, 0 AS sub, name,
                   CASE relkind WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN 'MATERIALIZED VIEW ' WHEN 'S' THEN 'SEQUENCE '
                                ELSE 'TABLE ' END || ident AS on
            FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'pg_class'::regclass, r.oid, a.attnum, r.name || '.' || a.attname,
                   'COLUMN ' || r.ident || '.' || quote_ident(a.attname)
            FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE r.relkind IN ('r', 'p', 'v', 'm')
            UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, name, 'INDEX ' || ident FROM indexes
            UNION ALL
            SELECT 'pg_constraint'::regclass, k.oid, 0, r.name || '.' || k.conname,
                   'CONSTRAINT ' || quote_ident(k.conname) || ' ON ' || r.ident
            FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
            UNION ALL
            SELECT 'pg_trigger'::regclass, t.oid, 0, r.name || '.' || t.tgname,
                   'TRIGGER ' || quote_ident(t.tgname) || ' ON ' || r.ident
            FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
            UNION ALL SELECT 'pg_type'::regclass, oid, 0, name, 'TYPE ' || ident FROM enums
            UNION ALL SELECT 'pg_proc'::regclass, oid, 0, name, 'FUNCTION ' || ident FROM functions
            UNION ALL
            SELECT 'pg_namespace'::regclass, oid, 0, nspname, 'SCHEMA ' || ident FROM spaces WHERE NOT is_default
        ) o ON o.classid = d.classoid AND o.oid = d.objoid AND o.sub = d.objsubid
    """,
    "privilege": """
        SELECT o.name || ': ' || g.name, o.name,
               jsonb_build_object('privileges', jsonb_agg(
                   DISTINCT x.privilege_type || coalesce(' (' || o.column || ')', '') || option
               )),
               jsonb_build_object('grantee', g.name, 'on', o.on)
        FROM (
            SELECT oid, name, relowner AS owner, NULL AS column,
                   coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)) AS acl,
                   CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || ident AS on
            FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT r.oid, r.name || '.' || a.attname, r.relowner, quote_ident(a.attname), a.attacl, 'TABLE ' || r.ident
            FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attacl IS NOT NULL
            UNION ALL
            SELECT oid, name, proowner, NULL, coalesce(proacl, acldefault('f', proowner)), 'FUNCTION ' || ident
            FROM functions
            UNION ALL
            SELECT oid, name, typowner, NULL, coalesce(typacl, acldefault('T', typowner)), 'TYPE ' || ident FROM enums
            UNION ALL
            SELECT oid, nspname, nspowner, NULL, coalesce(nspacl, acldefault('n', nspowner)), 'SCHEMA ' || ident
            FROM spaces
        ) o
        CROSS JOIN LATERAL aclexplode(o.acl) x
        JOIN (VALUES (''), (' WITH GRANT OPTION')) AS options (option) ON option = '' OR x.is_grantable
        CROSS JOIN LATERAL (
            SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' WHEN x.grantee = o.owner THEN '@owner'
                        ELSE coalesce((SELECT r.name FROM roles r WHERE r.oid = x.grantee), x.grantee::text) END AS name
        ) g
        GROUP BY o.name, o.on, g.name
    """,
}


_COLUMN_NAMES = """
    SELECT r.name || '.' || a.attname FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
_SELECTED = """
    SELECT name, of, facts::text, sql::text FROM ({}) AS found (name, of, facts, sql)
    ORDER BY of, (sql ->> 'position')::int, name
"""


def read(connection: Connection) -> Schema:
    """Read the schema of a database.

    Args:
        connection: in a transaction, which it leaves as it was.

    Raises:
        DBAPIError: it could not be read.
    """
    if connection.dialect.name == "sqlite":
        from multidb import sqlite_catalog

        return sqlite_catalog.read(connection)
    driver: Any = connection.connection.driver_connection
    things: list[Thing] = []
    with driver.cursor() as cursor:
        cursor.execute(_SETTINGS)
        version, owner = cursor.fetchone()
        for kind, select in _KINDS.items():
            cursor.execute(f"{_COMMON} {_SELECTED.format(select)}")
            things += [
                Thing(kind, name, json.loads(facts), of, json.loads(sql)) for name, of, facts, sql in cursor.fetchall()
            ]
        cursor.execute(_DONE)
    return Schema.of_things(things, version, owner)


def columns(connection: Connection) -> frozenset[str]:
    """The names of all columns that `read` would find, which is much less to read.

    Raises:
        DBAPIError: they could not be read.
    """
    if connection.dialect.name == "sqlite":
        from multidb import sqlite_catalog

        return sqlite_catalog.columns(connection)
    with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr]
        cursor.execute(_SETTINGS)
        cursor.execute(f"{_COMMON} {_COLUMN_NAMES}")
        found = frozenset(name for (name,) in cursor.fetchall())
        cursor.execute(_DONE)
    return found
