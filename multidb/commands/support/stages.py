"""The stages of a run, committed one after the other, each with retries where a lock was not had in time."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from multidb.advice.codes import Code
from multidb.commands.support.run_report import RunReport
from multidb.database.attempt import Attempt, Run
from multidb.errors import MigrationError, explain, joined, reason_of
from multidb.logs import log
from multidb.planning.plan import Plan
from multidb.release import coordinator
from multidb.release.coordinator import Coordinator, NontransactionalError, Outcome, State
from multidb.release.guarantee import unprepared
from multidb.release.operation import FailureKind, ParticipantError
from multidb.signals import Interrupted, Interruption

_LONGEST_PAUSE = 30.0  # seconds between two attempts


@dataclass(frozen=True)
class Stages:
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
