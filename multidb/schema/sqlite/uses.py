"""What uses a table: views, triggers and foreign keys that stop working when something of it is lost.

SQLite notices that when they are used next. EXPLAIN compiles a statement without running it, so it notices at once; the
authorizer is called with the columns that the statement reads (https://sqlite.org/c3ref/set_authorizer.html).
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from multidb.advice.codes import Code
from multidb.advice.said import first_line
from multidb.errors import MigrationError
from multidb.schema.sqlite.catalog import folded, quoted

_OBJECTS = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'"
_COLUMNS = """
    SELECT t.name, c.name FROM sqlite_master t, pragma_table_xinfo(t.name) c
    WHERE c.hidden = 0 AND t.name IN (SELECT tbl_name FROM sqlite_master WHERE type = 'trigger')
"""


@dataclass
class Uses:
    """The uses of all tables at one moment."""

    failures: dict[str, str] = field(default_factory=dict)  # what does not compile, each with SQLite's reason
    reads: set[tuple[str, str, str]] = field(default_factory=set)  # view or trigger; table and column in lower case

    @classmethod
    def read(cls, connection: Connection) -> "Uses":
        found = cls()
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        statements = list(_statements(connection))
        driver.set_authorizer(found._note)
        try:
            for use, statement in statements:
                try:
                    connection.exec_driver_sql(f"EXPLAIN {statement}").close()
                except DBAPIError as error:
                    found.failures[use] = first_line(str(error.orig))
        finally:
            driver.set_authorizer(None)
        return found

    def _note(self, action: int, table: str | None, column: str | None, _file: str | None, user: str | None) -> int:
        if action == sqlite3.SQLITE_READ and user and table and column:
            self.reads.add((user, folded(table), folded(column)))
        return sqlite3.SQLITE_OK


class LostUses:
    """What stops working while tables are altered, until something replaces it.

    Args:
        before: the uses before any table is altered; what does not work then is of no interest.
    """

    def __init__(self, connection: Connection, before: Uses) -> None:
        self._connection, self._failing = connection, set(before.failures)
        self._places: dict[str, str] = {}
        # A column in double quotes that is dropped becomes a text: https://sqlite.org/quirks.html#dblquote
        self._readers: dict[str, tuple[str, str, str]] = {}  # the statement, the place, the column

    def note(self, place: str, before: Uses, table: str, dropped: set[str]) -> None:
        """Note what a change has broken.

        Args:
            place: of the change, for the message; may be empty.
            before: the uses before it.
            table: the table that was altered.
            dropped: its columns that were dropped, in lower case.
        """
        after = Uses.read(self._connection)
        for use in after.failures:
            if use not in self._failing:
                self._places.setdefault(use, place)
        for user, read, column in before.reads - after.reads:
            if read == folded(table) and column in dropped:
                self._readers.setdefault(user, (self._statement_of(user), place, f"{table}.{column}"))

    def check(self) -> None:
        """Raise a MigrationError if something does not work that worked before."""
        if self._places:
            failures = Uses.read(self._connection).failures
            for use, place in self._places.items():
                if use in failures:
                    raise _no_longer_works(place, use, failures[use])
        for user, (statement, place, column) in self._readers.items():
            if statement and self._statement_of(user) == statement:
                raise _no_longer_works(place, user, f"it reads {column}, which is dropped")

    def _statement_of(self, name: str) -> str:
        query = "SELECT sql FROM sqlite_master WHERE name = ? AND type IN ('view', 'trigger')"
        return self._connection.exec_driver_sql(query, (name,)).scalar() or ""


def _no_longer_works(place: str, use: str, reason: str) -> MigrationError:
    return MigrationError(
        Code.BATCH, f"{place}{use} no longer works: {reason}: drop it before the batch, and create it again"
    )


def _statements(connection: Connection) -> Iterator[tuple[str, str]]:
    """What is used, and a statement that uses it."""
    for kind, name in _rows(connection, _OBJECTS):
        if kind == "view":
            yield f"view {name}", f"SELECT * FROM {quoted(name)}"
        else:
            yield f"a foreign key of {name}", f"PRAGMA foreign_key_check({quoted(name)})"
    columns: dict[str, list[str]] = {}
    for table, column in _rows(connection, _COLUMNS):
        columns.setdefault(table, []).append(quoted(column))
    for table, names in columns.items():
        yield f"a trigger of {table} on INSERT", f"INSERT INTO {quoted(table)} DEFAULT VALUES"
        values = ", ".join(f"{name} = {name}" for name in names)
        yield f"a trigger of {table} on UPDATE", f"UPDATE {quoted(table)} SET {values}"
        yield f"a trigger of {table} on DELETE", f"DELETE FROM {quoted(table)}"


def _rows(connection: Connection, query: str) -> list[tuple[str, str]]:
    return [(first, second) for first, second in connection.exec_driver_sql(query)]
