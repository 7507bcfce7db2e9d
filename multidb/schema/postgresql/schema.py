"""Schemas (namespaces), except the default one."""

from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import OwnedObject


class SchemaNamespace(OwnedObject):
    kind, is_declarable = "schema", False  # models name schemas
    query = """
        SELECT nspname AS name, identifier, oid, (SELECT name FROM roles WHERE oid = nspowner) AS owner
        FROM schemas WHERE NOT is_default
    """

    def drop(self, sides: Sides) -> list[Statement]:
        inside = sorted(sides.live.of_kind(OwnedObject, self.key), key=lambda each: -each.oid)
        return [*(statement for each in inside for statement in each.drop(sides)), *super().drop(sides)]
