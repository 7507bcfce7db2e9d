"""One run at a time in each database: a session's advisory lock, for as long as the database has work.

The lock is held by the very session that migrates and commits. Every run takes the locks in one order, by name. No
session waits inside `pg_advisory_lock`, which deadlocks with CREATE INDEX CONCURRENTLY: the lock is polled.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import random
import sqlite3
import time
from collections.abc import Callable, Sequence

from multidb.database.connections import Driver
from multidb.errors import RetryError, in_database
from multidb.logs import for_database, log
from multidb.threads import map_in_threads

KEY = int.from_bytes(b"multidb", "big")
_POLL_INTERVAL = 0.1  # seconds, randomised: sessions that wait should not poll in step
# Detect dead clients, also during a statement (PostgreSQL 14+), and disable idle timeouts; settings that the server
# does not have are skipped. A client whose machine has vanished closes no connection: its session, and the lock with
# it, ends when probes of the connection (in seconds) or data (in milliseconds) stay unacknowledged for 30 s.
SETTINGS = """
    SELECT set_config(name, value, false) FROM (VALUES
        ('client_connection_check_interval', '2s'),
        ('tcp_keepalives_idle', '15'),
        ('tcp_keepalives_interval', '5'),
        ('tcp_keepalives_count', '3'),
        ('tcp_user_timeout', '30000'),
        ('idle_in_transaction_session_timeout', '0'),
        ('idle_session_timeout', '0'),
        ('transaction_timeout', '0')
    ) AS wanted (name, value) WHERE current_setting(name, true) IS NOT NULL
"""
# Of other roles' sessions the server may show only the process number.
_HOLDER = """
    SELECT a.pid, a.usename, a.application_name, coalesce(a.client_hostname, host(a.client_addr), 'the server itself'),
           to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), a.wait_event
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = %s AND l.objid::bigint = %s
"""


class LockedError(RetryError):
    """Another session held a lock for longer than the wait allows.

    Attributes:
        holder: that session, described.
    """

    holder = ""


class Wait:
    """A wait with a limit, which logs each holder once; the setting that gives the limit is named in the message."""

    def __init__(self, seconds: float, setting: str | None = None) -> None:
        self._seconds, self._setting = seconds, setting
        self._until = time.monotonic() + seconds
        self._logged: set[str] = set()

    def pause(self, holder: Callable[[], str]) -> None:
        """Sleep until the next poll; raise a LockedError that names the holder when the limit is reached."""
        is_late = time.monotonic() > self._until
        if is_late or not self._logged:
            who = holder()
            if is_late:
                limit = f"{self._setting} = {self._seconds:g} s" if self._setting else f"{self._seconds:g} s"
                longer = f", or with -x {self._setting}=SECONDS" if self._setting else ""
                error = LockedError(f"locked by {who}, longer than {limit}: run again when it has ended{longer}")
                error.holder = who
                raise error
            if who not in self._logged:
                self._logged.add(who)
                log.info("waiting for %s", who)
        time.sleep(_POLL_INTERVAL * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def lock_all(sessions: Sequence[tuple[str, Driver]], seconds: float) -> None:
    """Lock several databases; each session holds its own lock.

    All locks are tried at once. Where one is taken, those after it are given back and that one is waited for, so that
    every run waits in the same order and two runs can't deadlock.

    Args:
        sessions: names and PostgreSQL sessions in autocommit.
        seconds: the limit of all waits together.

    Raises:
        LockedError: another session held a lock for longer; no lock is kept.
    """
    left = sorted(sessions, key=lambda session: session[0])
    wait = Wait(seconds, "lock_wait")
    try:
        while left:
            locked = map_in_threads(lambda session: _try(session[1]), left)
            first = locked.index(False) if False in locked else len(left)
            map_in_threads(
                lambda session: unlock(session[1]),
                [session for session, is_locked in zip(left[first:], locked[first:], strict=True) if is_locked],
            )
            left = left[first:]
            if left:
                name, driver = left[0]
                with for_database(name), in_database(name):
                    wait.pause(lambda driver=driver: _holder(driver))  # type: ignore[misc]
    except BaseException:
        for _, driver in sessions:
            if not driver.closed:
                unlock(driver)
        raise


def lock(driver: Driver, wait: Wait) -> None:
    """Lock one database.

    Args:
        driver: a PostgreSQL session in autocommit, or an SQLite connection, whose lock is the transaction that it
            begins.

    Raises:
        LockedError: another session held the lock for longer.
        psycopg2.Error, sqlite3.Error: the database can't be asked.
    """
    attempt = try_sqlite if isinstance(driver, sqlite3.Connection) else _try
    while not attempt(driver):
        wait.pause(lambda: _holder(driver))


def unlock(driver: Driver) -> None:
    """Give back every advisory lock that a PostgreSQL session holds."""
    with driver.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")


def _try(driver: Driver) -> bool:
    with driver.cursor() as cursor:
        cursor.execute(f"{SETTINGS}; SELECT pg_try_advisory_lock(%s)", [KEY])
        return bool(cursor.fetchone()[0])


def try_sqlite(driver: sqlite3.Connection) -> bool:
    """Begin a transaction that may write to an SQLite file. Returns whether no other process has one open."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def standby_text(wait_event: str | None) -> str:
    """What a message adds about a session with this wait event of pg_stat_activity."""
    return ", whose commit waits for a synchronous standby" if wait_event == "SyncRep" else ""


def _holder(driver: Driver) -> str:
    if isinstance(driver, sqlite3.Connection):
        return "another process that writes to the file"
    return holder(driver) or "a run that has just ended"


def holder(driver: Driver) -> str | None:
    """Describe the session that holds the lock of a PostgreSQL database; None if the lock is free."""
    with driver.cursor() as cursor:
        cursor.execute(_HOLDER, [KEY >> 32, KEY & 0xFFFFFFFF])
        found = cursor.fetchone()
    if found is None:
        return None
    pid, role, application, host, since, wait_event = found
    whose = application or role or "of another role"
    return f"pid {pid} ({whose}) on {host}, connected since {since}{standby_text(wait_event)}"
