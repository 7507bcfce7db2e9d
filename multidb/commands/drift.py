"""`drift`: report schema drift, the differences between each live database and its recorded revision.

Pending revisions are no drift. Nothing in the databases is changed. Exit code 0: there is no drift; 2: there is; 1: a
database can't be read, or its branch can't be replayed.
"""

import argparse
import json

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.database.probe import probing
from multidb.errors import ExitCode
from multidb.replay.drift import find_drift
from multidb.replay.replay import Replays


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    with (
        command.environment() as environment,
        Replays(environment) as replays,
        probing(command.databases, environment.settings.wait, busy_wait=environment.settings.busy_wait) as probes,
    ):
        found = find_drift(environment, replays, probes)
    if command.options.json:
        print(json.dumps([drift.as_json() for drift in found], indent=2))
    else:
        for drift in found:
            print("\n".join(drift.lines()))
    return ExitCode.most_severe(drift.code for drift in found)
