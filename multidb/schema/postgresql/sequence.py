"""Sequences, except those of identity columns. A sequence that a column owns has the owner of the table."""

from typing import Self

from multidb.database.quoting import literal
from multidb.schema.difference import Stage, Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import OwnedObject, set_sequence


class Sequence(OwnedObject):
    kind, verbs = "sequence", {"owned_by": "is owned by"}
    query = """
        SELECT r.name, CASE WHEN o.name IS NULL THEN r.parent ELSE ARRAY['table', o.name] END AS parent,
               r.identifier, r.oid, CASE WHEN o.name IS NULL THEN r.owner END AS owner, o.column AS owned_by,
               format_type(s.seqtypid, NULL) AS type, s.seqstart AS start, s.seqincrement AS increment,
               s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycling
        FROM relations r JOIN pg_sequence s ON s.seqrelid = r.oid
        LEFT JOIN LATERAL (
            SELECT t.name, t.identifier || '.' || quote_ident(a.attname) AS column
            FROM pg_depend d JOIN relations t ON t.oid = d.refobjid
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'a'
        ) o ON true
    """
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycling: bool
    owned_by: str | None

    @property
    def _options(self) -> str:
        options = f"AS {self.type} START {self.start} INCREMENT {self.increment} MINVALUE {self.minimum}"
        return f"{options} MAXVALUE {self.maximum} CACHE {self.cache} {'CYCLE' if self.cycling else 'NO CYCLE'}"

    def create_alone(self, sides: Sides) -> list[Statement]:
        created = self.ranked(f"CREATE SEQUENCE {self.identifier} {self._options}")
        if self.owned_by is None:
            return [*created, *self.set_owner(sides)]
        table, _, column = self.owned_by.rpartition(".")
        # As that of the table:
        owner = [f"ALTER SEQUENCE {self.identifier} OWNER TO {sides.live.owner}"] if sides.live.owner else []
        owned_by = f"ALTER SEQUENCE {self.identifier} OWNED BY {self.owned_by}"
        start = set_sequence(literal(self.identifier), table, column)
        return [*created, *(Statement((Stage.LAST, 0), text) for text in (*owner, owned_by, start))]

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        return [f"ALTER SEQUENCE {live.identifier} {self._options} OWNED BY {self.owned_by or 'NONE'}"]
