"""Columns of tables."""

from dataclasses import field
from typing import Any, Self

from sqlalchemy import RowMapping

from multidb.schema import kinds
from multidb.schema.difference import Stage, Statement
from multidb.schema.objects import Sides
from multidb.schema.sqlite.base import SqliteObject
from multidb.schema.sqlite.create_table import table_definition
from multidb.schema.sqlite.definition import ColumnDefinition
from multidb.schema.violations import count_rows


class Column(SqliteObject, kinds.Column):
    stage, create_sql = Stage.CREATE, ""
    query = """
        SELECT c.*, t.name AS table_name, t.sql FROM objects t, pragma_table_xinfo(t.name) c
        WHERE t.type = 'table' ORDER BY t.rowid, c.cid
    """
    autoincrement: bool
    on_conflict: str | None  # of NOT NULL
    definition: str = field(compare=False)

    @classmethod
    def attributes_of(cls, row: RowMapping) -> dict[str, Any]:
        name = row["name"]
        definition = table_definition(row["sql"])[0].get(name, ColumnDefinition(name, ""))
        return {
            "position": row["cid"],
            "definition": definition.text,
            "type": row["type"].upper(),
            "not_null": bool(row["notnull"]),
            "default": row["dflt_value"],
            "generated": definition.generated,
            "collation": definition.collation,
            "autoincrement": definition.autoincrement,
            "on_conflict": definition.on_conflict,
        }

    def create(self, sides: Sides) -> list[Statement]:
        return self.rebuild_table(sides)

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        return self.rebuild_table(sides)

    def drop(self, sides: Sides) -> list[Statement]:
        # ALTER TABLE refuses a column that constraints use, which go with the same rebuild.
        return super().drop(sides) if sides.keeps_extra else self.rebuild_table(sides)

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        column = self.identifier
        if attribute == "generated" and self.generated:
            return (count_rows(self.table, f"{column} IS NOT {self.generated.rpartition(')')[0]})"),)
        if attribute != "type":
            return super().violations(live, attribute)
        return (  # a column converts a value only if the conversion loses nothing
            f"CREATE TEMP TABLE multidb_probe (old, new {self.type})",
            f"INSERT INTO temp.multidb_probe SELECT {column}, {column} FROM {self.table}",
            count_rows("temp.multidb_probe", "CAST(old AS TEXT) IS NOT CAST(new AS TEXT)"),
        )
