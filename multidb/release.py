"""One run over several databases: all of them move, or none.

Every database that has work is migrated in an open transaction. Nothing is committed until all have migrated;
if one fails, all are rolled back.
"""

import re
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg2
from alembic.util import CommandError
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from multidb import engines, planning
from multidb.engines import Driver
from multidb.environment import Environment
from multidb.errors import MigrationError, explain, named
from multidb.logs import log, naming
from multidb.looking import Look, look_at

_ENDS_TRANSACTION = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|;)*(COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!\s+(?:\w+\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)

_ENDED = (
    "a revision ended the transaction that all databases commit together: what it did before that may have been "
    "committed: take its commit or rollback out"
)


class Participant:
    """A database that has work, and the connection that does it."""

    def __init__(self, environment: Environment, look: Look, connections: ExitStack) -> None:
        self.environment = environment
        self.database = look.database
        with named(self.database.name):
            connection = engines.connect_to_migrate(self.database.url, look.connection)
        self.connection = connection
        self._driver: Driver = connection.connection.driver_connection
        connections.callback(self._close)
        self.committed = False
        self._migrating = False

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Alembic's context in this database, inside a transaction that stays open."""
        with self.environment.working_on(self.database.name), _autocommit_refused():
            self.connection.begin()
            event.listen(self.connection, "before_cursor_execute", _refuse_to_end_it)
            for ending in ("commit", "rollback"):
                event.listen(self.connection, ending, self._refuse_in_a_revision)
            began = self._transaction()
            self.environment.configure(
                self.database, self.connection, work=planning.work_in(self.environment, self.database)
            )
            self._migrating = True
            try:
                yield
            except Exception as error:
                if not _sqlite_rolled_back(error) and self._transaction() not in (began, None):
                    raise MigrationError(f"{explain(error)}; and {_ENDED}") from error
                raise
            finally:
                self._migrating = False
            if self._transaction() != began:
                raise MigrationError(_ENDED)

    def _transaction(self) -> object:
        """What tells the transaction from any other: on PostgreSQL, when it began. None if it can't be asked."""
        driver = self._driver
        if isinstance(driver, sqlite3.Connection):
            return driver.in_transaction
        if driver.closed or driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
            return None
        with driver.cursor() as cursor:
            cursor.execute("SELECT transaction_timestamp()")
            return cursor.fetchone()[0]

    def _close(self) -> None:
        # A connection that broke can't be rolled back, which its server has done; the failure is already known.
        with suppress(DBAPIError, psycopg2.Error, sqlite3.Error):
            self.connection.close()

    def verify(self) -> None:
        """Find what a commit would refuse, while everything can still be rolled back."""
        with naming(self.database.name), named(self.database.name):
            if not self.database.is_sqlite:
                self.connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
                return
            violations = self.connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if violations:
                table, row, parent, _ = violations[0]
                raise MigrationError(
                    f"{len(violations)} rows would refer to nothing, such as row {row} of {table}, to {parent}: "
                    "correct the revision, or the data"
                )

    def commit(self) -> None:
        self.connection.commit()
        self.committed = True

    def _refuse_in_a_revision(self, _connection: Connection) -> None:
        if self._migrating:
            raise MigrationError("a revision may not commit or roll back: all databases are committed together")


@contextmanager
def opened(environment: Environment) -> Iterator[list[Participant]]:
    """The databases that have work, with their transactions; committed together when the block ends.

    Args:
        environment: the command and its databases.

    Raises:
        MigrationError: a database can't be reached or can't move as asked, or a migration failed. Nothing is
            committed then, unless a commit itself failed: the message says which were before it.
    """
    with ExitStack() as connections:
        looks = look_at(environment.databases)
        for look in looks:
            connections.callback(look.close)
        participants = [Participant(environment, look, connections) for look in planning.with_work(environment, looks)]
        if not participants:
            log.info("nothing to do in %s", _count(len(environment.databases)))
        try:
            yield participants
            for participant in participants:
                participant.verify()
        except KeyboardInterrupt as error:
            raise MigrationError("interrupted; no database was changed") from error
        _commit(participants)


def _commit(participants: list[Participant]) -> None:
    # SQLite writes when it commits, and a full disk shows only then: while all others can still be rolled back.
    for participant in sorted(participants, key=lambda each: not each.database.is_sqlite):
        try:
            participant.commit()
        except (Exception, KeyboardInterrupt) as error:
            done = [each.database.name for each in participants if each.committed]
            raise MigrationError(
                f"{participant.database.name}: the commit failed: {explain(error)}; "
                + (f"committed before it: {', '.join(done)}" if done else "no database was changed")
            ) from error
    if participants:
        log.info("committed in %s", _count(len(participants)))


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


def _refuse_to_end_it(
    _connection: Connection, _cursor: object, statement: str, _parameters: object, _context: object, _many: bool
) -> None:
    """Refuse a statement of a revision's that would end the transaction, before it is sent."""
    match = _ENDS_TRANSACTION.match(statement)
    if match:
        raise MigrationError(
            f"{match[1].upper()} in a revision would end the transaction of all databases: leave it out"
        )


@contextmanager
def _autocommit_refused() -> Iterator[None]:
    """Say what Alembic's bare AssertionError means."""
    try:
        yield
    except AssertionError as error:
        if any(frame.name == "autocommit_block" for frame in traceback.extract_tb(error.__traceback__)):
            raise CommandError(
                "autocommit_block() would commit this database before the others have migrated: "
                "leave it out, or run its statements by hand"
            ) from error
        raise


def _count(number: int) -> str:
    return "1 database" if number == 1 else f"{number} databases"
