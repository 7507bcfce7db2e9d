"""Indexes, except those of constraints."""

import re
from typing import Any, Self

from sqlalchemy import RowMapping

from multidb.schema import kinds
from multidb.schema.difference import Stage, Statement
from multidb.schema.objects import Sides
from multidb.schema.sqlite.base import SqliteObject
from multidb.schema.sqlite.catalog import NAME, one_line, quoted, unquoted


class Index(SqliteObject, kinds.Index):
    query = "SELECT name, sql, tbl_name AS table_name FROM objects WHERE type = 'index' ORDER BY rowid"
    drop_sql = "DROP INDEX {0.identifier}"

    @classmethod
    def attributes_of(cls, row: RowMapping) -> dict[str, Any]:
        without_name = re.sub(r"^.*?\bON\s+", "", row["sql"], count=1, flags=re.IGNORECASE | re.DOTALL)
        unique = bool(re.match(r"CREATE\s+UNIQUE", row["sql"], re.IGNORECASE))
        table = re.match(NAME, without_name)
        assert table is not None
        definition = f"{quoted(unquoted(table[0]))} {one_line(without_name[table.end() :])}"
        return {"definition": definition, "unique": unique}

    def rename(self, live: Self, sides: Sides) -> list[Statement]:
        # Before any table is rebuilt, which creates the index under its new name.
        return [Statement((Stage.RENAME, 0), text) for text in (self.drop_sql.format(live), self.sql)]
