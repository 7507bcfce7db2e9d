"""SQLite: the registry of its kinds, reading and locking."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from multidb.config.configuration import DEFAULT_VERSION_TABLE, VersionTable
from multidb.schema.objects import Schema
from multidb.schema.sqlite import column, constraint, index, table, trigger, view
from multidb.schema.sqlite.catalog import SHARED

KINDS = (table.Table, column.Column, constraint.Constraint, index.Index, view.View, trigger.Trigger)
_COLUMN_NAMES = """
    SELECT t.name || '.' || c.name FROM objects t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'
"""


@dataclass(frozen=True)
class Sqlite:
    version_table: VersionTable = DEFAULT_VERSION_TABLE
    rebuilds_tables = True

    def read(self, connection: Connection, live: Schema | None = None) -> Schema:
        found = [each for kind in KINDS for each in kind.read(connection)]
        versions = ("table", self.version_table.name)
        return Schema({each.key: each for each in found if versions not in (each.key, each.parent)}, "sqlite")

    def column_names(self, connection: Connection) -> frozenset[str]:
        found = connection.exec_driver_sql(f"{SHARED} {_COLUMN_NAMES}").scalars()
        return frozenset(name for name in found if not name.startswith(f"{self.version_table.name}."))

    def lock(self, connection: Connection, wanted: Schema, tables: Sequence[str]) -> None:
        """Nothing is left to lock: the transaction of a run excludes all others."""
