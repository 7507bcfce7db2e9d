"""Evidence: what the journals say became of an attempt, read in a way that nothing can change it afterwards.

The decider's open transaction has updated the attempt's row before anything is prepared. A row that another session
keeps locked is therefore that of a run in progress, whatever became of its advisory lock. A row that says `begun` and
is not locked can no longer become `committed`. A standby can't lock a row, and its answer is no evidence.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg2

from multidb.advice.codes import Code
from multidb.advice.known import NO_DATABASE
from multidb.config.configuration import Configuration, Database
from multidb.database import connections, journal, locks, places
from multidb.database.attempt import GID, Prepared
from multidb.database.connections import Driver
from multidb.database.locks import LockedError, Wait
from multidb.database.probe import POOLED
from multidb.database.refusal import ConnectionFailedError
from multidb.database.threads import map_in_threads
from multidb.errors import ConfigError, MigrationError, explain

_SQLITE_JOURNAL = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{journal.NAME}'"  # noqa: S608 - ours
_ROW = f"SELECT state, participants, run, command, who, host, started_at FROM {journal.NAME} WHERE attempt = "  # noqa: S608 - ours
# The session whose transaction has updated the row.
_HOLDER = f"""
    SELECT l.pid, (SELECT wait_event FROM pg_stat_activity a WHERE a.pid = l.pid)
    FROM {journal.NAME} j JOIN pg_locks l ON l.transactionid = j.xmax
    WHERE j.attempt = %s AND l.locktype = 'transactionid' AND l.granted
"""  # noqa: S608 - ours
_PREPARED = """
    SELECT pg_catalog.count(*) FROM pg_prepared_xacts
    WHERE database = pg_catalog.current_database() AND pg_catalog.starts_with(gid, %s)
"""
# The timeout also ends a wait for a synchronous standby: what is finished here has been decided durably before.
_SETTINGS = """
    SET lock_timeout = '5s'; SET statement_timeout = '15s'; SET default_transaction_isolation = 'read committed';
    SELECT pg_catalog.pg_backend_pid()
"""
_WRITER = "another process that writes to the file"
_STANDBY = "it takes no writes, as a standby does not, and may lack what the primary has: use the URL of the primary"


class Verdict(StrEnum):
    """What became of an attempt."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    RUNNING = "running"  # its run is in progress, and has not decided yet
    UNKNOWN = "unknown"  # nothing may be committed or rolled back


@dataclass(frozen=True)
class Evidence:
    """A verdict: of a run in progress, which run that is, by whom and since when; of an unknown outcome, the cause."""

    verdict: Verdict
    text: str = ""
    is_lost: bool = False  # whether the decider's journal can never say more
    participants: tuple[str, ...] = ()  # of a committed attempt, in the order of their locks


IN_DOUBT, COMMITTED, NOT_COMMITTED = "in doubt", "committed", "not committed"
"""What a database did in an attempt."""

Find = Callable[[str], Database]
"""The database of a name; raises MigrationError if it is not known, or has no URL."""


class UnknownDatabaseError(MigrationError):
    """A database took part that databases.yaml does not have."""


@dataclass(frozen=True)
class _Row:
    """The row of an attempt, and whether another session may still change it."""

    state: str
    participants: tuple[str, ...]
    run: str  # described
    is_free: bool


def found_in(configuration: Configuration) -> Find:
    """The function that finds databases in databases.yaml."""

    def find(name: str) -> Database:
        if name not in configuration.names:
            raise UnknownDatabaseError(Code.EVIDENCE, f"databases.yaml does not have {name}")
        try:
            return configuration.databases([name])[0]
        except ConfigError as error:
            raise MigrationError(Code.EVIDENCE, f"the URL of {name} is not known: {error}") from error

    return find


