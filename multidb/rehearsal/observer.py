"""Observes each statement of the revisions that run in a scratch database on PostgreSQL."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection

from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.database.listening import listening
from multidb.database.quoting import quoted
from multidb.errors import current_revision_line
from multidb.rehearsal.observation import Statement
from multidb.schema.postgresql import relations
from multidb.schema.postgresql.relations import Catalog

_LOCK_TIMEOUT = "2s"  # for the session that makes statements wait; nothing else uses the scratch database
_INTERVAL = 0.005  # seconds between two looks at the locks of a statement
_LOCKS = """
    SELECT relation::bigint, mode, granted FROM pg_catalog.pg_locks
    WHERE pid = %s AND locktype IN ('relation', 'virtualxid')
"""


class Observer:
    """Observes the statements of one database's revisions.

    Args:
        database: the scratch database.
        revisions: by the place of each file that is run, its revision.
    """

    def __init__(self, database: Database, driver: Driver, default_schema: str, revisions: Mapping[str, str]) -> None:
        self.statements: list[Statement] = []
        self.missed: list[str] = []  # what could not be looked at
        self._database, self._driver, self._default_schema = database, driver, default_schema
        self._revisions = revisions
        self._stage, self._outside, self._began = 0, False, 0.0
        self.first = self._last = self._read()
        self._is_current = self._has_baseline = False  # whether nothing was done since the last look; one in this stage
        self._is_aborted = False  # whether the statement began in a failed transaction
        self._watcher: _Watcher | None = None

    @contextmanager
    def stage(self, connection: Connection, number: int, *, outside: bool) -> Iterator[None]:
        """Observe the statements of one stage of the plan."""
        self._stage, self._outside, self._is_current, self._has_baseline = number, outside, False, False
        listeners = {
            "before_cursor_execute": self._before,
            "after_cursor_execute": self._after,
            "handle_error": self._failed,
        }
        try:
            with listening(connection.engine, listeners):
                yield
        finally:
            self._unwatch()
        if not self._has_failed:
            self._note_unseen(self._read(), "at the end")

    @property
    def _has_failed(self) -> bool:
        """Whether the transaction has failed, and executes no statement until it is rolled back."""
        return bool(self._driver.info.transaction_status == TRANSACTION_STATUS_INERROR)

    def _before(self, *_arguments: Any) -> None:
        self._is_aborted = self._has_failed
        if self._is_aborted:  # and only a ROLLBACK TO SAVEPOINT can follow
            return
        if not self._is_current:
            found = self._read()
            self._note_unseen(found, f"before {current_revision_line() or 'the revision was recorded'}")
            self._last, self._is_current = found, True
        self._began = time.monotonic()
        if self._outside:
            self._watcher = _Watcher(self._database, self._driver.info.backend_pid, self._last)

    def _after(self, _connection: Connection, _cursor: object, text: str, *_arguments: Any) -> None:
        seconds, watched = time.monotonic() - self._began, self._unwatch()
        place = current_revision_line()
        if place is None or self._is_aborted:  # a statement of Alembic's, or of the run
            self._is_current = False
            return
        found = self._read()
        revision = self._revisions.get(place.rpartition(":")[0], "")
        own = len(self.statements), revision, place, text, self._stage, self._outside
        statement = Statement(*own, before=self._last, after=found, first=self.first, watched=watched, seconds=seconds)
        if self._outside and not watched and _changes_relations(statement):
            self.missed.append(f"the locks of {place}: {statement.short}")
        self.statements.append(statement)
        self._last = found

    def _note_unseen(self, found: Catalog, when: str) -> None:
        """Note that something has changed by what was no statement of SQLAlchemy's."""
        # What a transaction has written is counted from its beginning.
        changed = found.has_changed_since(self._last) if self._has_baseline else found.shape != self._last.shape
        self._has_baseline = True
        if changed:
            self.missed.append(f"what a cursor of the driver has changed {when}")
        self._last = found

    def _failed(self, _context: Any) -> None:
        self._is_current = False
        self._unwatch()

    def _unwatch(self) -> frozenset[tuple[int, str]] | None:
        watcher, self._watcher = self._watcher, None
        return watcher.end() if watcher is not None else None

    def _read(self) -> Catalog:
        outside = self._outside or self._driver.info.transaction_status == TRANSACTION_STATUS_IDLE
        return relations.read(self._driver, self._database.version_table, self._default_schema, outside=outside)


def _changes_relations(statement: Statement) -> bool:
    """Whether what was there before the statement is another one after it, which takes a lock."""
    return bool(
        statement.new_indexes
        or statement.dropped
        or statement.changed_columns
        or statement.new_columns
        or statement.dropped_columns
        or statement.rewritten
    )


class _Watcher:
    """Sees the locks of a statement that commits by itself, from a second session.

    A statement on empty tables ends before anything can be seen. So a third session holds a lock of every table, as a
    service that writes does: a statement that blocks writes waits for it, and CONCURRENTLY waits for its transaction.
    When the wait is seen, the third session ends.
    """

    def __init__(self, database: Database, backend: int, before: Catalog) -> None:
        self._backend = backend
        self._found: set[tuple[int, str]] = set()
        self._ended = Event()
        self._writer = connections.open_to_read(database.url)
        names = list(self._tables(before))
        with self._writer.cursor() as cursor:
            cursor.execute(f"BEGIN; SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            if names:
                cursor.execute(f"LOCK TABLE {', '.join(names)} IN ROW EXCLUSIVE MODE")
        self._driver = connections.open_to_read(database.url)
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _tables(self, before: Catalog) -> Iterator[str]:
        oids = [oid for oid, each in before.tables.items() if each.kind in ("r", "p")]
        with self._writer.cursor() as cursor:
            cursor.execute(
                "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
                "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%s::oid[])",
                [oids],
            )
            for schema, name in cursor.fetchall():
                yield f"{quoted(schema)}.{quoted(name)}"

    def end(self) -> frozenset[tuple[int, str]]:
        self._ended.set()
        self._thread.join()
        for each in (self._driver, self._writer):
            each.close()
        return frozenset(self._found)

    def _watch(self) -> None:
        with suppress(psycopg2.Error):  # what was not seen is said
            while not self._ended.is_set():
                with self._driver.cursor() as cursor:
                    cursor.execute(_LOCKS, [self._backend])
                    locks = cursor.fetchall()
                self._found |= {(oid, mode) for oid, mode, _ in locks if oid is not None}
                if any(not granted for _, _, granted in locks):
                    self._writer.close()
                self._ended.wait(_INTERVAL)
