"""One run at a time in each database: a session's advisory lock, for as long as the database has work.

The lock is held by the very session that migrates and commits. All take the locks in one order, by name, and nobody
waits inside `pg_advisory_lock`, which deadlocks with CREATE INDEX CONCURRENTLY: it is polled for.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import random
import sqlite3
import time
from collections.abc import Callable, Sequence

from multidb import threads
from multidb.database.connections import Driver
from multidb.errors import MigrationError, named
from multidb.logs import log, naming

KEY = int.from_bytes(b"multidb", "big")
_POLL = 0.1  # seconds, give or take a half: several that wait should not ask in step
# Whoever is killed is noticed in the middle of a statement, and whoever waits for the others is left in peace; each
# where the server knows it.
SETTINGS = """
    SELECT set_config(name, value, false) FROM (VALUES
        ('client_connection_check_interval', '2s'),
        ('idle_in_transaction_session_timeout', '0'),
        ('idle_session_timeout', '0'),
        ('transaction_timeout', '0')
    ) AS wanted (name, value) WHERE current_setting(name, true) IS NOT NULL
"""
# Of other roles' sessions the server may show the number only.
_HOLDER = """
    SELECT a.pid, a.usename, a.application_name, coalesce(a.client_hostname, host(a.client_addr), 'the server itself'),
           to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = %s AND l.objid::bigint = %s
"""


class LockedError(MigrationError):
    """Somebody else has held a lock for longer than we wait."""


class Wait:
    """A wait with a limit, that says once for whom.

    Args:
        seconds: the limit.
        name: the setting that it comes from, if from one.
    """

    def __init__(self, seconds: float, name: str | None = None) -> None:
        self._seconds, self._name = seconds, name
        self._until = time.monotonic() + seconds
        self._said: set[str] = set()

    def go_on(self, holder: Callable[[], str]) -> None:
        """Sleep until the next try.

        Args:
            holder: says whom it waits for.

        Raises:
            LockedError: the time is up.
        """
        late = time.monotonic() > self._until
        if late or not self._said:
            who = holder()
            if late:
                limit = f"{self._name} = {self._seconds:g} s" if self._name else f"{self._seconds:g} s"
                longer = f", or with -x {self._name}=SECONDS" if self._name else ""
                raise LockedError(f"locked by {who}, longer than {limit}: run again when it is done{longer}")
            if who not in self._said:
                self._said.add(who)
                log.info("waits for %s", who)
        time.sleep(_POLL * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def take_all(sessions: Sequence[tuple[str, Driver]], seconds: float) -> None:
    """Lock several databases; each session holds its own lock.

    Those not had at once are waited for in order, holding only those before them, so that two runs can't deadlock.

    Args:
        sessions: names and PostgreSQL sessions that commit each statement by itself.
        seconds: how long to wait for others, all together.

    Raises:
        MigrationError: another run has held one for longer; no lock is kept.
    """
    left = sorted(sessions, key=lambda session: session[0])
    wait = Wait(seconds, "lock_wait")
    try:
        while left:
            had = threads.each(lambda session: _try(session[1]), left)
            first = had.index(False) if False in had else len(left)
            threads.each(
                lambda session: release(session[1]),
                [session for session, taken in zip(left[first:], had[first:], strict=True) if taken],
            )
            left = left[first:]
            if left:
                name, driver = left[0]
                with naming(name), named(name):
                    wait.go_on(lambda driver=driver: _holder(driver))  # type: ignore[misc]
    except BaseException:
        for _, driver in sessions:
            if not driver.closed:
                release(driver)
        raise


def take(driver: Driver, wait: Wait) -> None:
    """Lock one database.

    Args:
        driver: a session of PostgreSQL's that commits each statement by itself, or one of SQLite's, whose lock is the
            transaction that it begins.
        wait: how long to wait for others.

    Raises:
        MigrationError: another has held it for longer.
        psycopg2.Error, sqlite3.Error: it could not be asked.
    """
    attempt = _try_sqlite if isinstance(driver, sqlite3.Connection) else _try
    while not attempt(driver):
        wait.go_on(lambda: _holder(driver))


def release(driver: Driver) -> None:
    """Give back whatever the session holds."""
    with driver.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")


def _try(driver: Driver) -> bool:
    with driver.cursor() as cursor:
        cursor.execute(f"{SETTINGS}; SELECT pg_try_advisory_lock(%s)", [KEY])
        return bool(cursor.fetchone()[0])


def _try_sqlite(driver: sqlite3.Connection) -> bool:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _holder(driver: Driver) -> str:
    """Who holds the lock, by what the server says of him."""
    if isinstance(driver, sqlite3.Connection):
        return "another process that writes to the file"
    with driver.cursor() as cursor:
        cursor.execute(_HOLDER, [KEY >> 32, KEY & 0xFFFFFFFF])
        found = cursor.fetchone()
    if found is None:
        return "a run that has just ended"
    pid, role, application, host, since = found
    return f"pid {pid} ({application or role or 'of another role'}) on {host}, connected since {since}"
