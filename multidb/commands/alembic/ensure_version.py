"""`ensure_version`: create `alembic_version` where it is missing. It is no run: nothing is locked or recorded."""

from dataclasses import replace

import psycopg2
from sqlalchemy import Connection

from multidb import logs
from multidb.config.configuration import Database
from multidb.database import connections, places, quoting
from multidb.errors import causes_of, in_database
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
    with connections.connect(database.url) as connection:
        with connection.begin():
            exists, database = _found(connection, database)
            if exists:
                return False
            if not database.is_sqlite:
                seconds = environment.settings.limits(database.options).lock_timeout
                connection.exec_driver_sql(f"SET lock_timeout = {seconds * 1000:.0f}")
                schema = database.version_table.schema
                if schema is not None and not database.version_table.is_found:
                    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoting.quoted(schema)}")
        try:
            with connection.begin():
                migrate(database, connection)
        except Exception as error:
            if not any(isinstance(cause, _ALREADY_EXISTS) for cause in causes_of(error)):
                raise
            return False
    return True


def _found(connection: Connection, database: Database) -> tuple[bool, Database]:
    """Whether the version table exists, and the database with the place of the table."""
    if database.is_sqlite:
        return connection.dialect.has_table(connection, database.version_table.name), database
    place = places.enter(connection, database.version_table)
    return place.has_versions, replace(database, version_table=place.version_table)
