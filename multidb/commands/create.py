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


def run(command: Command) -> ExitCode:
    provision.create(command.databases, command.configuration.url_variable(ADMIN_VARIABLE), print)
    return ExitCode.OK
