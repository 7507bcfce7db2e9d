"""`recover`: resolve the transactions that an interrupted run left in doubt.

Every run that changes databases does this first. Exit code 0: nothing is left in doubt; 3: something is; 75: the run is
still in progress; 1: a database can't be read.
"""

import argparse

from multidb import logs
from multidb.commands.support.command import Command, add_databases
from multidb.config.configuration import Database
from multidb.database.attempt import Prepared
from multidb.database.probe import start_probes
from multidb.errors import ExitCode, exit_code_of, explain
from multidb.release import recovery


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)


def run(command: Command) -> ExitCode:
    logs.configure(command.alembic)
    codes = {ExitCode.OK}
    in_doubt: list[tuple[Database, Prepared]] = []
    for probe in start_probes(command.databases, command.settings.wait):
        try:
            result = probe.result()
            in_doubt += [(probe.database, prepared) for prepared in result.in_doubt]
            if not result.in_doubt:
                _ = result.heads  # raises the error with which reading them failed
        except Exception as error:
            print(f"{probe.database.name}: FAILED: {explain(error)}")
            codes.add(exit_code_of(error))
        finally:
            probe.close()  # each transaction is resolved over a session of its own
    for resolution in recovery.resolve(command.configuration, in_doubt, command.settings.lock_wait):
        codes.add(resolution.exit_code)
        print(resolution if resolution.is_done else f"{resolution.database.name}: {resolution}")
    if not in_doubt and codes == {ExitCode.OK}:
        print("nothing in doubt")
    return ExitCode.most_severe(codes)
