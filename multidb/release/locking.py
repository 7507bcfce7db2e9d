"""Lock the databases of a run, and plan the run when no other can change them any more."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from multidb.config import urls
from multidb.config.configuration import Database
from multidb.database import locks
from multidb.database.attempt import Prepared
from multidb.database.connections import retry_pauses
from multidb.database.locks import Wait
from multidb.database.probe import Probe, ProbeResult, check_distinct, log_wait_for_server
from multidb.database.refusal import ConnectionFailedError, Obstacle
from multidb.errors import RetryError, in_database
from multidb.logs import for_database
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan
from multidb.release import companions, recovery

_LONGEST_PAUSE = 2.0  # seconds between two looks at a lock; each takes a new session
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
    waiting = _Waiting(environment, probes)
    for _ in range(PLANNING_ATTEMPTS):
        locked = _locked_or_moved(environment, probes, waiting)
        if locked is not None:
            return locked
    raise RetryError(f"gave up after {PLANNING_ATTEMPTS} attempts: other runs keep changing these databases")


def _locked_or_moved(environment: Environment, probes: Sequence[Probe], waiting: "_Waiting") -> Locked | None:
    """Wait for room and for other runs; None if the databases moved before they were locked."""
    while True:
        try:
            attempt = _attempt(environment, probes, waiting)
        except ConnectionFailedError as error:
            waiting.for_room(error)
            continue
        if not isinstance(attempt, _Blocked):
            return attempt
        waiting.for_run(attempt)


@dataclass(frozen=True)
class _Blocked:
    """A database that another run has locked, and that run's session."""

    probe: Probe
    holder: str


def _attempt(environment: Environment, probes: Sequence[Probe], waiting: "_Waiting") -> Locked | _Blocked | None:
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
    waiting.reconnect(holders)
    for probe in holders:
        probe.result().check_direct()
    blocked = locks.lock_all([(probe.database.name, probe.connection) for probe in holders])
    if blocked is not None:
        name, holder = blocked
        return _Blocked(next(probe for probe in holders if probe.database.name == name), holder)
    # All again, also those with nothing to do: of one run's release, some databases may have been asked before
    # it was committed, and others after.
    waiting.ask(probes)
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


class _Waiting:
    """How a run waits for others: it closes its sessions, and probes again at each poll."""

    def __init__(self, environment: Environment, probes: Sequence[Probe]) -> None:
        self._settings, self._probes = environment.settings, probes
        self._for_run = Wait(self._settings.lock_wait, "lock_wait", _LONGEST_PAUSE)
        self._released: set[str] = set()
        self._no_room_since: float | None = None
        self._has_logged = False
        self._pauses = retry_pauses()

    def for_room(self, error: ConnectionFailedError) -> None:
        """Give all sessions up, and ask the databases whose server had no room one after another.

        Raises:
            ConnectionFailedError: waiting does not help, or it is late.
        """
        failed = [probe for probe in self._probes if isinstance(probe.failure, ConnectionFailedError)]
        if not any(self._has_no_room(probe) for probe in failed):
            raise error
        self.release()
        self._pause_for_room(error)
        self._ask_in_turn(failed)

    def for_run(self, blocked: _Blocked) -> None:
        """Close all sessions, and probe again with one until the database is free, or has moved; then ask all.

        Raises:
            LockedError: it was locked for longer than `lock_wait`.
        """
        self.release()
        probe, holder = blocked.probe, blocked.holder
        before = probe.result().recorded
        with for_database(probe.database.name), in_database(probe.database.name):
            while True:
                self._for_run.pause(lambda holder=holder: holder)  # type: ignore[misc]
                self.ask([probe])
                try:
                    after = probe.result().recorded
                except ConnectionFailedError:
                    if not self._has_no_room(probe):
                        raise
                    continue  # the runs that have the room are being waited for
                found = locks.holder_of(probe.connection)
                if found is None or after != before:
                    break
                holder = found
                self.release([probe])
        self._ask_in_turn(self._probes)

    def committing_run(self) -> _Blocked | None:
        """A run that has prepared transactions and still holds its locks: it will finish them."""
        for probe in self._probes:
            if _prepared_in(probe):
                self.reconnect([probe])
                holder = locks.holder_of(probe.connection)
                if holder is not None:
                    return _Blocked(probe, holder)
        return None

    def reconnect(self, probes: Iterable[Probe]) -> None:
        """Open the sessions that were given up, all at the same time."""
        released = [probe for probe in probes if probe.database.name in self._released]
        self.ask(released)
        results_of(released)

    def ask(self, probes: Iterable[Probe]) -> None:
        """Let databases answer again, over new sessions where theirs were given up."""
        for probe in probes:
            self._released.discard(probe.database.name)
            probe.start()

    def _ask_in_turn(self, probes: Iterable[Probe]) -> None:
        """Let databases answer again, with one session at a time: many runs may do so at once."""
        for probe in probes:
            self.ask([probe])
            while self._has_no_room(probe):
                assert isinstance(probe.failure, ConnectionFailedError)
                self._pause_for_room(probe.failure)
                self.ask([probe])
            self._no_room_since, self._pauses = None, retry_pauses()
            self.release([probe])

    def _has_no_room(self, probe: Probe) -> bool:
        """Whether a database's server, which has answered before, refuses the connection for now or is overloaded."""
        failure = probe.failure
        if not isinstance(failure, ConnectionFailedError):
            return False
        is_silent = failure.refusal.obstacle is Obstacle.SILENCE
        return failure.refusal.is_busy or (is_silent and urls.server_of(probe.database.url) in self._answering)

    def _pause_for_room(self, error: ConnectionFailedError) -> None:
        now, limit = time.monotonic(), self._settings.busy_wait
        if self._no_room_since is None:
            self._no_room_since = now
        if now - self._no_room_since >= limit:
            raise error
        if not self._has_logged:
            self._has_logged = True
            with for_database(error.database or ""):
                log_wait_for_server(limit, error)
        time.sleep(next(self._pauses))

    @property
    def _answering(self) -> set[tuple[object, ...]]:
        """The servers that have answered, if only with a refusal."""
        return {
            urls.server_of(probe.database.url)
            for probe in self._probes
            if not isinstance(probe.failure, ConnectionFailedError) or probe.failure.refusal.is_reachable
        }

    def release(self, probes: Iterable[Probe] = ()) -> None:
        """Give sessions up, by default all; the answers are kept."""
        for probe in probes or self._probes:
            probe.release()
            self._released.add(probe.database.name)


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


def _resolve(environment: Environment, probes: Sequence[Probe], waiting: _Waiting) -> None:
    """Resolve what an earlier run left in doubt, before anything else."""
    in_doubt = _in_doubt(probes)
    if not in_doubt:
        return
    waiting.release()
    recovery.resolve_all(environment.configuration, in_doubt, environment.settings.lock_wait)
    names = {database.name for database, _ in in_doubt}
    waiting.ask(probe for probe in probes if probe.database.name in names)


def _in_doubt(probes: Sequence[Probe]) -> list[tuple[Database, Prepared]]:
    return [(probe.database, prepared) for probe in probes for prepared in _prepared_in(probe)]


def _prepared_in(probe: Probe) -> tuple[Prepared, ...]:
    """The prepared transactions of a database; none if it can't be reached, which results_of() raises."""
    try:
        return probe.result().in_doubt
    except Exception:
        return ()
