"""What a revision's statements may do to the transaction of the run, and what is said where one can't work.

`op.get_bind()` is the run's connection. A revision may use the connections of its engine, too, by themselves or by an
ORM session: they are the same session, and their transactions are savepoints.
"""

import re
import sqlite3
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection, Engine, event

from multidb.advice.codes import Code
from multidb.advice.said import first_line
from multidb.database.connections import Driver
from multidb.errors import MigrationError, causes_of, reason_of, revision_line
from multidb.release.savepoints import Savepoints

_ENDS_TRANSACTION = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|;)*(COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!\s+(?:\w+\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_OUTSIDE = "write `outside_transaction = True` under down_revision"
_ENDING = f"a revision may not commit or roll back: all databases are committed together; leave it out, or {_OUTSIDE}"
_OWN_CONNECTION = (
    "the revision opens a connection of its own, which would see nothing of the run: use op.get_bind(), or its engine"
)


class Mode(Enum):
    """What the statements of the session may do to its transaction."""

    OWN = auto()  # they are ours, and begin and end it
    REVISION = auto()  # they are a revision's, which may not end it
    AUTOCOMMIT = auto()  # they are a revision's that runs outside a transaction


class RevisionGuard:
    """Listens to the connections of an engine.

    Args:
        driver: the session that they share; held until `let_go`.
        statement_timeout: seconds that a statement may take; 0 is no limit.
    """

    def __init__(self, driver: Driver, statement_timeout: float) -> None:
        self.mode = Mode.OWN
        self.savepoints = Savepoints(lambda statement: driver.cursor().execute(statement))
        self._driver, self._statement_timeout = driver, statement_timeout
        self._main: Connection | None = None
        self._options: Mapping[str, Any] = {}
        self._statement_began = 0.0  # by the monotonic clock, in seconds
        driver.is_held = driver.keeps_transaction = True

    def listen(self, engine: Engine) -> None:
        event.listen(engine, "before_cursor_execute", self._before_statement)
        event.listen(engine, "commit", self._on_commit)
        event.listen(engine, "rollback", self._on_rollback)
        event.listen(engine, "set_connection_execution_options", self._check_options)
        event.listen(engine, "set_engine_execution_options", self._check_options)

    def set_main(self, connection: Connection) -> None:
        """Take a connection of the engine for the run's own; every other is a revision's."""
        self._main, self._options = connection, connection.get_execution_options()

    def is_main(self, connection: Connection) -> bool:
        """Whether a connection is the run's own, rather than another of its engine."""
        return self._main is None or connection is self._main

    def let_go(self) -> None:
        """Let the session be closed."""
        self._driver.is_held = False

    @contextmanager
    def in_revision(self, *, autocommit: bool) -> Iterator[None]:
        """Refuse what would end the transaction, or let each statement commit by itself. Errors name file and line."""
        self.mode = Mode.AUTOCOMMIT if autocommit else Mode.REVISION
        self._driver.keeps_transaction = not autocommit
        try:
            with _explained(), self._connection_explained(), self._statement_timeout_explained():
                yield
        finally:
            self.mode, self._driver.keeps_transaction = Mode.OWN, True

    def end_revision(self) -> None:
        """End what a revision has left open in the engine's connections, and undo its execution options."""
        self.savepoints.end()
        if self._main is not None:
            # SQLAlchemy can add options, and remove none; a schema_translate_map would lead the record astray.
            self._main._execution_options = self._options  # type: ignore[assignment]

    @property
    def has_failed(self) -> bool:
        """Whether a statement has failed in the transaction, which executes no other then."""
        if isinstance(self._driver, sqlite3.Connection) or self._driver.closed:
            return False
        return bool(self._driver.info.transaction_status == TRANSACTION_STATUS_INERROR)

    def _on_commit(self, connection: Connection) -> None:
        if not self.is_main(connection):
            self.savepoints.commit(connection)
        elif self.mode is Mode.REVISION:
            raise MigrationError(Code.ENDS_TRANSACTION, _ENDING)

    def _on_rollback(self, connection: Connection) -> None:
        if not self.is_main(connection):
            self.savepoints.rollback(connection, has_failed=self.has_failed)
        elif self.mode is Mode.REVISION:
            raise MigrationError(Code.ENDS_TRANSACTION, _ENDING)

    def _check_options(self, connection: Connection | Engine, options: dict[str, Any]) -> None:
        """Refuse an isolation level, which would end the transaction."""
        if "isolation_level" not in options or self.mode is Mode.OWN:
            return
        if self.mode is Mode.REVISION:
            raise MigrationError(
                Code.ENDS_TRANSACTION,
                f"isolation_level = {options['isolation_level']!r} would end the transaction that all databases commit "
                f"together: {_OUTSIDE}",
            )
        if connection is not self._main:  # the session has autocommit already, which the end of this one would undo
            del options["isolation_level"]

    def _before_statement(self, connection: Connection, _cursor: object, statement: str, *_parameters: object) -> None:
        """Refuse a statement of a revision that would end the transaction, before it is sent."""
        self._statement_began = time.monotonic()
        match = _ENDS_TRANSACTION.match(statement) if self.mode is Mode.REVISION else None
        if match:
            raise MigrationError(
                Code.ENDS_TRANSACTION,
                f"{match[1].upper()} in a revision would end the transaction of all databases: leave it out",
            )
        self.savepoints.note(connection, statement)

    @contextmanager
    def _statement_timeout_explained(self) -> Iterator[None]:
        """Name the setting that cancelled a statement: the server answers every cancel with one SQLSTATE."""
        try:
            yield
        except Exception as error:
            limit, took = self._statement_timeout, time.monotonic() - self._statement_began
            is_cancelled = any(isinstance(cause, psycopg2.errors.QueryCanceled) for cause in causes_of(error))
            if not is_cancelled or not limit or took < limit:
                raise
            raise MigrationError(
                Code.CANCELLED, f"{reason_of(error)}: run with a longer -x statement_timeout="
            ) from error

    @contextmanager
    def _connection_explained(self) -> Iterator[None]:
        """Explain why a connection that a revision opens by itself fails: `engine.url` has no password."""
        try:
            yield
        except Exception as error:
            failed = [cause for cause in causes_of(error) if isinstance(cause, psycopg2.OperationalError)]
            # A failure of the run's own session closes that; SQLAlchemy opens no other for it.
            if not failed or failed[0].pgcode is not None or isinstance(self._driver, sqlite3.Connection):
                raise
            if self._driver.closed or failed[0].cursor is not None:
                raise
            raise MigrationError(
                Code.OWN_CONNECTION, _at(error, f"{first_line(str(failed[0]))}: {_OWN_CONNECTION}")
            ) from error


def _at(error: BaseException, text: str) -> str:
    """A text after the line of the revision file that raised an error."""
    place = next(filter(None, map(revision_line, causes_of(error))), None)
    return f"{place}: {text}" if place and not text.startswith(place) else text


@contextmanager
def _explained() -> Iterator[None]:
    """Begin a refusal with the line of the revision file, and explain Alembic's bare one in `autocommit_block()`."""
    try:
        yield
    except MigrationError as error:
        text = _at(error, error.reason)
        if text == error.reason:
            raise
        raise MigrationError(error.code, text, error.database) from error
    except AssertionError as error:
        if any(frame.name == "autocommit_block" for frame in traceback.extract_tb(error.__traceback__)):
            raise MigrationError(
                Code.ENDS_TRANSACTION,
                f"autocommit_block() would commit this database before the others have migrated: {_OUTSIDE}",
            ) from error
        raise