def of_attempt(attempt: str, decider: str, find: Find, seconds: float) -> Evidence:
    """What the journals say of an attempt.

    A rollback needs all of them: a decider that was restored or failed over may have lost its last commit, on which
    others have acted.

    Args:
        attempt: its id.
        decider: the name of the database whose journal has the decision.
        find: finds the databases that took part.
        seconds: how long to wait for a run in progress.
    """
    try:
        database = find(decider)
    except UnknownDatabaseError:
        return Evidence(
            Verdict.UNKNOWN, f"its decider is {decider!r}, which databases.yaml does not have", is_lost=True
        )
    except MigrationError as error:
        return Evidence(Verdict.UNKNOWN, f"the URL of its decider can't be used: {explain(error)}")
    try:
        row = _awaited(database, attempt, seconds)
    except LockedError as error:
        return Evidence(Verdict.RUNNING, error.holder)
    except Exception as error:  # the outcome is unknown, whatever the cause
        is_lost = isinstance(error, ConnectionFailedError) and error.refusal.sqlstate == NO_DATABASE
        return Evidence(Verdict.UNKNOWN, f"its decider {decider} can't be asked: {explain(error)}", is_lost)
    if row is None:
        return Evidence(Verdict.UNKNOWN, f"the journal of {decider} has no row of it", is_lost=True)
    match row.state:
        case journal.COMMITTED:
            return Evidence(Verdict.COMMITTED, participants=row.participants)
        case journal.BEGUN:
            return _rolled_back(attempt, decider, row.participants, find)
    return Evidence(
        Verdict.UNKNOWN,
        f"the journal of {decider} says {row.state!r} of it, which is neither {journal.BEGUN} nor {journal.COMMITTED}: "
        "use a checkout that knows that state",
    )


def of_all(in_doubt: Iterable[Prepared], find: Find, seconds: float) -> Mapping[tuple[str, str], Evidence]:
    """The evidence of each attempt that left prepared transactions, by the attempt's id and its decider."""
    wanted = sorted({(each.attempt, each.decider) for each in in_doubt})
    found = map_in_threads(lambda each: of_attempt(*each, find, seconds), wanted)
    return dict(zip(wanted, found, strict=True))


def is_committed_in(database: Database, attempt: str) -> bool:
    """Whether the attempt's own transaction was committed in a participant.

    Raises:
        MigrationError: the database does not exist, or is a standby, which may lack the row.
        psycopg2.Error, sqlite3.Error: it can't be asked.
    """
    with session(database) as driver:
        return is_committed(driver, database, attempt)


def is_committed(driver: Driver, database: Database, attempt: str) -> bool:
    """As `is_committed_in`, over a given session that is in no transaction, and whose search path is changed."""
    row = _read_sqlite(driver, attempt) if database.is_sqlite else _read(driver, database, attempt)
    return row is not None and row.state == journal.COMMITTED


def of_participant(database: Database, attempt: str, seconds: float) -> bool:
    """Whether an attempt was committed in a database whose session has just broken.

    The session's lock is waited for: the server may still be about to commit.

    Raises:
        LockedError: the session has not ended within so many seconds.
        MigrationError: the database does not exist, or is a standby.
        psycopg2.Error, sqlite3.Error: it can't be asked.
    """
    with session(database) as driver:
        locks.lock(driver, Wait(seconds))
        return is_committed(driver, database, attempt)


def in_each(configuration: Configuration, prepared: Prepared) -> dict[str, str]:
    """What each other database of databases.yaml did in the run that left a prepared transaction."""
    names = [name for name in configuration.names if name != prepared.database]
    return states_in(names, prepared.attempt, found_in(configuration))


def states_in(names: Iterable[str], attempt: str, find: Find) -> dict[str, str]:
    """What databases did in an attempt: IN_DOUBT, COMMITTED, NOT_COMMITTED, or why that is unknown."""

    def ask(name: str) -> tuple[str, str]:
        try:
            return name, _state_in(find(name), attempt)
        except Exception as error:  # shown instead
            return name, f"unknown: {explain(error)}"

    return dict(map_in_threads(ask, names))


def _state_in(database: Database, attempt: str) -> str:
    with session(database) as driver:
        if not database.is_sqlite:
            with driver.cursor() as cursor:
                cursor.execute(_PREPARED, [f"{GID}{attempt}:"])
                if cursor.fetchone()[0]:
                    return IN_DOUBT
        # What is no longer prepared has been committed by now, if at all.
        return COMMITTED if is_committed(driver, database, attempt) else NOT_COMMITTED


@contextmanager
def session(database: Database) -> Iterator[Driver]:
    """A session that creates nothing: a file that does not exist is no evidence."""
    if database.is_sqlite:
        path = Path(database.url.database or "")
        if not path.exists():
            raise MigrationError(Code.EVIDENCE, f"the file of {database.name} does not exist: {path}")
        with closing(connections.open_existing(path)) as driver:
            driver.execute("PRAGMA busy_timeout = 0")
            yield driver
        return
    with closing(connections.open_to_read(database.url)) as driver:
        with driver.cursor() as cursor:
            cursor.execute(_SETTINGS)
            if cursor.fetchone()[0] != driver.info.backend_pid:
                raise MigrationError(Code.POOLED, POOLED)
        yield driver


