"""Observes what the statements of revisions do to a scratch database on SQLite, whose locks are of the whole file."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from multidb.database import connections
from multidb.database.listening import listening
from multidb.database.quoting import quoted
from multidb.errors import current_revision_line
from multidb.rehearsal.observation import TableChange

_WRITES = re.compile(
    r"\s*(?:WITH\b.*\)\s*)?(UPDATE|DELETE\s+FROM|INSERT\s+INTO|REPLACE\s+INTO)\s+(?:OR\s+\w+\s+)?[\"`\[]?(\w+)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class _State:
    tables: Mapping[str, int]  # by name, the page where the table begins; a rebuilt one has another
    columns: Mapping[str, tuple[str, ...]]
    indexes: Mapping[str, str]  # by name, the table


class Observer:
    """Observes the tables that were there before the first revision.

    Args:
        revisions: by the place of each file that is run, its revision.
    """

    def __init__(self, revisions: Mapping[str, str]) -> None:
        self.changes: list[TableChange] = []
        self._revisions = revisions
        self._first: _State | None = None

    @contextmanager
    def stage(self, connection: Connection, _number: int, *, outside: bool) -> Iterator[None]:  # noqa: ARG002 - as PostgreSQL's
        """Observe the statements of one stage of the plan, each with the state before it."""
        state: _State | None = None
        rebuilt: dict[str, str] = {}  # tables that are gone for the moment, each with the place of the batch

        def before(connection: Connection, *_arguments: Any) -> None:
            nonlocal state
            state = _state(connections.driver_of(connection))
            self._first = self._first or state

        def after(connection: Connection, _cursor: object, text: str, *_arguments: Any) -> None:
            place = current_revision_line()
            if place is None or state is None:
                return
            self._note(place, text, state, _state(connections.driver_of(connection)), rebuilt)

        with listening(connection.engine, {"before_cursor_execute": before, "after_cursor_execute": after}):
            yield
        for table, place in rebuilt.items():
            self._add(place, table, "dropped")

    def _note(self, place: str, text: str, old: _State, new: _State, rebuilt: dict[str, str]) -> None:
        first = self._first or old
        rebuilt.update({table: place for table in old.tables.keys() - new.tables.keys() if table in first.tables})
        for table in new.tables.keys() & first.tables.keys():
            if table in rebuilt:
                self._add(rebuilt.pop(table), table, "rebuilt")
                self._note_columns(place, table, first.columns[table], new.columns[table])
            elif len(new.columns[table]) < len(old.columns[table]):
                self._note_columns(place, table, old.columns[table], new.columns[table])
        for index in new.indexes.keys() - first.indexes.keys():
            if new.indexes[index] in first.tables:
                self._add(place, new.indexes[index], "index created", index)
        match = _WRITES.match(text)
        if match and match[2] in first.tables and match[2] in new.tables:
            self._add(place, match[2], "written")

    def _note_columns(self, place: str, table: str, old: Sequence[str], new: Sequence[str]) -> None:
        for column in (each for each in old if each not in new):
            self._add(place, table, "column dropped", column)

    def _add(self, place: str, table: str, what: str, detail: str = "") -> None:
        revision = self._revisions.get(place.rpartition(":")[0], "")
        found = TableChange(revision, place, table, what, detail)
        if found not in self.changes:
            self.changes.append(found)


def _state(driver: sqlite3.Connection) -> _State:
    rows = driver.execute(
        "SELECT type, name, tbl_name, rootpage FROM sqlite_master WHERE type IN ('table', 'index')"
    ).fetchall()
    tables = {name: page for kind, name, _, page in rows if kind == "table" and not name.startswith("sqlite_")}
    columns = {name: tuple(row[1] for row in driver.execute(f"PRAGMA table_info({quoted(name)})")) for name in tables}
    indexes = {name: table for kind, name, table, _ in rows if kind == "index" and not name.startswith("sqlite_")}
    return _State(tables, columns, indexes)
