"""Constraints of tables: CHECK, FOREIGN KEY, PRIMARY KEY, UNIQUE, EXCLUDE."""

from dataclasses import field
from typing import Self

from multidb.schema import kinds
from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import PostgresqlObject
from multidb.schema.postgresql.dependency import detached
from multidb.schema.violations import count_duplicates, count_orphans, count_overlaps, count_rows, count_uncovered


class Constraint(PostgresqlObject, kinds.Constraint):
    create_sql = "ALTER TABLE {0.table} ADD CONSTRAINT {0.identifier} {0.full_definition}"
    drop_sql = "ALTER TABLE {0.table} DROP CONSTRAINT {0.identifier}"
    rename_sql = "ALTER TABLE {live.table} RENAME CONSTRAINT {live.identifier} TO {0.identifier}"
    catalog, expressions = "pg_constraint", ("definition", "full_definition", "condition")
    query = """
        SELECT k.name, k.parent, k.identifier, k."table", k.oid, k.contype AS type,
               -- What only newer versions have is read from a row as JSON, where a missing column is NULL.
               k.convalidated OR NOT e.enforced AS valid, e.enforced,
               coalesce(to_jsonb(k) ->> 'conperiod', 'false')::boolean AS temporal,
               regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') AS definition,
               pg_get_constraintdef(k.oid) AS full_definition,
               pg_get_expr(k.conbin, k.conrelid) AS condition,
               CASE WHEN i.indexrelid IS NULL THEN ARRAY(
                   SELECT quote_ident(attname) FROM unnest(k.conkey) WITH ORDINALITY u (number, n)
                   JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number ORDER BY n
               ) ELSE ARRAY(
                   SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts::int) n
               ) END AS keys,
               (SELECT identifier FROM relations WHERE oid = k.confrelid) AS referenced_table,
               ARRAY(
                   SELECT quote_ident(attname) FROM unnest(k.confkey) WITH ORDINALITY u (number, n)
                   JOIN pg_attribute ON attrelid = k.confrelid AND attnum = number ORDER BY n
               ) AS referenced_keys
        FROM constraints k LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u')
        CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(k) ->> 'conenforced', 'true')::boolean AS enforced) e
        WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0
    """
    valid: bool
    full_definition: str = field(compare=False)
    type: str = field(compare=False)
    enforced: bool = field(default=True, compare=False)  # its definition says so; since 18
    temporal: bool = field(default=False, compare=False)  # its last key is a period; since 18
    condition: str | None = field(compare=False)
    keys: tuple[str, ...] = field(compare=False)
    referenced_table: str | None = field(compare=False)
    referenced_keys: tuple[str, ...] = field(compare=False)

    @property
    def role(self) -> str:
        return "key" if self.type in ("p", "u") else self.kind

    def recreate(self, live: Self, sides: Sides) -> list[Statement]:
        return detached([live.address], sides).around(super().recreate(live, sides))  # foreign keys that refer to it

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        validate = f"ALTER TABLE {live.table} VALIDATE CONSTRAINT {live.identifier}"
        return [validate] if attribute == "valid" and self.valid else None

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        if not (self.valid and self.enforced):
            return ()
        match self.type:
            case "c":
                return (count_rows(self.table, f"NOT ({self.condition})"),)
            case "f" if self.temporal:
                references = dict(zip(self.keys, self.referenced_keys, strict=True))
                return (count_uncovered(self.table, str(self.referenced_table), references),)
            case "p" | "u" if self.temporal:
                return (count_overlaps(self.table, self.keys, nulls=self.type == "p"),)
            case "f":
                references = dict(zip(self.keys, self.referenced_keys, strict=True))
                return (count_orphans(self.table, str(self.referenced_table), references),)
            case "p":
                nulls = count_rows(self.table, " OR ".join(f"{key} IS NULL" for key in self.keys))
                return (f"SELECT ({count_duplicates(self.table, self.keys)}) + ({nulls})",)
            case "u":
                return (count_duplicates(self.table, self.keys),)
        return ()
