"""Scratch databases, in which a branch is replayed: where they are, how they are made, and that none is left.

A scratch database is called after the session that looks after it. One whose session is gone is a dead run's, and the
next one to come removes it.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg2
from sqlalchemy.engine import URL, make_url

from multidb.config.configuration import Configuration, Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.database.provision import ADMIN_VARIABLE
from multidb.errors import MigrationError, named
from multidb.local.packages import installations
from multidb.local.server import Server
from multidb.logs import log
from multidb.schema.postgresql_ddl import literal, quoted

_PREFIX = "multidb_scratch_"
_PATIENCE, _PAUSE = 10.0, 0.05  # seconds to wait for sessions to end, and between two looks
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
    def made(self, extensions: Iterable[str], space: str, search_path: str) -> Iterator[URL]:
        """Make it, empty; when the block ends, it is dropped.

        Args:
            extensions: that it has before the first revision.
            space: the schema in which revisions make what they name without one.
            search_path: as the setting is written.

        Yields:
            Its URL.

        Raises:
            MigrationError: the role may not make it.
            psycopg2.Error: it can't be made.
        """
        with closing(connections.open_to_look(self.server)) as control:
            _execute(
                control, f"SET application_name = '{self.name}'"
            )  # by which `Keeper` knows it, whatever the URL says
            try:
                _execute(control, f"CREATE DATABASE {self.name} TEMPLATE template0 ENCODING 'UTF8'")
            except psycopg2.errors.InsufficientPrivilege as error:
                raise MigrationError(
                    f"{self.server.username} may not create databases on {_place(self.server)}: "
                    "give the role CREATEDB, or name another server under `scratch` in databases.yaml"
                ) from error
            try:
                url = self.server.set(database=self.name)
                with closing(connections.open_to_look(url)) as driver:
                    for extension in extensions:
                        _execute(driver, f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)}")
                    if space != "public":
                        _execute(driver, f"CREATE SCHEMA IF NOT EXISTS {quoted(space)}")
                        path = literal(search_path)
                        _execute(driver, f"SELECT set_config('search_path', {path}, false)")  # which checks it
                        _execute(driver, f"ALTER DATABASE {self.name} SET search_path FROM CURRENT")
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
        with named(f"the scratch server {_place(server)}"):
            self._driver = connections.open_to_look(server)
            try:
                with self._driver.cursor() as cursor:
                    cursor.execute(f"{_SESSION} WHERE pid = pg_backend_pid()")
                    self._own = f"{_PREFIX}{cursor.fetchone()[0]}_"
                self._remove(_DEAD)
            except BaseException:
                self._driver.close()
                raise

    def scratch(self) -> Scratch:
        """A scratch database that is yet to be made."""
        return Scratch(self._server, f"{self._own}{next(self._numbers)}")

    def close(self) -> None:
        """Remove all that are left, whoever is still connected to them, or about to make one."""
        with suppress(psycopg2.Error):  # the server is gone: the next one to come removes them
            if self._driver.closed or not self._is_alive():
                self._driver = connections.open_to_look(self._server)
            self._end_sessions()
            self._remove(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self._own}')")  # noqa: S608 - ours
        self._driver.close()

    def _is_alive(self) -> bool:
        try:
            _execute(self._driver, "SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def _end_sessions(self) -> None:
        """End the sessions that processes of ours have left: the server would go on to make a database for them."""
        named_so = f"pg_stat_activity WHERE starts_with(application_name, '{self._own}')"
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            with self._driver.cursor() as cursor:
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM {named_so}")  # noqa: S608 - ours
                if not cursor.fetchall():
                    return
            time.sleep(_PAUSE)

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


@cache
def _private(root: Path) -> URL:
    server = Server(root / ".local")
    if not server.is_made:
        # Not in its place: whoever names his databases by variables must not find bin/up's where he forgets one.
        server = Server(root / ".local/scratch")
    if not server.is_made and not any(each.has_postgis for each in installations()):
        raise MigrationError(
            "its branch can't be replayed: the role may not create databases with these extensions on this server, and "
            "there is no private one of bin/up: name another under `scratch` in databases.yaml"
        )
    if not server.is_running():
        log.info("starts a private server under %s, to replay branches on; bin/down --wipe removes it", server.folder)
    server.start()
    if ADMIN_VARIABLE not in server.variables:
        raise MigrationError(
            f"{server.env} does not name the administrator any more: run bin/up, or name another server under `scratch`"
        )
    return make_url(server.variables[ADMIN_VARIABLE]).set(drivername="postgresql+psycopg2")


def _place(server: URL) -> str:
    return f"{server.host}:{server.port or 5432}"


def _drop(driver: Driver, name: str) -> None:
    _execute(driver, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _execute(driver: Driver, statement: str) -> None:
    with driver.cursor() as cursor:
        cursor.execute(statement)
