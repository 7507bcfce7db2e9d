"""Which revision every database is at, asked of all of them at the same time.

A run that has nothing to do ends here: it costs what the slowest database costs, and not their sum.
"""

from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from multidb.config import Database, variable
from multidb.engines import Driver, open_to_look
from multidb.errors import MigrationError

# Whether it has an `alembic_version`, and which database of which server it is: a server starts once at an instant.
_POSTGRESQL = """
    SELECT to_regclass('alembic_version') IS NOT NULL, pg_postmaster_start_time(), oid
    FROM pg_database WHERE datname = current_database()
"""
_SQLITE = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"


class Look:
    """A question to one database, answered while others are asked, over a connection that is left open.

    Args:
        database: which.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection: Driver = None
        self.identity: tuple[object, ...] | None = None
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

    def wait(self) -> None:
        """Until it has answered, or could not be asked."""
        self._thread.join()

    def close(self) -> None:
        self._thread.join()
        if self.connection is not None:
            self.connection.close()

    def _ask(self) -> None:
        try:
            self.connection = open_to_look(self.database.url)
            cursor = self.connection.cursor()
            cursor.execute(_SQLITE if self.database.is_sqlite else _POSTGRESQL)
            has_version_table, *identity = cursor.fetchone()
            self.identity = tuple(identity) or _file_identity(self.database.url.database or "")
            if has_version_table:
                cursor.execute("SELECT version_num FROM alembic_version")
                self._answer = tuple(row[0] for row in cursor.fetchall())
        except Exception as error:  # raised again where the database's turn has come
            self._error = error


def look_at(databases: Iterable[Database]) -> list[Look]:
    """Ask every database for its revision, all at the same time. The caller closes the looks."""
    return [Look(database) for database in databases]


def check_distinct(looks: Iterable[Look]) -> None:
    """Refuse two entries that lead to one database by different URLs.

    Raises:
        MigrationError: there are two; each branch would take the other's tables for its own.
    """
    owners: dict[tuple[object, ...], str] = {}
    for look in looks:
        look.wait()
        name = look.database.name
        other = owners.setdefault(look.identity, name) if look.identity else name
        if other != name:
            raise MigrationError(
                f"{other} and {name} lead to the same database, {look.database.public_url}: "
                f"correct {variable(other)} or {variable(name)}, or the entries in databases.yaml"
            )


def _file_identity(path: str) -> tuple[object, ...] | None:
    """Of an SQLite file, which may have several names; none while it isn't there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
