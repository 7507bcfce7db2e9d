"""The coordinator: one stage over several databases, of which all are committed or none.

This is the coordinator's side of a two-phase commit with one of the participants as the decider. Every database is
migrated in an open transaction. All but the decider are prepared. The decider's own commit is the decision, and the
prepared transactions follow it. An interruption is resolved later, from the decider's journal. Where two phases are
not possible, the transactions are committed one after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database.attempt import Attempt
from multidb.database.threads import map_in_threads
from multidb.errors import PartialError, code_of, explain, reason_of
from multidb.release import evidence, recovery
from multidb.release.completed import stays_text
from multidb.release.evidence import Evidence, Verdict
from multidb.release.executor import Executor
from multidb.release.operation import Applied, FailureKind, Operation, ParticipantError
from multidb.signals import Interruption

# After these failures, a retry by this run or a later run is all that a revision outside a transaction needs.
_RETRIED = (FailureKind.LOCK, FailureKind.BUSY, FailureKind.MOVED)
_LOCK_WAIT, _LOCK_WAIT_AFTER_SIGNAL = 15.0, 5.0

STATEMENTS_STAY = stays_text(None)


class State(StrEnum):
    """What became of a database."""

    UNTOUCHED = "untouched"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    IN_DOUBT = "in doubt"


@dataclass
class Outcome:
    """What was applied in the databases of an attempt, what became of each, and why some are not committed."""

    applied: dict[str, Applied] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def is_committed(self) -> bool:
        return set(self.states.values()) == {State.COMMITTED}


class NontransactionalError(PartialError):
    """A revision outside a transaction failed; its completed statements are not rolled back."""


class InDoubtError(PartialError):
    """An attempt failed, and not every database could be rolled back."""

    def __init__(self, reason: str, outcome: Outcome) -> None:
        super().__init__(Code.IN_DOUBT, reason)
        self.outcome = outcome


class Coordinator:
    def __init__(self, executor: Executor, databases: Mapping[str, Database], interruption: Interruption) -> None:
        self._executor, self._databases, self._interruption = executor, databases, interruption

    def load(self, attempt: Attempt) -> list[ParticipantError]:
        """Import the revisions of all databases, and return the failures. Interrupted if a signal came."""
        with self._interruption.interruptible():
            return self._executor.load(attempt.databases, attempt)

    def commit(self, attempt: Attempt) -> Outcome:
        """Migrate and commit the databases of an attempt.

        Returns:
            What became of each; not the same for all only if a commit failed.

        Raises:
            ParticipantError: a database failed; all were rolled back.
            Interrupted: a signal came before the decision; all were rolled back.
            NontransactionalError: a revision outside a transaction failed.
            InDoubtError: a database failed, and another could not be rolled back.
        """
        others = [name for name in attempt.databases if attempt.prepares(name)]
        prepared: Sequence[str] = ()
        try:
            with self._interruption.interruptible():
                on_sqlite = [name for name in attempt.databases if self._databases[name].is_sqlite]
                self._executor.run(Operation.WAIT, on_sqlite, attempt)
                self._executor.run(Operation.BEGIN, [attempt.decider], attempt)
                replies = self._executor.run(Operation.MIGRATE, attempt.databases, attempt)
                prepared = others  # from here on each of them may be
                self._executor.run(Operation.PREPARE, others, attempt)
        except BaseException as error:
            self._roll_back(attempt, prepared, error)
            if attempt.nontransactional and not (isinstance(error, ParticipantError) and error.kind in _RETRIED):
                raise self._nontransactional_failure(attempt, error) from error
            raise
        # From here on a signal changes nothing: what has been begun is finished.
        outcome = Outcome({name: reply.applied for name, reply in replies.items() if reply.applied})
        if attempt.two_phase:
            self._decide(attempt, others, outcome)
        else:
            self._commit_in_turn(attempt, outcome)
        return outcome

    def _nontransactional_failure(self, attempt: Attempt, error: BaseException) -> NontransactionalError:
        """Describe how a revision outside a transaction ended: it may have been recorded all the same."""
        [name], outcome = attempt.databases, Outcome()
        state = self._state_after(error, name, attempt, outcome)
        text = {
            State.COMMITTED: "; the revision ran outside a transaction, completed, and is recorded",
            State.ROLLED_BACK: f"; {getattr(error, 'stands', '') or STATEMENTS_STAY}",
            State.IN_DOUBT: "",
        }[state]
        return NontransactionalError(code_of(error), f"{outcome.reasons[name]}{text}", name)

    def _decide(self, attempt: Attempt, others: Sequence[str], outcome: Outcome) -> None:
        state = self._commit_decider(attempt, outcome)
        outcome.states = dict.fromkeys(attempt.databases, state)
        if state is not State.IN_DOUBT:
            self._finish(attempt, others, outcome, state)
        if state is State.COMMITTED:
            for name in attempt.unprepared:
                outcome.states[name] = self._commit_one(name, attempt, outcome)
        else:
            self._executor.run_all(Operation.ROLLBACK, attempt.unprepared, attempt)
            outcome.states |= dict.fromkeys(attempt.unprepared, State.ROLLED_BACK)

    def _commit_in_turn(self, attempt: Attempt, outcome: Outcome) -> None:
        # SQLite writes when it commits, and a full disk shows only then: while all others can still be rolled back.
        order = sorted(attempt.databases, key=lambda name: not self._databases[name].is_sqlite)
        for position, name in enumerate(order):
            outcome.states[name] = self._commit_one(name, attempt, outcome)
            if outcome.states[name] is State.ROLLED_BACK and State.COMMITTED not in outcome.states.values():
                left = order[position + 1 :]
                self._executor.run_all(Operation.ROLLBACK, left, attempt)
                outcome.states |= dict.fromkeys(left, State.ROLLED_BACK)
                return

    def _commit_decider(self, attempt: Attempt, outcome: Outcome) -> State:
        """Commit the decider; after a failure, its journal and those of the others say what it came to."""
        name = attempt.decider
        failure = self._executor.run_all(Operation.COMMIT, [name], attempt)[name].failure
        if failure is None:
            return State.COMMITTED
        outcome.reasons[name] = reason_of(failure)
        self._executor.run_all(Operation.CLOSE, [name], attempt)
        found = evidence.of_attempt(attempt.id, name, self._databases.__getitem__, self._lock_wait)
        if found.verdict in (Verdict.COMMITTED, Verdict.ROLLED_BACK):
            return State(found.verdict)
        outcome.reasons[name] += f"; and {_unknown(found)}"
        return State.IN_DOUBT

    def _commit_one(self, name: str, attempt: Attempt, outcome: Outcome) -> State:
        failure = self._executor.run_all(Operation.COMMIT, [name], attempt)[name].failure
        if failure is None:
            return State.COMMITTED
        return self._state_after(failure, name, attempt, outcome)

    def _roll_back(self, attempt: Attempt, prepared: Sequence[str], cause: BaseException) -> None:
        """Roll back all databases; a transaction that was prepared in a session that broke, over another session."""
        still_open = [name for name in attempt.databases if name not in prepared]
        self._executor.run_all(Operation.ROLLBACK, still_open, attempt)
        outcome = Outcome()
        self._finish(attempt, prepared, outcome, State.ROLLED_BACK)
        if set(outcome.states.values()) - {State.ROLLED_BACK}:
            raise InDoubtError(explain(cause), outcome) from cause

    def _finish(self, attempt: Attempt, others: Sequence[str], outcome: Outcome, state: State) -> None:
        """Finish the prepared transactions as it was decided."""
        commit = state is State.COMMITTED
        operation = Operation.COMMIT_PREPARED if commit else Operation.ROLLBACK_PREPARED
        replies = self._executor.run_all(operation, others, attempt)
        failed = [name for name, reply in replies.items() if reply.failure is not None]
        self._executor.run_all(Operation.CLOSE, failed, attempt)

        def finish(name: str) -> tuple[State, str]:
            try:
                recovery.finish(self._databases[name], attempt.gid(name), commit=commit, broken=self._lock_wait)
            except recovery.GoneError as error:
                return State.COMMITTED if error.committed else State.FAILED, explain(error)
            except Exception as error:  # whatever the cause, the next run resolves the transaction
                return State.IN_DOUBT, explain(error)
            return state, ""

        outcome.states |= dict.fromkeys(others, state)
        for name, (found, reason) in zip(failed, map_in_threads(finish, failed), strict=True):
            outcome.states[name] = found
            if reason:
                outcome.reasons[name] = reason

    @property
    def _lock_wait(self) -> float:
        """Seconds to wait for the lock of a database whose session has broken."""
        return _LOCK_WAIT_AFTER_SIGNAL if self._interruption.received else _LOCK_WAIT

    def _state_after(self, failure: BaseException, name: str, attempt: Attempt, outcome: Outcome) -> State:
        """End the session that failed, and read in the journal how it ended. The outcome gets the reason."""
        outcome.reasons[name] = reason_of(failure)
        self._executor.run_all(Operation.CLOSE, [name], attempt)
        try:
            committed = evidence.of_participant(self._databases[name], attempt.id, self._lock_wait)
        except Exception as error:  # the outcome is unknown, whatever the cause
            outcome.reasons[name] = f"{outcome.reasons[name]}; and the journal can't be read: {explain(error)}"
            return State.IN_DOUBT
        return State.COMMITTED if committed else State.ROLLED_BACK  # without a row, it was rolled back, too


def _unknown(found: Evidence) -> str:
    """Why it is not known what an attempt came to."""
    return f"{found.text}, has not ended" if found.verdict is Verdict.RUNNING else found.text
