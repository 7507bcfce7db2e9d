"""Tables drawn at random, and one operation of a batch on each: the rest is equal before and after."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from multidb.errors import MigrationError
from multidb.schema.sqlite.catalog import is_blank, pieces, quoted
from tests.support.batches import Database, batch, opened, revised, texts_of
from tests.support.tables import LITERAL, Part, Table, reference, tables, unquoted

TYPES: dict[str, TypeEngine[Any]] = {
    "INTEGER": sa.Integer(),
    "VARCHAR(30)": sa.String(30),
    "NUMERIC(8, 3)": sa.Numeric(8, 3),
    "TEXT": sa.Text(),
}


@dataclass(frozen=True)
class Change:
    """An operation, and the table that it makes; None if it has to be refused."""

    table: Table | None
    step: Callable[[BatchOperations], object] = lambda _: None
    may_not_fit: bool = False  # rows may prevent it
    converted: str = ""  # the column whose values may be converted
    native: str = ""  # SQLite's own statement for the same
    order: tuple[str, ...] = ()


def changes(table: Table) -> st.SearchStrategy[Change]:
    return st.one_of(_column_changed(table), _table_changed(table), _constraint_dropped(table), _columns_ordered(table))


@st.composite
def _column_changed(draw: st.DrawFn, table: Table) -> Change:
    part = draw(st.sampled_from(table.columns))
    name = unquoted(part.column)
    match draw(st.sampled_from(["type", "null", "default", "drop", "rename"])):
        case "type":
            text = draw(st.sampled_from(sorted(TYPES)))
            made = table.with_part(part, part.changed("TYPE", text))
            return Change(made, lambda b: b.alter_column(name, type_=TYPES[text]), True, part.column)
        case "null":
            nullable, old = draw(st.booleans()), part.of_kind("NOT NULL")
            made = table.with_part(part, part.changed("NOT NULL", "" if nullable else old.text if old else "NOT NULL"))
            return Change(made, lambda b: b.alter_column(name, nullable=nullable), True)
        case "default":
            literal = draw(st.one_of(st.just(""), LITERAL))
            made = table.with_part(part, part.changed("DEFAULT", f"DEFAULT {literal}" if literal else ""))
            default = literal[1:-1].replace("''", "'") if literal else None
            return Change(made, lambda b: b.alter_column(name, server_default=default))
        case "drop":
            return Change(_dropped(table, part), lambda b: b.drop_column(name))
    native = f"ALTER TABLE t RENAME COLUMN {part.column} TO other_name"
    return Change(table, lambda b: b.alter_column(name, new_column_name="other_name"), native=native)


@st.composite
def _table_changed(draw: st.DrawFn, table: Table) -> Change:
    column = draw(st.sampled_from(table.columns)).column
    name = unquoted(column)
    match draw(st.sampled_from(["nothing", "add", "check", "unique"])):
        case "add":
            made = table.inserted(len(table.columns), "new TEXT DEFAULT 'it''s :x 5%'")
            return Change(made, lambda b: b.add_column(sa.Column("new", sa.Text, server_default="it's :x 5%")))
        case "check":
            expression = f"{reference(column)} <> {draw(LITERAL.filter(lambda literal: chr(92) not in literal))}"
            made = table.inserted(len(table.parts), f"CONSTRAINT mine CHECK ({expression})")
            escaped = expression.replace(":", r"\:")
            return Change(made, lambda b: b.create_check_constraint("mine", escaped), True)
        case "unique":
            made = table.inserted(len(table.parts), f"CONSTRAINT mine UNIQUE ({quoted(name)})")
            return Change(made, lambda b: b.create_unique_constraint("mine", [name]), True)
    return Change(table)


@st.composite
def _columns_ordered(draw: st.DrawFn, table: Table) -> Change:
    order = draw(st.permutations(table.columns))
    parts = (*order, *(part for part in table.parts if not part.is_column))
    return Change(replace(table, parts=parts), order=tuple(unquoted(part.column) for part in order))


@st.composite
def _constraint_dropped(draw: st.DrawFn, table: Table) -> Change:
    named = [(part, word) for part in table.parts for word in part.words if word.name]
    if not named:
        return Change(None, lambda b: b.drop_constraint("none"))
    name = draw(st.sampled_from([word.name or "" for _, word in named]))
    part, word = next((part, word) for part, word in named if word.name == name)  # of several, the first one
    return Change(table.without(part, word), lambda b: b.drop_constraint(unquoted(name)))


def _dropped(table: Table, dropped: Part) -> Table | None:
    """The table without a column and what is of it alone; None if something is of others, too."""
    name = dropped.column
    found = replace(table, parts=tuple(part for part in table.parts if part is not dropped))
    for word in [word for part in found.parts for word in part.words if name in word.uses]:
        if word.uses != {name}:
            return None
        found = found.without(next(part for part in found.parts if any(each is word for each in part.words)), word)
    for kind, _, uses in table.others:
        if name in uses and (kind != "index" or uses != {name}):
            return None
    return replace(found, others=tuple(other for other in table.others if name not in other[2]))


def _with_possible_rows(table: Table) -> Table:
    try:
        with opened(replace(table, rows=(), others=()).script) as database:
            table = replace(table, rows=tuple(row for row in table.rows if _is_inserted(database, table.insert(row))))
        texts_of(table.script)
    except (sqlite3.Error, DBAPIError):
        event("no table")
        reject()
    return table


def _is_inserted(database: Database, statement: str) -> bool:
    try:
        database.execute(statement)
    except DBAPIError:
        return False
    return True


def _texts_after(change: Change, table: Table) -> dict[str, str] | None:
    """What has to be there after a change; None if it has to be refused."""
    try:
        if change.native:
            return texts_of(f"{table.script};{change.native}")
        return None if change.table is None else texts_of(replace(change.table, rows=()).script)
    except sqlite3.Error:
        return None


def _without_blanks(texts: dict[str, str]) -> dict[str, str]:
    return {name: " ".join(each for each in pieces(sql) if not is_blank(each)) for name, sql in texts.items()}


def _rows(database: Database, table: Table, converted: str = "") -> list[tuple[Any, ...]]:
    """The rows with their numbers; without a column whose values are converted, which may be their number."""
    parts = [part for part in table.columns if part.column != converted]
    names = [reference(part.column) for part in parts if not any(converted in word.uses for word in part.words)]
    listed = ["rowid"] * (table.has_rowid and not converted) + [f"quote({name}), typeof({name})" for name in names]
    return sorted(database.query(f"SELECT {', '.join(listed or ['1'])} FROM t"))


def _sequence(database: Database) -> list[tuple[Any, ...]]:
    is_there = database.query("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
    return database.query("SELECT * FROM sqlite_sequence") if is_there else []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_what_an_operation_does_not_name_is_equal_before_and_after(data: st.DataObject) -> None:
    table = _with_possible_rows(data.draw(tables()))
    change = data.draw(changes(table))
    expected = _texts_after(change, table)
    failures: list[Exception] = []

    def revision(op: Operations) -> None:
        try:
            batch("t", change.step, recreate="always", partial_reordering=[change.order] if change.order else ())(op)
        except (MigrationError, DBAPIError) as error:
            failures.append(error)

    with opened(table.script) as before:
        try:
            with revised(table.script, revision) as after:
                event("refused" if failures else "done")
                if failures:
                    assert expected is None or (change.may_not_fit and "don't fit" in str(failures[0])), failures
                    assert (after.texts, _rows(after, table)) == (before.texts, _rows(before, table))
                    return
                assert expected is not None
                assert _without_blanks(after.texts) == _without_blanks(expected)
                if not change.native and change.table is not None:
                    names = {part.column for part in table.columns}
                    kept = tuple(part for part in change.table.columns if part.column in names)
                    rows = [_rows(each, replace(table, parts=kept), change.converted) for each in (before, after)]
                    assert rows[0] == rows[1]
                if "AUTOINCREMENT" in after.sql("t"):
                    assert _sequence(after) == _sequence(before)
        except MigrationError as error:
            event("no longer works")
            assert expected is None
            assert "no longer works" in str(error)
