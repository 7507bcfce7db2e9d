"""Connections to the databases, from which no log line and no traceback can print a secret.

A probe uses the driver alone: an engine of SQLAlchemy asks a server four questions before the first of ours. A
connection that then has work gets an engine around it.
"""

import os
import shlex
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from multidb.advice.codes import Code
from multidb.advice.said import first_line
from multidb.config import urls
from multidb.config.settings import BUSY_WAIT
from multidb.database.drivers import PostgresqlConnection, SqliteConnection
from multidb.database.pauses import pauses
from multidb.database.refusal import ConnectionFailedError
from multidb.errors import MigrationError

# Where the URL says nothing else: a dead host must not hold up a run, and a dead peer is noticed within a minute.
_DEFAULTS: dict[str, Any] = {
    "tcp_user_timeout": 60_000,  # milliseconds that sent data may stay unacknowledged
    "connect_timeout": 10,  # seconds, as all of these
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_PASSWORD_TIMEOUT = 60.0  # seconds that a password command may take
_LONGEST_APPLICATION_NAME = 63  # characters; PostgreSQL truncates there

_dialects: dict[Hashable, Dialect] = {}

IN_MEMORY = ":memory:"
"""In place of the path of an SQLite file."""

Driver = Any
"""A connection of psycopg2 or sqlite3, which have no type in common."""


def application_name(run: str = "") -> str:
    """The name of our sessions, also those of no run, in pg_stat_activity: `multidb:20261123-062228-7f3a2c@host`."""
    return f"multidb{':' if run else ''}{run}@{socket.gethostname()}"[:_LONGEST_APPLICATION_NAME]


def connect_arguments(url: URL, run: str = "") -> dict[str, Any]:
    """The arguments of `psycopg2.connect`, with our defaults where the URL says nothing."""
    arguments = _DEFAULTS | {"application_name": application_name(run)}
    command = url.query.get(urls.PASSWORD_COMMAND)
    if command is not None:
        url = url.difference_update_query([urls.PASSWORD_COMMAND]).set(password=_password(str(command)))
    arguments.update(url.get_dialect()().create_connect_args(url)[1])
    # Whatever the URL, PGCLIENTENCODING or the role say: names and errors of any language are written to the journal.
    return arguments | {"client_encoding": "utf8"}


def _password(command: str) -> str:
    """What a command prints: a password that lives for minutes. MigrationError if it fails."""
    try:
        words = shlex.split(command)
        said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PASSWORD_TIMEOUT)  # noqa: S603 - the operator's own
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reasons = {subprocess.TimeoutExpired: f"it took {_PASSWORD_TIMEOUT:g} s", ValueError: "a quote is not closed"}
        reason = error.strerror if isinstance(error, OSError) else reasons[type(error)]
        raise MigrationError(Code.PASSWORD_COMMAND, f"the password command can't be run: {reason}") from error
    password = said.stdout.rstrip("\r\n")
    if said.returncode or not password:
        what = f"failed with exit code {said.returncode}" if said.returncode else "printed no password"
        reason = f": {first_line(said.stderr)}" if said.stderr.strip() else ""
        raise MigrationError(Code.PASSWORD_COMMAND, f"the password command {what}{reason}")
    return password


def retry_pauses() -> Iterator[float]:
    """Seconds between two attempts to connect."""
    return pauses(0.25, 2.0)


def open_to_read(url: URL, run: str = "", *, busy_wait: float = BUSY_WAIT) -> Driver:
    """A driver's connection that creates nothing, not even an SQLite file, and begins no transaction by itself.

    A server that starts, or has no room, is tried again for `busy_wait` seconds.

    Raises:
        ConnectionFailedError, sqlite3.Error: the connection failed, or there is no such file.
        psycopg2.ProgrammingError: the URL has an option that libpq does not know.
    """
    if not urls.is_sqlite(url):
        connection = _connected(connect_arguments(url, run), busy_wait)
        connection.autocommit = True
        return connection
    path = url.database or ""
    if path == IN_MEMORY:
        return _sqlite(IN_MEMORY, foreign_keys=True)
    if not Path(path).exists():
        raise ConnectionFailedError.without_file(path)
    return open_existing(Path(path))


