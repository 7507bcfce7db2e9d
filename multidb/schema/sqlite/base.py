"""What the kinds of SQLite have in common: how they are read, their DDL."""

import re
from collections.abc import Iterator
from dataclasses import field, replace
from typing import Any, ClassVar, Self

from sqlalchemy import Connection, RowMapping

from multidb.schema.difference import Stage, Statement
from multidb.schema.objects import SchemaObject, Sides
from multidb.schema.sqlite.catalog import SHARED, one_line, quoted


class SqliteObject(SchemaObject):
    """A kind whose query, below `catalog.SHARED`, selects `name`, `sql`, and `table_name` for an object of a table."""

    query: ClassVar[str]
    create_sql = "{0.sql}"
    sql: str = field(default="", compare=False)

    @classmethod
    def read(cls, connection: Connection) -> Iterator[Self]:
        for row in connection.exec_driver_sql(f"{SHARED} {cls.query}").mappings():
            name, names = row["name"], {"name": row["name"]}
            if table := row.get("table_name"):
                names = {"name": f"{table}.{name}", "table": quoted(table), "parent": ("table", table)}
            yield cls(**names, identifier=quoted(name), sql=row["sql"], **cls.attributes_of(row))

    @classmethod
    def attributes_of(cls, row: RowMapping) -> dict[str, Any]:
        return {"definition": one_line(row["sql"])}

    def with_column_renamed(self, old: re.Pattern[str], new: str) -> Self:
        return replace(super().with_column_renamed(old, new), sql=old.sub(lambda _: new, self.sql))

    def recreate(self, live: Self, sides: Sides) -> list[Statement]:
        # Dropped before its table may be rebuilt, which creates again only what stays.
        dropped = [replace(each, rank=(Stage.DETACH, 0)) for each in live.drop(sides)]
        return [*dropped, *self.create(sides)]

    def rebuild_table(self, sides: Sides) -> list[Statement]:
        """Rebuild the table that the object is part of."""
        assert self.parent is not None
        return sides.wanted.objects[self.parent].change(sides.live.objects[self.parent], "", sides)
