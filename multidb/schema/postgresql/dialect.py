"""PostgreSQL: the registry of its kinds, reading and locking.

Definitions are the server's own (`pg_get_constraintdef` and its like): servers of one version write the same text for
the same object. SQLAlchemy's inspector sees less than half of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from multidb.config.configuration import DEFAULT_VERSION_TABLE, VersionTable
from multidb.schema.objects import Address, Schema
from multidb.schema.postgresql import dependency
from multidb.schema.postgresql.base import PostgresqlObject
from multidb.schema.postgresql.catalog import RESET, SETTINGS, SHARED
from multidb.schema.postgresql.column import Column
from multidb.schema.postgresql.comment import Comment
from multidb.schema.postgresql.constraint import Constraint
from multidb.schema.postgresql.domain import Domain
from multidb.schema.postgresql.enum import Enum
from multidb.schema.postgresql.extension import Extension
from multidb.schema.postgresql.function import Function
from multidb.schema.postgresql.index import Index
from multidb.schema.postgresql.privilege import Privilege
from multidb.schema.postgresql.schema import SchemaNamespace
from multidb.schema.postgresql.sequence import Sequence as SequenceKind
from multidb.schema.postgresql.table import Table
from multidb.schema.postgresql.trigger import Trigger
from multidb.schema.postgresql.versions import as_written_for
from multidb.schema.postgresql.view import View

KINDS: tuple[type[PostgresqlObject], ...] = (
    SchemaNamespace, Extension, Enum, Domain, Table, Column, Constraint, Index, SequenceKind, View, Function, Trigger,
    Comment, Privilege,
)  # fmt: skip
_COLUMN_NAMES = "SELECT name FROM columns WHERE relkind IN ('r', 'p') AND attnum > 0"


@dataclass(frozen=True)
class Postgresql:
    version_table: VersionTable = DEFAULT_VERSION_TABLE
    for_revision: bool = False
    rebuilds_tables = False

    def read(self, connection: Connection, live: Schema | None = None) -> Schema:
        with self._reading(connection) as (cursor, server):
            found = [each for kind in KINDS for each in _objects(cursor, kind)]
            uses, casts = _uses(cursor), _casts(cursor)
        schema = replace(Schema({each.key: each for each in found}, "postgresql", *server), uses=uses, casts=casts)
        if self.for_revision:
            schema = replace(schema, owner="")
        return as_written_for(live, schema, connection, lambda: self.read(connection)) if live else schema

    def column_names(self, connection: Connection) -> frozenset[str]:
        with self._reading(connection) as (cursor, _):
            cursor.execute(f"{SHARED} {_COLUMN_NAMES}")
            return frozenset(name for (name,) in cursor.fetchall())

    def lock(self, connection: Connection, wanted: Schema, tables: Sequence[str]) -> None:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            for table in tables:
                cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            identifiers = [table.identifier for table in wanted.of_kind(Table)]
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", [identifiers]
            )
            existing = [name for (name,) in cursor.fetchall()]
            if existing:
                cursor.execute(f"LOCK TABLE {', '.join(existing)} IN ACCESS SHARE MODE")

    @contextmanager
    def _reading(self, connection: Connection) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """A cursor under the settings that definitions depend on, and the fields of the server."""
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            table = self.version_table
            own, found = ("", table.schema) if table.is_found else (table.schema, "")
            cursor.execute(SETTINGS, [table.name, own or "", found or "", str(self.for_revision)])
            yield cursor, cursor.fetchone()
            cursor.execute(RESET)


def _uses(cursor: Any) -> list[tuple[Address, Address]]:
    cursor.execute(dependency.ARRAYS)
    elements = dict(cursor.fetchall())
    cursor.execute(f"{SHARED} {dependency.QUERY}")
    return [
        ((user_catalog, user, user_number), (catalog, elements.get(oid, oid) if catalog == "pg_type" else oid, number))
        for user_catalog, user, user_number, catalog, oid, number in cursor.fetchall()
    ]


def _casts(cursor: Any) -> dict[tuple[str, str], str]:
    cursor.execute("SELECT format_type(castsource, NULL), format_type(casttarget, NULL), castcontext FROM pg_cast")
    return {(source, target): context for source, target, context in cursor.fetchall()}


def _objects(cursor: Any, kind: type[PostgresqlObject]) -> list[PostgresqlObject]:
    """The objects of a kind, in an order that is the same on every server."""
    cursor.execute(f"{SHARED} {kind.query}")
    names = [column.name for column in cursor.description]
    found = [kind(**_fields(kind, dict(zip(names, row, strict=True)))) for row in cursor.fetchall()]
    return sorted(found, key=lambda each: (each.parent is None, each.parent or (), each.position, each.oid, each.name))


def _fields(kind: type[PostgresqlObject], row: dict[str, Any]) -> dict[str, Any]:
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    for name in kind.expressions:
        value = found[name]
        found[name] = tuple(map(kind.settled, value)) if isinstance(value, tuple) else value and kind.settled(value)
    return found
