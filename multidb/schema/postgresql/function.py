"""Functions and procedures. The name has the argument types."""

from dataclasses import field
from typing import Self

from multidb.schema import kinds
from multidb.schema.difference import Stage
from multidb.schema.postgresql.base import OwnedObject
from multidb.schema.postgresql.expression import settled


class Function(OwnedObject, kinds.DefinedAtLength):
    kind, stage, create_sql, is_declarable = "function", Stage.CREATE, "{0.definition}", False
    catalog, expressions = "pg_proc", ("definition",)
    query = """
        SELECT name, parent, identifier, oid, owner, prokind = 'p' AS is_procedure,
               -- Which has the schema of the name, whatever the search path is.
               overlay(d.text PLACING f.qualifier FROM strpos(d.text, f.schema || '.') FOR length(f.schema) + 1)
                   AS definition
        FROM functions f CROSS JOIN LATERAL (SELECT rtrim(pg_get_functiondef(oid), chr(10)) AS text) d
    """
    is_procedure: bool = field(compare=False)

    @staticmethod
    def settled(text: str) -> str:
        written, mark, body = text.partition("\nAS $")  # the body is the author's
        return f"{settled(written)}{mark}{body}"

    @property
    def word(self) -> str:
        return "PROCEDURE" if self.is_procedure else "FUNCTION"

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        return [self.definition]  # a CREATE OR REPLACE
