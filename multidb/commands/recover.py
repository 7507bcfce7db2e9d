"""`recover`: resolve the transactions that an interrupted run left in doubt.

Every run that changes databases does this first. Exit code 0: nothing is left in doubt; 3: something is; 75: the run is
still in progress; 1: a database can't be read.

A session of a run that was killed lives on until its server notices, and what the run has sent last may still arrive: a
PREPARE TRANSACTION, for example. The database is therefore asked again when the session has ended.
"""

import argparse
from collections.abc import Sequence

from multidb import logs
from multidb.commands.support.command import Command, add_databases
from multidb.config.configuration import Database
from multidb.database import locks
from multidb.database.attempt import Prepared
from multidb.database.locks import LockedError, Wait
from multidb.database.probe import Probe, start_probes
from multidb.database.threads import map_in_threads
from multidb.errors import ExitCode, exit_code_of, explain, with_code
from multidb.logs import for_database
from multidb.release import recovery

_SESSION_WAIT = 15.0  # seconds at most for a session to end; that of a run in progress lives longer


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)


def run(command: Command) -> ExitCode:
    logs.configure(command.alembic)
    seconds = command.settings.lock_wait
    codes = {ExitCode.OK}
    probes = start_probes(command.databases, command.settings.wait, busy_wait=command.settings.busy_wait)
    try:
        in_doubt, reachable = _in_doubt(probes, codes)
        _resolve(command, in_doubt, codes)
        living = [line for line in map_in_threads(lambda probe: _await_session(probe, seconds), reachable) if line]
        for probe in reachable:
            probe.start()
        late, answered = _in_doubt(reachable, codes)
        late = [each for each in late if each not in in_doubt]
        _resolve(command, late, codes)
        for probe in answered:
            for text in probe.result().foreign:
                print(f"{probe.database.name}: {text}")
    finally:
        for probe in probes:
            probe.close()
    for line in living:
        print(line)
    if not in_doubt and not late and not living and codes == {ExitCode.OK}:
        print("nothing in doubt")
    return ExitCode.most_severe(codes)


def _in_doubt(probes: Sequence[Probe], codes: set[ExitCode]) -> tuple[list[tuple[Database, Prepared]], list[Probe]]:
    """What is in doubt, and the databases that could be asked; the others are printed."""
    found: list[tuple[Database, Prepared]] = []
    reachable = []
    for probe in probes:
        try:
            result = probe.result()
            found += [(probe.database, prepared) for prepared in result.in_doubt]
            if not result.in_doubt:
                _ = result.heads  # raises the error with which reading them failed
            reachable.append(probe)
        except Exception as error:
            print(f"{probe.database.name}: FAILED: {with_code(explain(error), error)}")
            codes.add(exit_code_of(error))
    return found, reachable


def _resolve(command: Command, in_doubt: Sequence[tuple[Database, Prepared]], codes: set[ExitCode]) -> None:
    for resolution in recovery.resolve(command.configuration, in_doubt, command.settings.lock_wait):
        codes.add(resolution.exit_code)
        print(resolution if resolution.is_done else f"{resolution.database.name}: {resolution}")


def _await_session(probe: Probe, seconds: float) -> str:
    """Wait until no session of a run holds the database's lock. Returns a line about one that does not end."""
    if probe.database.is_sqlite:
        return ""
    wait = Wait(min(seconds, _SESSION_WAIT))
    with for_database(probe.database.name):
        try:
            while holder := locks.holder_of(probe.connection):
                wait.pause(lambda holder=holder: holder)  # type: ignore[misc]
        except LockedError as error:
            return f"{probe.database.name}: {error.holder} may still be at work: run again when it has ended"
    return ""
