"""What a coordinator has a participant do, and what the participant answers."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from multidb.advice.codes import Code
from multidb.errors import ExitCode, MigrationError


class Operation(Enum):
    """What a participant can do."""

    LOAD = auto()  # import the revisions that are to run, before any database is touched
    WAIT = auto()  # wait until no other process writes to an SQLite file, before any other database is touched
    BEGIN = auto()  # commit the journal row `begun` in the decider, before any other database is touched
    MIGRATE = auto()  # migrate in a transaction that stays open, or outside one where the stage says so
    PREPARE = auto()  # the first phase of the commit: from here on the transaction survives the session, and the server
    COMMIT = auto()  # commit in one phase; in the decider, this is the decision
    COMMIT_PREPARED = auto()  # the second phase of the commit
    ROLLBACK = auto()  # roll back the open transaction
    ROLLBACK_PREPARED = auto()  # roll back a transaction that may have been prepared
    CLOSE = auto()  # end the session, and with it the lock

    @property
    def is_interruptible(self) -> bool:
        """Whether a signal may stop the operation half-way: its transaction is then rolled back."""
        return self in (*_BEFORE_MIGRATING, Operation.MIGRATE)

    @property
    def is_skipped_after_cancel(self) -> bool:
        """Whether a worker whose run was cancelled no longer begins the operation."""
        return self in (*_BEFORE_MIGRATING, Operation.MIGRATE, Operation.PREPARE)


_BEFORE_MIGRATING = (Operation.LOAD, Operation.WAIT, Operation.BEGIN)


class FailureKind(Enum):
    """What follows from a failure."""

    LOCK = auto()  # a lock timeout or a deadlock: a retry may succeed
    BUSY = auto()
    """Another process held the lock for longer than the run waits: the run ends, and a later run may succeed."""
    MOVED = auto()  # the database is no longer where it was when the run was planned: the run is planned again
    ENDED = auto()  # a revision ended the transaction: a part may have been committed
    OTHER = auto()  # nothing but rolling back


class ParticipantError(MigrationError):
    """The failure of an operation in one database; for `--raiseerr` with the traceback, if from another process."""

    def __init__(
        self,
        code: Code,
        reason: str,
        database: str,
        kind: FailureKind = FailureKind.OTHER,
        trace: str = "",
        stands: str = "",
    ) -> None:
        super().__init__(code, reason, database)
        self.name, self.kind, self.trace = database, kind, trace
        self.stands = stands  # what a revision outside a transaction left, and the next step
        if kind in (FailureKind.LOCK, FailureKind.BUSY):
            self.exit_code = ExitCode.RETRY
        if trace:
            self.add_note(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.reason, self.name, self.kind, self.trace, self.stands)


@dataclass(frozen=True)
class Applied:
    """What a stage did in one database: the revisions it is at, how many were applied, and the seconds it took."""

    after: tuple[str, ...]
    revisions: int
    seconds: float
