"""The SQL that the queries of all kinds share.

To run a kind's query in psql: BEGIN, then SETTINGS with 'alembic_version', '', '' and 'off' for `%s`, then SHARED with
the query below it.
https://www.postgresql.org/docs/current/catalogs.html
"""

# Definitions depend on these settings; a savepoint that is rolled back restores them. With an empty search_path, every
# name in a definition has its schema; in a revision, which finds the default schema by its run's search path, those in
# that schema have none. The default schema is the one of the journal, or of the version table: the first
# one of the search_path is another as soon as a schema is created that the path names, such as the role's own.
SETTINGS = """
SAVEPOINT multidb_reading;
SELECT set_config('multidb.version_table', %s, true), set_config('multidb.version_schema', %s, true),
       set_config('multidb.found_schema', %s, true), set_config('multidb.for_revision', %s, true);
SELECT set_config('multidb.search_path', replace(replace(
           current_setting('search_path'), '"$user"', quote_ident(current_user)
       ), '$user', quote_ident(current_user)), true),
       set_config('multidb.default_schema', coalesce(
           nullif(current_setting('multidb.found_schema'), ''),
           (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid IN (to_regclass('multidb_journal'), CASE current_setting('multidb.version_schema')
                            WHEN '' THEN to_regclass(quote_ident(current_setting('multidb.version_table'))) END)
            ORDER BY c.relname = 'multidb_journal' DESC LIMIT 1),
           current_schema(), 'public'
       ), true);
SELECT set_config('search_path', CASE WHEN current_setting('multidb.for_revision')::boolean
                                      THEN quote_ident(current_setting('multidb.default_schema')) ELSE '' END, true);
SET LOCAL quote_all_identifiers = off; SET LOCAL datestyle = 'ISO';
SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex'; SET LOCAL standard_conforming_strings = on; SET LOCAL lc_monetary = 'C';
SELECT current_setting('server_version_num')::int, (
    SELECT quote_ident(CASE WHEN r.rolsuper THEN pg_get_userbyid(d.datdba) ELSE r.rolname END)
    FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()
), current_setting('multidb.default_schema'), current_setting('multidb.search_path')
"""
RESET = "ROLLBACK TO SAVEPOINT multidb_reading; RELEASE SAVEPOINT multidb_reading"

