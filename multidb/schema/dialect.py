"""Where PostgreSQL and SQLite differ."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from multidb.config.configuration import DEFAULT_VERSION_TABLE as DEFAULT
from multidb.config.configuration import VersionTable
from multidb.schema.objects import Schema


class Dialect(Protocol):
    """What differs is here for a whole database, and in a class per kind for the objects in it."""

    @property
    def rebuilds_tables(self) -> bool:
        """Whether one statement may repair several differences, so that all rows are counted before the first one."""

    def read(self, connection: Connection, live: Schema | None = None) -> Schema:
        """Read the schema of a database, and leave the transaction as it was.

        With `live`, the database is a scratch database, and definitions are in the words of the live one's server.
        """

    def column_names(self, connection: Connection) -> frozenset[str]:
        """Read the names of all columns, which takes a tenth of the time of `read`."""

    def lock(self, connection: Connection, wanted: Schema, tables: Sequence[str]) -> None:
        """Lock the tables of a schema against DDL, and `tables` against all use, until the transaction ends."""


def dialect_of(connection: Connection, version_table: VersionTable = DEFAULT, *, for_revision: bool = False) -> Dialect:
    """The dialect of a connection, whose version table is no object of the schema; only its modules are imported.

    With `for_revision`, the DDL of what is read fits into a revision: it has no owners, and no name of the default
    schema.
    """
    if connection.dialect.name == "sqlite":
        from multidb.schema.sqlite.dialect import Sqlite

        return Sqlite(version_table)
    from multidb.schema.postgresql.dialect import Postgresql

    return Postgresql(version_table, for_revision)
