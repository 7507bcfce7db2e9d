"""More models in two versions, for a database on SQLite: columns that go with all that uses them."""

from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, String, Table, text
from sqlalchemy.orm import DeclarativeBase

VERSION = 1


class Base(DeclarativeBase):
    pass


def v(first: Any, second: Any) -> Any:
    return (first, second)[VERSION - 1]


def with_uses(name: str, version: int) -> None:
    """A column that a CHECK and the expressions of indexes use, which is there in one version only."""
    used = [
        Column("a", String(20)),
        CheckConstraint("a <> ''", name=f"{name}_check"),
        Index(f"{name}_expression", text("(a || '')")),
        Index(f"{name}_part", "id", sqlite_where=text("a <> ''")),
    ]
    Table(name, Base.metadata, Column("id", Integer, primary_key=True), *(used if version == VERSION else []))


with_uses("toys", 1)
with_uses("tools", 2)
Table(
    "kites",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("b", v(String(20), Boolean)),
    Column("c", String(20)),
    *v([Column("d", Integer)], []),
    Index("kites_expression", text(v("(b || 'x')", "(c || 'x')"))),
)
Table(
    "boats",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("x", Integer),
    *v([], [Column("y", String(9)), CheckConstraint("y <> ''", name="boats_check")]),
    Index("boats_index", v("x", "y")),
    Index("boats_part", "id", sqlite_where=text(v("x > 0", "y <> ''"))),
)
