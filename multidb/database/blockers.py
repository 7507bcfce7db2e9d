"""The sessions that block a migration, read from a second session while the migration waits for a lock."""

from contextlib import closing, suppress
from threading import Event, Thread
from typing import Self

import psycopg2

from multidb.config.configuration import Database
from multidb.database import connections
from multidb.errors import MigrationError
from multidb.logs import for_database, log

_LONGEST_DELAY = 1.0  # seconds until the first query; most migrations have ended by then
_INTERVAL = 0.3  # seconds between two queries
_BLOCKERS = """
    SELECT pid, usename, application_name, coalesce(client_hostname, host(client_addr), 'the server itself'),
           state, to_char(xact_start, 'HH24:MI:SS'), left(regexp_replace(query, '\\s+', ' ', 'g'), 80)
    FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY pid
"""


class BlockerMonitor:
    """Logs the blockers of a session while its statement takes long.

    Args:
        backend: the session's server process; None for SQLite, where there are no such locks.
        lock_timeout: seconds after which the session gives up.

    Attributes:
        seen: the blockers that were found last, as text.
    """

    def __init__(self, database: Database, backend: int | None, lock_timeout: float) -> None:
        self.seen = ""
        self._database, self._backend = database, backend
        self._delay = min(_LONGEST_DELAY, lock_timeout / 3)
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._backend is not None and self._delay:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        if self._ended.wait(self._delay):
            return
        # The blockers are for the message only: without a connection or a privilege, the message does without them.
        with suppress(psycopg2.Error, MigrationError), closing(connections.open_to_read(self._database.url)) as driver:
            while not self._ended.is_set():
                with driver.cursor() as cursor:
                    cursor.execute(_BLOCKERS, [self._backend])
                    self._note(cursor.fetchall())
                self._ended.wait(_INTERVAL)

    def _note(self, rows: list[tuple[object, ...]]) -> None:
        found = "; ".join(
            f"pid {pid} ({application or role or 'of another role'}) on {host}, {state} since {since}: {statement}"
            for pid, role, application, host, state, since, statement in rows
        )
        if found and found != self.seen:
            self.seen = found
            with for_database(self._database.name):
                log.info("waiting for a lock of %s", found)
