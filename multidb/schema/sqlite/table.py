"""Tables. SQLite can alter little of a table in place, so a table that differs is rebuilt.

The new table has everything that the revision has, and the columns that no revision has, unless they are to go.
"""

from typing import Any, Self

from sqlalchemy import RowMapping

from multidb.schema.difference import Statement
from multidb.schema.objects import SchemaObject, Sides
from multidb.schema.sqlite.base import SqliteObject
from multidb.schema.sqlite.column import Column
from multidb.schema.sqlite.create_table import CreateTable
from multidb.schema.sqlite.rebuild import rebuild


class Table(SqliteObject):
    kind = "table"
    query = "SELECT name, sql FROM objects WHERE type = 'table' ORDER BY rowid"
    drop_sql = "DROP TABLE {0.identifier}"
    options: str

    @classmethod
    def attributes_of(cls, row: RowMapping) -> dict[str, Any]:
        return {"options": CreateTable.read(row["sql"]).options}

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        wanted, existing = (side.of_kind(Column, self.key) for side in (sides.wanted, sides.live))
        wanted_names, existing_names = ({column.own_name for column in columns} for columns in (wanted, existing))
        extra = [column for column in existing if column.own_name not in wanted_names and sides.keeps_extra]
        kept = [column for column in (*wanted, *extra) if column.own_name in existing_names and not column.generated]
        sql = CreateTable.read(self.sql)
        for column in extra:
            sql.insert(len(sql.columns), column.definition)
        return self.ranked(
            *rebuild(
                self.name,
                sql.sql,
                [(column.identifier, column.identifier) for column in kept],
                [text for each in self._staying(sides) for text in each.creation(sides)],
                has_sequence=any(column.autoincrement for column in existing),
            )
        )

    def _staying(self, sides: Sides) -> list[SchemaObject]:
        """The live indexes and triggers that do not change; those that do are created by their own changes."""
        found = sides.live.dependents(self.key)
        return [each for each in found if sides.wanted.objects.get(each.key, each) == each]
