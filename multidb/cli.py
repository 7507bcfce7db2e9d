"""`python -m multidb`: the commands that Alembic does not have, a file each in `commands/`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from multidb import __version__
from multidb.advice.codes import Code
from multidb.arguments import Parser
from multidb.commands.support import listing
from multidb.commands.support.command import Command
from multidb.errors import ExitCode, MigrationError, exit_for, nearest
from multidb.output import discard_stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the command line, without the program's name, and return its exit code.

    A command that failed raises SystemExit, after one line on stderr.
    """
    is_raised = False
    try:
        options, module = _parsed(arguments)
        is_raised = options.raiseerr
        status: ExitCode = module.run(Command(options))
        if sys.stdout is not None:  # it may have been closed
            sys.stdout.flush()
    except BrokenPipeError:  # the reader needs no more
        discard_stdout()
        return ExitCode.FAILED
    except (Exception, KeyboardInterrupt) as error:
        if is_raised:
            raise
        raise exit_for(error) from error
    return status


def _parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, ModuleType]:
    """The options of a command line, and the command's module, the only one that is imported.

    Raises:
        MigrationError: there is no such command or option.
    """
    modules = listing.modules()
    parser = Parser(prog="python -m multidb", add_help=False, usage="%(prog)s [OPTION…] COMMAND …")
    parser.add_argument("-h", "--help", action=_Help, modules=modules)
    parser.add_argument("--version", action=_Version)
    parser.add_argument("-f", "--file", type=Path, default=Path("databases.yaml"), help="default: databases.yaml")
    parser.add_argument("-x", action="append", default=[], metavar="KEY=VALUE", help="a setting, as alembic takes it")
    parser.add_argument("--raiseerr", action="store_true", help="show an error's traceback")
    parser.add_argument("command", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.command not in modules:
        close = nearest(options.command, modules) or f": there are {', '.join(modules)}"
        raise MigrationError(Code.USAGE, f"there is no command {options.command!r}{close}")
    module = listing.imported(modules[options.command])
    own = Parser(prog=f"python -m multidb {options.command}", description=listing.description_of(module))
    module.configure(own)
    return own.parse_args(options.rest, options), module


class _Version(argparse.Action):
    """Prints the version of the project, and those of the packages that decide what a run does."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the versions of this, and of what it is made of")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # which no other command needs

        packages = ", ".join(f"{name} {version(name)}" for name in ("alembic", "sqlalchemy", "psycopg2-binary"))
        print(f"neighbor-migrations {__version__} ({packages})")
        parser.exit()


class _Help(argparse.Action):
    """Prints the options, and each command with the first line of its documentation."""

    def __init__(self, option_strings: Sequence[str], dest: str, modules: Mapping[str, str]) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show this, or after a command its options")
        self._modules = modules

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        lines = []
        for name, module in self._modules.items():
            lines.append(f"  {name:11} {listing.summary_of(listing.imported(module))}")
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = "\n".join(["commands:", *lines])
        parser.print_help()
        parser.exit()
