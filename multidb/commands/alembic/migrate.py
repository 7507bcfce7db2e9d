"""`upgrade`, `downgrade`, `stamp`, and the runs of `rollback` and `adopt`: probe, lock, plan, commit, report."""

import logging
import shlex
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
from multidb.commands.support.stages import Stages
from multidb.database.attempt import Run
from multidb.database.probe import Probe, ProbeResult, probing
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
)
from multidb.logs import for_database, log
from multidb.output import count_of, print_safely
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, runs_file
from multidb.planning.planner import ProtectedError
from multidb.release import ending
from multidb.release.activity import Activities
from multidb.release.coordinator import Coordinator, NontransactionalError
from multidb.release.executor import executor_for
from multidb.release.guarantee import Guarantee, guarantee, lock_order, servers_text
from multidb.release.lock_hold import LockHold
from multidb.release.locking import PLANNING_ATTEMPTS, Locked, lock_and_plan
from multidb.release.operation import FailureKind, ParticipantError
from multidb.release.participant import Migrate, Participant
from multidb.signals import Interrupted, Interruption

if TYPE_CHECKING:
    from multidb.rehearsal.approval import Approval


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
                with ExitStack() as opened:
                    _Pass(environment, migrate, record, interruption, attempts, approval, opened).run()
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


@dataclass(frozen=True)
class _Pass:
    """One pass of a run: probe, lock, plan, commit. The next one follows where a database moved after it was planned.

    Attributes:
        record: what is known of the run, over all passes.
        attempts: the numbers of the run's attempts.
        approval: the approved plan, if one was given.
        opened: closes the sessions and processes of the pass.
    """

    environment: Environment
    migrate: Migrate
    record: RunRecord
    interruption: Interruption
    attempts: Iterator[int]
    approval: "Approval | None"
    opened: ExitStack

    def run(self) -> None:
        settings = self.environment.settings
        with self.interruption.interruptible():
            probes, locked = self._locked()
        lock_hold = LockHold(settings.lock_hold)
        self.record.report = report = RunReport(locked.results, lock_hold)
        self.record.guarantee = ""
        _log_foreign(locked.results)
        if self.environment.request.command == "upgrade":
            _warn_of_empty_branches(self.environment)
        if not locked.plans:
            log.info("nothing to do in %s", count_of(len(self.environment.databases), "database"))
            return
        _check_places(locked.plans, locked.results)
        self.record.run = run = replace(self.record.run, details=self._details())
        plans = sorted(locked.plans, key=lock_order)
        with ending.reported(run, plans, self.attempts):
            promise = self._promise(plans, locked)
            participants = self._participants(plans, locked, probes)
            self._commit(participants, plans, report, two_phase=promise.two_phase)

    def _locked(self) -> tuple[list[Probe], Locked]:
        self.environment.check_branches()
        self._check_approved()
        settings = self.environment.settings
        probes = probing(self.environment.databases, settings.wait, self.record.run.id, busy_wait=0)
        opened = self.opened.enter_context(probes)
        return opened, lock_and_plan(self.environment, opened)

    def _check_approved(self, plans: Sequence[Plan] | None = None) -> None:
        """Refuse a run that is not what was approved; as `Approval.check` takes its arguments."""
        if self.approval is not None:
            self.approval.check(self.environment, plans)

    def _details(self) -> dict[str, Any]:
        """What the journals report of the run besides, from its begin on."""
        plan = {"plan": self.approval.digest} if self.approval else {}
        return plan | origin(self.environment.root, self.environment.settings.by)

    def _promise(self, plans: Sequence[Plan], locked: Locked) -> Guarantee:
        """Check what the run would do, and log its first line."""
        settings, run = self.environment.settings, self.record.run
        with self.interruption.interruptible():
            self._check_approved(locked.plans)
        if settings.check_drift and self.environment.request.command not in ("stamp", "adopt"):
            _check_drift(self.environment, locked.plans, self.interruption)
        promise = guarantee(locked.plans, locked.results, settings.two_phase)
        self.record.guarantee = promise.text
        level = logging.WARNING if promise.is_degraded else logging.INFO
        log.log(level, "run %s on %s: %s", run.id, servers_text(plans), promise.text)
        if promise.two_phase:
            _warn_of_owners(plans, locked.results)
        return promise

    def _participants(self, plans: Sequence[Plan], locked: Locked, probes: Sequence[Probe]) -> list[Participant]:
        """The participants, with the sessions of their probes; the other sessions end."""
        by_name = {probe.database.name: probe for probe in probes}
        run, settings = self.record.run, self.environment.settings
        participants = []
        for plan in plans:
            name = plan.database.name
            driver = None if plan.database.is_sqlite else by_name[name].take_connection()
            participants.append(Participant(plan, locked.results[name], driver, self.migrate, run, settings))
            self.opened.callback(participants[-1].close)
        for probe in probes:  # without work: the run needs their sessions, and perhaps locks, no more
            probe.close()
        return participants

    def _commit(
        self, participants: Sequence[Participant], plans: Sequence[Plan], report: RunReport, *, two_phase: bool
    ) -> None:
        environment, settings, interruption = self.environment, self.environment.settings, self.interruption
        backends = _backends(participants)
        activities = Activities(plan.database.name for plan in plans)
        executor = executor_for(participants, settings.jobs, interruption, report.lock_hold, activities)
        self.opened.callback(executor.close)
        committer = Coordinator(executor, {plan.database.name: plan.database for plan in plans}, interruption)
        tries = settings.lock_retries + 1
        stages = Stages(committer, plans, self.record.run, self.attempts, tries, interruption, report)
        from multidb.progress.watcher import shown  # which a run without work doesn't need

        try:
            with shown(environment.config, activities, backends):
                stages.load_all()
                stages.commit_all(two_phase=two_phase)
        except (Interrupted, MigrationError) as error:
            kind = error.kind if isinstance(error, ParticipantError) else None
            if kind is FailureKind.MOVED and not report.has_changed:
                raise
            print_safely(environment.config, report.table())
            raise _failure(error, interruption, report) from error
        print_safely(environment.config, report.table())
        if interruption.received:
            log.info("%s came after the commit decision: the run was completed", interruption.received)
        log.info("committed in %s", count_of(len(plans), "database"))


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
