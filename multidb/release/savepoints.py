"""Transactions that a revision begins on `op.get_bind().engine`: savepoints in the transaction of the run.

The engine's connections share the run's session with `op.get_bind()`, so that an ORM session or `engine.begin()` sees
what the revision has done, and is committed and rolled back together with all databases.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.database.quoting import without_comments
from multidb.errors import MigrationError

_READS = re.compile(r"[\s(]*(?:SELECT|SHOW|VALUES|TABLE|EXPLAIN|FETCH|PRAGMA)\b", re.IGNORECASE)


@dataclass
class _Savepoint:
    connection: Connection
    name: str | None  # None for a transaction of its own, where the revision runs outside one
    has_written: bool = False
    is_crossed: bool = False  # whether another connection has written since
    is_done: bool = False  # committed, and kept while a later one is open


class Savepoints:
    """The open transactions of an engine's connections.

    Args:
        execute: sends a statement to the session.
    """

    def __init__(self, execute: Callable[[str], object]) -> None:
        self._execute, self._numbers = execute, count(1)
        self._open: list[_Savepoint] = []

    def begin(self, connection: Connection, *, in_transaction: bool) -> None:
        """Begin a connection's transaction: a savepoint, or a transaction of its own if the session is in none."""
        name = f"multidb_{next(self._numbers)}" if in_transaction else None
        self._execute(f"SAVEPOINT {name}" if name else "BEGIN")
        self._open.append(_Savepoint(connection, name))

    def note(self, connection: Connection, statement: str) -> None:
        """Note that a connection executes a statement, `op.get_bind()` included."""
        if self._open and not _READS.match(without_comments(statement)):
            for each in self._open:
                if each.connection is connection:
                    each.has_written = True
                else:
                    each.is_crossed = True

    def commit(self, connection: Connection) -> None:
        found = self._of(connection)
        if found is not None:
            found.is_done = True
            self._release()

    def rollback(self, connection: Connection, *, has_failed: bool) -> None:
        """Roll a connection's transaction back; `has_failed` says that a statement has failed in it.

        Raises:
            MigrationError: what another connection has done since would be lost.
        """
        found = self._of(connection)
        if found is None:
            return
        if found.is_crossed and not found.has_written and not has_failed:  # there is nothing to roll back
            found.is_done = True
            self._release()
            return
        if found.is_crossed:
            raise MigrationError(
                Code.ENGINE_ROLLBACK,
                "rolling back on op.get_bind().engine would undo what another connection has done since: give both "
                "`op.get_bind()`, and `begin_nested()` to what may fail",
            )
        if found.name is None:
            self._execute("ROLLBACK")
        else:
            self._execute(f"ROLLBACK TO SAVEPOINT {found.name}")
            self._execute(f"RELEASE SAVEPOINT {found.name}")
        del self._open[self._open.index(found) :]

    def end(self) -> None:
        """Commit what a revision has left open: a session that it has only read by, most often."""
        for each in self._open:
            each.is_done = True
        self._release()

    def forget(self) -> None:
        """Forget all: the transaction of the run has ended."""
        self._open.clear()

    def _of(self, connection: Connection) -> _Savepoint | None:
        return next((each for each in self._open if each.connection is connection and not each.is_done), None)

    def _release(self) -> None:
        """Release the newest ones that are done; one below an open one waits for that."""
        while self._open and self._open[-1].is_done:
            name = self._open.pop().name
            self._execute(f"RELEASE SAVEPOINT {name}" if name else "COMMIT")
