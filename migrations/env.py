"""Run one Alembic command in each of the databases that it addresses.

The shape is that of Alembic's multidb template: a function for `--sql`, one for real databases, and at the end the
choice between them. What the databases are stands in databases.yaml; how it is done, in multidb/.
"""

import gc
from pkgutil import resolve_name
from typing import Any

from alembic import context
from sqlalchemy import Connection

from multidb import logs
from multidb.commands import migrate as runs
from multidb.config.configuration import Database
from multidb.errors import reported
from multidb.planning.environment import Environment

# The commands that are no migration, imported when they are asked for: an upgrade should not wait for them.
OTHERS = {
    "current": "multidb.commands.reading:current",
    "check": "multidb.commands.reading:check",
    "history": "multidb.commands.reading:listing",
    "show": "multidb.commands.reading:listing",
    "edit": "multidb.commands.reading:listing",
    "revision": "multidb.commands.writing:revision",
    "merge": "multidb.commands.writing:merge",
}


def run_migrations_offline(environment: Environment) -> None:
    """Write the SQL of every database: of one to stdout, of several to a file each."""
    from multidb.commands import sql

    with sql.scripts(environment) as scripts:
        for script in scripts:
            with script.writing():
                context.run_migrations()


def run_migrations_online(environment: Environment) -> None:
    """Bring every database that has work to the release: all of them, or none."""

    def migrate(database: Database, connection: Connection, **how: Any) -> None:
        with environment.working_on(database.name):
            environment.configure(database, connection, **how)
            context.run_migrations()

    runs.change(environment, migrate)


logs.configure(context.config)
with reported(context.config):
    environment = Environment()
    if environment.request.command in OTHERS:
        resolve_name(OTHERS[environment.request.command])(environment)
    elif context.is_offline_mode():
        run_migrations_offline(environment)
    else:
        run_migrations_online(environment)

if context.config.cmd_opts is not None:
    # The process ends next. Without this, Python first searches all that was imported for garbage: a sixth of a run.
    gc.freeze()