def _connected(arguments: dict[str, Any], busy_wait: float) -> Driver:
    until = time.monotonic() + busy_wait
    for pause in retry_pauses():
        at = time.monotonic()
        try:
            connection: Driver = psycopg2.connect(**arguments, connection_factory=PostgresqlConnection)
        except psycopg2.OperationalError as error:
            failure = ConnectionFailedError.because(error, arguments, time.monotonic() - at)
            if not failure.refusal.is_busy or time.monotonic() >= until:
                raise failure from error
        else:
            connection.arguments = arguments
            return connection
        time.sleep(pause)
    raise AssertionError  # the pauses do not end


def open_existing(path: Path) -> sqlite3.Connection:
    """An SQLite file that exists; none is created.

    The mode is `rw` and not `ro`: after a crash the first reader has to roll back what the file's journal holds.

    Raises:
        sqlite3.Error: the file does not exist, or can't be opened.
    """
    return _sqlite(f"{path.as_uri()}?mode=rw", foreign_keys=True)


def open_to_migrate(path: str) -> sqlite3.Connection:
    """An SQLite file that exists, and whose schema may change; or a database in memory.

    Foreign keys are off: with them on, rebuilding a table in batch mode silently deletes the children of ON DELETE
    CASCADE. They can only be switched outside a transaction, so here and not in a revision. A commit is durable when
    it returns, for it may decide for other databases. Waiting for a lock is left to the caller, who is interruptible.

    Raises:
        sqlite3.Error: the file does not exist, or can't be opened.
    """
    location = path if path == IN_MEMORY else f"{Path(path).as_uri()}?mode=rw"
    connection = _sqlite(location, foreign_keys=False)
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA busy_timeout = 0")
    return connection


def shut_down(driver: Driver) -> None:
    """Shut a PostgreSQL session's connection down, so that a thread which waits for an answer gets an error."""
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(driver.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def connect(url: URL) -> Connection:
    """SQLAlchemy's connection to read a database; it creates nothing. See `open_to_read` for the errors."""
    return around(url, lambda: open_to_read(url))


def driver_of(connection: Connection) -> Driver:
    return connection.connection.driver_connection


def around(
    url: URL,
    creator: Callable[[], Driver],
    begin: Callable[[Connection], object] | None = None,
    dialect_cache_key: Hashable | None = None,
    listen: Callable[[Engine], object] = lambda _: None,
) -> Connection:
    """SQLAlchemy's connection around a driver's.

    Args:
        url: of the database; the engine gets it without its secrets.
        begin: begins a connection's transaction that the caller ends: SQLAlchemy's commit and rollback do not reach
            PostgreSQL.
        dialect_cache_key: databases with equal keys share an initialised dialect, which saves four round trips.
        listen: listens to the engine's events before there is a connection.
    """
    engine = _engine(urls.without_secrets(url), creator, dialect_cache_key)
    if begin is not None or urls.is_sqlite(url):
        event.listen(engine, "begin", begin or (lambda connection: driver_of(connection).execute("BEGIN")))
    else:

        @event.listens_for(engine, "connect")
        def leave_transactions_to_sqlalchemy(connection: Driver, _record: object) -> None:
            connection.autocommit = False

    listen(engine)
    connection = engine.connect()
    if dialect_cache_key is not None:
        _dialects[dialect_cache_key] = engine.dialect
    return connection


def _engine(url: URL, creator: Callable[[], Driver], dialect_cache_key: Hashable | None) -> Engine:
    # A connection that is closed needs no rollback before; on a broken one SQLAlchemy would log an error.
    options: dict[str, Any] = {"poolclass": NullPool, "pool_reset_on_return": None}
    if not urls.is_sqlite(url):
        options["use_native_hstore"] = False  # looking up its ids costs a round trip, and no migration needs them
    dialect = _dialects.get(dialect_cache_key) if dialect_cache_key is not None else None
    if dialect is None:
        return create_engine(url, creator=creator, **options)
    prepare = dialect.on_connect_url(url)

    def prepared() -> Driver:
        driver = creator()
        if prepare is not None:
            prepare(driver)
        return driver

    # What create_engine() does, with a dialect that has asked its four questions already.
    return Engine(NullPool(prepared, dialect=dialect, reset_on_return=None), dialect, url)


def _sqlite(location: str, *, foreign_keys: bool) -> sqlite3.Connection:
    """A connection whose transactions include DDL.

    In its default mode the driver commits before a CREATE TABLE, and a failed migration leaves tables behind; with
    `isolation_level = None` it leaves BEGIN to us.
    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#pysqlite-serializable
    """
    connection = sqlite3.connect(
        location,
        uri=location.startswith("file:"),
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )
    connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    return connection
