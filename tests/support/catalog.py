"""A schema as the catalogs of PostgreSQL and SQLite hold it, for two databases to be compared."""

from collections.abc import Callable
from typing import Any

Ask = Callable[[str], list[tuple[Any, ...]]]

_OURS = ("alembic_version", "multidb_journal")
_NOT_OURS = f"tbl_name NOT IN {_OURS}"
# What belongs to an extension is the extension's.
_OWN = """
    relnamespace = 'public'::regnamespace AND NOT EXISTS (
        SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
    )
"""
POSTGRESQL = {
    "relations": f"SELECT relname, relkind FROM pg_class c WHERE {_OWN}",
    "columns": f"""
        SELECT relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
               attcollation, pg_get_expr(adbin, adrelid), col_description(c.oid, attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND {_OWN}
    """,
    "constraints": f"""
        SELECT relname, conname, contype, pg_get_constraintdef(k.oid), convalidated
        FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE {_OWN}
    """,
    "indexes": f"""
        SELECT relname, pg_get_indexdef(c.oid), indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE {_OWN}
    """,
    "enums": """
        SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum
        JOIN pg_type t ON t.oid = enumtypid GROUP BY typname
    """,
    "triggers": f"""
        SELECT relname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE NOT tgisinternal AND {_OWN}
    """,
    "functions": """
        SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    """,
}


def of_postgresql(ask: Ask) -> dict[str, list[tuple[Any, ...]]]:
    """Every part of the schema, sorted, without our own tables, which a database may have yet to get."""
    return {
        part: sorted((row for row in ask(sql) if not str(row[0]).startswith(_OURS)), key=repr)
        for part, sql in POSTGRESQL.items()
    }


def of_sqlite(ask: Ask) -> dict[str, list[tuple[Any, ...]]]:
    """Every part of the schema. SQLite keeps no name for a primary key."""
    tables = [row[0] for row in ask(f"SELECT name FROM sqlite_master WHERE type = 'table' AND {_NOT_OURS}")]
    pragmas = ("table_xinfo", "index_list", "foreign_key_list")
    found = {f"{pragma} {table}": ask(f"PRAGMA {pragma}({table})") for table in tables for pragma in pragmas}
    return found | {"objects": sorted(ask(f"SELECT type, name, tbl_name FROM sqlite_master WHERE {_NOT_OURS}"))}
