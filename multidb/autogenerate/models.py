"""The schema that a database's models make: `create_all()` in a scratch database, read and rolled back."""

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Self

from sqlalchemy import Connection, MetaData, event
from sqlalchemy.engine import URL
from sqlalchemy.schema import CreateSchema

from multidb.config.configuration import Configuration, Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.errors import MigrationError, explain, reason_of
from multidb.replay.scratch import ScratchServer, equip, server_for
from multidb.schema.dialect import dialect_of
from multidb.schema.objects import Schema


class ModelSchemas:
    """The schemas of models, made in one scratch database on each server. The databases are dropped at the end.

    A database for each of the models would take several times as long: what is created is rolled back instead.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration, self._opened = configuration, ExitStack()
        self._connections: dict[URL, Connection] = {}

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
        metadata = metadata_of(database)
        with self._connection(database, driver) as connection, connection.begin() as transaction:
            session: Driver = connection.connection.driver_connection
            try:
                if not database.is_sqlite:
                    equip(session, database.extensions, live.default_schema, live.search_path)
                metadata.create_all(connection)
            except Exception as error:
                raise MigrationError(
                    f"its models can't be created in a scratch database: {reason_of(error)}", database.name
                ) from error
            found = dialect_of(connection).read(connection)
            transaction.rollback()
        return found

    @contextmanager
    def _connection(self, database: Database, driver: Driver) -> Iterator[Connection]:
        """A connection to an empty database."""
        if database.is_sqlite:
            with closing(connections.connect(database.url.set(database=":memory:"))) as connection:
                yield connection
            return
        url = server_for(self._configuration, database, driver)
        server = url._replace(database=None)
        if server not in self._connections:
            self._connections[server] = self._scratch_database(url)
        yield self._connections[server]

    def _scratch_database(self, server: URL) -> Connection:
        scratch_server = self._opened.enter_context(closing(ScratchServer(server)))
        url = self._opened.enter_context(scratch_server.scratch().created((), "public", ""))
        connection = self._opened.enter_context(closing(connections.connect(url)))
        event.listen(connection, "before_execute", _create_schema)
        return connection


def _create_schema(connection: Connection, statement: Any, *_: object) -> None:
    """Create the schema that an object is about to be created in: `create_all()` creates none."""
    schema = getattr(getattr(statement, "element", None), "schema", None)
    if isinstance(schema, str):
        connection.execute(CreateSchema(schema, if_not_exists=True))


def metadata_of(database: Database) -> MetaData:
    """The MetaData of a database's models. A module that can't be imported or has none raises MigrationError."""
    name, models = database.name, database.models
    try:
        metadata = importlib.import_module(models).Base.metadata
    except ModuleNotFoundError as error:
        if error.name and models.startswith(error.name):
            raise MigrationError(
                f"there is no module {models}: write it, or correct `models:` in databases.yaml", name
            ) from error
        raise MigrationError(f"{models} can't be imported: {error}", name) from error
    except AttributeError as error:
        raise MigrationError(f"{models} has no Base with a metadata: see models/auth.py", name) from error
    except Exception as error:
        raise MigrationError(f"{models} can't be imported: {explain(error)}", name) from error
    if not isinstance(metadata, MetaData):
        raise MigrationError(f"{models}.Base.metadata is no MetaData", name)
    return metadata
