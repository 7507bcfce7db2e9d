"""Lock the databases of a run, and plan the run when no other can change them any more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database import locks
from multidb.database.attempt import Prepared
from multidb.database.probe import Probe, ProbeResult, check_distinct
from multidb.database.refusal import ConnectionFailedError
from multidb.errors import RetryError
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan
from multidb.release import companions, recovery
from multidb.release.waiting import Blocked, Waiting, prepared_in, results_of

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

    While another run holds a lock, or a server has no room, no session is kept: the other runs need the room.

    Raises:
        ConnectionFailedError: a server can't be reached, or has no room for longer than the run waits.
        PartialError: a prepared transaction can't be resolved.
        RetryError: another run held a lock for longer than `lock_wait`, or other runs keep changing the databases.
        MigrationError: a database can't be asked or can't move as asked.
    """
    waiting = Waiting(environment, probes)
    for _ in range(PLANNING_ATTEMPTS):
        locked = _locked_or_moved(environment, probes, waiting)
        if locked is not None:
            return locked
    raise RetryError(
        Code.MOVED, f"gave up after {PLANNING_ATTEMPTS} attempts: other runs keep changing these databases"
    )


def _locked_or_moved(environment: Environment, probes: Sequence[Probe], waiting: Waiting) -> Locked | None:
    """Wait for room and for other runs; None if the databases moved before they were locked."""
    while True:
        try:
            attempt = _attempt(environment, probes, waiting)
        except ConnectionFailedError as error:
            waiting.for_room(error)
            continue
        if not isinstance(attempt, Blocked):
            return attempt
        waiting.for_run(attempt)


def _attempt(environment: Environment, probes: Sequence[Probe], waiting: Waiting) -> Locked | Blocked | None:
    may_downgrade = environment.settings.allow == "downgrade"
    committing = waiting.committing_run()
    if committing is not None:
        return committing
    _resolve(environment, probes, waiting)
    results = results_of(probes)
    check_distinct(results)
    plans = planner.plans(environment, results, may_downgrade=may_downgrade)
    if not plans:
        return _locked(plans, results)
    busy = _on_postgresql(plans)
    holders = [probe for probe in probes if probe.database.name in busy]
    waiting.check_room(holders)
    waiting.reconnect(holders)
    for probe in holders:
        probe.result().check_direct()
        probe.result().check_writable()
    blocked = locks.lock_all([(probe.database.name, probe.connection) for probe in holders])
    if blocked is not None:
        name, holder = blocked
        return Blocked(next(probe for probe in holders if probe.database.name == name), holder)
    # All again, also those with nothing to do: of one run's release, some databases may have been asked before
    # it was committed, and others after.
    waiting.ask_under_lock(holders)
    if not _in_doubt(probes):
        under_lock = results_of(probes)
        if [result.recorded for result in under_lock] == [result.recorded for result in results]:
            return _confirmed(environment, probes, plans, under_lock)
        plans = planner.plans(environment, under_lock, may_downgrade=may_downgrade)
        if _on_postgresql(plans) <= busy:
            return _confirmed(environment, probes, plans, under_lock)
    for probe in holders:
        locks.unlock(probe.connection)
    return None


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


def _resolve(environment: Environment, probes: Sequence[Probe], waiting: Waiting) -> None:
    """Resolve what an earlier run left in doubt, before anything else."""
    in_doubt = _in_doubt(probes)
    if not in_doubt:
        return
    waiting.release()
    recovery.resolve_all(environment.configuration, in_doubt, environment.settings.lock_wait)
    names = {database.name for database, _ in in_doubt}
    waiting.ask(probe for probe in probes if probe.database.name in names)


def _in_doubt(probes: Sequence[Probe]) -> list[tuple[Database, Prepared]]:
    return [(probe.database, prepared) for probe in probes for prepared in prepared_in(probe)]
