"""`report`: write one HTML page about all databases, or print the picture of a schema as Mermaid text.

Nothing in the databases is changed. Exit code 0: it is written; 1: it can't be, or `--format` can't read the
database. A database that can't be read has its error on the page.
"""

import argparse
from pathlib import Path

from multidb.advice.codes import Code
from multidb.commands.support.command import Command, add_databases
from multidb.commands.support.whole_file import write_whole
from multidb.errors import ExitCode, MigrationError
from multidb.output import count_of
from multidb.replay.replay import Replays


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--html", type=Path, metavar="FILE", help="write the page there")
    form.add_argument("--format", choices=["mermaid"], help="print the tables of one DATABASE, for a README")


def run(command: Command) -> ExitCode:
    from multidb.report import page, reading  # the help of all commands needs neither
    from multidb.report.mermaid import mermaid

    options, databases = command.options, command.databases
    if options.html is not None and not options.html.parent.is_dir():
        raise MigrationError(
            Code.NOT_WRITTEN, f"{options.html}: there is no directory {options.html.parent}: create it first"
        )
    if options.format and len(databases) != 1:
        raise MigrationError(
            Code.OPTION, "--format prints one database: name it, as in `report --format mermaid auth_db`"
        )
    with command.environment() as environment, Replays(environment) as replays:
        if options.format:
            text = mermaid(reading.read_entities(environment, replays, databases[0]))
        else:
            text = page.html(reading.read(environment, replays, databases))
    if options.format:
        print(text)
    else:
        write_whole(options.html, text.encode())
        print(f"{options.html}: {count_of(len(databases), 'database')}")
    return ExitCode.OK
