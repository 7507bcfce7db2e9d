"""Which revision every database is at, asked of all of them at the same time.

A run that has nothing to do ends here: it costs what the slowest database costs, and not their sum.
"""

from collections.abc import Iterable
from threading import Thread

from multidb.config import Database
from multidb.engines import Driver, open_to_look

_HAS_VERSION_TABLE = {
    True: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'",
    False: "SELECT (to_regclass('alembic_version') IS NOT NULL)::int",
}


class Look:
    """A question to one database, answered while others are asked, over a connection that is left open.

    Args:
        database: which.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection: Driver = None
        self._answer: tuple[str, ...] = ()
        self._error: Exception | None = None
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    @property
    def heads(self) -> tuple[str, ...]:
        """The revisions in its `alembic_version`, when the answer has come.

        Raises:
            psycopg2.Error, sqlite3.Error: it could not be asked.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer

    def close(self) -> None:
        self._thread.join()
        if self.connection is not None:
            self.connection.close()

    def _ask(self) -> None:
        try:
            self.connection = open_to_look(self.database)
            cursor = self.connection.cursor()
            cursor.execute(_HAS_VERSION_TABLE[self.database.is_sqlite])
            if cursor.fetchone()[0]:
                cursor.execute("SELECT version_num FROM alembic_version")
                self._answer = tuple(row[0] for row in cursor.fetchall())
        except Exception as error:  # raised again where the database's turn has come
            self._error = error


def look_at(databases: Iterable[Database]) -> list[Look]:
    """Ask every database for its revision, all at the same time.

    Args:
        databases: which.

    Returns:
        A Look for each, in the same order, that the caller closes.
    """
    return [Look(database) for database in databases]
