"""Connections to the databases, that hold no secret which a log or a traceback could print.

A look at a database takes the driver alone: an engine of SQLAlchemy's asks a server four questions before the first of
ours. A connection that then has work gets its engine around it.
"""

import socket
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from multidb.config import urls

# Where the URL says nothing else. A dead host must not hold up a run, and a dead peer is noticed within a minute.
_DEFAULTS: dict[str, Any] = {
    "tcp_user_timeout": 60_000,  # milliseconds, for what was sent and not received
    "connect_timeout": 10,  # seconds, as all of these
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_LONGEST_APPLICATION_NAME = 63  # PostgreSQL cuts there

_dialects: dict[Hashable, Dialect] = {}

Driver = Any
"""A connection of psycopg2's or of sqlite3's, which have no type in common."""


def application_name(run: str = "") -> str:
    """What pg_stat_activity shows of our sessions: `multidb:20261123-062228-7f3a2c@host`.

    Args:
        run: the id of the run that they belong to.
    """
    return f"multidb{':' if run else ''}{run}@{socket.gethostname()}"[:_LONGEST_APPLICATION_NAME]


def open_to_look(url: URL, run: str = "") -> Driver:
    """A driver's connection that creates nothing, not even an SQLite file, and begins no transaction by itself.

    Args:
        url: of the database.
        run: the id of the run that the session belongs to.

    Raises:
        psycopg2.Error, sqlite3.Error: no connection could be had.
    """
    if not urls.is_sqlite(url):
        arguments = _DEFAULTS | {"application_name": application_name(run)}
        arguments.update(url.get_dialect()().create_connect_args(url)[1])
        connection = psycopg2.connect(**arguments)
        connection.autocommit = True
        return connection
    path = Path(url.database or "")
    if not path.exists():  # a database that isn't there yet is an empty one
        return _sqlite(":memory:", foreign_keys=True)
    return open_existing(path)


def open_existing(path: Path) -> sqlite3.Connection:
    """An SQLite file that is there; none is created.

    Not `ro`: after a crash, the first to look has to roll back what the journal holds; `rw` creates nothing either.

    Raises:
        sqlite3.Error: it is not there, or can't be opened.
    """
    return _sqlite(f"{path.as_uri()}?mode=rw", foreign_keys=True)


def open_to_migrate(path: str) -> sqlite3.Connection:
    """An SQLite file whose schema may change; it is created if need be. Foreign keys are off.

    With them on, the rebuild of a table in batch mode deletes the children of ON DELETE CASCADE, and says nothing.
    They can only be switched outside a transaction, so here and not in a revision. A commit is on the disk when it
    returns: it may decide for other databases. Whoever waits for a lock does so himself, and can be interrupted.

    Raises:
        sqlite3.Error: it can't be opened.
    """
    connection = _sqlite(path, foreign_keys=False)
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA busy_timeout = 0")
    return connection


def connect(url: URL) -> Connection:
    """A connection to look at a database; it creates nothing, not even an SQLite file.

    Raises:
        DBAPIError: no connection could be had.
    """
    return around(url, lambda: open_to_look(url))


def around(
    url: URL,
    creator: Callable[[], Driver],
    begin: Callable[[Driver], object] | None = None,
    alike: Hashable | None = None,
) -> Connection:
    """SQLAlchemy's connection around a driver's.

    Args:
        url: of the database; the engine gets it without its secrets.
        creator: makes the driver's connection.
        begin: begins a transaction, where the caller wants to end it himself; SQLAlchemy's commit and rollback
            then leave PostgreSQL's alone.
        alike: what makes two databases the same to SQLAlchemy: what it asked the first is not asked again.
    """
    engine = _engine(urls.without_secrets(url), creator, alike)
    if begin is not None or urls.is_sqlite(url):
        start = begin or (lambda driver: driver.execute("BEGIN"))

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: Connection) -> None:
            start(connection.connection.driver_connection)

    else:

        @event.listens_for(engine, "connect")
        def leave_transactions_to_sqlalchemy(connection: Driver, _record: object) -> None:
            connection.autocommit = False

    connection = engine.connect()
    if alike is not None:
        _dialects[alike] = engine.dialect
    return connection


def _engine(url: URL, creator: Callable[[], Driver], alike: Hashable | None) -> Engine:
    # A connection that is closed needs no rollback before, which on a broken one is logged as an error.
    options: dict[str, Any] = {"poolclass": NullPool, "pool_reset_on_return": None}
    if not urls.is_sqlite(url):
        options["use_native_hstore"] = False  # whose ids would cost a round trip, and no migration needs them
    dialect = _dialects.get(alike) if alike is not None else None
    if dialect is None:
        return create_engine(url, creator=creator, **options)
    prepare = dialect.on_connect_url(url)

    def prepared() -> Driver:
        driver = creator()
        if prepare is not None:
            prepare(driver)
        return driver

    # As create_engine() does it, but with a dialect that has asked its four questions already.
    return Engine(NullPool(prepared, dialect=dialect, reset_on_return=None), dialect, url)


def _sqlite(location: str, *, foreign_keys: bool) -> sqlite3.Connection:
    """A connection whose transactions hold DDL, too.

    In its default mode the driver commits before a CREATE TABLE, and a failed migration leaves tables behind; with
    `isolation_level = None` it leaves BEGIN to us.
    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#pysqlite-serializable
    """
    connection = sqlite3.connect(
        location, uri=location.startswith("file:"), isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    return connection
