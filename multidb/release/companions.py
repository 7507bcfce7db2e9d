"""Companions: the other databases of the last run of each database that is about to move.

A run is reverted, or stamped over, in all of its databases or in none. While one of them is in doubt, its journal
does not show the run, and to move another alone would break the run in two.
"""

from collections.abc import Iterable, Mapping, Sequence

from multidb.advice.codes import Code
from multidb.config.configuration import Configuration, Database
from multidb.database import journal
from multidb.database.attempt import Prepared
from multidb.database.probe import Probe, probing
from multidb.database.threads import map_in_threads
from multidb.errors import ConfigError, MigrationError, explain, in_database
from multidb.logs import log
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan
from multidb.release import recovery


def resolve(environment: Environment, probes: Sequence[Probe], plans: Sequence[Plan]) -> None:
    """Resolve what the last run of each planned database left in doubt in databases that the command does not address.

    Args:
        probes: of the addressed databases, in which nothing is in doubt; those of the planned ones hold their locks.

    Raises:
        PartialError, RetryError: a transaction can't be resolved, or its run is in progress.
        MigrationError: a database would go back, and a companion can't be asked.
    """
    addressed = {probe.database.name: probe for probe in probes}
    elsewhere = set(environment.configuration.names) - set(addressed)
    if not elsewhere:
        return
    last = map_in_threads(lambda plan: _last_attempt(addressed[plan.database.name]), plans)
    wanted: dict[str, dict[str, Plan]] = {}  # of each companion, the attempts, each with a plan that depends on it
    for plan, found in zip(plans, last, strict=True):
        attempt, participants = found or ("", ())
        for name in elsewhere & set(participants):
            wanted.setdefault(name, {})[attempt] = plan
    if wanted:
        in_doubt, unknown = _in_doubt(environment, wanted)
        for name, reason in unknown.items():
            _check_forward(environment, name, reason, wanted[name].values())
        recovery.resolve_all(environment.configuration, in_doubt, environment.settings.lock_wait)


def _last_attempt(probe: Probe) -> tuple[str, tuple[str, ...]] | None:
    with in_database(probe.database.name):
        result = probe.result()
        return journal.last_committed(probe.connection, result.journal_columns, result.journal_table)


def _in_doubt(
    environment: Environment, wanted: Mapping[str, Mapping[str, Plan]]
) -> tuple[list[tuple[Database, Prepared]], dict[str, str]]:
    """What the attempts left in their companions, and why some companions can't be asked."""
    databases, unknown = _databases(environment.configuration, sorted(wanted))
    found: list[tuple[Database, Prepared]] = []
    with probing(databases, keeps_sessions=False) as probes:
        for probe in probes:
            name = probe.database.name
            try:
                found += [(probe.database, each) for each in probe.result().in_doubt if each.attempt in wanted[name]]
            except Exception as error:  # whatever the cause
                unknown[name] = explain(error)
    return found, unknown


def _databases(configuration: Configuration, names: Sequence[str]) -> tuple[list[Database], dict[str, str]]:
    """The databases, and why some have no URL: a pod that migrates one has no secrets of the others."""
    found: list[Database] = []
    unknown: dict[str, str] = {}
    for name in names:
        try:
            found += configuration.databases([name])
        except ConfigError as error:
            unknown[name] = explain(error)
    return found, unknown


def _check_forward(environment: Environment, companion: str, reason: str, plans: Iterable[Plan]) -> None:
    """Refuse to take a database back while a companion can't be asked; forward, the run stays whole in any case."""
    for plan in plans:
        name = plan.database.name
        with environment.working_on(name) as branch:
            if planner.goes_back(branch, plan):
                raise MigrationError(
                    Code.EVIDENCE,
                    f"it would go back, and {companion}, which its last run changed too, can't be asked whether it is "
                    f"in doubt: {reason}: make it reachable, then run again",
                    name,
                )
    log.info("not known whether %s is in doubt: %s", companion, reason)
