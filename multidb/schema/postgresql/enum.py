"""Enum types: values can be added in place; to remove or reorder some, the type is replaced."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from multidb.database.quoting import literal
from multidb.output import listed
from multidb.schema.difference import EXTRA, HARMLESS, RISKY, Difference, Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.replaceable import ReplaceableType


class Enum(ReplaceableType):
    kind, title, word = "enum", "enum type", "TYPE"
    query = """
        SELECT name, parent, identifier, qualifier, oid, owner, ARRAY(
                   SELECT enumlabel::text FROM pg_enum WHERE enumtypid = enums.oid ORDER BY enumsortorder
               ) AS values
        FROM enums
    """
    values: tuple[str, ...]

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
            statements = live.replaced_by([*self.values, *extra], sides)
            yield Difference(f"{self.name}.order", RISKY, sentence, tuple(statements))
        for value in extra:
            name = f"{self.name}.{value}"
            if not sides.ignores((value, name, self.name)):
                sentence = f"{self.label} has the value {value}, which is not in {sides.revision}"
                yield Difference(name, EXTRA, sentence, tuple(live.replaced_by(self.values, sides)))

    def transition(self, live: Self, attributes: Sequence[str], sides: Sides) -> list[Statement]:
        only_lacks_values = [value for value in self.values if value in live.values] == list(live.values)
        if "values" not in attributes or (only_lacks_values and self.key not in sides.replaced):
            return super().transition(live, attributes, sides)
        return live.replaced_by(self.values, sides)

    def replaced_by(self, values: Iterable[str], sides: Sides) -> list[Statement]:
        return self.replaced(create_type(self.identifier, values), sides)


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
