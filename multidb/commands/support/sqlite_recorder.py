"""Record SQL for SQLite from a real run in memory.

SQLite alters a table by rebuilding it. Alembic has to see the table for that, and so its `--sql` refuses. But SQLite
needs no server: the revisions run in memory, and the statements that they execute are the script.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TextIO

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb import logs
from multidb.advice.codes import Code
from multidb.commands.support import script_guard
from multidb.commands.support.script_journal import ScriptJournal
from multidb.config.configuration import Database
from multidb.database import connections
from multidb.errors import MigrationError
from multidb.planning import nontransactional, planner
from multidb.planning.alembic_internals import upgrade_steps
from multidb.planning.environment import Environment
from multidb.planning.plan import Step
from multidb.release.batch import batch_mode

_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_CATALOG = r"\b(sqlite_master|sqlite_temp_master|sqlite_schema|{})\b"
_CHANGE_AFTER_WITH = re.compile(r"\)\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_READING_PRAGMA = re.compile(
    r"PRAGMA\s+(\w+\.)?(table_x?info|table_list|index_list|index_x?info|foreign_key_list|foreign_key_check)\b",
    re.IGNORECASE,
)


class Recorder(sqlite3.Connection):
    """A connection that records each statement, with its parameters in place."""

    record: Callable[[str], None] | None = None

    def cursor(self, factory: Any = None) -> Any:  # noqa: ARG002 - SQLAlchemy asks for the plain one
        return super().cursor(_RecordingCursor)


class _RecordingCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        connection = self.connection
        assert isinstance(connection, Recorder)
        # SQLite reports a statement again for each trigger that it fires; the first report is its own.
        reports: list[str] = []
        connection.set_trace_callback(reports.append)
        try:
            super().execute(sql, parameters)
        finally:
            connection.set_trace_callback(None)
        if connection.record is not None and reports:
            connection.record(reports[0])
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
        for each in parameters:
            self.execute(sql, each)
        return self


@contextmanager
def recorded(
    environment: Environment, database: Database, start: tuple[str, ...], output: TextIO, journal: ScriptJournal
) -> Iterator[None]:
    """Alembic's context in an empty database in memory, whose changes are recorded; the database is not touched.

    Args:
        start: the revisions that the script starts from; none is an empty database.
        output: where the SQL goes.
        journal: follows the steps.

    Raises:
        MigrationError: a revision reads rows, which a script does not have.
    """
    recorder = sqlite3.connect(":memory:", isolation_level=None, factory=Recorder)
    with connections.around(database.url, lambda: recorder) as connection, batch_mode(is_script=True):
        if start:
            _replay(environment, database, connection, start)
        connection.begin()
        catalog = re.compile(_CATALOG.format(re.escape(database.version_table.name)), re.IGNORECASE)
        recorder.record = lambda statement: _write(statement, catalog, output)

        def end_transaction() -> None:
            output.writelines(f"{each};\n\n" for each in journal.statements())
            recorder.cursor().execute("COMMIT")  # recorded, as every statement of a cursor

        def begin_transaction() -> None:
            recorder.execute("BEGIN")
            output.write("BEGIN;\n\n")

        own_work = planner.work_in(environment, database)
        work = nontransactional.around(journal.following(own_work), end_transaction, begin_transaction)

        def guarded(heads: tuple[str, ...], migration_context: MigrationContext) -> Any:
            output.writelines(f"{each};\n\n" for each in script_guard.on_sqlite(database, heads))
            return work(heads, migration_context)

        environment.configure_migration(database, connection, work=guarded, on_version_apply=journal.note)
        yield
        recorder.record = None


def _replay(environment: Environment, database: Database, connection: Connection, start: tuple[str, ...]) -> None:
    """Bring the database in memory to the revision that the script starts from."""

    def work(heads: tuple[str, ...], _context: object) -> list[Step]:
        return upgrade_steps(environment.script, start, heads)

    with logs.silent(), connection.begin():
        environment.configure_migration(database, connection, work)
        context.run_migrations()


def _write(statement: str, catalog: re.Pattern[str], output: TextIO) -> None:
    """Record a statement, unless it only reads the catalog, as Alembic does. One that reads rows is refused."""
    text = _COMMENTS.sub("", statement, count=1)
    verb = text.split(None, 1)[0].upper() if text else ""
    reads = verb == "SELECT" or (verb == "WITH" and not _CHANGE_AFTER_WITH.search(text))
    if reads and not catalog.search(text):
        raise MigrationError(Code.SCRIPT, f"it reads rows, which --sql does not have: {text.splitlines()[0]}")
    if text and not reads and verb not in ("BEGIN", "EXPLAIN") and not _READING_PRAGMA.match(text):
        output.write(f"{statement.strip().rstrip(';')};\n\n")
