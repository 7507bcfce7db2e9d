"""`upgrade`, `downgrade`, `stamp`, and the runs of `rollback` and `adopt`: probe, lock, plan, commit, report."""

import logging
import random
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL

from multidb.advice.codes import Code
from multidb.commands.support import run_file
from multidb.commands.support.origin import origin
from multidb.commands.support.run_file import RunRecord
from multidb.commands.support.run_report import RunReport
from multidb.database.attempt import Attempt, Run
from multidb.database.probe import ProbeResult, probing
from multidb.errors import (
    ExitCode,
    MigrationError,
    PartialError,
    RetryError,
    code_of,
    exit_code_of,
    explain,
    is_command_line,
    joined,
    reason_of,
)
from multidb.logs import for_database, log
from multidb.output import count_of, print_safely
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, runs_file
from multidb.planning.planner import ProtectedError
from multidb.release import coordinator, ending
from multidb.release.activity import Activities
from multidb.release.coordinator import Coordinator, NontransactionalError, Outcome, State
from multidb.release.executor import executor_for
from multidb.release.guarantee import guarantee, lock_order, servers_text, unprepared
from multidb.release.lock_hold import LockHold
from multidb.release.locking import PLANNING_ATTEMPTS, lock_and_plan
from multidb.release.operation import FailureKind, ParticipantError
from multidb.release.participant import Migrate, Participant
from multidb.signals import Interrupted, Interruption

if TYPE_CHECKING:
    from multidb.rehearsal.approval import Approval

_LONGEST_PAUSE = 30.0  # seconds between two attempts


def run(environment: Environment, migrate: Migrate) -> None:
    """Bring the databases that the command addresses to its destination: all of them, or none.

    Raises:
        MigrationError: a database can't be reached or can't move as asked, or a migration failed; nothing was changed.
        RetryError: the same, because of a lock.
        PartialError: some databases were changed and others not; names which.
    """
    request = environment.request
    typed = request.targets.typed if request.targets else shlex.join([request.command, *request.symbols])
    approval = _approval(environment)
    described = Run(typed, environment.settings.release)
    interruption, attempts = Interruption(), count(1)
    with (
        interruption.handling(is_last=is_command_line(environment.config)),
        run_file.written(environment.settings.report, described) as record,
    ):
        for _ in range(PLANNING_ATTEMPTS):
            try:
                _run_once(environment, migrate, record, interruption, attempts, approval)
            except ProtectedError as error:
                from multidb.replay.way_back import tables_gone  # imports the schema room, which most runs don't need

                raise ProtectedError(error.plans, tables_gone(environment, error.plans)) from error
            except Interrupted as error:
                raise MigrationError(
                    Code.INTERRUPTED, f"interrupted by {interruption.received}; no database was changed"
                ) from error
            except ParticipantError as error:
                if error.kind is not FailureKind.MOVED:
                    raise
                log.info("%s; planning again", explain(error))
                continue
            return
        raise RetryError(
            Code.MOVED, f"gave up after {PLANNING_ATTEMPTS} attempts: other runs keep changing these databases"
        )


def _log_foreign(results: Mapping[str, ProbeResult]) -> None:
    """Say which prepared transactions are not this project's: they may hold locks that the run needs."""
    for name, result in results.items():
        for text in result.foreign:
            with for_database(name):
                log.info("%s", text)


def _warn_of_owners(plans: Sequence[Plan], results: Mapping[str, ProbeResult]) -> None:
    """Say whose prepared transactions would be, where that is not the tables' owner: a login may end before them."""
    for plan in plans:
        result = results[plan.database.name]
        if result.owner is not None:
            with for_database(plan.database.name):
                log.warning(
                    "%s owns its tables, and prepared transactions would be %s's: only that role, or a superuser, can "
                    "resolve them; set `role: %s` in databases.yaml",
                    result.owner,
                    result.role,
                    result.owner,
                )


def _approval(environment: Environment) -> "Approval | None":
    """The approved plan of `-x plan=`, if it is given."""
    if environment.settings.plan is None:
        return None
    from multidb.rehearsal.approval import Approval  # imports the schema room, which most runs don't need

    return Approval.read(environment.settings.plan)


def _details(environment: Environment, approval: "Approval | None") -> dict[str, Any]:
    """What the journals report of the run besides, from its begin on."""
    plan = {"plan": approval.digest} if approval else {}
    return plan | origin(environment.root, environment.settings.by)


def _check_approved(environment: Environment, approval: "Approval | None", plans: Sequence[Plan] | None = None) -> None:
    """Refuse a run that is not what was approved; as `Approval.check` takes its arguments."""
    if approval is not None:
        approval.check(environment, plans)


