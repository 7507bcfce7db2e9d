"""The same as `versions`, for a database on SQLite."""

from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, Computed, ForeignKey, Index, Integer, String, Table, text
from sqlalchemy.orm import DeclarativeBase

VERSION = 1


class Base(DeclarativeBase):
    pass


def v(first: Any, second: Any) -> Any:
    return (first, second)[VERSION - 1]


Table("owners", Base.metadata, Column("id", Integer, primary_key=True), sqlite_autoincrement=v(True, False))
Table(
    "pets",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(20, collation=v("NOCASE", "RTRIM"))),
    Column("doc", JSON, server_default=text(v(r"""'{"a"\:1}'""", r"""'{"a"\:2}'"""))),
    Column("quote", String, server_default=v("it's", "it''s")),
    Column("double", Integer, Computed(v("id * 2", "id * 3"))),
    Column("owner", ForeignKey("owners.id", deferrable=v(True, False), ondelete="CASCADE")),
    CheckConstraint(v(r"name <> 'a  \:b'", r"name <> 'a \:b'"), name="named"),
    Index("by_name", text("lower(name)"), text(v("id DESC", "id"))),
    Index("part", "id", sqlite_where=text(v("name <> '50%'", "name <> '51%'"))),
)
