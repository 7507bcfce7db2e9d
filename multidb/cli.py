"""`python -m multidb`: what Alembic has no command for."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from multidb import bootstrap, config
from multidb.errors import explain
from multidb.selection import known_names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; None takes the process's own.

    Returns:
        The exit code, 0.

    Raises:
        SystemExit: the command failed; its message is one line, and the exit code 1.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (Exception, KeyboardInterrupt) as error:
        if options.raiseerr:
            raise
        raise SystemExit(f"error: {explain(error)}") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m multidb", description="Commands for all databases together.")
    parser.add_argument("-f", "--file", type=Path, default=Path("databases.yaml"), help="default: databases.yaml")
    parser.add_argument("--raiseerr", action="store_true", help="show an error's traceback")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser(
        "create",
        help="create missing roles, databases and extensions",
        description="Create the roles, databases and extensions that are missing, and nothing that is there. "
        f"The administrator's URL is read from {bootstrap.ADMIN_VARIABLE}, or from the file that "
        f"{bootstrap.ADMIN_VARIABLE}_FILE names: on a command line everybody could see its password.",
    )
    create.add_argument("databases", nargs="*", metavar="DATABASE", help="default: all")
    create.set_defaults(command=_create)
    return parser


def _create(options: argparse.Namespace) -> None:
    configuration = config.load(options.file.resolve())
    names = known_names(options.databases, configuration.names) or configuration.names
    admin = configuration.url_variable(bootstrap.ADMIN_VARIABLE)
    bootstrap.create(configuration.databases(names), admin, print)