def _run_once(
    environment: Environment,
    migrate: Migrate,
    record: RunRecord,
    interruption: Interruption,
    attempts: Iterator[int],
    approval: "Approval | None",
) -> None:
    settings = environment.settings
    with ExitStack() as opened:
        with interruption.interruptible():
            environment.check_branches()
            _check_approved(environment, approval)
            probes = opened.enter_context(probing(environment.databases, settings.wait, record.run.id, busy_wait=0))
            locked = lock_and_plan(environment, probes)
        lock_hold = LockHold(settings.lock_hold)
        record.report = report = RunReport(locked.results, lock_hold)
        record.guarantee = ""
        _log_foreign(locked.results)
        if environment.request.command == "upgrade":
            _warn_of_empty_branches(environment)
        if not locked.plans:
            log.info("nothing to do in %s", count_of(len(environment.databases), "database"))
            return
        _check_places(locked.plans, locked.results)
        record.run = run = replace(record.run, details=_details(environment, approval))
        plans = sorted(locked.plans, key=lock_order)
        with ending.reported(run, plans, attempts):
            with interruption.interruptible():
                _check_approved(environment, approval, locked.plans)
            if settings.check_drift and environment.request.command not in ("stamp", "adopt"):
                _check_drift(environment, locked.plans, interruption)
            promise = guarantee(locked.plans, locked.results, settings.two_phase)
            record.guarantee = promise.text
            level = logging.WARNING if promise.is_degraded else logging.INFO
            log.log(level, "run %s on %s: %s", run.id, servers_text(plans), promise.text)
            if promise.two_phase:
                _warn_of_owners(plans, locked.results)
            by_name = {probe.database.name: probe for probe in probes}
            participants = []
            for plan in plans:
                name = plan.database.name
                driver = None if plan.database.is_sqlite else by_name[name].take_connection()
                participants.append(Participant(plan, locked.results[name], driver, migrate, run, settings))
                opened.callback(participants[-1].close)
            for probe in probes:  # without work: the run needs their sessions, and perhaps locks, no more
                probe.close()
            backends = _backends(participants)
            activities = Activities(plan.database.name for plan in plans)
            executor = executor_for(participants, settings.jobs, interruption, lock_hold, activities)
            opened.callback(executor.close)
            committer = Coordinator(executor, {plan.database.name: plan.database for plan in plans}, interruption)
            stages = _Stages(committer, plans, run, attempts, settings.lock_retries + 1, interruption, report)
            from multidb.progress.watcher import shown  # which a run without work doesn't need

            try:
                with shown(environment.config, activities, backends):
                    stages.load_all()
                    stages.commit_all(two_phase=promise.two_phase)
            except (Interrupted, MigrationError) as error:
                kind = error.kind if isinstance(error, ParticipantError) else None
                if kind is FailureKind.MOVED and not report.has_changed:
                    raise
                print_safely(environment.config, report.table())
                raise _failure(error, interruption, report) from error
            print_safely(environment.config, report.table())
            if interruption.received:
                log.info("%s came after the commit decision: the run was completed", interruption.received)
            log.info("committed in %s", count_of(len(locked.plans), "database"))


def _backends(participants: Sequence[Participant]) -> dict[str, tuple[URL, int]]:
    """The databases on PostgreSQL, each with its URL and the server process of its session."""
    found = ((each, each.session.backend) for each in participants)
    return {each.name: (each.database.url, backend) for each, backend in found if backend is not None}


def _check_places(plans: Sequence[Plan], results: Mapping[str, ProbeResult]) -> None:
    """Refuse a database whose search path does not reach the schema of its version table; warn if it begins elsewhere.

    Where no revision is run, the search path does not matter.
    """
    running = [plan for plan in plans if any(map(runs_file, plan.steps))]
    places = {plan.database.name: place for plan in running if (place := results[plan.database.name].place)}
    errors = [MigrationError(Code.PLACE, place.obstacle, name) for name, place in places.items() if place.obstacle]
    if errors:
        raise joined(errors)
    for name, place in places.items():
        if place.warning:
            with for_database(name):
                log.warning("%s", place.warning)


def _warn_of_empty_branches(environment: Environment) -> None:
    empty = [name for name in environment.selected if not environment.branch(name).files]
    if empty:
        folders = ", ".join(f"migrations/versions/{name}" for name in empty)
        log.warning("%s: no revisions to upgrade to; see whether the files are there", folders)


def _check_drift(environment: Environment, plans: Sequence[Plan], interruption: Interruption) -> None:
    from multidb.replay import drift  # imports the schema room, which most runs don't need

    with interruption.interruptible():
        drift.check(environment, [plan.database for plan in plans])


