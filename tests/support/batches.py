"""A table of SQLite in memory, and batches of Alembic's on it as a revision runs them."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from alembic.operations import BatchOperations, Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import make_url

from multidb.database import connections
from multidb.release.batch import batch_mode

Step = Callable[[BatchOperations], object]


@dataclass
class Database:
    connection: Connection
    op: Operations

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.exec_driver_sql(sql)]

    def execute(self, sql: str) -> None:
        self.connection.exec_driver_sql(sql)

    def sql(self, name: str) -> str:
        """The statement of a table, an index, a trigger or a view, as SQLite has it."""
        return str(self.connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar())

    @property
    def texts(self) -> dict[str, str]:
        """All statements by the names of their objects; a table that is rebuilt has quotes around its name."""
        rows = self.query(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        )
        return {name: sql.replace(f'CREATE TABLE "{name}"', f"CREATE TABLE {name}", 1) for name, sql in rows}


@contextmanager
def opened(script: str) -> Iterator[Database]:
    """A database in memory that a script has made, in the transaction of a run."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as driver:
        driver.executescript(script)
        with connections.around(make_url("sqlite://"), lambda: driver) as connection:
            connection.begin()
            context = MigrationContext.configure(connection, opts={"target_metadata": MetaData()})
            yield Database(connection, Operations(context))


@contextmanager
def revised(script: str, revision: Callable[[Operations], object]) -> Iterator[Database]:
    """The database after a revision."""
    with opened(script) as database:
        with batch_mode():
            revision(database.op)
        yield database


def texts_of(script: str) -> dict[str, str]:
    with opened(script) as database:
        return database.texts


def batch(table: str, *steps: Step, **options: Any) -> Callable[[Operations], None]:
    """A revision with one batch of these operations."""

    def revision(op: Operations) -> None:
        with op.batch_alter_table(table, **options) as operations:
            for step in steps:
                step(operations)

    return revision
