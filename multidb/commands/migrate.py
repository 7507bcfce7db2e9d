"""A run from its first look to its last line: settle, lock, plan, bring the releases, and say what was done."""

import random
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count

from multidb import output
from multidb.config.configuration import Database
from multidb.config.settings import Settings
from multidb.database import journal, locks
from multidb.database.journal import Attempt
from multidb.database.probe import Look, looked_at
from multidb.errors import MigrationError, explain
from multidb.logs import log
from multidb.output import Row
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan
from multidb.release import executor, recovery
from multidb.release.coordinator import STAYS, Coordinator, InDoubtError, Outcome, OutsideError
from multidb.release.executor import Crew
from multidb.release.participant import FailureError, Migrate, Participant
from multidb.signals import Interrupted, Stop

_LONGEST_PAUSE = 30.0  # seconds between two tries
_MOVES = 10  # how often somebody else may move a database between our look and our lock


class PartlyDoneError(MigrationError):
    """Some databases have changed, and others not, or nobody knows."""

    exit_code = 3


def change(environment: Environment, migrate: Migrate) -> None:
    """Bring the databases that the command addresses to where it says: all of them, or none.

    Args:
        environment: the command and its databases.
        migrate: runs the migrations of one database.

    Raises:
        MigrationError: a database can't be reached or can't move as asked, or a migration failed; nothing was changed.
        PartlyDoneError: some databases have changed, and others not; says which.
    """
    request = environment.request
    typed = shlex.join([request.command, *request.symbols])
    run = journal.Run(environment.config.attributes.get(planner.COMMAND, typed), environment.settings.release)
    stop, attempts = Stop(), count(1)
    with stop.listening():
        for _ in range(_MOVES):
            with ExitStack() as opened:
                try:
                    _Run(environment, migrate, run, stop, attempts, opened).go()
                except Interrupted as error:
                    raise MigrationError(f"interrupted by {stop.asked}; no database was changed") from error
                except FailureError as error:
                    if error.kind != "moved":
                        raise
                    log.info("%s; looks again", explain(error))
                    continue
                return
    raise MigrationError("databases are being moved by others all the time: run again when they are done")


