"""One release over several databases: all of them move, or none, whatever happens.

The coordinator's side of a two-phase commit, with one of the participants as the decider: every database is migrated
in an open transaction, all but the decider are prepared, the decider's own commit is the decision, and the prepared
ones follow it. What is interrupted is settled later from the decider's journal. Where two phases are not to be had, the
transactions are committed one after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from multidb.config.configuration import Database
from multidb.database.journal import Attempt
from multidb.errors import MigrationError, explain
from multidb.release import recovery
from multidb.release.executor import Crew
from multidb.release.participant import Applied
from multidb.signals import Stop

_SETTLE = 15.0  # seconds to wait for the lock of a decider whose session has just broken

STAYS = "it ran outside a transaction, and what its statements did before that stays: run it again"

State = Literal["committed", "rolled back", "in doubt"]


@dataclass
class Outcome:
    """What a release came to in each of its databases."""

    applied: dict[str, Applied] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every database was committed."""
        return set(self.states.values()) == {"committed"}


class Coordinator:
    """Brings releases to databases.

    Args:
        crew: does the work.
        databases: those that take part.
        stop: whether somebody asked to stop.
    """

    def __init__(self, crew: Crew, databases: Mapping[str, Database], stop: Stop) -> None:
        self._crew, self._databases, self._stop = crew, databases, stop

    def bring(self, attempt: Attempt) -> Outcome:
        """Bring one release to its databases.

        Args:
            attempt: which databases, and how.

        Returns:
            What became of each, which is not the same for all only if a commit failed.

        Raises:
            MigrationError: it failed in one, or was interrupted. All were rolled back then.
            Interrupted: a signal came before anything was decided; all were rolled back.
            InDoubtError: all were to be rolled back, and in one that could not be done.
        """
        others = attempt.databases[:-1] if attempt.two_phase else ()
        prepared: Sequence[str] = ()
        try:
            with self._stop.interruptible():
                on_sqlite = [name for name in attempt.databases if self._databases[name].is_sqlite]
                self._crew.do("wait", on_sqlite, attempt)
                replies = self._crew.do("migrate", attempt.databases, attempt)
                prepared = others  # from here on each of them may be
                self._crew.do("prepare", others, attempt)
        except BaseException as error:
            self._roll_back(attempt, prepared, error)
            if attempt.outside and getattr(error, "kind", None) not in ("lock", "moved"):
                raise self._outside_failed(attempt, error) from error
            raise
        # From here on a signal changes nothing: what has been begun is brought to its end.
        outcome = Outcome({name: reply.value for name, reply in replies.items()})
        if attempt.two_phase:
            self._decide(attempt, others, outcome)
        else:
            self._commit_in_turn(attempt, outcome)
        return outcome

    def _outside_failed(self, attempt: Attempt, error: BaseException) -> "OutsideError":
        """What to say of a revision outside a transaction that did not come to its end."""
        name = attempt.decider
        self._crew.do_all("close", [name])
        outcome = Outcome(reasons={name: explain(error)})
        committed = self._verdict(name, attempt, outcome, missing=False)
        what = {
            True: "it ran outside a transaction, and yet it is done, and recorded",
            False: STAYS,
            None: outcome.reasons[name],
        }[committed]
        return OutsideError(f"{explain(error)}; {what}")

    def _decide(self, attempt: Attempt, others: Sequence[str], outcome: Outcome) -> None:
        failure = self._crew.do_all("commit", [attempt.decider], attempt)[attempt.decider].failure
        committed: bool | None = True
        if failure is not None:
            outcome.reasons[attempt.decider] = str(failure)
            self._crew.do_all("close", [attempt.decider])
            committed = self._verdict(attempt.decider, attempt, outcome)
        if committed is None:
            outcome.states = dict.fromkeys(attempt.databases, "in doubt")
            return
        outcome.states[attempt.decider] = "committed" if committed else "rolled back"
        self._finish(attempt, others, outcome, commit=committed)

    def _commit_in_turn(self, attempt: Attempt, outcome: Outcome) -> None:
        # SQLite writes when it commits, and a full disk shows only then: while all others can still be rolled back.
        order = sorted(attempt.databases, key=lambda name: not self._databases[name].is_sqlite)
        for position, name in enumerate(order):
            failure = self._crew.do_all("commit", [name], attempt)[name].failure
            if failure is None:
                outcome.states[name] = "committed"
                continue
            outcome.reasons[name] = str(failure)
            self._crew.do_all("close", [name])
            committed = self._verdict(name, attempt, outcome, missing=False)
            outcome.states[name] = "in doubt" if committed is None else "committed" if committed else "rolled back"
            if outcome.states[name] == "rolled back" and "committed" not in outcome.states.values():
                left = order[position + 1 :]
                self._crew.do_all("rollback", left, attempt, False)
                outcome.states |= dict.fromkeys(left, "rolled back")
                return

    def _roll_back(self, attempt: Attempt, prepared: Sequence[str], cause: BaseException) -> None:
        """Roll all back; whatever was prepared in a session that broke, over another one."""
        open_still = [name for name in attempt.databases if name not in prepared]
        self._crew.do_all("rollback", open_still, attempt, False)
        outcome = Outcome()
        self._finish(attempt, prepared, outcome, commit=False)
        left = [name for name, state in outcome.states.items() if state == "in doubt"]
        if left:
            raise InDoubtError(explain(cause), outcome) from cause

    def _finish(self, attempt: Attempt, others: Sequence[str], outcome: Outcome, *, commit: bool) -> None:
        """Finish what is prepared as it was decided."""
        if commit:
            replies = self._crew.do_all("commit_prepared", others, attempt)
        else:
            replies = self._crew.do_all("rollback", others, attempt, True)
        for name, reply in replies.items():
            outcome.states[name] = "committed" if commit else "rolled back"
            if reply.failure is not None:
                self._crew.do_all("close", [name])
                try:
                    recovery.finish(self._databases[name], attempt.gid(name), commit=commit, broken=_SETTLE)
                except Exception as error:  # whatever it was, the transaction waits for the next run
                    outcome.states[name] = "in doubt"
                    outcome.reasons[name] = explain(error)

    def _verdict(self, name: str, attempt: Attempt, outcome: Outcome, missing: bool | None = None) -> bool | None:
        """What a commit of unknown outcome came to; `missing`, where there is no row of it; None if nobody can say."""
        try:
            found = recovery.decided(self._databases[name], attempt.id, _SETTLE)
        except Exception as error:  # it can't be asked: unknown, for whatever reason
            outcome.reasons[name] = f"{outcome.reasons[name]}; and it can't be asked: {explain(error)}"
            return None
        return missing if found is None else found


class OutsideError(MigrationError):
    """A revision outside a transaction did not come to its end; what it did before stays."""

    exit_code = 3


class InDoubtError(MigrationError):
    """A release was given up, and not all of it could be rolled back.

    Args:
        reason: why it was given up.
        outcome: what became of the databases.
    """

    exit_code = 3

    def __init__(self, reason: str, outcome: Outcome) -> None:
        super().__init__(reason)
        self.outcome = outcome
