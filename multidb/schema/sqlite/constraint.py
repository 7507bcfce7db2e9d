"""Constraints of tables, with their definitions as names: SQLite does not report their own."""

import re
from collections.abc import Iterator
from dataclasses import field, replace
from typing import Self

from sqlalchemy import Connection

from multidb.schema import kinds
from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.sqlite.base import SqliteObject
from multidb.schema.sqlite.catalog import SHARED, quoted
from multidb.schema.sqlite.create_table import table_definition
from multidb.schema.violations import count_duplicates, count_rows


class Constraint(SqliteObject, kinds.Constraint):
    create_sql, is_inline = "", True
    query = "SELECT name, sql FROM objects WHERE type = 'table' ORDER BY rowid"
    keys: tuple[str, ...] = field(compare=False)  # of PRIMARY KEY and UNIQUE

    @classmethod
    def read(cls, connection: Connection) -> Iterator[Self]:
        for table, sql in connection.exec_driver_sql(f"{SHARED} {cls.query}").all():
            for each in table_definition(sql)[1]:
                name, parent = f"{table}.{each.text}", ("table", table)
                yield cls(name=name, parent=parent, table=quoted(table), definition=each.text, keys=each.keys)

    def create(self, sides: Sides) -> list[Statement]:
        return self.rebuild_table(sides)

    def drop(self, sides: Sides) -> list[Statement]:
        return self.rebuild_table(sides)

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        if self.keys:
            return (count_duplicates(self.table, self.keys, nulls=self.definition.startswith("PRIMARY KEY")),)
        if self.definition.startswith("CHECK "):
            return (count_rows(self.table, f"NOT {self.definition.removeprefix('CHECK ')}"),)
        return ()

    def with_column_renamed(self, old: re.Pattern[str], new: str) -> Self:
        follows = super().with_column_renamed(old, new)
        name = f"{self.name.removesuffix(self.definition)}{follows.definition}"
        return replace(follows, name=name, keys=tuple(old.sub(lambda _: new, key) for key in self.keys))
