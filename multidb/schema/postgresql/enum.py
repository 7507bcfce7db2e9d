"""Enum types: values can be added in place; to remove or reorder some, the type is replaced."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import NamedTuple, Self

from multidb.database.quoting import literal
from multidb.output import listed
from multidb.schema.difference import EXTRA, HARMLESS, RISKY, Difference, Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import OwnedObject
from multidb.schema.postgresql.column import Column


class Enum(OwnedObject):
    kind, title, word = "enum", "enum type", "TYPE"
    query = """
        SELECT name, parent, identifier, schema, oid, owner, ARRAY(
                   SELECT enumlabel::text FROM pg_enum WHERE enumtypid = enums.oid ORDER BY enumsortorder
               ) AS values
        FROM enums
    """
    values: tuple[str, ...]
    schema: str = field(compare=False)

    @property
    def summary(self) -> str:
        return ", ".join(self.values)

    def creation(self, sides: Sides) -> list[str]:
        return [create_type(self.identifier, self.values)]

    def as_changed(self, live: Self, attribute: str, sides: Sides) -> Iterator[Difference]:
        if attribute != "values":
            yield from super().as_changed(live, attribute, sides)
            return
        missing = [value for value in self.values if value not in live.values]
        extra = [value for value in live.values if value not in self.values]
        if missing:
            sentence = f"{self.label} lacks the value{'s' if len(missing) > 1 else ''} {listed(missing)}"
            statements = self.ranked(*add_values(live.identifier, live.values, self.values))
            yield Difference(f"{self.name}.values", HARMLESS, sentence, tuple(statements))
        if [value for value in live.values if value not in extra] != [v for v in self.values if v not in missing]:
            sentence = f"{self.label} has the order {live.summary}, {sides.revision} says {self.summary}"
            statements = live.replace_values([*self.values, *extra], sides)
            yield Difference(f"{self.name}.order", RISKY, sentence, tuple(statements))
        for value in extra:
            name = f"{self.name}.{value}"
            if not sides.ignores((value, name, self.name)):
                sentence = f"{self.label} has the value {value}, which is not in {sides.revision}"
                yield Difference(name, EXTRA, sentence, tuple(live.replace_values(self.values, sides)))

    def replace_values(self, values: Sequence[str], sides: Sides) -> list[Statement]:
        columns = []
        for column in sides.live.of_kind(Column):
            base = column.base_type.removesuffix("[]")
            if base == self.identifier:
                array = column.base_type.removeprefix(base)
                columns.append(ColumnOfType(column.table, column.identifier, array, column.default))
        texts = replace_type(self.identifier, ("multidb_old", f"{self.schema}.multidb_old"), values, columns)
        owner = (statement.text for statement in self.set_owner(sides))
        return self.ranked(*texts, *owner) + self.create_dependents(sides.live, sides)


class ColumnOfType(NamedTuple):
    """A column of an enum type. Names and the default are as SQL writes them; `array` is `[]` or empty."""

    table: str
    name: str
    array: str
    default: str | None


def create_type(name: str, values: Iterable[str]) -> str:
    return f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, values))})"


def add_values(name: str, existing: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The statements that add the missing values to an enum type, each at its position."""
    statements: list[str] = []
    values = list(existing)
    for position, value in enumerate(wanted):
        if value in values:
            continue
        if position:
            where = f" AFTER {literal(wanted[position - 1])}"
        else:
            where = f" BEFORE {literal(values[0])}" if values else ""
        statements.append(f"ALTER TYPE {name} ADD VALUE {literal(value)}{where}")
        values.insert(position, value)
    return statements


def replace_type(name: str, old: tuple[str, str], values: Iterable[str], columns: Iterable[ColumnOfType]) -> list[str]:
    """The statements that replace an enum type by one with other values. A row with a removed value makes them fail.

    Args:
        name: the type's, as SQL writes it.
        old: a name for the old type until it is dropped, without and with its schema.
        values: those of the new type.
        columns: all that have the type.
    """
    statements = [f"ALTER TYPE {name} RENAME TO {old[0]}", create_type(name, values)]
    for column in columns:
        alter = f"ALTER TABLE {column.table} ALTER COLUMN {column.name}"
        new = f"{name}{column.array}"
        statements += [f"{alter} DROP DEFAULT"] if column.default else []
        statements.append(f"{alter} TYPE {new} USING {column.name}::text{column.array}::{new}")
        statements += [f"{alter} SET DEFAULT {column.default}"] if column.default else []
    return [*statements, f"DROP TYPE {old[1]}"]
