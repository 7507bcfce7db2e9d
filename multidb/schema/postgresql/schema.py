"""Schemas (namespaces), except the default one and those of extensions, which an administrator has made."""

from dataclasses import field

from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import OwnedObject


class SchemaNamespace(OwnedObject):
    kind, is_declarable = "schema", False  # models name schemas
    query = """
        SELECT nspname AS name, identifier, oid, (SELECT name FROM roles WHERE oid = nspowner) AS owner,
               EXISTS (
                   SELECT FROM pg_class
                   WHERE relnamespace = schemas.oid AND relname IN ('multidb_journal', 'alembic_version')
               ) AS has_version_table
        FROM schemas WHERE key IS NOT NULL
    """
    has_version_table: bool = field(default=False, compare=False)

    def drop(self, sides: Sides) -> list[Statement]:
        inside = sorted(sides.live.of_kind(OwnedObject, self.key), key=lambda each: -each.oid)
        itself = [] if self.has_version_table else super().drop(sides)
        return [*(statement for each in inside for statement in each.drop(sides)), *itself]
