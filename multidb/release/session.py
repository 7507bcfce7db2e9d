"""The one session that holds a database's lock, migrates the database, and commits.

Its transactions are ended here and nowhere else. SQLAlchemy believes that it has a transaction open, and what it sends
at the end does not reach the server.
"""

import sqlite3
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from multidb.advice.codes import Code
from multidb.advice.known import REPLACED
from multidb.config.configuration import Database
from multidb.config.settings import Limits
from multidb.database import blockers, connections, locks, session_settings
from multidb.database.connections import Driver
from multidb.database.locks import Wait
from multidb.database.probe import file_identity
from multidb.errors import MigrationError, reason_of
from multidb.release.guard import Mode, RevisionGuard

_FAILED_STATEMENT = (
    "a statement of the revision failed, and the revision went on, which PostgreSQL does not in one transaction: put a "
    "statement that may fail into `with op.get_bind().begin_nested():`"
)
_ENDED = (
    "a revision ended the transaction that all databases commit together, and what it did before may have been "
    "committed: remove its COMMIT or ROLLBACK"
)
# For transactions that others rely on. One that waits for a synchronous standby is not cancelled by a timeout: it would
# look replicated.
_DURABLE = "SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = on"
# A number, which is read in any settings.
_BEGAN = "(extract(epoch FROM pg_catalog.transaction_timestamp()) * 1000000)::bigint"
_VERIFY = f"SET CONSTRAINTS ALL IMMEDIATE; {_DURABLE}; SELECT {_BEGAN}, {blockers.LOCKED}"
_BEGIN = f"BEGIN; SELECT {_BEGAN}, {blockers.TABLES}"
ABANDONED = "gave up waiting for the server's answer"
_CANCEL_TIMEOUT = 1.0  # seconds
_SHORTEST_WAIT = 5.0  # seconds that a commit on SQLite waits for readers of the file, who finish soon


class EndedError(MigrationError):
    """A revision ended the transaction; what it did before may have been committed."""


