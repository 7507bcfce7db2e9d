"""Which revision every database is at, asked of all of them at the same time.

A run that has nothing to do ends here: it costs what the slowest database costs, and not their sum.
"""

import os
import random
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psycopg2

from multidb.config.configuration import Database, variable
from multidb.database import journal
from multidb.database.connections import Driver, open_to_look
from multidb.errors import MigrationError, explain
from multidb.logs import log, naming

# Asked before alembic_version, which a transaction that is in doubt may have locked; these never block. A server is
# known by when it started, which it does once at an instant, and a database by its oid.
_POSTGRESQL = """
    SELECT to_regclass('alembic_version') IS NOT NULL,
           to_regclass('multidb_journal') IS NOT NULL,
           pg_backend_pid(),
           (version(), current_schema(), current_setting('standard_conforming_strings'),
            current_setting('transaction_isolation'))::text,
           pg_postmaster_start_time(),
           oid,
           current_setting('max_prepared_transactions')::int - (SELECT count(*)::int FROM pg_prepared_xacts),
           ARRAY(
               SELECT gid || chr(10) || owner FROM pg_prepared_xacts
               WHERE database = current_database() AND starts_with(gid, 'multidb:') ORDER BY gid
           )
    FROM pg_database WHERE datname = current_database()
"""
_SQLITE = """
    SELECT count(*) FILTER (WHERE name = 'alembic_version'), count(*) FILTER (WHERE name = 'multidb_journal')
    FROM sqlite_master WHERE type = 'table'
"""
_VERSIONS = "SELECT version_num FROM alembic_version"
# What is said of a server, or of a database on it, that may be there in a moment: one that starts, that is being set up
# by somebody, or that a hundred services ask at the same moment.
_SOON = re.compile(
    r'Connection refused|on socket "[^"]*" failed|No route to host|Network is unreachable|timed out|timeout expired'
    r"|could not translate host name|starting up|shutting down|in recovery mode|not yet accepting connections"
    r"|closed the connection unexpectedly|Connection reset"
    r'|database "[^"]*" does not exist|too many (clients|connections)|connection slots'
)
_PAUSE = 0.25  # seconds between two tries to connect
_PATIENCE = 1.0  # seconds for a question that was broken off to end


