"""Run one Alembic command in each of the databases that it addresses.

The shape is that of Alembic's multidb template: a function for `--sql`, one for real databases, and at the end
the choice between them. What a database is stands in databases.yaml; how it is done, in multidb/.
"""

from alembic import context

from multidb import logs, offline, reading, release, writing
from multidb.environment import Environment
from multidb.errors import reported


def run_migrations_offline(environment: Environment) -> None:
    """Write the SQL of every database: of one to stdout, of several to a file each."""
    with offline.scripts(environment) as scripts:
        for script in scripts:
            with script.writing():
                context.run_migrations()


def run_migrations_online(environment: Environment) -> None:
    """Migrate every database that has work in an open transaction, then commit them all."""
    with release.opened(environment) as participants:
        for participant in participants:
            with participant.migrating():
                context.run_migrations()


# What is not a migration, by the command's name.
COMMANDS = {
    "current": reading.current,
    "check": reading.check,
    "history": reading.listing,
    "show": reading.listing,
    "edit": reading.listing,
    "revision": writing.revision,
    "merge": writing.merge,
}

logs.configure(context.config)
with reported(context.config):
    environment = Environment()
    if environment.request.command in COMMANDS:
        COMMANDS[environment.request.command](environment)
    elif context.is_offline_mode():
        run_migrations_offline(environment)
    else:
        run_migrations_online(environment)
