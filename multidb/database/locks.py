"""One run at a time in each database: a session's advisory lock, for as long as the database has work.

The lock is held by the very session that migrates and commits. Every run takes the locks in one order, by name. No
session waits inside `pg_advisory_lock`, which deadlocks with CREATE INDEX CONCURRENTLY: the lock is polled.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import sqlite3
import time
from collections.abc import Callable, Sequence

from multidb.advice.codes import Code
from multidb.database.connections import Driver
from multidb.database.pauses import pauses
from multidb.database.session_settings import LOCK_HOLDER
from multidb.database.threads import map_in_threads
from multidb.errors import RetryError
from multidb.logs import log

KEY = int.from_bytes(b"multidb", "big")
_POLL_INTERVAL = 0.1  # seconds, randomised
_LOG_INTERVAL = 10.0  # seconds between two lines of a wait
HIDDEN = "whose state is hidden from this role: GRANT pg_read_all_stats shows it"
"""What a message says about a session of another role, of which the server shows only process number and names."""
_HOLDER = """
    SELECT a.pid, a.usename, a.application_name,
           coalesce(a.client_hostname, pg_catalog.host(a.client_addr), 'the server itself'),
           pg_catalog.to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), a.wait_event
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = pg_catalog.current_database())
      AND l.classid::bigint = %s AND l.objid::bigint = %s
"""


class LockedError(RetryError):
    """Another session held a lock for longer than the wait allows.

    Attributes:
        holder: that session, described.
    """

    holder = ""


class Wait:
    """A wait with a limit, which logs for whom: at once, and every ten seconds.

    Args:
        seconds: the limit.
        setting: which setting gives the limit, for the message.
        longest_pause: seconds to which the pauses between two polls grow.
    """

    def __init__(self, seconds: float, setting: str | None = None, longest_pause: float = _POLL_INTERVAL) -> None:
        self._seconds, self._setting = seconds, setting
        self._began_at = time.monotonic()
        self._until = self._began_at + seconds
        self._logged_at: float | None = None
        self._pauses = pauses(_POLL_INTERVAL, longest_pause)

    def pause(self, holder: Callable[[], str]) -> None:
        """Sleep until the next poll; raise a LockedError that names the holder when the limit is reached."""
        now = time.monotonic()
        is_late = now > self._until
        if is_late or self._logged_at is None or now - self._logged_at >= _LOG_INTERVAL:
            who = holder()
            if is_late:
                limit = f"{self._setting} = {self._seconds:g} s" if self._setting else f"{self._seconds:g} s"
                longer = f", or with -x {self._setting}=SECONDS" if self._setting else ""
                error = LockedError(
                    Code.LOCKED, f"locked by {who}, longer than {limit}: run again when it has ended{longer}"
                )
                error.holder = who
                raise error
            so_far = "" if self._logged_at is None else f"; {now - self._began_at:.0f} s of at most {self._seconds:g} s"
            log.info("waiting for %s%s", who, so_far)
            self._logged_at = now
        time.sleep(min(next(self._pauses), max(_POLL_INTERVAL, self._until - time.monotonic())))


def lock_all(sessions: Sequence[tuple[str, Driver]]) -> tuple[str, str] | None:
    """Lock several databases at once, or none: each session holds its own lock.

    Args:
        sessions: names and PostgreSQL sessions in autocommit.

    Returns:
        None where all are locked; else the first by name of those that others hold, and who holds it.
    """
    ordered = sorted(sessions, key=lambda session: session[0])
    # The first before the others: of runs that come at the same moment, one has it, and no two have a part each.
    locked = [_try(driver) for _, driver in ordered[:1]]
    if locked != [False]:
        locked += map_in_threads(lambda session: _try(session[1]), ordered[1:])
    if False not in locked:
        return None
    map_in_threads(lambda session: unlock(session[1]), ordered)
    name, driver = ordered[locked.index(False)]
    return name, holder_of(driver) or "a run that has just ended"


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
        wait.pause(lambda: holder_of(driver) or "a run that has just ended")


def unlock(driver: Driver) -> None:
    """Give back every advisory lock that a PostgreSQL session holds."""
    with driver.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_advisory_unlock_all()")


def _try(driver: Driver) -> bool:
    with driver.cursor() as cursor:
        cursor.execute(f"{LOCK_HOLDER}; SELECT pg_catalog.pg_try_advisory_lock(%s)", [KEY])
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


def holder_of(driver: Driver) -> str | None:
    """Describe the session that holds the lock, or None if the lock is free."""
    if isinstance(driver, sqlite3.Connection):
        return "another process that writes to the file"
    with driver.cursor() as cursor:
        cursor.execute(_HOLDER, [KEY >> 32, KEY & 0xFFFFFFFF])
        found = cursor.fetchone()
    if found is None:
        return None
    pid, role, application, host, since, wait_event = found
    whose = application or role or "of another role"
    if since is None:
        return f"pid {pid} ({whose}), {HIDDEN}"
    return f"pid {pid} ({whose}) on {host}, connected since {since}{standby_text(wait_event)}"