class Session:
    """The session of a database that has work.

    Args:
        driver: a PostgreSQL session that holds the lock and is in no transaction; None for SQLite, whose file is
            opened when it is needed.
        limits: how long the session may block others.
        lock_wait: seconds to wait for another process that writes to an SQLite file.
    """

    def __init__(
        self, database: Database, driver: Driver, limits: Limits, lock_wait: float, dialect_cache_key: Hashable | None
    ) -> None:
        self.database, self.driver = database, driver
        self._limits, self._lock_wait, self._dialect_cache_key = limits, lock_wait, dialect_cache_key
        self._connection: Connection | None = None
        self._began: object = None  # when the last transaction began, as the server says
        self._guard: RevisionGuard | None = None  # of the connection
        self._file: tuple[object, ...] | None = None  # the identity of the SQLite file
        self._pragmas: dict[str, int] = {}  # of the SQLite connection, as it was opened
        self._is_abandoned = False
        self._tables: dict[str, str] = {}  # that the transaction found: their names by oid, on SQLite their SQL by name
        self.began_at = 0.0  # of the transaction, by time.monotonic()
        self.locked_tables: Sequence[str] = ()  # against readers or writers, by the transaction that was verified

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection; beginning its transaction begins the session's."""
        if self._connection is None:
            self._open()
            self._guard = RevisionGuard(self.driver, self._limits.statement_timeout)
            self._connection = connections.around(
                self.database.url, lambda: self.driver, self._begin, self._dialect_cache_key, self._guard.listen
            )
            self._guard.set_main(self._connection)
        return self._connection

    @property
    def guard(self) -> RevisionGuard:
        """What watches a revision's use of the connection."""
        if self._guard is None:
            _ = self.connection
        assert self._guard is not None
        return self._guard

    @property
    def backend(self) -> int | None:
        """The PostgreSQL server process of the session."""
        return None if self.database.is_sqlite else int(self.driver.info.backend_pid)

    @property
    def in_transaction(self) -> bool:
        if self.driver is None:
            return False
        if isinstance(self.driver, sqlite3.Connection):
            return self.driver.in_transaction
        return not self.driver.closed and self.driver.info.transaction_status != TRANSACTION_STATUS_IDLE

    @contextmanager
    def in_revision(self, *, autocommit: bool = False) -> Iterator[None]:
        """Refuse what would end the transaction, and detect what has ended it; or let each statement commit by itself.

        Raises:
            EndedError: the transaction has been ended.
        """
        began, guard = self._began, self.guard
        try:
            with guard.in_revision(autocommit=autocommit):
                yield
        except Exception as error:
            is_ended = not autocommit and self._transaction() not in (began, None)
            if is_ended and not _sqlite_rolled_back(error):
                raise EndedError(Code.TRANSACTION_ENDED, f"{reason_of(error)}; and {_ENDED}") from error
            raise

    def restore(self, place: str = "") -> None:
        """Restore the settings of the run's session, whatever a revision has set.

        Args:
            place: of the revision's file, for the message.

        Raises:
            MigrationError: a statement of the revision has failed, and the revision has gone on.
            psycopg2.Error, sqlite3.Error: the session is broken.
        """
        if self.guard.has_failed:
            raise MigrationError(Code.FAILURE_CAUGHT, f"{place}: {_FAILED_STATEMENT}" if place else _FAILED_STATEMENT)
        self.guard.end_revision()
        if isinstance(self.driver, sqlite3.Connection):
            session_settings.restore_pragmas(self.driver, self._pragmas)
        else:
            session_settings.restore(self.driver, self._limits, self.database.extensions)

    def verify(self) -> None:
        """Detect what a commit would refuse, while everything can still be rolled back.

        Settings, role and lock are restored, whatever a revision made of them: only the role that prepared a
        transaction may finish it. What the transaction is then prepared or committed with is durable, on synchronous
        standbys, too.

        Raises:
            EndedError: a revision ended the transaction.
            MigrationError: rows on SQLite violate a foreign key.
            LockedError: a revision has given the lock back, and another run has taken it.
            psycopg2.Error: rows violate a deferred constraint.
        """
        self.restore()
        if not self.database.is_sqlite:
            with self.driver.cursor() as cursor:
                cursor.execute(_VERIFY, [self.backend])
                began, locked = cursor.fetchone()
                if began != self._began:
                    raise EndedError(Code.TRANSACTION_ENDED, _ENDED)
            locks.lock(self.driver, Wait(0))  # a revision may have given it back; holding it twice does no harm
            self.locked_tables = [self._tables[oid] for oid in locked if oid in self._tables]
            return
        if not self.driver.in_transaction:
            raise EndedError(Code.TRANSACTION_ENDED, _ENDED)
        self._check_file()
        after = _sqlite_tables(self.driver)
        self.locked_tables = [name for name, sql in self._tables.items() if after.get(name) != sql]
        violations = self.driver.execute("PRAGMA foreign_key_check").fetchall()
        if violations:
            table, row, parent, _ = violations[0]
            raise MigrationError(
                Code.ROWS,
                f"{len(violations)} rows would violate a foreign key, such as row {row} of {table}, which refers to "
                f"{parent}: correct the revision, or the data",
            )

    def end(self, statement: str, tag: str | None = None) -> None:
        """End the transaction.

        Args:
            tag: the command tag that the server must answer; an aborted transaction answers ROLLBACK, without an error.

        Raises:
            psycopg2.Error, sqlite3.Error: the statement failed.
            MigrationError: the server answered another tag, or the session was abandoned.
        """
        try:
            if isinstance(self.driver, sqlite3.Connection):
                self.driver.execute(statement)
            else:
                with self.driver.cursor() as cursor:
                    cursor.execute(statement)
                    answer = cursor.statusmessage
                    if tag is not None and answer != tag:
                        raise MigrationError(
                            Code.COMMIT_FAILED, f"the server answered {answer} to {tag}: its log has the reason"
                        )
        except (psycopg2.Error, sqlite3.Error) as error:
            if self._is_abandoned:
                raise MigrationError(Code.ABANDONED, ABANDONED) from error
            raise
        finally:
            self.guard.savepoints.forget()
            self._close_sqlalchemy_transaction()

    def commit(self) -> None:
        """Commit, durably: the commit may decide for other databases."""
        if isinstance(self.driver, sqlite3.Connection):  # a commit waits for readers of the file
            self._check_file()
            self.driver.execute(f"PRAGMA busy_timeout = {max(_SHORTEST_WAIT, self._limits.lock_timeout) * 1000:.0f}")
            self.end("COMMIT")
            self.driver.execute("PRAGMA busy_timeout = 0")
        else:
            self.end(f"{_DURABLE}; COMMIT", "COMMIT")

    def rollback(self) -> None:
        """Roll back an open transaction; an error may have ended it already."""
        if self.in_transaction:
            self.end("ROLLBACK")
        else:
            self._close_sqlalchemy_transaction()

    def wait_for_writers(self) -> None:
        """Wait until no other process writes to an SQLite file; raise a LockedError after `lock_wait`."""
        self._open()
        locks.lock(self.driver, Wait(self._lock_wait, "lock_wait"))
        self.driver.execute("ROLLBACK")

    def begin_recording(self) -> None:
        """Begin the transaction that records a revision which ran outside of one."""
        if isinstance(self.driver, sqlite3.Connection):
            self.driver.isolation_level = None  # autocommit_block() leaves another
        else:
            self.driver.commit()
            self.driver.autocommit = True
            locks.lock(self.driver, Wait(0))  # a DISCARD ALL has given it back; holding it twice does no harm
        self._begin_transaction(self.driver)

    def close(self) -> None:
        """End the session, and with it the lock; an open transaction is rolled back."""
        # A broken connection can't be rolled back, which its server has done; the failure is known already.
        if self._guard is not None:
            self._guard.let_go()
        for each in (self._connection, self.driver):
            if each is not None:
                with suppress(DBAPIError, psycopg2.Error, sqlite3.Error):
                    each.close()

    def cancel(self) -> None:
        """Cancel the running statement; called by another thread than the one that waits for the statement."""
        if isinstance(self.driver, sqlite3.Connection):
            self.driver.interrupt()
        elif self.driver is not None and not self.driver.closed:
            cancelling = Thread(target=self._cancel, daemon=True)
            cancelling.start()
            cancelling.join(_CANCEL_TIMEOUT)  # a server that hangs never answers

    def abandon(self) -> None:
        """Give up waiting for a statement's answer; called by another thread. The server may still execute it."""
        self._is_abandoned = True
        if isinstance(self.driver, sqlite3.Connection):
            self.driver.interrupt()
        elif self.driver is not None and not self.driver.closed:
            connections.shut_down(self.driver)

    def _cancel(self) -> None:
        with suppress(psycopg2.Error):
            self.driver.cancel()

    def _open(self) -> None:
        if self.driver is None:
            path = self.database.url.database or ""
            self.driver = connections.open_to_migrate(path)
            self._pragmas = session_settings.pragmas_of(self.driver)
            self._file = file_identity(path)

    def _check_file(self) -> None:
        """Refuse to commit into a file that was replaced: SQLite itself looks only when it begins to write."""
        if file_identity(self.database.url.database or "") != self._file:
            raise MigrationError(Code.FILE_REPLACED, REPLACED)

    def _close_sqlalchemy_transaction(self) -> None:
        """Let SQLAlchemy know that its transaction has ended."""
        transaction = self._connection and self._connection.get_transaction()
        if transaction:
            with suppress(DBAPIError, psycopg2.Error, sqlite3.Error):
                transaction.close()

    def _begin(self, connection: Connection) -> None:
        if not self.guard.is_main(connection):
            self.guard.savepoints.begin(connection, in_transaction=self.in_transaction)
        elif self.guard.mode is not Mode.AUTOCOMMIT:
            self._begin_transaction(self.driver)
        else:
            self.restore()

    def _begin_transaction(self, driver: Driver) -> None:
        self.restore()
        if isinstance(driver, sqlite3.Connection):
            timeout = self._limits.lock_timeout
            locks.lock(driver, Wait(timeout, "lock_timeout") if timeout else Wait(self._lock_wait, "lock_wait"))
            self._began, self.began_at = True, time.monotonic()
            self._tables = _sqlite_tables(driver)
            return
        with driver.cursor() as cursor:
            self.began_at = time.monotonic()
            cursor.execute(_BEGIN)
            self._began, tables = cursor.fetchone()
            self._tables = tables or {}

    def _transaction(self) -> object:
        """What distinguishes the transaction from any other, as `_began`; None if the session can't be asked."""
        driver = self.driver
        if isinstance(driver, sqlite3.Connection):
            return driver.in_transaction
        if driver.closed or driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
            return None
        with driver.cursor() as cursor:
            cursor.execute(f"SELECT {_BEGAN}")
            return cursor.fetchone()[0]


def _sqlite_tables(driver: sqlite3.Connection) -> dict[str, str]:
    """The SQL of each table with its indexes and triggers, by the table's name."""
    found: dict[str, str] = {}
    for table, sql in driver.execute("SELECT tbl_name, sql FROM sqlite_master ORDER BY name"):
        found[table] = f"{found.get(table, '')}{sql};"
    return found


def _sqlite_rolled_back(error: Exception) -> bool:
    """Whether SQLite itself may roll back on this error: https://sqlite.org/lang_transaction.html"""
    cause = error.orig if isinstance(error, DBAPIError) else error
    codes = (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_INTERRUPT,
    )
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in codes
