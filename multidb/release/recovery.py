"""Recovery: resolve the prepared transactions that an interrupted run left in doubt.

The name of a prepared transaction names its decider. The decider's journal holds the decision, for the session that
holds the decider's lock: then no process is left that could still decide. Missing evidence is never a rollback.
https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from multidb.config.configuration import Configuration, Database
from multidb.database import connections, journal, locks
from multidb.database.attempt import Prepared
from multidb.database.connections import Driver
from multidb.database.locks import Wait
from multidb.database.probe import POOLED
from multidb.errors import ConfigError, MigrationError, explain
from multidb.logs import for_database

_SQLITE_JOURNAL = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{journal.NAME}'"  # noqa: S608 - ours
_BUSY_TIMEOUT = 5.0  # seconds to wait for another session that finishes the same transaction


@dataclass(frozen=True)
class Resolution:
    """What became of a prepared transaction: committed or rolled back; None if it is still in doubt, and why."""

    database: Database
    prepared: Prepared
    committed: bool | None
    reason: str = ""

    def __str__(self) -> str:
        if self.committed is None:
            return (
                f"in doubt: {self.prepared.gid}: {self.reason}: correct that and run `python -m multidb recover`; "
                "`python -m multidb status` prints the SQL to resolve it by hand"
            )
        done = "committed" if self.committed else "rolled back"
        return f"{done} {self.prepared.gid}, as {self.prepared.decider} had decided"


def resolve(
    configuration: Configuration, in_doubt: Sequence[tuple[Database, Prepared]], seconds: float
) -> Iterator[Resolution]:
    """Finish prepared transactions, each given with its database, as their deciders' journals say.

    A decider need not be a database that the command addresses. Its lock is waited for so many seconds.

    Yields:
        What became of each, as it is known; a failure of one leaves the transaction in doubt, and stops no other.
    """
    for database, prepared in in_doubt:
        with for_database(database.name):
            try:
                committed = decision(_decider(configuration, prepared.decider), prepared.attempt, seconds)
                reason = f"the journal of {prepared.decider} has no row of it" if committed is None else ""
                if committed is not None:
                    finish(database, prepared.gid, commit=committed)
            except Exception as error:
                committed, reason = None, explain(error)
            yield Resolution(database, prepared, committed, reason)


def decision(database: Database, attempt: str, seconds: float) -> bool | None:
    """Whether an attempt was committed in its decider, read under the decider's lock.

    Returns:
        True or False as the journal says; None if the journal has no row of the attempt.

    Raises:
        LockedError: another session held the lock for more than so many seconds.
        MigrationError: the database does not exist.
        psycopg2.Error, sqlite3.Error: the database can't be asked.
    """
    with _session(database) as driver:
        locks.lock(driver, Wait(seconds))
        return _decision(database, driver, attempt)


def finish(database: Database, gid: str, *, commit: bool, broken: float | None = None) -> None:
    """Commit or roll back a prepared transaction over a session of its own; another session may have done so already.

    Args:
        broken: where the session that prepared it has just broken: seconds to wait until that session has ended and
            given its lock back, before which the server may still be about to prepare.

    Raises:
        LockedError: that session has not ended.
        psycopg2.Error: the transaction can't be finished.
    """
    with _session(database) as driver:
        if broken is not None:
            locks.lock(driver, Wait(broken))
        finish_in(driver, gid, commit=commit)


def finish_in(driver: Driver, gid: str, *, commit: bool) -> None:
    """Commit or roll back a prepared transaction over a given session, which is in no transaction."""
    wait = Wait(_BUSY_TIMEOUT)
    while True:
        try:
            with driver.cursor() as cursor:
                cursor.execute(f"{'COMMIT' if commit else 'ROLLBACK'} PREPARED %s", [gid])
        except psycopg2.errors.UndefinedObject:  # another session has finished it
            return
        except psycopg2.errors.ObjectNotInPrerequisiteState:  # "is busy": another session is finishing it
            wait.pause(lambda: "another session that finishes it")
        else:
            return


def sql_by_hand(prepared: Prepared, committed: bool | None) -> str:
    """The SQL with which an operator can finish a transaction, in its database; None if the decider can't say how."""
    if committed is None:
        return f"COMMIT PREPARED '{prepared.gid}'; -- or ROLLBACK PREPARED: as in the other databases of the run"
    return f"{'COMMIT' if committed else 'ROLLBACK'} PREPARED '{prepared.gid}';"


def evidence(configuration: Configuration, prepared: Prepared) -> bool | None:
    """What the decider's journal says now, read without the decider's lock: enough to be shown, not to act on."""
    try:
        database = _decider(configuration, prepared.decider)
        with _session(database) as driver:
            return _decision(database, driver, prepared.attempt)
    except Exception:  # shown as unknown
        return None


def _decider(configuration: Configuration, name: str) -> Database:
    if name not in configuration.names:
        raise MigrationError(f"its decider is {name!r}, which databases.yaml does not have")
    try:
        return configuration.databases([name])[0]
    except ConfigError as error:
        raise MigrationError(f"the URL of its decider {name} is not known: {error}") from error


@contextmanager
def _session(database: Database) -> Iterator[Driver]:
    """A session that creates nothing: a file that does not exist is no evidence."""
    if database.is_sqlite:
        path = Path(database.url.database or "")
        if not path.exists():
            raise MigrationError(f"the file of {database.name} does not exist: {path}")
        with closing(connections.open_existing(path)) as driver:
            driver.execute("PRAGMA busy_timeout = 0")
            yield driver
        return
    with closing(connections.open_to_read(database.url)) as driver:
        with driver.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'; SELECT pg_backend_pid()")
            if cursor.fetchone()[0] != driver.info.backend_pid:
                raise MigrationError(POOLED)
        yield driver


def _decision(database: Database, driver: Driver, attempt: str) -> bool | None:
    cursor = driver.cursor()
    cursor.execute(_SQLITE_JOURNAL if database.is_sqlite else f"SELECT to_regclass('{journal.NAME}')")
    exists = cursor.fetchone()
    if exists is None or exists[0] is None:
        return None
    placeholder = "?" if database.is_sqlite else "%s"
    cursor.execute(f"SELECT state FROM {journal.NAME} WHERE attempt = {placeholder}", [attempt])  # noqa: S608 - ours
    row = cursor.fetchone()
    return row[0] == journal.COMMITTED if row else None
