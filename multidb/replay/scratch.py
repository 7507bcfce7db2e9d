"""Scratch databases: where they are, how they are created, and that none is left.

A scratch database (Atlas: dev database; Prisma: shadow database) is an empty database in which a branch is replayed. It
is named after the session that owns it. One whose session is gone belonged to a run that died, and the next run that
uses the server drops it.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy.engine import URL, make_url

from multidb.advice.codes import Code
from multidb.config import urls
from multidb.config.configuration import ADMIN_VARIABLE, Configuration, Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.database.quoting import literal, quoted
from multidb.database.refusal import ConnectionFailedError
from multidb.errors import MigrationError, exit_code_of, explain
from multidb.local.installations import installations
from multidb.local.server import Server
from multidb.logs import log
from multidb.schema.objects import Schema
from multidb.schema.postgresql.extension import Extension

_PREFIX = "multidb_scratch_"
_TIMEOUT, _INTERVAL = 10.0, 0.05  # seconds to wait for sessions to end, and between two checks
_SESSION = "SELECT pid || '_' || (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity"
_MAY_CREATE = """
    SELECT NOT pg_is_in_recovery() AND (r.rolsuper OR r.rolcreatedb AND NOT EXISTS (
        SELECT FROM pg_available_extension_versions v
        WHERE v.name = ANY (%s) AND v.superuser AND NOT v.trusted
    ))
    FROM pg_roles r WHERE r.rolname = current_user
"""
# Only those of our own role: of another's sessions the server does not say when they began.
_DEAD = f"""
    SELECT datname FROM pg_database
    WHERE starts_with(datname, '{_PREFIX}') AND pg_get_userbyid(datdba) = current_user
      AND NOT EXISTS (SELECT FROM ({_SESSION} WHERE usename = current_user) AS alive (id)
                      WHERE starts_with(datname, '{_PREFIX}' || id || '_'))
