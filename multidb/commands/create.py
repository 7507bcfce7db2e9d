"""`create`: create the roles, databases and extensions that are missing.

What exists is not changed. The administrator's URL is read from DATABASE_ADMIN_URL, or from the file that
DATABASE_ADMIN_URL_FILE names: on a command line every user of the machine could see its password.
"""

import argparse

from multidb.commands.support.command import Command, add_databases
from multidb.config.configuration import ADMIN_VARIABLE
from multidb.database import provision
from multidb.errors import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    parser.add_argument("--files", action="store_true", help="only SQLite files that are missing")


def run(command: Command) -> ExitCode:
    databases = [each for each in command.databases if each.is_sqlite or not command.options.files]
    admin, known = command.configuration.url_variable(ADMIN_VARIABLE), command.configuration.resolvable()
    created = provision.create(databases, admin, print, known, command.settings.wait)
    if not created and not command.options.files:
        print("nothing to create")
    return ExitCode.OK
