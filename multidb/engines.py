"""Connections to the databases, that hold no secret which a log or a traceback could print.

A look at a database takes the driver alone: an engine of SQLAlchemy's asks a server four questions before the first of
ours. A connection that then has work gets its engine around it.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from multidb import urls

CONNECT_TIMEOUT = 10  # seconds, where the URL gives no connect_timeout: a dead host must not hold up a run

Driver = Any
"""A connection of psycopg2's or of sqlite3's, which have no type in common."""


def open_to_look(url: URL) -> Driver:
    """A driver's connection that creates nothing, not even an SQLite file, and begins no transaction by itself.

    Raises:
        psycopg2.Error, sqlite3.Error: no connection could be had.
    """
    if not urls.is_sqlite(url):
        connection = _postgresql(url)
        connection.autocommit = True
        return connection
    path = Path(url.database or "")
    if not path.exists():  # a database that isn't there yet is an empty one
        return _sqlite(":memory:", foreign_keys=True)
    # Not `ro`: after a crash, the first to look has to roll back what the journal holds; `rw` creates nothing either.
    return _sqlite(f"{path.as_uri()}?mode=rw", foreign_keys=True)


def connect(url: URL) -> Connection:
    """A connection to look at a database; it creates nothing, not even an SQLite file.

    Raises:
        DBAPIError: no connection could be had.
    """
    return around(url, lambda: open_to_look(url))


def connect_to_migrate(url: URL, looked: Driver) -> Connection:
    """A connection whose transaction may change the schema. For SQLite, foreign keys are off.

    With them on, the rebuild of a table in batch mode deletes the children of ON DELETE CASCADE, and says nothing.
    They can only be switched outside a transaction, so here and not in a revision.

    Args:
        url: of the database.
        looked: the connection that looked at it; it goes on as this one if it can.

    Raises:
        DBAPIError: no connection could be had.
    """
    if not urls.is_sqlite(url):
        return around(url, lambda: looked)
    looked.close()
    return around(url, lambda: _sqlite(url.database or "", foreign_keys=False), begin="BEGIN IMMEDIATE")


def around(url: URL, creator: Callable[[], Driver], begin: str = "BEGIN") -> Connection:
    """SQLAlchemy's connection around a driver's.

    Args:
        url: of the database; the engine gets it without its secrets.
        creator: makes the driver's connection.
        begin: how a transaction begins on SQLite.
    """
    shown = urls.without_secrets(url)
    if urls.is_sqlite(url):
        engine = create_engine(shown, creator=creator, poolclass=NullPool)

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    else:
        # hstore's ids would cost a round trip per connection, and no migration needs them.
        engine = create_engine(shown, creator=creator, poolclass=NullPool, use_native_hstore=False)

        @event.listens_for(engine, "connect")
        def leave_transactions_to_sqlalchemy(connection: Driver, _record: object) -> None:
            connection.autocommit = False

    return engine.connect()


def _postgresql(url: URL) -> Driver:
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT, "application_name": "neighbor-migrations"}
    arguments.update(url.get_dialect()().create_connect_args(url)[1])
    return psycopg2.connect(**arguments)


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