"""  # noqa: S608 - ours


@dataclass(frozen=True)
class Setup:
    """What a scratch database has in common with the live one from the start: extensions, and where names are found."""

    extensions: Mapping[str, str | None]  # by their names, the schemas that they are in there
    default_schema: str  # of objects that are named without one
    search_path: str  # as the setting is written

    @classmethod
    def of(cls, database: Database, live: Schema) -> "Setup":
        """That of a live database."""
        schemas = {each.name: each.schema for each in live.objects.values() if isinstance(each, Extension)}
        extensions = {name: schemas.get(name) for name in database.extensions}
        return cls(extensions, live.default_schema, live.search_path)

    def apply(self, driver: Driver) -> None:
        """Set up an empty database; in a transaction that is rolled back, nothing of it is left.

        Args:
            driver: the session that has the search path then.
        """
        schemas = dict.fromkeys(schema for schema in self.extensions.values() if schema is not None)
        for schema in dict.fromkeys([*schemas, self.default_schema]):
            _execute(driver, f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        for extension, found in self.extensions.items():
            schema = f" SCHEMA {quoted(found)}" if found else ""
            _execute(driver, f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)}{schema}")
        path = ", ".join([self.search_path or "public", *map(quoted, schemas)])
        _execute(driver, f"SELECT set_config('search_path', {literal(path)}, false)")  # this checks the value
        if _query(driver, "SELECT current_schema()") != [self.default_schema]:
            _execute(driver, f"SET search_path = {quoted(self.default_schema)}, {path}")


EMPTY = Setup({}, "public", "")


@dataclass(frozen=True)
class Scratch:
    """A scratch database that is yet to be created."""

    server: URL  # of an existing database on the same server
    name: str

    @property
    def url(self) -> URL:
        return self.server.set(database=self.name)

    @contextmanager
    def created(self, setup: Setup, version_schema: str | None = None, *, is_kept: bool = False) -> Iterator[URL]:
        """Create the database, empty but for its extensions, give its URL, and drop it at the end of the block.

        Args:
            version_schema: the schema of the version table, if it has one of its own.
            is_kept: drop it only after an error; without one, `ScratchServer.close` does.

        Raises:
            MigrationError: the role may not create databases.
            psycopg2.Error: the database can't be created.
        """
        with closing(connections.open_to_read(self.server)) as control:
            # ScratchServer.close() finds the session by this name, whatever the URL says.
            _execute(control, f"SET application_name = '{self.name}'")
            try:
                _execute(control, f"CREATE DATABASE {self.name} TEMPLATE template0 ENCODING 'UTF8'")
            except psycopg2.errors.InsufficientPrivilege as error:
                raise MigrationError(
                    Code.SCRATCH_SERVER,
                    f"{self.server.username} may not create databases on {urls.server_text(self.server)}: "
                    "give the role CREATEDB, or name another server under `scratch` in databases.yaml",
                ) from error
            try:
                with closing(connections.open_to_read(self.url)) as driver:
                    if version_schema is not None:
                        _execute(driver, f"CREATE SCHEMA IF NOT EXISTS {quoted(version_schema)}")
                    setup.apply(driver)
                    _execute(driver, f"ALTER DATABASE {self.name} SET search_path FROM CURRENT")
                yield self.url
            except BaseException:
                _drop(control, self.server, self.name)
                raise
            if not is_kept:
                _drop(control, self.server, self.name)


class ScratchServer:
    """The session that owns the scratch databases of one run on one server. Raises MigrationError without a server."""

    def __init__(self, server: URL) -> None:
        self._server, self._numbers = server, itertools.count(1)
        try:
            self._driver = connections.open_to_read(server)
            try:
                [session] = _query(self._driver, f"{_SESSION} WHERE pid = pg_backend_pid()")
                self._own = f"{_PREFIX}{session}_"
                self._drop(_DEAD)
            except BaseException:
                self._driver.close()
                raise
        except (psycopg2.Error, MigrationError) as error:
            failure = MigrationError(
                Code.SCRATCH_SERVER, f"the scratch server {urls.server_text(server)}: {explain(error)}"
            )
            failure.exit_code = exit_code_of(error)
            raise failure from error

    def scratch(self) -> Scratch:
        return Scratch(self._server, f"{self._own}{next(self._numbers)}")

    def close(self) -> None:
        """Drop all databases that are left, and end the sessions that use them or are about to create one."""
        with suppress(psycopg2.Error, MigrationError):  # if the server is gone, the next run drops them
            if self._driver.closed or not self._is_alive():
                self._driver = connections.open_to_read(self._server)
            self._end_sessions()
            self._drop(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self._own}')")  # noqa: S608 - ours
        self._driver.close()

    def _is_alive(self) -> bool:
        try:
            _execute(self._driver, "SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def _end_sessions(self) -> None:
        """End the sessions that our processes have left: the server would still create a database for them."""
        own_sessions = f"pg_stat_activity WHERE starts_with(application_name, '{self._own}')"
        until = time.monotonic() + _TIMEOUT
        while time.monotonic() < until:
            if not _query(self._driver, f"SELECT pg_terminate_backend(pid) FROM {own_sessions}"):  # noqa: S608 - ours
                return
            time.sleep(_INTERVAL)

    def _drop(self, which: str) -> None:
        for name in _query(self._driver, which):
            _drop(self._driver, self._server, name)


def server_for(configuration: Configuration, database: Database, driver: Driver) -> URL:
    """The URL of an existing database on the server on which a database's branch is replayed.

    It is the server that `scratch:` names, else the database's own where the role may create databases and their
    extensions, else a private one, of the database's own version if that is installed.

    Raises:
        MigrationError: there is no such server.
    """
    named_url = configuration.scratch_url
    if named_url is not None:
        return named_url
    if _query(driver, _MAY_CREATE, [list(database.extensions)]) == [True]:
        return database.url
    return _private(configuration.path.parent, driver.info.server_version // 10000)


def server_without_live(configuration: Configuration, database: Database) -> URL:
    """As `server_for`, without a session: neither the database nor its server has to be up.

    Raises:
        MigrationError: there is no such server.
    """
    if configuration.scratch_url is not None:
        return configuration.scratch_url
    for name in (database.url.database, "postgres"):  # which every server has
        url = database.url.set(database=name)
        if not _can_be_opened(url):
            continue
        with closing(connections.open_to_read(url)) as driver:
            return server_for(configuration, replace(database, url=url), driver)
    return _private(configuration.path.parent, None)


@cache
def _can_be_opened(url: URL) -> bool:
    try:
        connections.open_to_read(url, busy_wait=0).close()
    except (ConnectionFailedError, psycopg2.ProgrammingError):
        return False
    return True


@cache
def _private(root: Path, major: int | None) -> URL:
    """The URL of a private server, of this major version if there is an installation of it; it is started if needed.

    Without a version, it is that of bin/up, or else the newest installation.
    """
    server, installed = Server(root / ".local"), [each for each in installations() if each.has_postgis]
    fitting = next((each for each in installed if each.major == major), None)
    if not server.is_made and not installed:
        raise MigrationError(
            Code.SCRATCH_SERVER,
            "there is no scratch server: the role may not create databases with these extensions on its own one, and "
            "there is no private server of bin/up: name a server under `scratch` in databases.yaml",
        )
    if not server.is_made or (fitting and major and server.major != major):
        # In a folder of its own: a forgotten variable must not lead to the databases of bin/up.
        installation = fitting or installed[0]
        server = Server(root / f".local/scratch-{installation.major}", installation=installation)
    if not server.is_running():
        log.info("starting a private server under %s, for scratch databases; bin/down --wipe removes it", server.folder)
    server.start()
    if ADMIN_VARIABLE not in server.variables:
        raise MigrationError(
            Code.SCRATCH_SERVER,
            f"{server.env} no longer names the administrator: run bin/up, or name another server under `scratch`",
        )
    return make_url(server.variables[ADMIN_VARIABLE]).set(drivername="postgresql+psycopg2")


def _drop(driver: Driver, server: URL, name: str) -> None:
    """Drop a scratch database, and the transaction that a killed rehearsal has left prepared in it."""
    prepared = _query(driver, "SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name])
    if prepared:
        with closing(connections.open_to_read(server.set(database=name))) as inside:
            for gid in prepared:
                _execute(inside, f"ROLLBACK PREPARED {literal(gid)}")
    _execute(driver, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _query(driver: Driver, statement: str, parameters: Sequence[object] | None = None) -> list[Any]:
    with driver.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row[0] for row in cursor.fetchall()]


def _execute(driver: Driver, statement: str) -> None:
    with driver.cursor() as cursor:
        cursor.execute(statement)
