"""`drift`: report schema drift, the differences between each live database and its recorded revision.

Pending revisions are no drift. Nothing in the databases is changed. Exit code 0: there is no drift; 2: there is; 1: a
database can't be read, or its branch can't be replayed.
"""

import argparse
import json

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.commands.support.drifts import drifts_of
from multidb.errors import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    found = drifts_of(command)
    if command.options.json:
        print(json.dumps([drift.as_json() for drift in found], indent=2))
    else:
        for drift in found:
            print("\n".join(drift.lines()))
    return ExitCode.most_severe(drift.exit_code for drift in found)
