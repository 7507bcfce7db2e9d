"""SQL for SQLite, recorded from a real run.

SQLite alters a table by building it anew, for which Alembic has to see the table, and so its `--sql` refuses it. But
SQLite needs no server: the same revisions run in memory, and what they execute is the script.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from alembic import context
from sqlalchemy import Connection

from multidb import engines, logs, planning
from multidb.config import Database
from multidb.environment import Environment
from multidb.errors import MigrationError

_CHANGES = ("CREATE ", "ALTER ", "DROP ", "INSERT ", "UPDATE ", "DELETE ", "REPLACE ")
_CATALOG = ("SQLITE_MASTER", "SQLITE_TEMP_MASTER", "ALEMBIC_VERSION")


@contextmanager
def recorded(environment: Environment, database: Database, start: str | None, output: TextIO) -> Iterator[None]:
    """Alembic's context in an empty database in memory, whose changes are written down.

    Args:
        environment: the command and its databases.
        database: an SQLite database; it is not touched.
        start: the revision that the script starts from, or None for an empty database.
        output: where the SQL goes.

    Raises:
        MigrationError: a revision reads rows, of which a script can know nothing.
    """
    with engines.connect_in_memory(database) as connection:
        if start is not None:
            _replay(environment, database, connection, start)
        refused: list[str] = []
        connection.begin()
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(lambda statement: _write(statement, output, refused))
        work = planning.work_in(environment, database)
        environment.configure(database, connection, work=work, as_sql=False)
        yield
        driver.set_trace_callback(None)
        if refused:
            raise MigrationError(f"{database.name}: a revision reads rows, which --sql can't know: {refused[0]}")


def _replay(environment: Environment, database: Database, connection: Connection, start: str) -> None:
    """Bring the database in memory to the revision that the script starts from."""
    script = environment.script
    with logs.silent(), connection.begin():
        environment.configure(
            database, connection, work=lambda heads, _context: script._upgrade_revs(start, heads), as_sql=False
        )
        context.run_migrations()


def _write(statement: str, output: TextIO, refused: list[str]) -> None:
    text = statement.strip()
    # A statement that a trigger runs is reported as a comment, and the trigger will run it.
    upper = text.upper()
    if upper.startswith(_CHANGES):
        output.write(f"{text.rstrip(';')};\n\n")
    elif upper.startswith(("SELECT ", "WITH ")) and not any(name in upper for name in _CATALOG):
        refused.append(text.splitlines()[0])
