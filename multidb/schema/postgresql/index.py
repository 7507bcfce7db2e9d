"""Indexes, except those of constraints."""

from dataclasses import field
from typing import Self

from multidb.schema import kinds
from multidb.schema.difference import HARMLESS, RISKY, Severity
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import PostgresqlObject
from multidb.schema.violations import count_duplicates


class Index(PostgresqlObject, kinds.Index):
    rename_sql = "ALTER INDEX {live.identifier} RENAME TO {0.own_identifier}"
    expressions = ("definition", "keys", "predicate")
    query = """
        SELECT name, parent, identifier, own_identifier, "table", indexrelid AS oid,
               indisunique AS unique, indisvalid AS valid,
               regexp_replace(pg_get_indexdef(indexrelid), '^.*? USING ', 'USING ') AS definition,
               ARRAY(SELECT pg_get_indexdef(indexrelid, n, true) FROM generate_series(1, indnkeyatts::int) n) AS keys,
               pg_get_expr(indpred, indrelid) AS predicate
        FROM indexes
    """
    valid: bool
    own_identifier: str = field(compare=False)
    keys: tuple[str, ...] = field(compare=False)
    predicate: str | None = field(compare=False)

    def severity(self, live: Self, attribute: str) -> Severity:
        return HARMLESS if attribute == "valid" else RISKY

    def creation(self, sides: Sides) -> list[str]:
        unique = "UNIQUE " if self.unique else ""
        return [f"CREATE {unique}INDEX {self.own_identifier} ON {self.table} {self.definition}"]

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        return [f"REINDEX INDEX {live.identifier}"] if attribute == "valid" else None

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        return (count_duplicates(self.table, self.keys, self.predicate),) if self.unique else ()
