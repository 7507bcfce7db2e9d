"""A migration as a second session sees it: the sessions that block it, and the tables that it blocks for others."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Self

import psycopg2

from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.locks import HIDDEN
from multidb.errors import MigrationError
from multidb.logs import for_database, log

_LONGEST_DELAY = 1.0  # seconds until the first query; most migrations have ended by then
_INTERVAL = 0.3  # seconds between two queries
LOCKED = """ARRAY(
    SELECT relation::text FROM pg_locks
    WHERE pid = %s AND locktype = 'relation' AND granted
      AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
)"""
"""The oids of what a server process has locked against readers or writers, as an SQL expression."""
TABLES = """(
    SELECT json_object_agg(oid, oid::regclass) FROM pg_class
    WHERE relkind IN ('r', 'p', 'm')
      AND relnamespace <> ALL ('{pg_catalog,pg_toast,information_schema}'::regnamespace[])
)"""
"""The tables that a session sees, by their oids the names, as an SQL expression."""
_LOCKED_TABLES = f"""
    SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND oid::text = ANY ({LOCKED})
"""  # noqa: S608 - ours
_BLOCKERS = """
    SELECT pid, usename, application_name, coalesce(client_hostname, host(client_addr), 'the server itself'),
           state, to_char(xact_start, 'HH24:MI:SS'), left(regexp_replace(query, '\\s+', ' ', 'g'), 80)
    FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY pid
"""
# A prepared transaction has no process: pg_blocking_pids() has a 0 for it. Its lock of its own transaction id tells
# whose its locks are: their virtual id is that of the session that prepared, or, after a restart, of no session.
_PREPARED = """
    SELECT DISTINCT quote_literal(prepared.gid), prepared.owner, to_char(prepared.prepared, 'HH24:MI:SS')
    FROM pg_locks wanted
    JOIN pg_locks held ON held.granted AND held.pid IS NULL AND held.locktype = wanted.locktype
        AND (held.database, held.relation, held.page, held.tuple, held.transactionid, held.classid, held.objid)
            IS NOT DISTINCT FROM (wanted.database, wanted.relation, wanted.page, wanted.tuple, wanted.transactionid,
                                  wanted.classid, wanted.objid)
    JOIN pg_locks own ON own.locktype = 'transactionid' AND own.granted AND own.pid IS NULL
        AND own.virtualtransaction = held.virtualtransaction
    JOIN pg_prepared_xacts prepared ON prepared.transaction = own.transactionid
    WHERE wanted.pid = %s AND NOT wanted.granted AND 0 = ANY (pg_blocking_pids(wanted.pid)) ORDER BY 1
"""


class LockMonitor:
    """Logs the blockers of a session while its statement takes long, and finds the tables that it has locked.

    Args:
        backend: the session's server process; None for SQLite, where there are no such locks.
        limits: seconds after which something is given up because of a lock; 0 is no limit.
        on_locked: is called, by another thread, with tables that are locked against readers or writers and with a time
            of time.monotonic() at which they were not, or the monitor did not run.

    Attributes:
        seen: the blockers that were found last, as text.
        looked_at: when the last look at the locks began, by time.monotonic().
    """

    def __init__(
        self,
        database: Database,
        backend: int | None,
        limits: Sequence[float],
        on_locked: Callable[[Sequence[str], float], None],
    ) -> None:
        self.seen, self.looked_at = "", 0.0
        self._database, self._backend, self._on_locked = database, backend, on_locked
        self._delay = min([_LONGEST_DELAY, *(limit / 3 for limit in limits if limit)])
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._backend is not None:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        if self._ended.wait(self._delay):
            return
        # For messages, and for the limit of a statement that is still running: without a connection there are none.
        with (
            suppress(psycopg2.Error, MigrationError),
            closing(connections.open_to_read(self._database.url, busy_wait=0)) as driver,
        ):
            while not self._ended.is_set():
                with driver.cursor() as cursor:
                    cursor.execute(_BLOCKERS, [self._backend])
                    sessions = list(map(_session_text, cursor.fetchall()))
                    cursor.execute(_PREPARED, [self._backend])
                    self._note([*sessions, *map(_prepared_text, cursor.fetchall())])
                    before, looked_at = self.looked_at, time.monotonic()
                    # A table that the migration has created is not visible here.
                    cursor.execute(_LOCKED_TABLES, [self._backend])
                    self._on_locked([row[0] for row in cursor.fetchall()], before)
                    self.looked_at = looked_at
                self._ended.wait(_INTERVAL)

    def _note(self, texts: Sequence[str]) -> None:
        found = "; ".join(texts)
        if found and found != self.seen:
            self.seen = found
            with for_database(self._database.name):
                log.info("waiting for a lock of %s", found)


def _session_text(row: tuple[object, ...]) -> str:
    pid, role, application, host, state, since, statement = row
    who = f"pid {pid} ({application or role or 'of another role'})"
    return who + (f" on {host}, {state} since {since}: {statement}" if state else f", {HIDDEN}")


def _prepared_text(row: tuple[object, ...]) -> str:
    gid, owner, since = row
    return f"the prepared transaction {gid} of the role {owner}, since {since}"
