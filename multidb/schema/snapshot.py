"""Read the schema and the recorded revision of a live database, under its lock, so that no run is changing them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import psycopg2
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb import logs
from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database import connections, locks
from multidb.database.connections import Driver
from multidb.database.locks import Wait
from multidb.database.probe import Probe, shared_databases
from multidb.database.threads import map_in_threads
from multidb.errors import MigrationError
from multidb.schema.dialect import dialect_of
from multidb.schema.difference import Difference
from multidb.schema.objects import Schema

_READ_ONLY = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '5s'"


@dataclass(frozen=True)
class Snapshot:
    """The schema of a live database at one moment, and the sorted revisions in its `alembic_version`."""

    database: Database
    heads: tuple[str, ...]
    schema: Schema

    def note_server_of(self, wanted: Schema) -> None:
        """Log that the schema to compare with was made on a server of another version."""
        text = "replayed on PostgreSQL %s, and the database is on %s: what only one has is reported as a difference"
        made_on, is_on = wanted.version // 10000, self.schema.version // 10000
        if made_on != is_on:
            with logs.for_database(self.database.name):
                logs.log.info(text, made_on, is_on)


def read(probe: Probe, seconds: float | None, *, for_revision: bool = False) -> Snapshot:
    """Read a database; nothing in it is changed.

    Args:
        seconds: how long to wait for a run in progress; None where that run is our own.
        for_revision: as `dialect_of` takes it.

    Raises:
        MigrationError: a run has been in progress for longer, or has left the database in doubt.
        psycopg2.Error, sqlite3.Error: the database can't be read.
    """
    result = probe.result()
    _ = result.heads  # raises what kept them from being read
    result.check_direct()
    with _locked(probe.connection, Wait(seconds, "lock_wait")) if seconds is not None else nullcontext():
        probe.start()
        result = probe.result()
        if result.in_doubt:
            raise MigrationError(
                Code.IN_DOUBT, "an interrupted run left it in doubt: `python -m multidb recover` first"
            )
        with reading(result.database, probe.connection) as connection:
            table = result.database.version_table
            options = {"version_table": table.name, "version_table_schema": table.schema}
            heads = MigrationContext.configure(connection, opts=options).get_current_heads()
            schema = dialect_of(connection, table, for_revision=for_revision).read(connection)
            return Snapshot(result.database, tuple(sorted(heads)), schema)


def read_all(probes: Sequence[Probe], seconds: float | None) -> list[Snapshot | Exception]:
    """Read databases at the same time: of each, in their order, the snapshot or what prevented it.

    Args:
        seconds: as `read` takes them; None where the calling run holds the locks.
    """

    def read_one(probe: Probe) -> Snapshot | Exception:
        try:
            return read(probe, seconds)
        except Exception as error:
            return error

    found = map_in_threads(read_one, probes)
    shared = shared_databases(each.result() for each in probes if each.has_answered)
    return [
        MigrationError(Code.SAME_DATABASE, shared[probe.database.name]) if probe.database.name in shared else each
        for probe, each in zip(probes, found, strict=True)
    ]


def count_violations(probe: Probe, differences: Sequence[Difference]) -> list[Difference]:
    """Count the rows that violate each difference. A psycopg2.Error or sqlite3.Error means a lost connection."""
    with reading(probe.database, probe.connection) as connection:
        return [replace(each, rows=count_rows(connection, each.violations)) for each in differences]


@contextmanager
def reading(database: Database, driver: Driver) -> Iterator[Connection]:
    """A read-only transaction in a session that has none open."""
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
    # SQLite's lock is a transaction that can write. A reader sees one state of schema and revision, so the lock may be
    # released before the read; a read-only medium has no lock.
    try:
        locks.lock(driver, wait)
        driver.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
    yield


def _begin(connection: Connection) -> None:
    driver = connections.driver_of(connection)
    if isinstance(driver, sqlite3.Connection):
        driver.execute("BEGIN")
        return
    with driver.cursor() as cursor:
        cursor.execute(_READ_ONLY)


class NotCountedError(Exception):
    """Rows could not be counted; the text says why."""


def count_rows(connection: Connection, statements: Sequence[str], seconds: float = 0.0) -> int | None:
    """Count rows; None without statements, or if one fails: they may need an object that is missing.

    Args:
        connection: in a transaction, which it leaves as it was.
        statements: the last one returns the number.
        seconds: that each statement may take on PostgreSQL; 0 leaves that to the session.

    Raises:
        NotCountedError: with `seconds` given, a statement took longer, or the role may not read the table.
    """
    if not statements:
        return None
    driver = connections.driver_of(connection)
    cursor = driver.cursor()
    cursor.execute("SAVEPOINT multidb_counting")
    try:
        if seconds and not isinstance(driver, sqlite3.Connection):
            cursor.execute(f"SET LOCAL statement_timeout = {seconds * 1000:.0f}")
        for statement in statements:
            cursor.execute(statement)
        row = cursor.fetchone()
        return int(row[0]) if row else None
    except (psycopg2.Error, sqlite3.Error) as error:
        if seconds and isinstance(error, psycopg2.errors.QueryCanceled):
            raise NotCountedError("not in time") from error
        if seconds and isinstance(error, psycopg2.errors.InsufficientPrivilege):
            raise NotCountedError("the role may not read the table") from error
        return None
    finally:
        cursor.execute("ROLLBACK TO SAVEPOINT multidb_counting")
