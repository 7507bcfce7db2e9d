"""Run one Alembic command in each of the databases that it addresses.

The shape is that of Alembic's multidb template: a function for `--sql`, one for real databases, and at the end the
choice between them. databases.yaml lists the databases; multidb/ has everything else.
"""

import gc
from importlib import import_module
from typing import Any

from alembic import context
from sqlalchemy import Connection

from multidb import logs
from multidb.config.configuration import Database
from multidb.errors import is_command_line, reported
from multidb.planning.environment import Environment

# The commands that run no migration; each module is imported only by its command.
OTHERS = {
    "current": "multidb.commands.alembic.current",
    "check": "multidb.commands.alembic.check",
    "history": "multidb.commands.alembic.history",
    "show": "multidb.commands.alembic.history",
    "edit": "multidb.commands.alembic.history",
    "revision": "multidb.commands.alembic.revision",
    "merge": "multidb.commands.alembic.merge",
}


def run_migrations_offline(environment: Environment) -> None:
    """Write the SQL of every database: of one to stdout, of several to a file each."""
    from multidb.commands.alembic import sql

    sql.write(environment, context.run_migrations)


def run_migrations_online(environment: Environment) -> None:
    """Migrate every database that has work: all of them, or none."""

    def run_migrations(database: Database, connection: Connection, **options: Any) -> None:
        with environment.working_on(database.name):
            environment.configure_migration(database, connection, **options)
            context.run_migrations()

    if environment.connection is not None:
        from multidb.commands.alembic import external_transaction

        external_transaction.run(environment, environment.connection, run_migrations)
    elif environment.request.command == "ensure_version":
        from multidb.commands.alembic import ensure_version

        ensure_version.run(environment, run_migrations)
    else:
        from multidb.commands.alembic import migrate

        migrate.run(environment, run_migrations)


logs.configure(context.config)
with reported(context.config):
    environment = Environment()
    if environment.request.command in OTHERS and environment.connection is None:
        import_module(OTHERS[environment.request.command]).run(environment)
    elif context.is_offline_mode():
        run_migrations_offline(environment)
    else:
        run_migrations_online(environment)

if is_command_line(context.config):
    # The process ends next. Without this, Python would first search everything imported for garbage: a sixth of a run.
    gc.freeze()
