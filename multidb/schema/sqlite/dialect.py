"""SQLite: the registry of its kinds, reading and locking."""

from collections.abc import Sequence

from sqlalchemy import Connection

from multidb.schema.objects import Schema
from multidb.schema.sqlite import column, constraint, index, table, trigger, view
from multidb.schema.sqlite.catalog import SHARED

KINDS = (table.Table, column.Column, constraint.Constraint, index.Index, view.View, trigger.Trigger)
_COLUMN_NAMES = """
    SELECT t.name || '.' || c.name FROM objects t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'
"""


class Sqlite:
    rebuilds_tables = True

    def read(self, connection: Connection, live: Schema | None = None) -> Schema:
        found = [each for kind in KINDS for each in kind.read(connection)]
        return Schema({each.key: each for each in found}, "sqlite")

    def column_names(self, connection: Connection) -> frozenset[str]:
        return frozenset(connection.exec_driver_sql(f"{SHARED} {_COLUMN_NAMES}").scalars())

    def lock(self, connection: Connection, wanted: Schema, tables: Sequence[str]) -> None:
        """Nothing is left to lock: the transaction of a run excludes all others."""
