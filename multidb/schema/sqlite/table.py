"""Tables. SQLite can alter little of a table in place, so a table that differs is rebuilt.

The new table has everything that the revision has, and the columns that no revision has: they are never dropped.
https://sqlite.org/lang_altertable.html#otheralter
"""

import re
from typing import Any, Self

from sqlalchemy import RowMapping

from multidb.database.quoting import literal
from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.sqlite.base import SqliteObject
from multidb.schema.sqlite.catalog import NAME, quoted, table_options
from multidb.schema.sqlite.column import Column


class Table(SqliteObject):
    kind = "table"
    query = "SELECT name, sql FROM objects WHERE type = 'table' ORDER BY rowid"
    drop_sql = "DROP TABLE {0.identifier}"
    options: str

    @classmethod
    def attributes_of(cls, row: RowMapping) -> dict[str, Any]:
        return {"options": table_options(row["sql"])}

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        wanted, existing = (side.of_kind(Column, self.key) for side in (sides.wanted, sides.live))
        wanted_names, existing_names = ({column.own_name for column in columns} for columns in (wanted, existing))
        extra = [column for column in existing if column.own_name not in wanted_names]
        kept = [column for column in (*wanted, *extra) if column.own_name in existing_names and not column.generated]
        names = ", ".join(column.identifier for column in kept)
        new, old = quoted(f"multidb_{self.name}"), self.identifier
        head = re.compile(rf"^(\s*CREATE\s+TABLE\s+)({NAME})", re.IGNORECASE)
        return self.ranked(
            "PRAGMA legacy_alter_table = ON",  # without it, a view of the table prevents the rename
            head.sub(lambda match: match[1] + new, self.sql, count=1),
            *(f"ALTER TABLE {new} ADD COLUMN {column.definition}" for column in extra),
            f"INSERT INTO {new} ({names}) SELECT {names} FROM {old}",
            *(self._keep_sequence() if any(column.autoincrement for column in existing) else ()),
            f"DROP TABLE {old}",
            f"ALTER TABLE {new} RENAME TO {old}",
            "PRAGMA legacy_alter_table = OFF",
            *(text for each in sides.live.dependents(self.key) for text in each.creation(sides)),
        )

    def _keep_sequence(self) -> tuple[str, str]:
        """Continue AUTOINCREMENT where it is, so that no number of a deleted row is used again."""
        new, old = literal(f"multidb_{self.name}"), literal(self.name)
        return (
            f"DELETE FROM sqlite_sequence WHERE name = {new}",
            f"INSERT INTO sqlite_sequence SELECT {new}, seq FROM sqlite_sequence WHERE name = {old}",
        )
