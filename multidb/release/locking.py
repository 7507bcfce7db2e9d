"""Lock the databases of a run, and plan the run when no other can change them any more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidb.config.configuration import Database
from multidb.database import locks
from multidb.database.attempt import Prepared
from multidb.database.probe import Probe, ProbeResult, check_distinct
from multidb.errors import RetryError, in_database
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan
from multidb.release import companions, recovery

PLANNING_ATTEMPTS = 10
"""How often a run is planned again because another run changed its databases in between."""


@dataclass(frozen=True)
class Locked:
    """The plans of the databases with work, which the sessions of their probes have locked, and what all answered then.

    SQLite is not locked yet: its lock is its transaction.
    """

    plans: Sequence[Plan]
    results: Mapping[str, ProbeResult]


def lock_and_plan(environment: Environment, probes: Sequence[Probe]) -> Locked:
    """Resolve what is in doubt, plan, lock the databases that have work, and check that the plan still holds.

    Raises:
        PartialError: a prepared transaction can't be resolved.
        RetryError: another run held a lock for longer than `lock_wait`, or other runs keep changing the databases.
        MigrationError: a database can't be reached or can't move as asked.
    """
    may_downgrade = environment.settings.allow == "downgrade"
    for _ in range(PLANNING_ATTEMPTS):
        _resolve(environment, probes)
        results = results_of(probes)
        check_distinct(results)
        plans = planner.plans(environment, results, may_downgrade=may_downgrade)
        if not plans:
            return _locked(plans, results)
        busy = _on_postgresql(plans)
        holders = [probe for probe in probes if probe.database.name in busy]
        for probe in holders:
            probe.result().check_direct()
        locks.lock_all([(probe.database.name, probe.connection) for probe in holders], environment.settings.lock_wait)
        # All again, also those with nothing to do: of one run's release, some databases may have been asked before
        # it was committed, and others after.
        for probe in probes:
            probe.start()
        if not _in_doubt(probes):
            under_lock = results_of(probes)
            if [result.recorded for result in under_lock] == [result.recorded for result in results]:
                return _confirmed(environment, probes, plans, under_lock)
            plans = planner.plans(environment, under_lock, may_downgrade=may_downgrade)
            if _on_postgresql(plans) <= busy:
                return _confirmed(environment, probes, plans, under_lock)
        for probe in holders:
            locks.unlock(probe.connection)
    raise RetryError(f"gave up after {PLANNING_ATTEMPTS} attempts: other runs keep changing these databases")


def results_of(probes: Sequence[Probe]) -> list[ProbeResult]:
    """The answers of all databases. MigrationError if a database can't be reached."""
    found = []
    for probe in probes:
        with in_database(probe.database.name):
            found.append(probe.result())
    return found


def _confirmed(
    environment: Environment, probes: Sequence[Probe], plans: Sequence[Plan], results: Sequence[ProbeResult]
) -> Locked:
    """The plans, once nothing of the last runs of their databases is in doubt."""
    companions.resolve(environment, probes, plans)
    if environment.request.targets:
        environment.request.targets.confirm()
    return _locked(plans, results)


def _locked(plans: Sequence[Plan], results: Sequence[ProbeResult]) -> Locked:
    return Locked(plans, {result.database.name: result for result in results})


def _on_postgresql(plans: Sequence[Plan]) -> set[str]:
    return {plan.database.name for plan in plans if not plan.database.is_sqlite}


def _resolve(environment: Environment, probes: Sequence[Probe]) -> None:
    """Resolve what an earlier run left in doubt, before anything else."""
    in_doubt = _in_doubt(probes)
    if not in_doubt:
        return
    recovery.resolve_all(environment.configuration, in_doubt, environment.settings.lock_wait)
    names = {database.name for database, _ in in_doubt}
    for probe in probes:
        if probe.database.name in names:
            probe.start()


def _in_doubt(probes: Sequence[Probe]) -> list[tuple[Database, Prepared]]:
    """The prepared transactions in the databases that can be reached; the others fail later, under their names."""
    found: list[tuple[Database, Prepared]] = []
    for probe in probes:
        try:
            found += [(probe.database, prepared) for prepared in probe.result().in_doubt]
        except Exception:  # noqa: S112 - results_of() raises it again
            continue
    return found