def _awaited(database: Database, attempt: str, seconds: float) -> _Row | None:
    """The decider's row, once no other session may change it; LockedError if that takes longer than so many seconds."""
    wait = Wait(seconds)
    with session(database) as driver:

        def look() -> _Row | None:
            return _look_in_sqlite(driver, attempt) if database.is_sqlite else _look(driver, database, attempt)

        while (row := look()) and not row.is_free:
            wait.pause(lambda row=row: row.run)  # type: ignore[misc]
    return row


def _look(driver: Driver, database: Database, attempt: str) -> _Row | None:
    """The row, and whether it could be locked; the lock ends with the statement."""
    row = _read(driver, database, attempt)
    if row is None or row.state == journal.COMMITTED:
        return row
    with driver.cursor() as cursor:
        try:
            cursor.execute(f"{_ROW} %s FOR UPDATE NOWAIT", [attempt])
            return _row(cursor.fetchone())
        except psycopg2.errors.LockNotAvailable:
            cursor.execute(_HOLDER, [attempt])
            holder = cursor.fetchone()
            process = f", server process {holder[0]}{locks.standby_text(holder[1])}" if holder else ""
            return _Row(row.state, row.participants, f"{row.run}{process}", is_free=False)
        except psycopg2.errors.ReadOnlySqlTransaction as error:
            raise MigrationError(Code.EVIDENCE, _STANDBY) from error


def _read(driver: Driver, database: Database, attempt: str) -> _Row | None:
    with driver.cursor() as cursor:
        place = places.enter_session(cursor, database.version_table)
        cursor.execute("SELECT pg_catalog.pg_is_in_recovery()")
        [is_standby] = cursor.fetchone()
        found = None
        if place.journal_columns:
            cursor.execute(f"{_ROW} %s", [attempt])
            found = _row(cursor.fetchone())
        if is_standby and (found is None or found.state != journal.COMMITTED):
            raise MigrationError(Code.EVIDENCE, _STANDBY)
        return found


def _look_in_sqlite(driver: sqlite3.Connection, attempt: str) -> _Row | None:
    """The row, read under the file's write lock unless it is final already."""
    row = _read_sqlite(driver, attempt)
    if row is None or row.state == journal.COMMITTED:
        return row
    if locks.try_sqlite(driver):
        try:
            return _read_sqlite(driver, attempt)
        finally:
            driver.execute("ROLLBACK")
    return replace(row, run=f"{row.run}, or {_WRITER}" if row.run else _WRITER, is_free=False)


def _read_sqlite(driver: sqlite3.Connection, attempt: str) -> _Row | None:
    try:
        if driver.execute(_SQLITE_JOURNAL).fetchone() is None:
            return None
        return _row(driver.execute(f"{_ROW} ?", [attempt]).fetchone())
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return _Row("", (), "", is_free=False)  # a commit is being written


def _row(found: tuple[Any, ...] | None) -> _Row | None:
    if found is None:
        return None
    state, participants, run, command, who, host, started_at = found
    described = f"run {run} (`{command}`) by {who} on {host}, since {started_at[:19]}Z"
    return _Row(state, tuple(json.loads(participants)), described, is_free=True)


def _rolled_back(attempt: str, decider: str, participants: Iterable[str], find: Find) -> Evidence:
    """The evidence where the decider says `begun`: the journals of the other participants must not contradict it."""

    def ask(name: str) -> tuple[str, bool, str]:
        try:
            return name, is_committed_in(find(name), attempt), ""
        except Exception as error:  # no evidence, whatever the cause
            return name, False, explain(error)

    found = map_in_threads(ask, [name for name in participants if name != decider])
    committed = [name for name, has_committed, _ in found if has_committed]
    if committed:
        names = ", ".join(committed)
        return Evidence(
            Verdict.UNKNOWN,
            f"the journal of {decider} says that the run was not committed, and that of {names} says that it was: "
            f"{decider} has lost its last commit, as after a failover or a restore: compare them, as "
            "docs/runbook.md describes",
            is_lost=True,
        )
    unread = [f"{name}: {reason}" for name, _, reason in found if reason]
    if unread:
        return Evidence(
            Verdict.UNKNOWN,
            f"the journal of {decider} says that the run was not committed, and before anything is rolled back all its "
            f"databases are asked; {'; '.join(unread)}",
        )
    return Evidence(Verdict.ROLLED_BACK)
