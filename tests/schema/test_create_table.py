"""A CREATE TABLE of SQLite as a text that is edited."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multidb.schema.sqlite.create_table import CreateTable
from tests.support.tables import Table, tables, unquoted

SQL = """CREATE TABLE "t (x" (a TEXT, -- the a, (
    /* about b */ b INTEGER -- it's b
    , c TEXT DEFAULT 'x, -- y', -- the c
    -- about the key
    d INTEGER PRIMARY KEY,

    UNIQUE (d) CHECK (d > 0),
    CHECK (d <> ')') -- end
) -- , (
WITHOUT ROWID"""


def edited(edit: Callable[[CreateTable], object]) -> str:
    """The text after an edit, of which SQLite can make a table."""
    table = CreateTable.read(SQL)
    edit(table)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(table.sql)
    return table.sql


def test_comments_around_a_clause_that_is_removed_stay() -> None:
    table = CreateTable.read("CREATE TABLE t (a TEXT -- the a\n UNIQUE, b, UNIQUE (b) /* both */ CHECK (b > 0))")
    table.remove(table.columns["a"], table.columns["a"].clauses("UNIQUE")[0])
    table.remove(table.parts[2], table.parts[2].clauses("UNIQUE")[0])
    assert table.sql == "CREATE TABLE t (a TEXT -- the a\n, b,  /* both */ CHECK (b > 0))"


def test_what_is_not_edited_is_the_text() -> None:
    assert edited(lambda _: None) == SQL
    assert list(CreateTable.read(SQL).columns) == ["a", "b", "c", "d"]
    assert CreateTable.read(SQL).options == "WITHOUT ROWID"
    assert CreateTable.read("CREATE TABLE t AS SELECT 1").columns == {}


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (lambda t: t.remove(t.columns["a"]), "a TEXT, -- the a, (", ""),
        (lambda t: t.remove(t.columns["b"]), "\n    /* about b */ b INTEGER -- it's b\n    ,", "\n"),
        (lambda t: t.remove(t.columns["c"]), " c TEXT DEFAULT 'x, -- y', -- the c\n", "\n"),
        (lambda t: t.remove(t.parts[-1]), ",\n    CHECK (d <> ')') -- end\n", "\n"),
        (lambda t: t.remove(t.parts[4], t.parts[4].clauses("UNIQUE")[0]), "UNIQUE (d) CHECK", "CHECK"),
        (lambda t: t.insert(4, "e BLOB"), "PRIMARY KEY,", "PRIMARY KEY,\n    e BLOB,"),
        (lambda t: t.insert(0, "e BLOB"), "(a TEXT", "(e BLOB,\n    a TEXT"),
        (lambda t: t.insert(6, "CHECK (1)"), "(d <> ')') -- end", "(d <> ')'), -- end\n    CHECK (1)"),
        (lambda t: t.columns["b"].set_clause("NOT NULL", "NOT NULL"), "b INTEGER --", "b INTEGER NOT NULL --"),
        (lambda t: t.columns["c"].set_clause("DEFAULT", ""), " DEFAULT 'x, -- y'", ""),
        (lambda t: t.columns["a"].set_clause("TYPE", "INT"), "a TEXT", "a INT"),
        (
            lambda t: t.parts[4].set_name(t.parts[4].clauses("CHECK")[0], "my ck"),
            " CHECK (d > 0)",
            ' CONSTRAINT "my ck" CHECK (d > 0)',
        ),
    ],
)
def test_an_edit_leaves_everything_else_with_its_comments(
    edit: Callable[[CreateTable], object], old: str, new: str
) -> None:
    assert SQL.count(old) == 1
    assert edited(edit) == SQL.replace(old, new)


@settings(deadline=None)
@given(tables(), st.randoms())
def test_any_table_is_read_whole_and_keeps_its_columns_in_any_order(table: Table, random: Random) -> None:
    read = CreateTable.read(table.create)
    assert read.sql == table.create
    names = [unquoted(part.column).lower() for part in table.columns]
    assert list(read.columns) == names
    random.shuffle(names)
    read.reorder(names)
    assert list(CreateTable.read(read.sql).columns) == names