class Look:
    """A question to one database, answered while others are asked, over a connection that is left open.

    Args:
        database: which.
        wait: seconds to wait for a server that can't be reached yet, or has no room, or not yet the database.
        run: the id of the run that the session belongs to.
    """

    def __init__(self, database: Database, wait: float = 0, run: str = "") -> None:
        self.database = database
        self.connection: Driver = None
        self.identity: tuple[object, ...] | None = None
        self.in_doubt: list[journal.Prepared] = []
        self.alike: tuple[object, ...] | None = None  # what makes two databases the same to SQLAlchemy
        self.has_journal = False
        self.backend = 0
        self.free_slots = 0
        self._wait, self._run = wait, run
        self._closing = Event()
        # Not the thread's end: a `join` that a signal interrupts takes the thread for ended (Python 3.11).
        self._answered = Event()
        self._answer: tuple[str, ...] = ()
        self._error: Exception | None = None
        self._thread = self._started()

    @property
    def heads(self) -> tuple[str, ...]:
        """The revisions in its `alembic_version`, when the answer has come.

        Raises:
            psycopg2.Error, sqlite3.Error: it could not be asked.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return self._answer

    @property
    def position(self) -> tuple[str, ...] | Exception:
        """The revisions, or why they are not known: to see whether anything has changed since."""
        return self.error or self._answer

    @property
    def error(self) -> Exception | None:
        """Why it could not be asked, or None if it could."""
        self.wait()
        return self._error

    @property
    def server(self) -> object:
        """What tells a PostgreSQL server from any other."""
        return self.identity[0] if self.identity else None

    @property
    def is_pooled(self) -> bool:
        """Whether a proxy is between us and the server: it makes up the backend's number that libpq was told."""
        return not self.database.is_sqlite and self.connection.info.backend_pid != self.backend

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has answered, or could not be asked, or these seconds are over. Returns whether they were enough."""
        if not self._answered.wait(seconds):
            return False
        self._thread.join()  # which has nothing left to do: a process that has threads doesn't fork
        return True

    def again(self) -> None:
        """Ask once more, over the same connection."""
        self.wait()
        self._error = None
        self._thread = self._started()

    def close(self) -> None:
        """End the question, even if the server never answers it."""
        self._closing.set()  # nobody waits for a server any more
        if not self._answered.is_set() and self.connection is not None and not self.database.is_sqlite:
            with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(self.connection.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)
        # What is left is an attempt to connect, which nobody can end: it does not keep the process from ending.
        if self.wait(_PATIENCE) and self.connection is not None:
            self.connection.close()

    def _started(self) -> Thread:
        self._answered.clear()
        thread = Thread(target=self._ask, daemon=True)
        thread.start()
        return thread

    def _ask(self) -> None:
        try:
            if self.connection is None:
                self.connection = self._connected()
                if self._closing.is_set():
                    self.connection.close()
                    return
            cursor = self.connection.cursor()
            if self.database.is_sqlite:
                self._ask_sqlite(cursor)
            else:
                self._ask_postgresql(cursor)
        except Exception as error:  # raised again where the database's turn has come
            self._error = error
        finally:
            self._answered.set()

    def _ask_sqlite(self, cursor: Driver) -> None:
        has_version_table, self.has_journal = map(bool, cursor.execute(_SQLITE).fetchone())
        self.identity = _file_identity(self.database.url.database or "")
        rows = cursor.execute(_VERSIONS).fetchall() if has_version_table else []
        self._answer = tuple(row[0] for row in rows)

    def _ask_postgresql(self, cursor: Driver) -> None:
        cursor.execute(_POSTGRESQL)
        has_version_table, self.has_journal, self.backend, *rest = cursor.fetchone()
        asked, *identity, self.free_slots, prepared = rest
        self.identity = tuple(identity)
        self.alike = (asked, self.server)
        self.in_doubt = [journal.Prepared.read(*line.split("\n", 1)) for line in prepared]
        self._answer = ()
        if not has_version_table:
            return
        try:
            # Only for these two statements, which are one transaction: a pool would hand the session on as it is.
            cursor.execute(f"SELECT set_config('lock_timeout', '5s', true); {_VERSIONS}")
        except psycopg2.errors.LockNotAvailable:
            if not self.in_doubt:
                raise
        else:
            self._answer = tuple(row[0] for row in cursor.fetchall())

    def _connected(self) -> Driver:
        until, said = time.monotonic() + self._wait, False
        while True:
            try:
                return open_to_look(self.database.url, self._run)
            except psycopg2.OperationalError as error:
                if self._closing.is_set() or time.monotonic() > until or not _SOON.search(str(error)):
                    raise
                if not said:
                    said = True
                    with naming(self.database.name):
                        log.info("waits for its server, at most %g s: %s", self._wait, explain(error))
            # Not in step with the others who wait: what was too many at once would be too many again.
            self._closing.wait(_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def look_at(databases: Iterable[Database], wait: float = 0, run: str = "") -> list[Look]:
    """Ask every database for its revision, all at the same time. The caller closes the looks.

    Args:
        databases: which.
        wait: seconds to wait for a server that can't be reached yet, or has no room, or not yet the database.
        run: the id of the run that the sessions belong to.
    """
    return [Look(database, wait, run) for database in databases]


@contextmanager
def looked_at(databases: Iterable[Database], wait: float = 0, run: str = "") -> Iterator[list[Look]]:
    """The same; the looks are closed when the block ends."""
    with ExitStack() as opened:
        looks = look_at(databases, wait, run)
        for look in looks:
            opened.callback(look.close)
        yield looks


def check_distinct(looks: Iterable[Look]) -> None:
    """Refuse two entries that lead to one database by different URLs.

    Raises:
        MigrationError: there are two; each branch would take the other's tables for its own.
    """
    for problem in doubles(looks).values():
        raise MigrationError(problem)


def doubles(looks: Iterable[Look]) -> dict[str, str]:
    """What is wrong with entries that lead to one database by different URLs, by their names."""
    owners: dict[tuple[object, ...], str] = {}
    found: dict[str, str] = {}
    for look in looks:
        look.wait()
        name = look.database.name
        other = owners.setdefault(look.identity, name) if look.identity else name
        if other != name:
            problem = (
                f"{other} and {name} lead to the same database, {look.database.public_url}: "
                f"correct {variable(other)} or {variable(name)}, or the entries in databases.yaml"
            )
            found |= {other: problem, name: problem}
    return found


def _file_identity(path: str) -> tuple[object, ...] | None:
    """Of an SQLite file, which may have several names; none while it isn't there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
