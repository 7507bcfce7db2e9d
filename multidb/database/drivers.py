"""The drivers' connections, as a run holds them: what a revision's code says to them does not end the session.

A revision may use `op.get_bind().engine`, whose connections are the run's own session. SQLAlchemy commits, rolls back
and closes a driver's connection by calls of its methods; in a session that is held, these do nothing.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from psycopg2 import extensions

from multidb.advice.codes import Code
from multidb.errors import MigrationError


class _Held:
    """A driver's connection whose session may be held.

    Attributes:
        is_held: whether a run holds the session: `close` does nothing then.
        keeps_transaction: whether `commit` and `rollback` do nothing.
    """

    is_held = keeps_transaction = False

    def commit(self: Any) -> None:
        if not self.keeps_transaction:
            super().commit()  # type: ignore[misc] # of the driver's connection, which is the other base

    def rollback(self: Any) -> None:
        if not self.keeps_transaction:
            super().rollback()  # type: ignore[misc] # as above

    def close(self: Any) -> None:
        if not self.is_held:
            super().close()  # type: ignore[misc] # as above


class PostgresqlConnection(_Held, extensions.connection):
    """A session on PostgreSQL.

    Attributes:
        arguments: those of `psycopg2.connect`, for a session that asks for the cause of an error after this has ended.
    """

    arguments: Mapping[str, Any] | None = None

    def cursor(  # type: ignore[override]  # the driver's types have three
        self, name: str | None = None, *arguments: Any, **options: Any
    ) -> Any:
        """A cursor; one with a name is on the server.

        The driver refuses a named cursor under autocommit, because it does not know of a transaction that was begun by
        a statement, as a run begins its own.
        """
        if name is None or not self.is_held or not self.autocommit:
            return super().cursor(name, *arguments, **options)
        if self.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE:
            raise MigrationError(
                Code.SERVER_SIDE_CURSOR,
                "a server-side cursor needs a transaction: `with op.get_bind().engine.begin() as connection:`, and "
                "read by that connection",
            )
        cursor = super().cursor(cursor_factory=ServerSideCursor)
        cursor.server_name = extensions.quote_ident(name, self)
        return cursor


class ServerSideCursor(extensions.cursor):
    """A cursor on the server, in a transaction that the driver does not know of: forward only, as the driver's own."""

    server_name: str
    _is_open = False

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - as the driver has it
        statement = self.mogrify(query, vars).decode(extensions.encodings[self.connection.encoding])
        super().execute(f"DECLARE {self.server_name} NO SCROLL CURSOR FOR {statement}")
        self._is_open = True

    def fetchone(self) -> Any:
        self._fetch("1")
        return super().fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        self._fetch(str(self.arraysize if size is None else size))
        return super().fetchall()

    def fetchall(self) -> Any:
        self._fetch("ALL")
        return super().fetchall()

    def __next__(self) -> Any:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __iter__(self) -> Any:
        while rows := self.fetchmany(self.itersize):
            yield from rows

    def close(self) -> None:
        # A failed transaction has closed it, and so has the end of the revision.
        if self._is_open and self.connection.info.transaction_status == extensions.TRANSACTION_STATUS_INTRANS:
            super().execute("SELECT 1 FROM pg_catalog.pg_cursors WHERE quote_ident(name) = %s", [self.server_name])
            if super().fetchone():
                super().execute(f"CLOSE {self.server_name}")
        self._is_open = False
        super().close()

    def _fetch(self, number: str) -> None:
        super().execute(f"FETCH FORWARD {number} FROM {self.server_name}")


class SqliteConnection(_Held, sqlite3.Connection):
    """A connection to an SQLite file."""
