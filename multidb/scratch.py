"""Scratch databases, in which a branch is replayed: where they are, how they are made, and that none is left.

A scratch database is called after the session that looks after it. One whose session is gone is a dead run's, and the
next one to come removes it.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from sqlalchemy.engine import URL, make_url

from multidb import engines
from multidb.bootstrap import ADMIN_VARIABLE
from multidb.config import Configuration, Database
from multidb.engines import Driver
from multidb.errors import MigrationError, named
from multidb.mending import quoted
from multidb.packages import installations
from multidb.server import Server

_PREFIX = "multidb_scratch_"
_SESSION = "SELECT pid || '_' || (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity"
_MAY_CREATE = """
    SELECT NOT pg_is_in_recovery() AND (r.rolsuper OR r.rolcreatedb AND NOT EXISTS (
        SELECT FROM pg_available_extension_versions v
        WHERE v.name = ANY (%s) AND v.superuser AND NOT v.trusted
    ))
    FROM pg_roles r WHERE r.rolname = current_user
"""
# Only our own role's: of another's sessions the server doesn't say when they began.
_DEAD = f"""
    SELECT datname FROM pg_database
    WHERE starts_with(datname, '{_PREFIX}') AND pg_get_userbyid(datdba) = current_user
      AND NOT EXISTS (SELECT FROM ({_SESSION} WHERE usename = current_user) AS alive (id)
                      WHERE starts_with(datname, '{_PREFIX}' || id || '_'))
"""  # noqa: S608 - ours


@dataclass(frozen=True)
class Scratch:
    """A scratch database, which is made where it is needed.

    Args:
        server: the URL of a database on its server, in which a session can begin.
        name: its own.
    """

    server: URL
    name: str

    @contextmanager
    def made(self, extensions: Iterable[str]) -> Iterator[URL]:
        """Make it, empty; when the block ends, it is dropped.

        Args:
            extensions: that it has before the first revision.

        Yields:
            Its URL.

        Raises:
            psycopg2.Error: it can't be made.
        """
        with closing(engines.open_to_look(self.server)) as control:
            _execute(control, f"CREATE DATABASE {self.name} TEMPLATE template0 ENCODING 'UTF8'")
            try:
                url = self.server.set(database=self.name)
                with closing(engines.open_to_look(url)) as driver:
                    for extension in extensions:
                        _execute(driver, f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)}")
                yield url
            finally:
                _drop(control, self.name)


class Keeper:
    """The session that looks after the scratch databases of one run on one server.

    Args:
        server: the URL of a database there.

    Raises:
        MigrationError: the server can't be reached.
    """

    def __init__(self, server: URL) -> None:
        self._server, self._numbers = server, itertools.count(1)
        with named(f"the scratch server {server.host}:{server.port or 5432}"):
            self._driver = engines.open_to_look(server)
            with self._driver.cursor() as cursor:
                cursor.execute(f"{_SESSION} WHERE pid = pg_backend_pid()")
                self._own = f"{_PREFIX}{cursor.fetchone()[0]}_"
            self._remove(_DEAD)

    def scratch(self) -> Scratch:
        """A scratch database that is yet to be made."""
        return Scratch(self._server, f"{self._own}{next(self._numbers)}")

    def close(self) -> None:
        """Remove all that are left, whoever is still connected to them."""
        with suppress(psycopg2.Error):  # the server is gone: the next one to come removes them
            self._remove(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self._own}')")  # noqa: S608 - ours
        self._driver.close()

    def _remove(self, which: str) -> None:
        with self._driver.cursor() as cursor:
            cursor.execute(which)
            names = [row[0] for row in cursor.fetchall()]
        for name in names:
            _drop(self._driver, name)


def server_for(configuration: Configuration, database: Database, driver: Driver) -> URL:
    """Where a database's branch is replayed.

    On the server that `scratch:` names, else on the database's own where the role may make what it takes, else on the
    private one of `bin/up`.

    Args:
        configuration: of all databases.
        database: which.
        driver: a session in it.

    Raises:
        MigrationError: there is none.
    """
    named_url = configuration.scratch_url
    if named_url is not None:
        return named_url
    with driver.cursor() as cursor:
        cursor.execute(_MAY_CREATE, [list(database.extensions)])
        if cursor.fetchone()[0]:
            return database.url
    return _private(configuration.path.parent)


def _private(root: Path) -> URL:
    server = Server(root / ".local")
    if not server.is_made and not any(each.has_postgis for each in installations()):
        raise MigrationError(
            "its branch can't be replayed: the role may not create databases with these extensions on this server, and "
            "there is no private one of bin/up: name another under `scratch:` in databases.yaml"
        )
    server.start()
    return make_url(server.variables[ADMIN_VARIABLE]).set(drivername="postgresql+psycopg2")


def _drop(driver: Driver, name: str) -> None:
    _execute(driver, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _execute(driver: Driver, statement: str) -> None:
    with driver.cursor() as cursor:
        cursor.execute(statement)
