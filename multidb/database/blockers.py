"""Who keeps a migration waiting for a lock, read from a second session while it waits."""

from contextlib import closing, suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

import psycopg2

from multidb.config.configuration import Database
from multidb.database import connections
from multidb.logs import log, naming

_LONGEST_DELAY = 1.0  # seconds until the first look; most migrations have ended by then
_PAUSE = 0.3  # seconds between two looks
_BLOCKERS = """
    SELECT pid, usename, application_name, coalesce(client_hostname, host(client_addr), 'the server itself'),
           state, to_char(xact_start, 'HH24:MI:SS'), left(regexp_replace(query, '\\s+', ' ', 'g'), 80)
    FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY pid
"""


class Watch:
    """Looks, while a statement takes long, for those that block its session.

    Args:
        database: which.
        backend: the number of the session's backend; None where there are no such locks.
        lock_timeout: seconds after which the session gives up.
    """

    def __init__(self, database: Database, backend: int | None, lock_timeout: float) -> None:
        self.seen = ""
        self._database, self._backend = database, backend
        self._delay = min(_LONGEST_DELAY, lock_timeout / 3)
        self._over = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        if self._backend is not None and self._delay:
            self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        if self._over.wait(self._delay):
            return
        # Only for the message: what can't be read, for want of a connection or a right, is left out of it.
        with suppress(psycopg2.Error), closing(connections.open_to_look(self._database.url)) as driver:
            while not self._over.is_set():
                with driver.cursor() as cursor:
                    cursor.execute(_BLOCKERS, [self._backend])
                    self._note(cursor.fetchall())
                self._over.wait(_PAUSE)

    def _note(self, rows: list[tuple[object, ...]]) -> None:
        found = "; ".join(
            f"pid {pid} ({application or role or 'of another role'}) on {host}, {state} since {since}: {statement}"
            for pid, role, application, host, state, since, statement in rows
        )
        if found and found != self.seen:
            self.seen = found
            with naming(self._database.name):
                log.info("waits for a lock of %s", found)
