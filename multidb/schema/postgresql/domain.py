"""Domains: types of another type with a default and conditions of its own."""

from typing import Self

from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.column import Column
from multidb.schema.postgresql.replaceable import ReplaceableType


class Domain(ReplaceableType):
    kind, word, verbs, expressions = "domain", "DOMAIN", {"type": "is"}, ("default", "checks")
    query = """
        SELECT d.name, d.parent, d.identifier, d.qualifier, d.oid, d.owner, d.typnotnull AS not_null,
               format_type(d.typbasetype, d.typtypmod) AS type, pg_get_expr(t.typdefaultbin, 0) AS default,
               CASE WHEN d.typcollation <> b.typcollation THEN quote_ident(l.collname) END AS collation,
               ARRAY(
                   SELECT quote_ident(conname) || ' ' || regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', '')
                   FROM pg_constraint WHERE contypid = d.oid AND contype = 'c' ORDER BY conname
               ) AS checks
        FROM domains d JOIN pg_type t ON t.oid = d.oid JOIN pg_type b ON b.oid = d.typbasetype
        LEFT JOIN pg_collation l ON l.oid = d.typcollation
    """
    type: str
    default: str | None
    not_null: bool
    collation: str | None
    checks: tuple[str, ...]  # each with its name

    def phrase(self, attribute: str) -> tuple[str, str]:
        if attribute == "not_null":
            return "", "is NOT NULL" if self.not_null else "allows NULL"
        return super().phrase(attribute)

    @property
    def summary(self) -> str:
        return f"{self.type}{' NOT NULL' if self.not_null else ''}"

    def creation(self, sides: Sides) -> list[str]:
        words = [f"CREATE DOMAIN {self.identifier} AS {self.type}"]
        words += [f"COLLATE {self.collation}"] if self.collation else []
        words += [f"DEFAULT {self.default}"] if self.default else []
        words += ["NOT NULL"] if self.not_null else []
        return [" ".join([*words, *(f"CONSTRAINT {check}" for check in self.checks)])]

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        is_other = (live.type, live.collation) != (self.type, self.collation)
        # PostgreSQL checks no values in arrays, and refuses a condition that it would have to check there.
        is_in_arrays = any(each.base_type == f"{live.identifier}[]" for each in sides.live.of_kind(Column))
        if attribute != "owner" and (is_other or (is_in_arrays and attribute in ("checks", "not_null"))):
            return live.replaced(self.creation(sides)[0], sides)
        return super().change(live, attribute, sides)

    def alteration(self, live: Self, attribute: str) -> list[str]:
        alter = f"ALTER DOMAIN {live.identifier}"
        match attribute:
            case "default":
                return [f"{alter} SET DEFAULT {self.default}" if self.default else f"{alter} DROP DEFAULT"]
            case "not_null":
                return [f"{alter} {'SET' if self.not_null else 'DROP'} NOT NULL"]
        dropped = [check.partition(" CHECK ")[0] for check in live.checks if check not in self.checks]
        added = [check for check in self.checks if check not in live.checks]
        drops = [f"{alter} DROP CONSTRAINT {name}" for name in dropped]
        return [*drops, *(f"{alter} ADD CONSTRAINT {check}" for check in added)]
