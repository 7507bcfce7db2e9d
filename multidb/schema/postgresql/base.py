"""What the kinds of PostgreSQL have in common: their query, their DDL."""

from dataclasses import replace
from typing import ClassVar, Self

from multidb.database.quoting import quoted
from multidb.schema.difference import Stage, Statement
from multidb.schema.objects import OWNER, Address, Schema, SchemaObject, Sides
from multidb.schema.postgresql.expression import settled


class PostgresqlObject(SchemaObject):
    """A kind whose query, below `catalog.SHARED`, selects a column for each field."""

    query: ClassVar[str]
    expressions: ClassVar[tuple[str, ...]] = ()  # fields with a text that the server writes
    catalog: ClassVar[str] = "pg_class"
    create_sql, drop_sql = "CREATE {0.word} {0.identifier}", "DROP {0.word} {0.identifier}"

    @staticmethod
    def settled(text: str) -> str:
        """One of `expressions` as the server writes it when it has read it."""
        return settled(text)

    @property
    def address(self) -> Address:
        return self.catalog, self.oid, 0

    @property
    def role(self) -> str:
        """The kind, or `key` for a constraint that other tables may refer to."""
        return self.kind

    @property
    def word(self) -> str:
        """The kind as DDL writes it."""
        return self.kind.upper()

    def recreate(self, live: Self, sides: Sides) -> list[Statement]:
        statements = [*live.drop(sides), *self.create_alone(sides)]
        statements += self.create_dependents(sides.wanted, sides) + self.create_dependents(sides.live, sides)
        return self.ranked(*dict.fromkeys(statement.text for statement in statements))

    def create_dependents(self, schema: Schema, sides: Sides) -> list[Statement]:
        dependents = [each for each in schema.dependents(self.key) if isinstance(each, PostgresqlObject)]
        return [statement for each in dependents if not each.is_default for statement in each.create_alone(sides)]


class OwnedObject(PostgresqlObject):
    """A kind whose objects have an owner of their own."""

    owner: str | None

    def as_declared(self) -> Self:
        return replace(super().as_declared(), owner=None)

    def phrase(self, attribute: str) -> tuple[str, str]:
        if attribute == "owner":
            return "is owned by", "the database owner" if self.owner == OWNER else str(self.owner)
        return super().phrase(attribute)

    def create_alone(self, sides: Sides) -> list[Statement]:
        return [*super().create_alone(sides), *self.set_owner(sides)]  # the role that creates it may be a superuser

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        return self.set_owner(sides) if attribute == "owner" else super().change(live, attribute, sides)

    def set_owner(self, sides: Sides) -> list[Statement]:
        if not sides.live.owner:
            return []
        text = f"ALTER {self.word} {self.identifier} OWNER TO {role(self.owner or OWNER, sides)}"
        return [Statement((Stage.PRIVILEGE, 0), text)]


def role(name: str, sides: Sides) -> str:
    if name == OWNER:
        return sides.live.owner
    return name if name == "PUBLIC" else quoted(name)


def set_sequence(sequence: str, table: str, column: str) -> str:
    """Continue a sequence after the highest value of a column."""
    return f"SELECT setval({sequence}, max({column})) FROM {table}"