class _Run:
    def __init__(
        self,
        environment: Environment,
        migrate: Migrate,
        run: journal.Run,
        stop: Stop,
        attempts: Iterator[int],
        opened: ExitStack,
    ) -> None:
        self._environment, self._migrate, self._run, self._stop, self._opened = environment, migrate, run, stop, opened
        self._settings: Settings = environment.settings
        self._attempts = attempts
        self._longest_lock = 0.0
        self._rows: dict[str, Row] = {}

    def go(self) -> None:
        with self._stop.interruptible():
            plans = self._locked_plans()
        if not plans:
            log.info("nothing to do in %s", number_of(len(self._environment.databases)))
            return
        if self._settings.check_drift and self._environment.request.command != "stamp":
            self._check_drift(plans)
        two_phase = self._guaranteed(plans)
        participants = [
            Participant(plan, self._migrate, self._run, self._settings) for plan in sorted(plans, key=_order)
        ]
        hands = executor.crew_of(participants, self._settings.jobs, self._stop)
        self._opened.callback(hands.close)
        try:
            self._bring_all(hands, participants, two_phase)
        except Interrupted as error:
            self._failed(f"interrupted by {self._stop.asked}", error)
        except FailureError as error:
            if error.kind == "moved" and not self._has_changed:
                raise
            self._failed(explain(error), error)
        except MigrationError as error:
            self._failed(explain(error), error)
        self._print_table()
        if self._stop.asked:
            log.info("%s came after the decision: the run went on to its end", self._stop.asked)
        log.info("committed in %s", number_of(len(plans)))

    def _locked_plans(self) -> list[Plan]:
        """What there is to do, when nobody else can change it any more."""
        environment = self._environment
        looks = self._opened.enter_context(looked_at(environment.databases, self._settings.wait, self._run.id))
        for name in environment.selected:  # the branches are loaded while the databases think
            with environment.working_on(name):
                pass
        allowed = self._settings.allow == "downgrade"
        while True:
            self._settle(looks)
            plans = planner.plans(environment, looks, allowed=allowed)
            planned_at = [look.position for look in looks]
            sessions = _sessions(plans)
            _lock(sessions, self._settings.lock_wait)
            # All again, also those with nothing to do: they may have been asked before, and others after, one and the
            # same release of another run.
            for look in looks if plans else ():
                look.again()
            if not _in_doubt(looks):
                if [look.position for look in looks] == planned_at:
                    break
                plans = planner.plans(environment, looks, allowed=allowed)
                if set(_sessions(plans)) <= set(sessions):
                    break
            for look in sessions.values():
                locks.release(look.connection)
        self._rows = {look.database.name: Row(look.database.name, look.heads, look.heads) for look in looks}
        busy = {plan.database.name for plan in plans}
        for look in looks:
            if look.database.name not in busy or look.database.is_sqlite:
                look.close()
        return plans

    def _check_drift(self, plans: Sequence[Plan]) -> None:
        from multidb.commands import drift  # which most runs have no use for

        with self._stop.interruptible():
            drift.check(self._environment, plans)

    def _settle(self, looks: Sequence[Look]) -> None:
        """Bring to its end what an earlier run left in doubt, before anything else."""
        found = _in_doubt(looks)
        if not found:
            return
        doubts = recovery.settle(self._environment.configuration, found, self._settings.lock_wait, log.info)
        if doubts:
            database, doubt = doubts[0]
            more = f"; and in {len(doubts) - 1} more" if len(doubts) > 1 else ""
            raise PartlyDoneError(f"{database.name}: {doubt}{more}")
        for look in looks:
            if look.in_doubt:
                look.again()

    def _guaranteed(self, plans: Sequence[Plan]) -> bool:
        """Whether it is a two-phase commit; says which guarantee the run has.

        Raises:
            MigrationError: it has to be one, and can't.
        """
        if len(plans) == 1:
            log.info("run %s: one database, in a transaction of its own", self._run.id)
            return False
        why_not = "two_phase is off" if self._settings.two_phase == "off" else _obstacle(plans)
        if why_not is None:
            decider = max(plans, key=_order).database.name
            cuts = [plan.database.name for plan in plans if any(part.outside for part in plan.parts)]
            promise = "all or none, whatever happens"
            if cuts:
                promise = f"release by release, cut by revisions of {', '.join(cuts)} outside a transaction"
            log.info(
                "run %s: two-phase commit of %s, decided in %s: %s",
                self._run.id, number_of(len(plans)), decider, promise,
            )  # fmt: skip
            return True
        if self._settings.two_phase == "required":
            raise MigrationError(f"two_phase is required, but {why_not}")
        log.info(
            "run %s: %s, committed one after the other, because %s: a crash between the commits would be seen",
            self._run.id, number_of(len(plans)), why_not,
        )  # fmt: skip
        return False

    def _bring_all(self, hands: Crew, participants: Sequence[Participant], two_phase: bool) -> None:
        """Release after release: one, unless a revision has to run outside a transaction."""
        databases = {each.name: each.database for each in participants}
        coordinator = Coordinator(hands, databases, self._stop)
        next_part = dict.fromkeys(databases, 0)
        plans = {each.name: each.plan for each in participants}
        while left := [name for name in databases if next_part[name] < len(plans[name].parts)]:
            self._stop.check()
            alone = [name for name in left if plans[name].parts[next_part[name]].outside]
            names = alone[:1] or left
            parts = {name: next_part[name] for name in names}
            self._bring(coordinator, names, parts, two_phase=two_phase and len(names) > 1, outside=bool(alone))
            for name in names:
                next_part[name] += 1
                if next_part[name] < len(plans[name].parts):
                    self._rows[name].result = "committed in part"

    def _bring(
        self, coordinator: Coordinator, names: Sequence[str], parts: dict[str, int], *, two_phase: bool, outside: bool
    ) -> None:
        """Bring one release, and try again when somebody's lock was in the way."""
        tries = self._settings.lock_retries
        for number in range(tries + 1):
            attempt = Attempt(self._run.id, next(self._attempts), tuple(names), two_phase, parts, outside)
            failure = self._tried(coordinator, attempt)
            if failure is None:
                return
            if number == tries:
                if outside:
                    raise OutsideError(f"{explain(failure)}; {STAYS}") from failure
                raise failure
            pause = min(2.0**number, _LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            log.info("%s; all rolled back, try %d of %d in %.1f s", explain(failure), number + 2, tries + 1, pause)
            with self._stop.interruptible():
                time.sleep(pause)

    def _tried(self, coordinator: Coordinator, attempt: Attempt) -> FailureError | None:
        """Try to bring one release. Returns what failed, if that was a lock and may pass; None if all is done."""
        started = time.monotonic()
        try:
            outcome = coordinator.bring(attempt)
        except FailureError as error:
            self._mark(attempt.databases, "rolled back")
            self._mark([_database_of(error)], f"failed: {_reason(error)}")
            if error.kind != "lock":
                raise
            return error
        except OutsideError as error:
            self._mark(attempt.databases, f"failed: {_without(attempt.decider, explain(error))}")
            raise
        except BaseException as error:
            self._mark(attempt.databases, "rolled back")
            if isinstance(error, InDoubtError):
                self._note(error.outcome)
            raise
        finally:
            self._longest_lock = max(self._longest_lock, time.monotonic() - started)
        self._note(outcome)
        return None

    def _note(self, outcome: Outcome) -> None:
        """Take an outcome over into the table.

        Raises:
            PartlyDoneError: it is not the same for all databases.
            MigrationError: all were rolled back.
        """
        for name, state in outcome.states.items():
            row, applied = self._rows[name], outcome.applied.get(name)
            reason = outcome.reasons.get(name)
            row.result = f"{state}: {_without(name, reason)}" if reason and state != "committed" else state
            if applied and state == "committed":
                row.after = applied.after
                row.revisions += applied.revisions
                row.seconds += applied.seconds
        if outcome.applied and not outcome.is_whole:
            reasons: dict[str, list[str]] = {}
            for name, reason in outcome.reasons.items():
                reasons.setdefault(_without(name, reason), []).append(name)
            said = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
            raise MigrationError(f"the commit failed: {said}")

    def _mark(self, names: Sequence[str], result: str) -> None:
        for name in names:
            row = self._rows[name]
            row.result = f"committed in part, then {result}" if row.revisions else result

    @property
    def _has_changed(self) -> bool:
        return any(row.revisions or row.result.startswith(("committed", "in doubt")) for row in self._rows.values())

    def _failed(self, reason: str, error: BaseException) -> None:
        """End a run that was not all committed, with the table and one line.

        Raises:
            MigrationError: always.
        """
        self._print_table()
        if isinstance(error, OutsideError) or (isinstance(error, FailureError) and error.kind == "ended"):
            raise PartlyDoneError(self._with_states(reason) if self._has_changed else reason) from error
        if not self._has_changed:
            raise MigrationError(f"{reason}; no database was changed") from error
        raise PartlyDoneError(self._with_states(reason)) from error

    def _with_states(self, reason: str) -> str:
        """A reason, and who is where now."""
        states: dict[str, list[str]] = {}
        for name, row in self._rows.items():
            state = row.result.partition(":")[0]
            if state != "untouched":
                states.setdefault(state, []).append(name)
        summary = "; ".join(f"{state}: {', '.join(names)}" for state, names in states.items())
        advice = "; `python -m multidb recover` settles what is in doubt" if "in doubt" in states else ""
        return f"{reason}; {summary}{advice}"

    def _print_table(self) -> None:
        lines = output.table(list(self._rows.values()))
        if self._longest_lock:
            lines += f"\nwhat was altered was locked for at most {self._longest_lock:.2f} s"
        output.show(self._environment.config, lines)


def number_of(number: int) -> str:
    """How many databases."""
    return "1 database" if number == 1 else f"{number} databases"


def _order(plan: Plan) -> tuple[bool, str]:
    """The order in which all runs lock: by name, SQLite last; the last one decides."""
    return plan.database.is_sqlite, plan.database.name


def _in_doubt(looks: Sequence[Look]) -> list[tuple[Database, journal.Prepared]]:
    for look in looks:
        look.wait()
    return [(look.database, prepared) for look in looks for prepared in look.in_doubt]


def _sessions(plans: Sequence[Plan]) -> dict[str, Look]:
    """The sessions that hold a lock while they have work; SQLite's lock is its transaction."""
    return {plan.database.name: plan.look for plan in plans if not plan.database.is_sqlite}


def _lock(sessions: Mapping[str, Look], seconds: float) -> None:
    """Lock databases. They may have been moved while we waited: who comes then looks again."""
    for name, look in sessions.items():
        if look.is_pooled:
            raise MigrationError(f"{name}: {recovery.POOLED}")
    locks.take_all([(name, look.connection) for name, look in sessions.items()], seconds)


def _obstacle(plans: Sequence[Plan]) -> str | None:
    """Why these databases can't be committed in two phases, or None if they can."""
    on_sqlite = [plan.database.name for plan in plans if plan.database.is_sqlite]
    if len(on_sqlite) > 1:
        return f"{' and '.join(sorted(on_sqlite))} are both on SQLite, which can't prepare a transaction"
    servers: dict[object, list[Plan]] = {}
    for plan in sorted(plans, key=_order)[:-1]:  # the decider needs no slot
        servers.setdefault(plan.look.server, []).append(plan)
    for those in servers.values():
        free = min(plan.look.free_slots for plan in those)
        if free < len(those):
            url = those[0].database.url
            return (
                f"the server {url.host}:{url.port or 5432} has {max(free, 0)} slots free for prepared transactions and "
                f"{len(those)} are needed: set max_prepared_transactions there"
            )
    return None


def _database_of(error: FailureError) -> str:
    return str(error).partition(":")[0]


def _reason(error: FailureError) -> str:
    return _without(_database_of(error), explain(error))


def _without(name: str, reason: str) -> str:
    return reason.removeprefix(f"{name}: ")
