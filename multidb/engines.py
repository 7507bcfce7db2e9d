"""Connections to the databases, that hold no secret which a log or a traceback could print."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from multidb.config import Database

CONNECT_TIMEOUT = 10  # seconds, where the URL gives no connect_timeout: a dead host must not hold up a run


def connect(database: Database) -> Connection:
    """A connection to look at a database; it creates nothing, not even an SQLite file.

    Raises:
        DBAPIError: no connection could be had.
    """
    return (_sqlite_reader(database) if database.is_sqlite else _postgresql(database)).connect()


def connect_to_migrate(database: Database) -> Connection:
    """A connection whose transaction may change the schema. For SQLite, foreign keys are off.

    With them on, the rebuild of a table in batch mode deletes the children of ON DELETE CASCADE, and says
    nothing. They can only be switched outside a transaction, so here and not in a revision.

    Raises:
        DBAPIError: no connection could be had.
    """
    return (_sqlite_writer(database) if database.is_sqlite else _postgresql(database)).connect()


def connect_in_memory(database: Database) -> Connection:
    """An empty SQLite database in memory, to try this one's revisions on."""
    return _sqlite(database, lambda: sqlite3.connect(":memory:"), migrating=True).connect()


def _postgresql(database: Database) -> Engine:
    arguments: dict[str, Any] = dict(database.secrets)
    given = database.url.query
    if "connect_timeout" not in given:
        arguments["connect_timeout"] = CONNECT_TIMEOUT
    if "application_name" not in given:
        arguments["application_name"] = "neighbor-migrations"
    # hstore's ids would cost a round trip per connection, and no migration needs them.
    return create_engine(database.public_url, poolclass=NullPool, connect_args=arguments, use_native_hstore=False)


def _sqlite_reader(database: Database) -> Engine:
    """Opens an existing file for reading; one that isn't there yet is an empty database."""
    path = Path(database.url.database or "")
    if path.exists():
        location = f"{path.as_uri()}?mode=ro"
        return _sqlite(database, lambda: sqlite3.connect(location, uri=True), migrating=False)
    return _sqlite(database, lambda: sqlite3.connect(":memory:"), migrating=False)


def _sqlite_writer(database: Database) -> Engine:
    path = database.url.database or ""
    return _sqlite(database, lambda: sqlite3.connect(path), migrating=True)


def _sqlite(database: Database, creator: Callable[[], sqlite3.Connection], *, migrating: bool) -> Engine:
    """An engine whose transactions hold DDL, too.

    In its default mode the driver commits before a CREATE TABLE, and a failed migration leaves tables behind;
    with `isolation_level = None` it leaves BEGIN to us.
    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#pysqlite-serializable
    """
    engine = create_engine(database.public_url, creator=creator, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys = {'OFF' if migrating else 'ON'}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if migrating else "BEGIN")

    return engine
