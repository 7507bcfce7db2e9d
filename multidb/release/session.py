"""The one session that holds a database's lock, migrates it, and commits it.

Its transactions are ended here and nowhere else: SQLAlchemy believes that it has one open, and what it sends at the
end of it leaves the server's alone.
"""

import math
import re
import sqlite3
import traceback
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress

import psycopg2
from alembic.util import CommandError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from multidb.config.configuration import Database
from multidb.config.settings import Limits
from multidb.database import connections, locks
from multidb.database.connections import Driver
from multidb.database.locks import Wait
from multidb.errors import MigrationError, explain

_ENDS_TRANSACTION = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|;)*(COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!\s+(?:\w+\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_ENDED = (
    "a revision ended the transaction that all databases commit together: what it did before that may have been "
    "committed: take its commit or rollback out"
)
_VERIFY = "RESET ROLE; RESET search_path; SET CONSTRAINTS ALL IMMEDIATE; SELECT transaction_timestamp()"
_SHORTEST_WAIT = 5.0  # seconds: those who read an SQLite file let go of it soon


class EndedError(MigrationError):
    """A revision ended the transaction; what it did before may have been committed."""


class Session:
    """A session of a database that has work.

    Args:
        database: which.
        driver: a PostgreSQL session with the lock, in no transaction; None for SQLite, whose file is opened when it
            is needed.
        limits: how long it may keep others waiting.
        lock_wait: seconds to wait for another process that writes to an SQLite file.
        alike: what makes two databases the same to SQLAlchemy.
    """

    def __init__(
        self, database: Database, driver: Driver, limits: Limits, lock_wait: float, alike: Hashable | None
    ) -> None:
        self.database = database
        self.driver = driver
        self.outside = False
        self._limits, self._lock_wait, self._alike = limits, lock_wait, alike
        self._connection: Connection | None = None
        self._began: object = None
        self._in_revision = self._patient = self._is_used = False

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection; beginning a transaction of its begins the session's."""
        if self._connection is None:
            if self.driver is None:
                self.driver = connections.open_to_migrate(self.database.url.database or "")
            self._connection = connections.around(self.database.url, lambda: self.driver, self._begin, self._alike)
            event.listen(self._connection, "before_cursor_execute", self._refuse_to_end_it)
            for ending in ("commit", "rollback"):
                event.listen(self._connection, ending, self._refuse_in_a_revision)
        return self._connection

    @property
    def backend(self) -> int | None:
        """The number of PostgreSQL's process that serves it."""
        return None if self.database.is_sqlite else int(self.driver.info.backend_pid)

    @property
    def is_open(self) -> bool:
        """Whether the server has a transaction open."""
        if self.driver is None:
            return False
        if isinstance(self.driver, sqlite3.Connection):
            return self.driver.in_transaction
        return not self.driver.closed and self.driver.info.transaction_status != TRANSACTION_STATUS_IDLE

    @contextmanager
    def in_a_revision(self) -> Iterator[None]:
        """Refuse what would end the transaction, and find out if something has.

        Raises:
            MigrationError: something has.
        """
        began = self._began
        self._in_revision = True
        try:
            with _autocommit_refused():
                yield
        except Exception as error:
            if not _sqlite_rolled_back(error) and self._transaction() not in (began, None):
                raise EndedError(f"{explain(error)}; and {_ENDED}") from error
            raise
        finally:
            self._in_revision = False

    def verify(self) -> None:
        """Find what a commit would refuse, while everything can still be rolled back.

        Role and search path are ours again then, whatever a revision made of them: only the role that prepared a
        transaction may finish it, and the journal is where it was looked for.

        Raises:
            MigrationError: rows refer to nothing, or a revision ended the transaction.
            psycopg2.Error: a deferred constraint is violated.
        """
        if not self.database.is_sqlite:
            with self.driver.cursor() as cursor:
                cursor.execute(_VERIFY)
                if cursor.fetchone()[0] != self._began:
                    raise EndedError(_ENDED)
            return
        if not self.driver.in_transaction:
            raise EndedError(_ENDED)
        violations = self.driver.execute("PRAGMA foreign_key_check").fetchall()
        if violations:
            table, row, parent, _ = violations[0]
            raise MigrationError(
                f"{len(violations)} rows would refer to nothing, such as row {row} of {table}, to {parent}: "
                "correct the revision, or the data"
            )

    def end(self, statement: str, tag: str | None = None) -> None:
        """End the transaction.

        Args:
            statement: that ends it.
            tag: what the server must answer; an aborted transaction answers ROLLBACK to everything, as no error.

        Raises:
            psycopg2.Error, sqlite3.Error: it could not be done.
            MigrationError: the server answered something else.
        """
        try:
            if isinstance(self.driver, sqlite3.Connection):
                self.driver.execute(statement)
            else:
                with self.driver.cursor() as cursor:
                    cursor.execute(statement)
                    if tag is not None and cursor.statusmessage != tag:
                        raise MigrationError(f"the server answered {cursor.statusmessage} to {tag}: its log says why")
        finally:
            self._tell_sqlalchemy()

    def commit(self) -> None:
        """Commit, durably: it may decide for other databases."""
        if isinstance(self.driver, sqlite3.Connection):  # whose commit waits for those who read
            self.driver.execute(f"PRAGMA busy_timeout = {max(_SHORTEST_WAIT, self._limits.lock_timeout) * 1000:.0f}")
            self.end("COMMIT")
            self.driver.execute("PRAGMA busy_timeout = 0")
        else:
            self.end("SET LOCAL synchronous_commit = on; COMMIT", "COMMIT")

    def rollback(self) -> None:
        """Roll back what is open; an error may have done so already."""
        if self.is_open:
            self.end("ROLLBACK")
        else:
            self._tell_sqlalchemy()

    def wait_for_writers(self) -> None:
        """Wait until nobody else writes to an SQLite file, as for another run: nobody waits for us meanwhile."""
        self._patient = True
        try:
            self.connection.begin()
            self.end("ROLLBACK")
        finally:
            self._patient = False

    def begin_after_outside(self) -> None:
        """Begin the transaction that records what a revision did outside of one.

        Raises:
            MigrationError: the revision let go of the run's lock, and somebody else has it now.
        """
        if isinstance(self.driver, sqlite3.Connection):
            self.driver.isolation_level = None  # autocommit_block() leaves another
        else:
            self.driver.commit()
            self.driver.autocommit = True
            locks.take(self.driver, Wait(0))  # DISCARD ALL would have let go of it; to have it twice is no harm
        self._begin_in_earnest(self.driver)

    def close(self) -> None:
        """End the session, and with it the lock; an open transaction is rolled back."""
        # A connection that broke can't be rolled back, which its server has done; the failure is already known.
        for each in (self._connection, self.driver):
            if each is not None:
                with suppress(DBAPIError, psycopg2.Error, sqlite3.Error):
                    each.close()

    def cancel(self) -> None:
        """Cancel the statement that is running; called by another thread than the one that waits for it."""
        if isinstance(self.driver, sqlite3.Connection):
            self.driver.interrupt()
        elif self.driver is not None and not self.driver.closed:
            self.driver.cancel()

    def _tell_sqlalchemy(self) -> None:
        """Let SQLAlchemy know that its transaction has ended."""
        transaction = self._connection and self._connection.get_transaction()
        if transaction:
            with suppress(DBAPIError, psycopg2.Error, sqlite3.Error):
                transaction.close()

    def _begin(self, driver: Driver) -> None:
        if not self.outside:
            self._begin_in_earnest(driver)
        elif not isinstance(driver, sqlite3.Connection):
            with driver.cursor() as cursor:
                cursor.execute(self._settings())

    def _begin_in_earnest(self, driver: Driver) -> None:
        if isinstance(driver, sqlite3.Connection):
            timeout = 0 if self._patient else self._limits.lock_timeout
            locks.take(driver, Wait(timeout, "lock_timeout") if timeout else Wait(self._lock_wait, "lock_wait"))
            self._began = True
            return
        with driver.cursor() as cursor:
            if self._is_used:  # what a revision has set for the session is not for those of the next release
                cursor.execute(f"RESET ALL; {locks.SETTINGS}")
            self._is_used = True
            cursor.execute(f"{self._settings()}; BEGIN; SELECT transaction_timestamp()")
            self._began = cursor.fetchone()[0]

    def _settings(self) -> str:
        milliseconds = {
            "lock_timeout": self._limits.lock_timeout * 1000,
            "statement_timeout": self._limits.statement_timeout * 1000,
        }
        return "; ".join(f"SET {name} = {math.ceil(value)}" for name, value in milliseconds.items())

    def _transaction(self) -> object:
        """What tells the transaction from any other: on PostgreSQL, when it began. None if it can't be asked."""
        driver = self.driver
        if self.outside:
            return None
        if isinstance(driver, sqlite3.Connection):
            return driver.in_transaction
        if driver.closed or driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
            return None
        with driver.cursor() as cursor:
            cursor.execute("SELECT transaction_timestamp()")
            return cursor.fetchone()[0]

    def _refuse_in_a_revision(self, _connection: Connection) -> None:
        if self._in_revision and not self.outside:
            raise MigrationError("a revision may not commit or roll back: all databases are committed together")

    def _refuse_to_end_it(
        self,
        _connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        _context: object,
        _many: bool,
    ) -> None:
        """Refuse a statement of a revision's that would end the transaction, before it is sent."""
        match = _ENDS_TRANSACTION.match(statement) if self._in_revision and not self.outside else None
        if match:
            raise MigrationError(
                f"{match[1].upper()} in a revision would end the transaction of all databases: leave it out"
            )


def _sqlite_rolled_back(error: Exception) -> bool:
    """Whether it is one of the errors on which SQLite itself may roll back: https://sqlite.org/lang_transaction.html"""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_INTERRUPT,
    }


@contextmanager
def _autocommit_refused() -> Iterator[None]:
    """Say what Alembic's bare AssertionError means."""
    try:
        yield
    except AssertionError as error:
        if any(frame.name == "autocommit_block" for frame in traceback.extract_tb(error.__traceback__)):
            raise CommandError(
                "autocommit_block() would commit this database before the others have migrated: "
                "write `outside_transaction = True` under down_revision"
            ) from error
        raise
