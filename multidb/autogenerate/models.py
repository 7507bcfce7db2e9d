"""The schema that a database's models make: `create_all()` in a scratch database, read and rolled back."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Self

import psycopg2
from sqlalchemy import Connection, MetaData, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from multidb.advice.codes import Code
from multidb.config.configuration import Configuration, Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.errors import MigrationError, explain, reason_of
from multidb.replay.scratch import EMPTY, ScratchServer, Setup, server_for
from multidb.schema.dialect import dialect_of
from multidb.schema.objects import Schema


class ModelSchemas:
    """The schemas of models, made in one scratch database on each server. The databases are dropped at the end.

    A database for each of the models would take several times as long: what is created is rolled back instead.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration, self._opened = configuration, ExitStack()
        self._servers: dict[URL, ScratchServer] = {}
        self._connections: dict[ScratchServer, Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def schema(self, database: Database, driver: Driver, live: Schema) -> Schema:
        """The schema that a database's models make.

        Args:
            driver: a session on the database's server.
            live: the schema of the database, whose default schema and search path the models find.

        Raises:
            MigrationError: the models can't be imported or created, or there is no scratch server.
        """
        if database.is_sqlite:
            return _in_memory(database)
        url = server_for(self._configuration, database, driver)
        setup = Setup.of(database, live)
        return self._made(database, url, setup, lambda connection: dialect_of(connection).read(connection, live))

    def schema_for_revision(self, database: Database, server: URL | None) -> Schema:
        """The schema that a database's models make, read as `dialect_of` does it for a revision.

        Args:
            server: a database on the server to make it on; None for SQLite.

        Raises:
            MigrationError: the models can't be imported or created, or the scratch server can't be reached.
        """
        if server is None:
            return _in_memory(database)
        setup = Setup.of(database, Schema({}, "postgresql"))
        return self._made(
            database, server, setup, lambda connection: dialect_of(connection, for_revision=True).read(connection)
        )

    def _made(self, database: Database, url: URL, setup: Setup, read: Callable[[Connection], Schema]) -> Schema:
        metadata, server = metadata_of(database), self._server(url)
        with _naming_failures(database):
            try:
                return self._rolled_back(server, metadata, setup, read)
            except DBAPIError as error:
                # CREATE INDEX CONCURRENTLY in the models
                if not isinstance(error.orig, psycopg2.errors.ActiveSqlTransaction):
                    raise
            with _scratch_database(server, setup) as connection:
                metadata.create_all(connection.execution_options(isolation_level="AUTOCOMMIT"))
                connection.commit()
                connection.execution_options(isolation_level="READ COMMITTED")
                with connection.begin():
                    return read(connection)

    def _rolled_back(
        self, server: ScratchServer, metadata: MetaData, setup: Setup, read: Callable[[Connection], Schema]
    ) -> Schema:
        if server not in self._connections:
            self._connections[server] = self._opened.enter_context(_scratch_database(server))
        # After a failure, a DDL event may have committed: the next models get a new database.
        connection = self._connections.pop(server)
        with connection.begin() as transaction:
            setup.apply(connection.connection.driver_connection)
            metadata.create_all(connection)
            found = read(connection)
            transaction.rollback()
        self._connections[server] = connection
        return found

    def _server(self, url: URL) -> ScratchServer:
        key = url._replace(database=None)
        if key not in self._servers:
            self._servers[key] = self._opened.enter_context(closing(ScratchServer(url)))
        return self._servers[key]


def _in_memory(database: Database) -> Schema:
    metadata = metadata_of(database)
    in_memory = connections.connect(database.url.set(database=connections.IN_MEMORY))
    with _naming_failures(database), closing(in_memory) as connection, connection.begin():
        metadata.create_all(connection)
        return dialect_of(connection).read(connection)


@contextmanager
def _scratch_database(server: ScratchServer, setup: Setup = EMPTY) -> Iterator[Connection]:
    created = server.scratch().created(setup)
    with created as url, closing(connections.connect(url)) as connection:
        event.listen(connection, "before_execute", _create_schema)
        yield connection


def _create_schema(connection: Connection, statement: Any, *_: object) -> None:
    """Create the schema that an object is about to be created in: `create_all()` creates none."""
    schema = getattr(getattr(statement, "element", None), "schema", None)
    if isinstance(schema, str):
        connection.execute(CreateSchema(schema, if_not_exists=True))


@contextmanager
def _naming_failures(database: Database) -> Iterator[None]:
    """Say of a failure that it did not happen in the live database."""
    try:
        yield
    except Exception as error:
        text = f"its models can't be created in a scratch database: {reason_of(error)}"
        raise MigrationError(Code.MODELS, text, database.name) from error


def metadata_of(database: Database) -> MetaData:
    """The MetaData of a database's models. A module that can't be imported or has none raises MigrationError."""
    name, models = database.name, database.models
    try:
        metadata = importlib.import_module(models).Base.metadata
    except ModuleNotFoundError as error:
        if error.name and models.startswith(error.name):
            raise MigrationError(
                Code.MODELS, f"there is no module {models}: write it, or correct `models:` in databases.yaml", name
            ) from error
        raise MigrationError(Code.MODELS, f"{models} can't be imported: {error}", name) from error
    except AttributeError as error:
        raise MigrationError(Code.MODELS, f"{models} has no Base with a metadata: see models/auth.py", name) from error
    except (Exception, SystemExit) as error:
        reason = "sys.exit() was called" if isinstance(error, SystemExit) else explain(error)
        raise MigrationError(Code.MODELS, f"{models} can't be imported: {reason}", name) from error
    if not isinstance(metadata, MetaData):
        raise MigrationError(Code.MODELS, f"{models}.Base.metadata is no MetaData", name)
    return metadata
