"""Give a scratch database at the recorded revision the shape of the live database: drift is rehearsed, too."""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.schema.changes import changes, comparable
from multidb.schema.dialect import dialect_of
from multidb.schema.objects import Schema

# What may hold up or fail a revision, and for which the reader of the schema has no kind.
_WITHOUT_KIND = """
    WITH schemas AS (
        SELECT oid, nspname FROM pg_catalog.pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    ), members AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e')
    SELECT 'row security policy', pg_catalog.format('%I on %I.%I', p.polname, s.nspname, c.relname)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN schemas s ON s.oid = c.relnamespace
    UNION ALL
    SELECT 'rule', pg_catalog.format('%I on %I.%I', w.rulename, s.nspname, c.relname)
    FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
    JOIN schemas s ON s.oid = c.relnamespace
    WHERE w.rulename <> '_RETURN' AND c.oid NOT IN (SELECT objid FROM members)
    UNION ALL
    SELECT 'foreign table', pg_catalog.format('%I.%I', s.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN schemas s ON s.oid = c.relnamespace WHERE c.relkind = 'f'
    UNION ALL
    SELECT CASE t.typtype WHEN 'c' THEN 'composite type' WHEN 'r' THEN 'range type' ELSE 'type' END,
           pg_catalog.format('%I.%I', s.nspname, t.typname)
    FROM pg_catalog.pg_type t JOIN schemas s ON s.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype = 'r' OR t.typtype = 'c' AND c.relkind = 'c' OR t.typtype = 'b' AND t.typelem = 0)
      AND t.oid NOT IN (SELECT objid FROM members)
    UNION ALL
    SELECT 'partition', pg_catalog.format('%I.%I', s.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relispartition AND c.relkind IN ('r', 'p')
"""


def without_kind(driver: Driver) -> frozenset[tuple[str, str]]:
    """The objects of a database on PostgreSQL that the reader of the schema does not read: kind and name."""
    with driver.cursor() as cursor:
        cursor.execute(_WITHOUT_KIND)
        return frozenset((kind, name) for kind, name in cursor.fetchall())


def copy_shape(connection: Connection, database: Database, live: Schema) -> Sequence[str]:
    """Change a scratch database into the live one's shape, and commit.

    Returns:
        What can't be copied, a sentence for each.
    """
    dialect = dialect_of(connection, database.version_table)
    wanted = comparable(live)
    statements = sorted(
        statement
        for each in changes(wanted, comparable(dialect.read(connection, live)))
        for statement in each.statements
    )
    for text in dict.fromkeys(statement.text for statement in statements):
        _try(connection, text)
    left = changes(wanted, comparable(dialect.read(connection, live))) if statements else ()
    connection.commit()
    return [sentence for each in left for sentence in each.sentences]


def _try(connection: Connection, text: str) -> None:
    """Run a statement; what fails is found by the comparison that follows."""
    savepoint = connection.begin_nested()
    try:
        cursor = connections.driver_of(connection).cursor()
        cursor.execute(text)
    except Exception as error:
        if (
            not isinstance(error, DBAPIError)
            and not hasattr(error, "sqlstate")
            and not hasattr(error, "sqlite_errorcode")
        ):
            raise
        savepoint.rollback()
    else:
        savepoint.commit()
