"""Whether the run of a journal row that is still `begun` is in progress, or was killed."""

import sqlite3
from dataclasses import replace

from multidb.config.configuration import Configuration
from multidb.database import locks
from multidb.database.connections import Driver
from multidb.database.journal import JournalRow
from multidb.database.locks import LockedError, Wait
from multidb.database.threads import map_in_threads
from multidb.release import evidence

_LONGEST_WRITE = 1.0  # seconds that another process than a run may write to an SQLite file
# A session of the run, or the holder of the lock if the server hides which run that is.
_IS_RUNNING = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = pg_catalog.current_database() AND pg_catalog.starts_with(application_name, %(session)s)
    ) OR EXISTS (
        SELECT FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT oid FROM pg_database WHERE datname = pg_catalog.current_database())
          AND l.classid::bigint = %(class)s AND l.objid::bigint = %(object)s
          AND NOT pg_catalog.starts_with(coalesce(a.application_name, ''), 'multidb')
    )
"""


def marked(configuration: Configuration, rows: list[JournalRow]) -> list[JournalRow]:
    """The rows of a database; the newest says whether its run is in progress, if it has no end.

    All participants are asked: an SQLite file that decides is not locked while others are migrated.
    """
    if not rows or not rows[-1].is_open:
        return rows
    find, run = evidence.found_in(configuration), rows[-1].run

    def ask(name: str) -> bool:
        try:
            with evidence.session(find(name)) as driver:
                return _is_running(driver, run)
        except Exception:  # the others may know
            return False

    return [*rows[:-1], replace(rows[-1], is_running=any(map_in_threads(ask, rows[-1].participants)))]


def _is_running(driver: Driver, run: str) -> bool:
    if isinstance(driver, sqlite3.Connection):
        try:
            locks.lock(driver, Wait(_LONGEST_WRITE))
        except LockedError:
            return True
        return False  # the lock ends with the session
    with driver.cursor() as cursor:
        parameters = {"session": f"multidb:{run}@", "class": locks.KEY >> 32, "object": locks.KEY & 0xFFFFFFFF}
        cursor.execute(_IS_RUNNING, parameters)
        return bool(cursor.fetchone()[0])
