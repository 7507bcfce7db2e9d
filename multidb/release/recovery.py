"""Bringing to its end what an earlier run left in doubt: transactions that it prepared and did not finish.

The name of a prepared transaction says which database decided for it. That database's journal says what was decided,
to whoever holds that database's lock: then nobody who could still decide is alive. Missing evidence is never a
rollback. https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from multidb.config.configuration import Configuration, Database
from multidb.database import connections, journal, locks
from multidb.database.connections import Driver
from multidb.database.journal import Prepared
from multidb.database.locks import Wait
from multidb.errors import ConfigError, MigrationError, explain
from multidb.logs import naming
from multidb.output import Say

_SQLITE_JOURNAL = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{journal.NAME}'"  # noqa: S608 - ours
_BUSY = 5.0  # seconds to wait for somebody else who finishes the same transaction


@dataclass(frozen=True)
class Doubt:
    """A prepared transaction that could not be brought to its end, and why."""

    prepared: Prepared
    reason: str

    def __str__(self) -> str:
        return (
            f"in doubt: {self.prepared.gid}: {self.reason}: `python -m multidb recover` when that is put right; "
            f"`python -m multidb status` prints the SQL to do it by hand"
        )


def settle(
    configuration: Configuration, found: Sequence[tuple[Database, Prepared]], seconds: float, say: Say
) -> list[tuple[Database, Doubt]]:
    """Finish prepared transactions as their deciders' journals say.

    Args:
        configuration: of all databases; the decider need not be one that the command addresses.
        found: the transactions, each with the database that it is in.
        seconds: how long to wait for each decider's lock.
        say: is told what was done.

    Returns:
        Those that are still in doubt.
    """
    left: list[tuple[Database, Doubt]] = []
    for database, prepared in found:
        with naming(database.name):
            try:
                committed = decided(_decider(configuration, prepared.decider), prepared.attempt, seconds)
                if committed is None:
                    left.append((database, Doubt(prepared, f"the journal of {prepared.decider} has no row of it")))
                    continue
                finish(database, prepared.gid, commit=committed)
                say(f"{'committed' if committed else 'rolled back'} {prepared.gid}, as {prepared.decider} had decided")
            except Exception as error:  # whatever it was, the transaction stays, and the others have their turn
                left.append((database, Doubt(prepared, explain(error).removeprefix(f"{database.name}: "))))
    return left


def decided(database: Database, attempt: str, seconds: float) -> bool | None:
    """Whether an attempt was committed in a database, read under its lock: nobody can decide any more.

    Args:
        database: that decides.
        attempt: the attempt's id.
        seconds: how long to wait for the lock.

    Returns:
        True or False as its journal says; None if that says nothing of the attempt.

    Raises:
        MigrationError: the database isn't there, or its lock can't be had.
        psycopg2.Error, sqlite3.Error: it can't be asked.
    """
    with _opened(database) as driver:
        locks.take(driver, Wait(seconds))
        state = _state(database, driver, attempt)
        return None if state is None else state == journal.COMMITTED


def finish(database: Database, gid: str, *, commit: bool, broken: float | None = None) -> None:
    """Commit or roll back a prepared transaction; somebody else may have done so already.

    Args:
        database: that it is in.
        gid: its name.
        commit: which of the two.
        broken: where the session that prepared it has just broken, seconds to wait for its end, which gives its lock
            free: until then its server may still be about to prepare.

    Raises:
        MigrationError: that session has not ended.
        psycopg2.Error: it could not be done.
    """
    with _opened(database) as driver:
        if broken is not None:
            locks.take(driver, Wait(broken))
        finish_in(driver, gid, commit=commit)


def finish_in(driver: Driver, gid: str, *, commit: bool) -> None:
    """The same, in a session that is open and in no transaction."""
    wait = Wait(_BUSY)
    while True:
        try:
            with driver.cursor() as cursor:
                cursor.execute(f"{'COMMIT' if commit else 'ROLLBACK'} PREPARED %s", [gid])
        except psycopg2.errors.UndefinedObject:
            return
        except psycopg2.errors.ObjectNotInPrerequisiteState:  # "is busy": somebody else is doing it just now
            wait.go_on(lambda: "somebody else who settles it")
        else:
            return


def by_hand(prepared: Prepared, committed: bool | None) -> str:
    """The SQL with which an operator could finish it, in the database that it is in.

    Args:
        prepared: the transaction.
        committed: what its decider says, or None if it says nothing.
    """
    if committed is None:
        return f"COMMIT PREPARED '{prepared.gid}'; -- or ROLLBACK PREPARED: what the other databases of the run did"
    return f"{'COMMIT' if committed else 'ROLLBACK'} PREPARED '{prepared.gid}';"


def evidence(configuration: Configuration, prepared: Prepared) -> bool | None:
    """What the decider's journal says just now, without its lock: good enough to be shown, not to act on."""
    try:
        database = _decider(configuration, prepared.decider)
        with _opened(database) as driver:
            state = _state(database, driver, prepared.attempt)
    except Exception:  # shown as unknown
        return None
    return None if state is None else state == journal.COMMITTED


def _decider(configuration: Configuration, name: str) -> Database:
    if name not in configuration.names:
        raise MigrationError(f"it was decided in {name!r}, which databases.yaml doesn't have")
    try:
        return configuration.databases([name])[0]
    except ConfigError as error:
        raise MigrationError(f"it was decided in {name}, of which the URL is not known: {error}") from error


@contextmanager
def _opened(database: Database) -> Iterator[Driver]:
    """A session that creates nothing: a file that isn't there is no evidence."""
    if database.is_sqlite:
        path = Path(database.url.database or "")
        if not path.exists():
            raise MigrationError(f"the file of {database.name} is not there: {path}")
        driver = connections.open_existing(path)
        driver.execute("PRAGMA busy_timeout = 0")
    else:
        driver = connections.open_to_look(database.url)
        if driver.info.backend_pid != _prepared_to_read(driver):
            driver.close()
            raise MigrationError(POOLED)
    with closing(driver):
        yield driver


POOLED = (
    "a pooling proxy such as PgBouncer stands before the server, and locks don't hold through it: "
    "use the server's own port in the URL"
)


def _prepared_to_read(driver: Driver) -> int:
    """Let nobody's lock hold up the session for long. Returns the number that the server gives it."""
    with driver.cursor() as cursor:
        cursor.execute("SET lock_timeout = '5s'; SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _state(database: Database, driver: Driver, attempt: str) -> str | None:
    cursor = driver.cursor()
    cursor.execute(_SQLITE_JOURNAL if database.is_sqlite else f"SELECT to_regclass('{journal.NAME}')")
    there = cursor.fetchone()
    if there is None or there[0] is None:
        return None
    mark = "?" if database.is_sqlite else "%s"
    cursor.execute(f"SELECT state FROM {journal.NAME} WHERE attempt = {mark}", [attempt])  # noqa: S608 - ours
    row = cursor.fetchone()
    return str(row[0]) if row else None
