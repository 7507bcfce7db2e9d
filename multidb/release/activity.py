"""What each database of a run does at this moment, for a display while the run goes on.

Nothing is decided by it. The thread that runs the operations writes, any other may read.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from multidb.release.operation import FailureKind, Operation, ParticipantError


class Doing(StrEnum):
    """What a database does, or what it waits for."""

    WAITING = "waiting"  # for its turn
    BEGINNING = "beginning"  # it commits its journal row
    MIGRATING = "migrating"
    MIGRATED = "migrated"  # in a transaction that stays open until all are
    PREPARING = "preparing"
    PREPARED = "prepared"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    RETRYING = "waiting to retry"  # after a lock timeout or a deadlock
    FAILED = "failed"

    @property
    def is_busy(self) -> bool:
        """Whether the database's session works."""
        return self in (Doing.BEGINNING, Doing.MIGRATING, Doing.PREPARING, Doing.COMMITTING)


_BEGIN = {
    Operation.BEGIN: Doing.BEGINNING,
    Operation.MIGRATE: Doing.MIGRATING,
    Operation.PREPARE: Doing.PREPARING,
    Operation.COMMIT: Doing.COMMITTING,
    Operation.COMMIT_PREPARED: Doing.COMMITTING,
}
_END = {
    Operation.BEGIN: Doing.WAITING,
    Operation.MIGRATE: Doing.MIGRATED,
    Operation.PREPARE: Doing.PREPARED,
    Operation.COMMIT: Doing.COMMITTED,
    Operation.COMMIT_PREPARED: Doing.COMMITTED,
}
_ROLLBACKS = (Operation.ROLLBACK, Operation.ROLLBACK_PREPARED)


@dataclass
class Activity:
    """One database.

    Attributes:
        revision: the one that runs, or that ran last.
        operation: the one that began last.
        began_at: when that was, by time.monotonic().
        seconds: how long it took to migrate; None before and while it does.
    """

    doing: Doing = Doing.WAITING
    revision: str = ""
    operation: Operation = Operation.LOAD
    began_at: float = 0.0
    seconds: float | None = None


class Activities:
    """The databases of a run.

    Attributes:
        of: the activity of each database, by name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.of = {name: Activity() for name in names}

    def note_revision(self, name: str, revision: str) -> None:
        """Note the revision that a database begins to run."""
        self.of[name].revision = revision

    def begin(self, name: str, operation: Operation) -> None:
        """Note that a database begins an operation."""
        activity = self.of[name]
        activity.operation, activity.began_at = operation, time.monotonic()
        if operation is Operation.BEGIN:  # the first of an attempt
            for each in self.of.values():
                if each.doing is not Doing.COMMITTED:
                    each.doing = Doing.WAITING
        activity.doing = _BEGIN.get(operation, activity.doing)
        if operation is Operation.MIGRATE:
            activity.seconds = None

    def end(self, name: str, failure: ParticipantError | None) -> None:
        """Note that a database has ended its operation. A failure after the first is that of a cancelled statement."""
        activity = self.of[name]
        operation = activity.operation
        if operation is Operation.MIGRATE:
            activity.seconds = time.monotonic() - activity.began_at
        if operation in _ROLLBACKS:
            if activity.doing not in (Doing.FAILED, Doing.RETRYING):
                activity.doing = Doing.ROLLED_BACK
        elif failure is None:
            activity.doing = _END.get(operation, activity.doing)
        elif activity.doing is not Doing.COMMITTING:  # its outcome is read from the journal
            activity.doing = self._after(failure, operation)

    def _after(self, failure: ParticipantError, operation: Operation) -> Doing:
        if failure.kind is FailureKind.LOCK:
            return Doing.RETRYING
        has_failed = any(each.doing in (Doing.FAILED, Doing.RETRYING) for each in self.of.values())
        return Doing.ROLLED_BACK if has_failed and operation is not Operation.LOAD else Doing.FAILED
