"""Types that are replaced where they can't be altered: all columns get the new one; what uses them is made again."""

from collections.abc import Iterable
from dataclasses import field
from typing import NamedTuple

from multidb.database.quoting import quoted
from multidb.schema.difference import Stage, Statement
from multidb.schema.objects import Address, Sides
from multidb.schema.postgresql.base import OwnedObject
from multidb.schema.postgresql.column import Column
from multidb.schema.postgresql.dependency import detached

_LONGEST_NAME = 63  # bytes


class ColumnOfType(NamedTuple):
    """A column of a type. Names and defaults are as SQL writes them; `array` is `[]` or empty."""

    table: str
    name: str
    array: str
    default: str | None  # that it has
    new_default: str | None


class ReplaceableType(OwnedObject):
    """A kind of types."""

    catalog = "pg_type"
    qualifier: str = field(compare=False)  # of names in its schema: `app.`

    def replaced(self, creation: str, sides: Sides) -> list[Statement]:
        """Replace the live type, which this is, by that of a CREATE statement, in all columns."""
        columns: dict[Address, ColumnOfType] = {}
        for column in sides.live.of_kind(Column):
            base = column.base_type.removesuffix("[]")
            if base == self.identifier and not column.generated:  # which uses the type, and is made again
                array = column.base_type.removeprefix(base)
                default = _new_default(column, sides)
                columns[column.address] = ColumnOfType(column.table, column.identifier, array, column.default, default)
        # Of its own for each type: the same statement of two changes is run once.
        name = f"multidb_{self.raw_own_name}".encode()[:_LONGEST_NAME].decode(errors="ignore")
        name = name if name.islower() and name.isascii() and name.isidentifier() else quoted(name)
        old = (name, f"{self.qualifier}{name}")
        texts = replace_type(self.identifier, old, creation, columns.values(), self.word)
        owner = (statement.text for statement in self.set_owner(sides))
        # Before any table is created: one that has the type would keep the old one.
        replaced = [Statement((Stage.CREATE, 0), text) for text in (*texts, *owner)]
        replaced += self.create_dependents(sides.live, sides)
        return detached([self.address, *columns], sides, spared=("key",)).around(replaced)


def _new_default(column: Column, sides: Sides) -> str | None:
    """The default with the new type; none where the column is to get another type, and then its default."""
    wanted = sides.wanted.objects.get(column.key)
    if isinstance(wanted, Column) and wanted.base_type != column.base_type:
        return None
    default = wanted.default if isinstance(wanted, Column) else None
    return default or column.default if sides.keeps_extra else default


def replace_type(
    name: str, old: tuple[str, str], creation: str, columns: Iterable[ColumnOfType], word: str = "TYPE"
) -> list[str]:
    """The statements that replace a type by another. A row whose value the new type hasn't makes them fail.

    Args:
        name: the type's, as SQL writes it.
        old: a name for the old type until it is dropped, without and with its schema.
        creation: the CREATE statement of the new type.
        columns: all that have the type.
        word: the kind of type, as DDL writes it.
    """
    statements = [f"ALTER {word} {name} RENAME TO {old[0]}", creation]
    for column in columns:
        alter = f"ALTER TABLE {column.table} ALTER COLUMN {column.name}"
        new = f"{name}{column.array}"
        statements += [f"{alter} DROP DEFAULT"] if column.default else []
        statements.append(f"{alter} TYPE {new} USING {column.name}::text{column.array}::{new}")
        statements += [f"{alter} SET DEFAULT {column.new_default}"] if column.default and column.new_default else []
    return [*statements, f"DROP {word} {old[1]}"]
