"""What is in a live database, read under its lock, so that a run in progress is not taken for what the database is."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb.config.configuration import Database, variable
from multidb.database import connections, locks
from multidb.database.connections import Driver
from multidb.database.locks import Wait
from multidb.database.probe import Probe
from multidb.errors import MigrationError
from multidb.schema import postgresql
from multidb.schema.diff import Difference
from multidb.schema.objects import Schema

_READ_ONLY = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '5s'"


@dataclass(frozen=True)
class Snapshot:
    """A live database as it was at one moment.

    Args:
        database: which.
        heads: what its `alembic_version` holds, sorted.
        schema: what is in it.
    """

    database: Database
    heads: tuple[str, ...]
    schema: Schema


def read(probe: Probe, seconds: float | None) -> Snapshot:
    """Read a database; nothing in it is changed.

    Args:
        probe: of the database, started.
        seconds: how long to wait for a run in progress; None where that run is our own.

    Raises:
        MigrationError: a run has been in progress for longer, or has left the database in doubt.
        psycopg2.Error, sqlite3.Error: the database can't be read.
    """
    result = probe.result()
    _ = result.heads  # raises what kept them from being read
    result.check_direct()
    with _locked(probe.connection, Wait(seconds, "lock_wait")) if seconds is not None else nullcontext():
        probe.start()
        if probe.result().in_doubt:
            raise MigrationError("an interrupted run left it in doubt: `python -m multidb recover` first")
        with reading(probe.database, probe.connection) as connection:
            heads = MigrationContext.configure(connection).get_current_heads()
            return Snapshot(probe.database, tuple(sorted(heads)), postgresql.read(connection))


def check_exists(database: Database) -> None:
    """Refuse an SQLite file that does not exist: it would pass for an empty database, and a wrong path for a right one.

    Raises:
        MigrationError: the file does not exist.
    """
    path, name = database.url.database or "", database.name
    if database.is_sqlite and not Path(path).exists():
        raise MigrationError(
            f"there is no file {path}: name the live one in {variable(name)}, or create it: "
            f"`alembic upgrade {name}@head`"
        )


def counted(probe: Probe, differences: Sequence[Difference]) -> list[Difference]:
    """The differences with the numbers of rows that mending them would break.

    Args:
        probe: of the database.
        differences: found in it.

    Raises:
        psycopg2.Error, sqlite3.Error: the database can't be asked any more.
    """
    with reading(probe.database, probe.connection) as connection:
        return [replace(each, rows=count(connection, each.breaking)) for each in differences]


@contextmanager
def reading(database: Database, driver: Driver) -> Iterator[Connection]:
    """A transaction in which nothing can be changed.

    Args:
        database: which.
        driver: a session in it, in no transaction.
    """
    connection = connections.around(database.url, lambda: driver, _begin)
    connection.begin()
    try:
        yield connection
    finally:
        if isinstance(driver, sqlite3.Connection):
            driver.execute("ROLLBACK")
        elif not driver.closed:
            with driver.cursor() as cursor:
                cursor.execute("ROLLBACK")
        connection.detach()  # the session is the caller's, and goes on


@contextmanager
def _locked(driver: Driver, wait: Wait) -> Iterator[None]:
    if not isinstance(driver, sqlite3.Connection):
        locks.lock(driver, wait)
        try:
            yield
        finally:
            if not driver.closed:
                locks.unlock(driver)
        return
    # SQLite's lock is a transaction that could write. Whoever reads sees one state, with the revision that belongs to
    # it, so that it is enough to have had the lock; on a medium that nobody can write to, there is none to be had.
    try:
        locks.lock(driver, wait)
        driver.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
    yield


def _begin(driver: Driver) -> None:
    if isinstance(driver, sqlite3.Connection):
        driver.execute("BEGIN")
        return
    with driver.cursor() as cursor:
        cursor.execute(_READ_ONLY)


def count(connection: Connection, statements: Sequence[str]) -> int | None:
    """A number of rows, or None where it can't be counted: what is missing may be what would be counted.

    Args:
        connection: in a transaction, which it leaves as it was.
        statements: of which the last one gives the number; none count nothing.
    """
    if not statements:
        return None
    driver = connection.connection.driver_connection
    assert driver is not None
    cursor = driver.cursor()
    cursor.execute("SAVEPOINT multidb_counting")
    try:
        for statement in statements:
            cursor.execute(statement)
        row = cursor.fetchone()
        return int(row[0]) if row else None
    except (psycopg2.Error, sqlite3.Error):
        return None
    finally:
        cursor.execute("ROLLBACK TO SAVEPOINT multidb_counting")
