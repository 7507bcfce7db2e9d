"""Columns of tables."""

import re
from collections.abc import Iterator
from dataclasses import field, replace
from typing import Self

from multidb.database.quoting import literal, quoted
from multidb.schema import kinds
from multidb.schema.difference import LAST_OID, Difference, Stage, Statement
from multidb.schema.objects import Address, Sides
from multidb.schema.postgresql.base import PostgresqlObject, set_sequence
from multidb.schema.postgresql.dependency import detached
from multidb.schema.violations import count_rows

_WITHOUT_USING = ("a", "i")  # the contexts of casts that an assignment does by itself


class Column(PostgresqlObject, kinds.Column):
    create_sql, drop_sql = "ALTER TABLE {0.table} ADD COLUMN {0.definition}", kinds.Column.drop_sql
    expressions = ("default", "generated")
    query = """
        SELECT c.name, c.parent, c.identifier, c."table", c.oid, c.attnum AS number, c.attname AS raw_name,
               row_number() OVER (PARTITION BY c.oid ORDER BY c.attnum) AS position,
               format_type(c.atttypid, c.atttypmod) AS type, format_type(c.atttypid, NULL) AS base_type,
               c.attnotnull AS not_null, c.attgenerated = 'v' AS virtual,
               NOT EXISTS ( -- before 18, NOT NULL is no constraint, and always valid
                   SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'n'
                   AND conkey = ARRAY[c.attnum] AND NOT convalidated
               ) AS not_null_valid,
               CASE WHEN c.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
               CASE WHEN c.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,
               CASE WHEN c.attcollation <> t.typcollation THEN l.collname END AS collation,
               CASE c.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity,
               (
                   SELECT concat_ws(', ', 'START ' || seqstart, 'INCREMENT ' || seqincrement, 'MINVALUE ' || seqmin,
                                    'MAXVALUE ' || seqmax, 'CACHE ' || seqcache,
                                    CASE WHEN seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
                   FROM pg_depend JOIN pg_sequence ON seqrelid = objid
                   WHERE classid = 'pg_class'::regclass AND deptype = 'i'
                     AND refobjid = c.oid AND refobjsubid = c.attnum
               ) AS identity_options
        FROM columns c JOIN pg_type t ON t.oid = c.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = c.attnum
        LEFT JOIN pg_collation l ON l.oid = c.attcollation
        WHERE c.relkind IN ('r', 'p') AND c.attnum > 0
    """
    virtual: bool = False  # computed when it is read; since 18
    not_null_valid: bool = True  # False if rows from before NOT NULL may have NULL; since 18
    identity: str | None
    identity_options: str | None
    raw_name: str = field(compare=False)
    base_type: str = field(compare=False)
    number: int = field(default=0, compare=False)

    @property
    def address(self) -> Address:
        return self.catalog, self.oid, self.number

    @property
    def definition(self) -> str:
        """The column as CREATE TABLE and ADD COLUMN write it."""
        words = [self.identifier, self.type]
        words += [f"COLLATE {quoted(self.collation)}"] if self.collation else []
        words += [f"DEFAULT {self.default}"] if self.default else []
        storage = "VIRTUAL" if self.virtual else "STORED"
        words += [f"GENERATED ALWAYS AS ({self.generated}) {storage}"] if self.generated else []
        words += [self._identity] if self.identity else []
        words += ["NOT NULL"] if self.not_null and self.not_null_valid else []
        return " ".join(words)

    @property
    def not_valid(self) -> list[str]:
        """The statement for a NOT NULL that no row is checked for, which `definition` can't have."""
        added = f"ALTER TABLE {self.table} ADD NOT NULL {self.identifier} NOT VALID"
        return [added] if self.not_null and not self.not_null_valid else []

    def creation(self, sides: Sides) -> list[str]:
        return [*super().creation(sides), *self.not_valid]

    @property
    def is_filled(self) -> bool:
        return super().is_filled or self.identity is not None

    @property
    def _identity(self) -> str:
        options = (self.identity_options or "").replace(",", "")
        return f"GENERATED {self.identity} AS IDENTITY ({options})"

    def as_changed(self, live: Self, attribute: str, sides: Sides) -> Iterator[Difference]:
        replaced_by_identity = attribute == "default" and self.identity
        part_of_identity = attribute == "identity_options" and not (self.identity and live.identity)
        # A column that becomes a generated one, or was a virtual one, is recreated with all that it is to be.
        is_replaced = (self.generated and not live.generated) or (live.virtual and not self.generated)
        is_recreated = is_replaced and attribute not in ("generated", "type")
        part_of_generated = (attribute == "virtual" and self.generated != live.generated) or is_recreated
        part_of_not_null = attribute == "not_null_valid" and self.not_null != live.not_null
        if not (replaced_by_identity or part_of_identity or part_of_generated or part_of_not_null):
            is_cast = attribute == "type" and not self.generated
            for each in super().as_changed(live, attribute, sides):
                yield replace(each, violations=self._lossy_casts(live, sides)) if is_cast else each

    def ranked(self, *texts: str) -> list[Statement]:
        stage = Stage.GENERATED if self.generated else self.stage
        return [Statement((stage, self.oid), text) for text in texts]

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        if attribute == "identity" and not self.identity:  # whose sequence may have the name of one that is wanted
            return [Statement((Stage.DETACH, 0), text) for text in self.alteration(live, attribute)]
        if attribute not in ("type", "collation", "generated", "virtual"):
            return super().change(live, attribute, sides)
        if self.generated or live.virtual:  # whose type and expression can't be changed
            made = self.ranked(*self._made_anew(live)) + self.create_dependents(sides.wanted, sides)
            return detached([live.address], sides).around(made)
        alter = f"ALTER TABLE {live.table} ALTER COLUMN {live.identifier}"
        plain = self._without_expression(live, alter)
        if attribute == "generated":
            return self.ranked(*plain)
        # PostgreSQL builds the index of a key again; of all others the text may not fit the new type.
        has_other_values = (live.base_type, live.collation) != (self.base_type, self.collation)
        spared = ("key",) if has_other_values else ("key", "constraint", "index")
        changed = self.ranked(*plain, *self._change_type(live, alter, sides))
        return detached([live.address], sides, spared).around(changed)

    def drop_first(self, sides: Sides) -> list[Statement]:
        """With the column, PostgreSQL drops the constraints and indexes of it, also those that only change."""
        users = detached([self.address], sides)
        before = [replace(each, rank=(Stage.DETACH, -LAST_OID)) for each in users.before]
        return [*before, *super().drop_first(sides), *users.after]

    def alteration(self, live: Self, attribute: str) -> list[str]:
        alter = f"ALTER TABLE {live.table} ALTER COLUMN {live.identifier}"
        match attribute:
            case "not_null" | "not_null_valid":
                return self._change_not_null(live, alter)
            case "generated":
                return self._made_anew(live)
            case "default":
                set_default = f"SET DEFAULT {self.default}" if self.default else "DROP DEFAULT"
                return [*self._without_expression(live, alter), f"{alter} {set_default}"]
            case "identity" if not self.identity:
                return [f"{alter} DROP IDENTITY IF EXISTS"]
            case "identity" if live.identity:
                return [f"{alter} SET GENERATED {self.identity}"]
            case "identity":
                drop_default = [f"{alter} DROP DEFAULT"] if live.default else []
                sequence = f"pg_get_serial_sequence({literal(self.table)}, {literal(self.raw_name)})"
                restart = set_sequence(sequence, self.table, self.identifier)
                return [*drop_default, f"{alter} ADD {self._identity}", restart]
        options = (self.identity_options or "").split(", ")
        set_options = f"{alter} {' '.join(f'SET {option}' for option in options)}"
        if self._least <= live._least:
            return [set_options]
        # The last value may be less than the new minimum.
        sequence = f"pg_get_serial_sequence({literal(self.table)}, {literal(self.raw_name)})"
        continued = (
            f"{set_sequence(sequence, self.table, self.identifier)} HAVING max({self.identifier}) >= {self._least}"
        )
        return [f"{set_options} RESTART", continued]

    def _without_expression(self, live: Self, alter: str) -> list[str]:
        """What makes a generated column a plain one, before it can have a default."""
        return [f"{alter} DROP EXPRESSION IF EXISTS"] if live.generated and not self.generated else []

    @property
    def _least(self) -> int:
        """The minimum of the identity."""
        found = re.search(r"MINVALUE (-?\d+)", self.identity_options or "")
        return int(found[1]) if found else 0

    def _made_anew(self, live: Self) -> list[str]:
        return [self.drop_sql.format(live), self.create_sql.format(self), *self.not_valid]

    def _change_not_null(self, live: Self, alter: str) -> list[str]:
        if self.not_null and self.not_null_valid:
            return [f"{alter} SET NOT NULL"]
        if self.not_null:
            return [*([f"{alter} DROP NOT NULL"] if live.not_null else []), *self.not_valid]
        # An identity column can't be without.
        drop_identity = [f"{alter} DROP IDENTITY IF EXISTS"] if live.identity and not self.identity else []
        return [*drop_identity, f"{alter} DROP NOT NULL"]

    def _change_type(self, live: Self, alter: str, sides: Sides) -> list[str]:
        text = f"{alter} TYPE {self.type}"
        text += f" COLLATE {quoted(self.collation)}" if self.collation else ""
        if live.base_type == self.base_type:
            return [text]
        if sides.live.casts.get((live.base_type, self.base_type)) not in _WITHOUT_USING:
            text += f" USING {_cast(live.identifier, live, self, sides)}"
        if live.default is None:
            return [text]
        # A default is not cast by USING.
        return [f"{alter} DROP DEFAULT", text, *([f"{alter} SET DEFAULT {self.default}"] if self.default else [])]

    def phrase(self, attribute: str) -> tuple[str, str]:
        if attribute in ("not_null", "not_null_valid") and self.not_null and not self.not_null_valid:
            return "", "is NOT NULL NOT VALID"
        return super().phrase("not_null" if attribute == "not_null_valid" else attribute)

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        if not self.not_null_valid and attribute in ("", "not_null", "not_null_valid"):
            return ()
        if attribute == "not_null_valid":
            return super().violations(live, "not_null")
        if attribute == "generated" and self.generated and live and not live.generated:
            return (count_rows(self.table, f"{self.identifier} IS DISTINCT FROM ({self.generated})"),)
        return super().violations(live, attribute)

    def _lossy_casts(self, live: Self, sides: Sides) -> tuple[str, str]:
        """Count the values that can't be cast to the type and back.

        A cast that fails can be caught in a function, which a read-only transaction can't create, or in an anonymous
        block, whose only way to return a value is a setting.
        """
        column = live.identifier
        back = _cast(_cast("found.value", live, self, sides), self, live, sides)
        block = f"""
            DO $multidb$ DECLARE violations bigint := 0; found record; BEGIN
                PERFORM NULL::{self.type}; -- fails if the type does not exist, as each row would
                FOR found IN SELECT {column} AS value FROM {self.table} WHERE {column} IS NOT NULL LOOP
                    BEGIN
                        violations := violations + ({back}::text IS DISTINCT FROM found.value::text)::int;
                    EXCEPTION WHEN others THEN violations := violations + 1;
                    END;
                END LOOP;
                PERFORM set_config('multidb.violations', violations::text, true);
            END $multidb$
        """
        return block, "SELECT current_setting('multidb.violations')::bigint"


def _cast(value: str, source: Column, target: Column, sides: Sides) -> str:
    """A value cast to another type; where there is no cast, by way of text, to and from which each type has one."""
    is_direct = (source.base_type, target.base_type) in sides.live.casts
    return f"{value}::{target.type}" if is_direct else f"{value}::text::{target.type}"