def _failure(error: BaseException, interruption: Interruption, report: RunReport) -> MigrationError:
    """The one error of a run that was not committed in all databases."""
    reason = f"interrupted by {interruption.received}" if isinstance(error, Interrupted) else explain(error)
    code = code_of(error)
    has_ended = isinstance(error, ParticipantError) and error.kind is FailureKind.ENDED
    may_have_committed = has_ended or isinstance(error, NontransactionalError)
    if report.has_changed:
        partly = PartialError(Code.IN_DOUBT if report.is_in_doubt else code, f"{reason}; {report.states_text()}")
        partly.is_in_doubt = report.is_in_doubt
        return partly
    if may_have_committed:
        return PartialError(code, reason)
    failure = RetryError if exit_code_of(error) == ExitCode.RETRY else MigrationError
    return failure(code, f"{reason}; no database was changed")


@dataclass(frozen=True)
class _Stages:
    """Commits the stages of a run, one after the other: one, unless a revision has to run outside a transaction."""

    committer: Coordinator
    plans: Sequence[Plan]  # in lock order
    run: Run
    attempts: Iterator[int]  # the numbers of the run's attempts
    tries: int  # of one stage; more than one where a lock may be free later
    interruption: Interruption
    report: RunReport

    def load_all(self) -> None:
        """Import the revisions of all stages. MigrationError names all that can't be imported, in all databases."""
        names = tuple(plan.database.name for plan in self.plans)
        failures = self.committer.load(Attempt(self.run.id, 0, names, names[-1], False, {}))
        for failure in failures:
            self.report.mark([failure.name], State.FAILED, reason_of(failure))
        if failures:
            raise joined(failures)

    def commit_all(self, *, two_phase: bool) -> None:
        """Commit stage after stage. Where one fails, the stages before it stay committed."""
        stages_of = {plan.database.name: plan.stages for plan in self.plans}
        next_stage = dict.fromkeys(stages_of, 0)
        while left := [name for name in stages_of if next_stage[name] < len(stages_of[name])]:
            self.interruption.check()
            alone = [name for name in left if stages_of[name][next_stage[name]].nontransactional]
            names = alone[:1] or left
            stages = {name: next_stage[name] for name in names}
            for name in names:
                next_stage[name] += 1
                self.report.rows[name].has_stages_left = next_stage[name] < len(stages_of[name])
            self._commit(stages, two_phase=two_phase and len(names) > 1, nontransactional=bool(alone))

    def _commit(self, stages: Mapping[str, int], *, two_phase: bool, nontransactional: bool) -> None:
        """Commit one stage, with retries where a lock was not had."""
        names = tuple(stages)
        last = unprepared([plan for plan in self.plans if plan.database.name in stages]) if two_phase else ()
        for number in range(1, self.tries + 1):
            attempt = Attempt(
                self.run.id, next(self.attempts), names, names[-1], two_phase, stages, nontransactional, last
            )
            failure = self._attempt(attempt)
            if failure is None:
                return
            if number == self.tries:
                if not nontransactional:
                    raise failure
                reason = f"{reason_of(failure)}; {failure.stands or coordinator.STATEMENTS_STAY}"
                raise NontransactionalError(failure.code, reason, failure.name) from failure
            pause = min(2.0 ** (number - 1), _LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            log.info("%s; all rolled back, attempt %d of %d in %.1f s", explain(failure), number + 1, self.tries, pause)
            try:
                with self.interruption.interruptible():
                    time.sleep(pause)
            except Interrupted as error:
                if nontransactional:
                    reason = f"interrupted by {self.interruption.received}; {coordinator.STATEMENTS_STAY}"
                    raise NontransactionalError(Code.INTERRUPTED, reason, failure.name) from error
                raise

    def _attempt(self, attempt: Attempt) -> ParticipantError | None:
        """Try to commit one stage. Returns the failure if a retry may succeed, None if the stage is committed."""
        report = self.report
        report.is_two_phase = attempt.two_phase
        left = report.states_text() if report.has_changed else ""
        self.interruption.left_behind = coordinator.STATEMENTS_STAY if attempt.nontransactional else left
        try:
            outcome = self.committer.commit(attempt)
        except ParticipantError as error:
            report.mark(attempt.databases, State.ROLLED_BACK)
            report.mark([error.name], State.FAILED, reason_of(error))
            if error.kind is not FailureKind.LOCK:
                raise
            return error
        except NontransactionalError as error:
            report.mark(attempt.databases, State.FAILED, reason_of(error))
            raise
        except BaseException as error:
            report.mark(attempt.databases, State.ROLLED_BACK)
            if isinstance(error, coordinator.InDoubtError):
                report.add(error.outcome)
            raise
        finally:
            report.lock_hold.end_stage()
        report.add(outcome)
        if not outcome.is_committed:
            raise MigrationError(Code.COMMIT_FAILED, f"the commit failed: {_reasons(outcome)}")
        return None


def _reasons(outcome: Outcome) -> str:
    """Why databases are not committed, each reason once."""
    names: dict[str, list[str]] = {}
    for name, reason in outcome.reasons.items():
        names.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(each)}: {reason}" for reason, each in names.items())
