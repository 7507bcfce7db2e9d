"""The drift of the databases that a command names."""

from multidb.commands.support.command import Command
from multidb.database.probe import probing
from multidb.replay.drift import Drift, find_drift
from multidb.replay.replay import Replays


def drifts_of(command: Command) -> list[Drift]:
    """Compare each database with its recorded revision; one that can't be compared has its failure."""
    with (
        command.environment() as environment,
        Replays(environment) as replays,
        probing(command.databases, environment.settings.wait, busy_wait=environment.settings.busy_wait) as probes,
    ):
        return list(find_drift(environment, replays, probes))
