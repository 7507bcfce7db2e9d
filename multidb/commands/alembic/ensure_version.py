"""`ensure_version`: create `alembic_version` where it is missing. It is no run: nothing is locked or recorded."""

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from multidb import logs
from multidb.config.configuration import Database
from multidb.database import connections, quoting
from multidb.errors import in_database
from multidb.logs import log
from multidb.output import count_of
from multidb.planning.environment import Environment
from multidb.release.participant import Migrate

# Another process was faster. The error depends on how far it is.
_ALREADY_EXISTS = (psycopg2.errors.DuplicateTable, psycopg2.errors.UniqueViolation)


def run(environment: Environment, migrate: Migrate) -> None:
    """Raise MigrationError if a database can't be reached, or the table can't be created there."""
    created = []
    for database in environment.databases:
        with logs.for_database(database.name), in_database(database.name):
            if _ensure(environment, database, migrate):
                created.append(database.name)
                log.info("created %s", database.version_table.name)
    if not created:
        log.info("nothing to do in %s", count_of(len(environment.databases), "database"))


def _ensure(environment: Environment, database: Database, migrate: Migrate) -> bool:
    """Whether the table was missing, and was created."""
    table = database.version_table
    with connections.connect(database.url) as connection:
        with connection.begin():
            if _exists(connection, database):
                return False
            if not database.is_sqlite:
                seconds = environment.settings.limits(database.options).lock_timeout
                connection.exec_driver_sql(f"SET lock_timeout = {seconds * 1000:.0f}")
                if table.schema is not None:
                    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoting.quoted(table.schema)}")
        try:
            with connection.begin():
                migrate(database, connection)
        except DBAPIError as error:
            if not isinstance(error.orig, _ALREADY_EXISTS):
                raise
            return False
    return True


def _exists(connection: Connection, database: Database) -> bool:
    return connection.dialect.has_table(connection, database.version_table.name, database.version_table.schema)
