"""Constraints of tables, with their definitions as names: SQLite does not report their own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Self

from sqlalchemy import Connection, RowMapping, inspect

from multidb.schema import kinds
from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.sqlite.base import SqliteObject, quoted
from multidb.schema.sqlite.catalog import SHARED, one_line
from multidb.schema.violations import count_duplicates, count_rows


class Constraint(SqliteObject, kinds.Constraint):
    create_sql = ""
    query = """
        SELECT t.name AS table_name, f.* FROM objects t, pragma_foreign_key_list(t.name) f
        WHERE t.type = 'table' ORDER BY t.rowid, f.id, f.seq
    """

    @classmethod
    def read(cls, connection: Connection) -> Iterator[Self]:
        inspector = inspect(connection)
        tables = connection.exec_driver_sql(f"{SHARED} SELECT name FROM objects WHERE type = 'table' ORDER BY rowid")
        for table in tables.scalars().all():
            key = inspector.get_pk_constraint(table)["constrained_columns"]
            if key:
                yield cls._of(table, f"PRIMARY KEY ({', '.join(key)})")
            for unique in inspector.get_unique_constraints(table):
                yield cls._of(table, f"UNIQUE ({', '.join(str(column) for column in unique['column_names'])})")
            for check in inspector.get_check_constraints(table):
                yield cls._of(table, f"CHECK ({one_line(check['sqltext'])})")
        rows = connection.exec_driver_sql(f"{SHARED} {cls.query}").mappings()
        for (table, _), pairs in groupby(rows, key=lambda row: (row["table_name"], row["id"])):
            yield cls._of(table, _foreign_key(list(pairs)))

    @classmethod
    def _of(cls, table: str, definition: str) -> Self:
        name, parent = f"{table}.{definition}", ("table", table)
        return cls(name=name, parent=parent, table=quoted(table), definition=definition)

    def create(self, sides: Sides) -> list[Statement]:
        return self.rebuild_table(sides)

    def drop(self, sides: Sides) -> list[Statement]:
        return self.rebuild_table(sides)

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        keys = re.match(r"(PRIMARY KEY|UNIQUE) \((.*?)\)", self.definition)
        if keys:
            names = [quoted(name.strip()) for name in keys[2].split(",")]
            return (count_duplicates(self.table, names, nulls=keys[1] == "PRIMARY KEY"),)
        if self.definition.startswith("CHECK "):
            return (count_rows(self.table, f"NOT {self.definition.removeprefix('CHECK ')}"),)
        return ()

    def with_column_renamed(self, old: re.Pattern[str], new: str) -> Self:
        follows = super().with_column_renamed(old, new)
        return replace(follows, name=f"{self.name.removesuffix(self.definition)}{follows.definition}")


def _foreign_key(pairs: Sequence[RowMapping]) -> str:
    own, theirs = (", ".join(pair[side] or "" for pair in pairs) for side in ("from", "to"))
    actions = "".join(
        f" {event} {pairs[0][column]}"
        for event, column in (("ON UPDATE", "on_update"), ("ON DELETE", "on_delete"))
        if pairs[0][column] != "NO ACTION"
    )
    return f"FOREIGN KEY ({own}) REFERENCES {pairs[0]['table']} ({theirs}){actions}"
