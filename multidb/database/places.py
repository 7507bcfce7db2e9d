"""Where a database on PostgreSQL records its runs and its revisions: found in the catalogs, not by `search_path`.

A role's setting, PGOPTIONS or a new schema that the path names would otherwise lead a run to another schema, where it
begins at base. The version table is the one beside the journal; without a journal, the one that the path reaches, or in
the first schema of the path in which the role may create. Where there are two, `version_table_schema` decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.config.configuration import VersionTable
from multidb.database.quoting import quoted
from multidb.errors import MigrationError

JOURNAL = "multidb_journal"
_DECIDE = "set version_table_schema in databases.yaml to the schema that is meant"
# Names are resolved in pg_catalog, until the transaction ends: a schema of the path may have functions, operators or
# types of the same names. With row_security off, rows that a policy hides are an error, rather than not there.
OWN_PATH = """
    SELECT pg_catalog.set_config('multidb.search_path', pg_catalog.current_setting('search_path'), true),
           pg_catalog.set_config(
               'multidb.schemas', pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text, true
           );
    SET LOCAL search_path = pg_catalog; SET LOCAL row_security = off; SET LOCAL datestyle = 'ISO'
"""
FOUND = """
    found AS (
        SELECT n.nspname, c.relname, ARRAY(
            SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        ) AS columns
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname IN (%(version_table)s, 'multidb_journal') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'USAGE')
    ), path AS (
        SELECT schema, number
        FROM json_array_elements_text(current_setting('multidb.schemas')::json) WITH ORDINALITY AS p (schema, number)
        WHERE schema !~ '^pg_'
    )
"""
COLUMNS = """
    ARRAY(
        SELECT nspname::text FROM found WHERE relname = %(version_table)s AND 'version_num' = ANY (columns) ORDER BY 1
    ),
    (SELECT json_object_agg(nspname, columns) FROM found
     WHERE relname = 'multidb_journal' AND 'attempt' = ANY (columns)),
    ARRAY(SELECT schema FROM path ORDER BY number),
    (SELECT schema FROM path WHERE has_schema_privilege(schema, 'CREATE') ORDER BY number LIMIT 1)
"""
_FIND = f"{OWN_PATH}; WITH {FOUND} SELECT {COLUMNS}"
_ENTER = """
    SELECT set_config('search_path', concat_ws(', ', 'pg_catalog', quote_ident(%(schema)s),
                                               current_setting('multidb.search_path')), true)
"""


@dataclass(frozen=True)
class Place:
    """Where the version table and the journal are, or would be created.

    Attributes:
        journal_columns: of the journal's table; none if it does not exist.
        path: the schemas of `search_path` that exist.
        problem: why the place is not known.
    """

    version_table: VersionTable
    has_versions: bool
    journal_schema: str | None
    journal_columns: tuple[str, ...]
    path: tuple[str, ...]
    problem: str = ""

    def check(self) -> None:
        """Raise MigrationError if the place is not known."""
        if self.problem:
            raise MigrationError(Code.PLACE, self.problem)

    @property
    def obstacle(self) -> str | None:
        """Why revisions can't run: what they name without a schema would not be where the former ones made theirs."""
        table = self.version_table
        if not table.is_found or table.schema is None or table.schema in self.path:
            return None
        return (
            f"{table.name} is in {table.schema}, which search_path ({', '.join(self.path) or 'empty'}) does not reach, "
            "and revisions would not find their tables: correct the search_path of the role or the database, or set "
            f"version_table_schema: {table.schema}"
        )

    @property
    def warning(self) -> str | None:
        """Where revisions create tables that they name without a schema, if that is not where the former ones did."""
        table = self.version_table
        if not table.is_found or table.schema not in self.path or table.schema == self.path[0]:
            return None
        return (
            f"{table.name} is in {table.schema}, and search_path begins with {self.path[0]}, where new tables go that "
            f"a revision names without a schema; version_table_schema: {table.schema} says that this is meant"
        )


def place_of(table: VersionTable, row: Sequence[Any]) -> Place:
    """The place, from the values of COLUMNS."""
    versions, found, path, creatable = row
    journals: Mapping[str, list[str]] = found or {}
    problem = ""
    if table.schema is not None and not table.is_found:
        schema, journal = table.schema, _journal(table.schema, journals, path) or creatable
    else:
        try:
            schema = table.schema or _schema(table.name, versions, journals, path) or creatable
        except MigrationError as error:
            schema, problem = None, error.reason
        journal = schema
    resolved = (
        table if schema is None else VersionTable(table.name, schema, is_found=table.schema is None or table.is_found)
    )
    return Place(resolved, schema in versions, journal, tuple(journals.get(journal or "", ())), tuple(path), problem)


def _journal(schema: str, journals: Mapping[str, object], path: Sequence[str]) -> str | None:
    """The schema of the journal, where the version table has a schema of its own: beside it, else first in the path."""
    return next((each for each in (schema, *path, *sorted(journals)) if each in journals), None)


def _schema(name: str, versions: Sequence[str], journals: Mapping[str, object], path: Sequence[str]) -> str | None:
    """The schema in which the version table is, or None if it is yet to be created.

    Raises:
        MigrationError: there are two, or search_path does not reach the one.
    """
    beside = [each for each in versions if each in journals]
    if len(beside) > 1:
        raise MigrationError(Code.PLACE, f"{name} and {JOURNAL} are both in {' and '.join(beside)}: {_DECIDE}")
    if not beside and journals and (versions or len(journals) > 1):
        where = f"{name} is in {', '.join(versions)}, and " if versions else ""
        raise MigrationError(Code.PLACE, f"{where}{JOURNAL} is in {', '.join(sorted(journals))}: {_DECIDE}")
    reached = beside or sorted(journals) or [each for each in versions if each in path]
    if len(reached) > 1:
        raise MigrationError(Code.PLACE, f"{name} is in {' and '.join(reached)}: {_DECIDE}")
    if versions and not reached:
        raise MigrationError(
            Code.PLACE,
            f"{name} is in {', '.join(versions)}, which search_path ({', '.join(path) or 'empty'}) does not reach: "
            f"correct the search_path of the role or the database, or {_DECIDE}",
        )
    return reached[0] if reached else None


def enter(connection: Connection, table: VersionTable) -> Place:
    """Find the place in a transaction, in which the journal can be named without its schema from then on.

    Raises:
        MigrationError: the place is not known.
    """
    place = place_of(table, connection.exec_driver_sql(_FIND, {"version_table": table.name}).one())
    place.check()
    connection.exec_driver_sql(_ENTER, {"schema": place.journal_schema})
    return place


def enter_session(cursor: Any, table: VersionTable) -> Place:
    """As `enter`, for a session in autocommit, by a cursor of its driver."""
    cursor.execute(_FIND, {"version_table": table.name})
    place = place_of(table, cursor.fetchone())
    place.check()
    cursor.execute(f"SET search_path = pg_catalog{f', {quoted(place.journal_schema)}' if place.journal_schema else ''}")
    return place