# `name` is what is displayed: an object's own name is quoted there if it could be taken for the name of another object.
SHARED = """
WITH members AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'  -- of extensions
), roles AS (
    SELECT r.oid, CASE WHEN r.oid = d.datdba OR r.rolname = current_user AND NOT r.rolsuper THEN '@owner'
                       ELSE r.rolname END AS name
    FROM pg_roles r, pg_database d WHERE d.datname = current_database()
), schemas AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) AS identifier, d.is_default,
           CASE WHEN NOT (d.is_default OR d.has_extensions) THEN ARRAY['schema', n.nspname::text] END AS key,
           CASE WHEN NOT d.is_default THEN n.nspname || '.' ELSE '' END AS prefix,
           CASE WHEN d.is_default AND current_setting('multidb.for_revision')::boolean
                THEN '' ELSE quote_ident(n.nspname) || '.' END AS qualifier
    FROM pg_namespace n
    CROSS JOIN LATERAL (
        SELECT n.nspname = current_setting('multidb.default_schema') AS is_default,
               EXISTS (SELECT FROM pg_extension WHERE extnamespace = n.oid) AS has_extensions
    ) d
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND n.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_namespace'::regclass)
), relations AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, c.relpersistence, c.reloptions, c.reltoastrelid, s.key AS parent,
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
           s.prefix || CASE WHEN c.relname ~ '[.:()]' THEN quote_ident(c.relname) ELSE c.relname END AS name,
           s.qualifier, s.qualifier || quote_ident(c.relname) AS identifier,
           (SELECT name FROM roles WHERE oid = c.relowner) AS owner
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relname NOT IN ('multidb_journal', 'alembic_version')  -- in any schema: never dropped
      AND NOT (c.relname = current_setting('multidb.version_table')
               AND s.nspname = coalesce(nullif(current_setting('multidb.version_schema'), ''),
                                        current_setting('multidb.default_schema')))
      AND NOT c.relispartition AND c.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_class'::regclass)
      AND NOT EXISTS (
          SELECT FROM pg_depend d
          WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i'
      )
), columns AS (
    SELECT r.oid, r.relkind, r.relowner, r.identifier AS "table", ARRAY[r.kind, r.name] AS parent,
           r.name || '.' || CASE WHEN a.attname ~ '[.:()]' THEN quote_ident(a.attname) ELSE a.attname END AS name,
           a.attname, quote_ident(a.attname) AS identifier, a.attnum, a.atttypid, a.atttypmod, a.attcollation,
           a.attnotnull, a.attgenerated, a.attidentity, a.attacl
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE NOT a.attisdropped
), constraints AS (
    SELECT k.*, r.identifier AS "table", ARRAY[r.kind, r.name] AS parent, quote_ident(k.conname) AS identifier,
           r.name || '.' || CASE WHEN k.conname ~ '[.:()]' THEN quote_ident(k.conname) ELSE k.conname END AS name
    FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
    WHERE k.contype <> 'n'  -- NOT NULL, since 18: an attribute of the column
), indexes AS (
    SELECT i.*, r.identifier AS "table", ARRAY[r.kind, r.name] AS parent,
           r.name || '.' || CASE WHEN c.relname ~ '[.:()]' THEN quote_ident(c.relname) ELSE c.relname END AS name,
           r.qualifier || quote_ident(c.relname) AS identifier, quote_ident(c.relname) AS own_identifier
    FROM pg_index i JOIN relations r ON r.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
), triggers AS (
    SELECT t.*, r.identifier AS "table", ARRAY[r.kind, r.name] AS parent, quote_ident(t.tgname) AS identifier,
           r.name || '.' || CASE WHEN t.tgname ~ '[.:()]' THEN quote_ident(t.tgname) ELSE t.tgname END AS name
    FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
), functions AS (
    SELECT p.oid, p.proowner, p.proacl, p.prokind, s.key AS parent,
           (SELECT name FROM roles WHERE oid = p.proowner) AS owner,
           s.prefix || CASE WHEN p.proname ~ '[.:()]' THEN quote_ident(p.proname) ELSE p.proname END || a.text AS name,
           s.qualifier || quote_ident(p.proname) || a.text AS identifier, s.qualifier, s.identifier AS schema
    FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    CROSS JOIN LATERAL (SELECT '(' || pg_get_function_identity_arguments(p.oid) || ')' AS text) a
    WHERE p.prokind IN ('f', 'p') AND p.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_proc'::regclass)
), enums AS (
    SELECT t.oid, t.typowner, t.typacl, s.key AS parent, (SELECT name FROM roles WHERE oid = t.typowner) AS owner,
           s.prefix || CASE WHEN t.typname ~ '[.:()]' THEN quote_ident(t.typname) ELSE t.typname END AS name,
           s.qualifier || quote_ident(t.typname) AS identifier, s.qualifier
    FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
    WHERE t.typtype = 'e' AND t.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_type'::regclass)
), domains AS (
    SELECT t.oid, t.typowner, t.typacl, t.typnotnull, t.typbasetype, t.typtypmod, t.typcollation, s.key AS parent,
           (SELECT name FROM roles WHERE oid = t.typowner) AS owner, s.qualifier,
           s.prefix || CASE WHEN t.typname ~ '[.:()]' THEN quote_ident(t.typname) ELSE t.typname END AS name,
           s.qualifier || quote_ident(t.typname) AS identifier
    FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
    WHERE t.typtype = 'd' AND t.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_type'::regclass)
)
"""
