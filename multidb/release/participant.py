"""One database in a run: migrated in an open transaction, then prepared or committed, or rolled back."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

import psycopg2
from sqlalchemy import Connection, event

from multidb.config.configuration import Database
from multidb.config.settings import Settings
from multidb.database import journal
from multidb.database.attempt import Attempt, Run
from multidb.database.blockers import BlockerMonitor
from multidb.database.connections import Driver
from multidb.database.journal import Change
from multidb.database.locks import LockedError
from multidb.database.probe import ProbeResult
from multidb.errors import ExitCode, MigrationError, explain, in_database, reason_of, revision_line
from multidb.logs import for_database
from multidb.planning import nontransactional
from multidb.planning.plan import MovedError, Plan, Stage, files_of
from multidb.release import recovery
from multidb.release.concurrently import ConcurrentStatements
from multidb.release.session import EndedError, Session
from multidb.signals import Interrupted

_LOCK_STATES = {"55P03", "40P01"}  # lock_not_available, deadlock_detected


class Migrate(Protocol):
    """Runs the migrations of one database: a function of env.py's."""

    def __call__(self, database: Database, connection: Connection, **options: Any) -> None:
        """Configure Alembic with the options of `Environment.configure_migration`, and run."""


class Operation(Enum):
    """What a participant can do."""

    WAIT = auto()
    MIGRATE = auto()
    PREPARE = auto()
    COMMIT = auto()
    COMMIT_PREPARED = auto()
    ROLLBACK = auto()
    ROLLBACK_PREPARED = auto()
    CLOSE = auto()

    @property
    def is_interruptible(self) -> bool:
        """Whether a signal may stop the operation half-way: its transaction is then rolled back."""
        return self in (Operation.WAIT, Operation.MIGRATE)

    @property
    def is_skipped_after_cancel(self) -> bool:
        """Whether a worker whose run was cancelled no longer begins the operation."""
        return self in (Operation.WAIT, Operation.MIGRATE, Operation.PREPARE)


class FailureKind(Enum):
    """What follows from a failure."""

    LOCK = auto()
    """A lock was not had: a retry may succeed."""
    MOVED = auto()
    """The database is no longer where it was when the run was planned: the run is planned again."""
    ENDED = auto()
    """A revision ended the transaction: a part may have been committed."""
    OTHER = auto()
    """Nothing but rolling back."""


class ParticipantError(MigrationError):
    """The failure of an operation in one database.

    Args:
        trace: the traceback, if the failure happened in another process; for `--raiseerr`.
    """

    def __init__(self, reason: str, database: str, kind: FailureKind = FailureKind.OTHER, trace: str = "") -> None:
        super().__init__(reason, database)
        self.name, self.kind, self.trace = database, kind, trace
        if kind is FailureKind.LOCK:
            self.exit_code = ExitCode.RETRY
        if trace:
            self.add_note(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.name, self.kind, self.trace)


@dataclass(frozen=True)
class Applied:
    """What a stage did in one database.

    Args:
        after: the revisions that the database is at.
        revisions: how many were applied.
        seconds: how long it took.
    """

    after: tuple[str, ...]
    revisions: int
    seconds: float


class Participant:
    """A database that has work.

    Args:
        driver: a PostgreSQL session that holds the database's lock, and belongs to the participant from here on; None
            for SQLite.
        run: the run, as the journal describes it.
    """

    def __init__(
        self, plan: Plan, result: ProbeResult, driver: Driver, migrate: Migrate, run: Run, settings: Settings
    ) -> None:
        self.plan, self.database, self.name = plan, plan.database, plan.database.name
        self._migrate, self._run = migrate, run
        self._limits, self._lock_wait = settings.limits(self.database.options), settings.lock_wait
        self.session = Session(self.database, driver, self._limits, settings.lock_wait, result.dialect_cache_key)
        self._before = self._after = plan.before
        self._has_journal = result.has_journal

    def perform(self, operation: Operation, attempt: Attempt) -> Any:
        """Perform an operation.

        Raises:
            ParticipantError: the operation failed.
        """
        methods: dict[Operation, Callable[[Attempt], Any]] = {
            Operation.WAIT: self.wait,
            Operation.MIGRATE: self.migrate,
            Operation.PREPARE: self.prepare,
            Operation.COMMIT: self.commit,
            Operation.COMMIT_PREPARED: self.commit_prepared,
            Operation.ROLLBACK: self.rollback,
            Operation.ROLLBACK_PREPARED: self.rollback_prepared,
            Operation.CLOSE: lambda _attempt: self.close(),
        }
        return methods[operation](attempt)

    def wait(self, _attempt: Attempt) -> None:
        """Wait until no other process writes to an SQLite file, before any other database is touched."""
        with self._failing():
            self.session.wait_for_writers()

    def migrate(self, attempt: Attempt) -> Applied:
        """Migrate in a transaction that stays open, or outside one where the stage says so.

        The decider commits its journal row `begun` first, so that the row is there before any other is prepared.
        """
        stage, started = self.plan.stages[attempt.stages[self.name]], time.monotonic()
        monitor = BlockerMonitor(self.database, self.session.backend, self._limits.lock_timeout)
        with self._failing(monitor), monitor:
            if stage.nontransactional:
                self._migrate_nontransactional(attempt, stage)
            else:
                if attempt.decides(self.name):
                    self._write_begun(attempt)
                self.session.connection.begin()
                with self.session.in_revision():
                    self._run_migrations(attempt, stage)
                self.session.verify()
                self._write_committed(attempt, time.monotonic() - started)
        return Applied(self._after, len(stage.steps), time.monotonic() - started)

    def prepare(self, attempt: Attempt) -> None:
        """The first phase of the commit: from here on the transaction survives the session, and the server."""
        with self._failing():
            self.session.end(f"PREPARE TRANSACTION '{attempt.gid(self.name)}'", "PREPARE TRANSACTION")

    def commit(self, attempt: Attempt) -> None:
        """Commit in one phase; in the decider, this is the decision."""
        with self._failing():
            if not self.plan.stages[attempt.stages[self.name]].nontransactional:  # that has committed itself
                self.session.commit()
            self._committed()

    def commit_prepared(self, attempt: Attempt) -> None:
        """The second phase of the commit."""
        with self._failing():
            recovery.finish_in(self.session.driver, attempt.gid(self.name), commit=True)
            self._committed()

    def rollback(self, _attempt: Attempt) -> None:
        """Roll back the open transaction."""
        with self._failing():
            self._after = self._before
            self.session.rollback()

    def rollback_prepared(self, attempt: Attempt) -> None:
        """Roll back a transaction that may have been prepared."""
        with self._failing():
            self._after = self._before
            self.session.rollback()
            recovery.finish_in(self.session.driver, attempt.gid(self.name), commit=False)

    def close(self) -> None:
        """End the session, and with it the lock; an open transaction is rolled back."""
        self.session.close()

    def _migrate_nontransactional(self, attempt: Attempt, stage: Stage) -> None:
        """Run a revision whose statements commit by themselves, then record it together with its journal row."""
        session, started = self.session, time.monotonic()
        statements = ConcurrentStatements(
            session.driver,
            begun_before=self._begun_before(stage),
            lock_timeout=self._limits.lock_timeout,
            lock_wait=self._lock_wait,
        )
        self._write_begun(attempt)
        if not self.database.is_sqlite:
            event.listen(session.connection, "before_cursor_execute", statements.before_execute)
        try:
            with session.autocommit(), session.in_revision():
                self._run_migrations(attempt, stage, lambda: self._write_committed(attempt, time.monotonic() - started))
            if session.in_transaction:
                session.commit()
        finally:
            if not self.database.is_sqlite:
                event.remove(session.connection, "before_cursor_execute", statements.before_execute)

    def _run_migrations(self, attempt: Attempt, stage: Stage, applied: Callable[[], None] = lambda: None) -> None:
        def note(heads: set[str], **_: Any) -> None:
            self._after = tuple(sorted(heads))
            applied()

        number = attempt.stages[self.name]
        purges = self.plan.purges(number)
        work = self.plan.work_of(number, self._before)
        self._after = () if purges else self._before
        self._migrate(
            self.database,
            self.session.connection,
            work=nontransactional.around(work, lambda: None, self.session.begin_recording),
            on_version_apply=note,
            transactional_ddl=not stage.nontransactional,
            purge=purges,
        )

    def _write_begun(self, attempt: Attempt) -> None:
        connection = self.session.connection
        with self._rolled_back_on_failure():
            connection.begin()
            change = Change(self._before, self._revisions(attempt))
            journal.begin(connection, self._run, attempt, change, exists=self._has_journal)
            self.session.commit()
        self._has_journal = True

    def _write_committed(self, attempt: Attempt, seconds: float) -> None:
        has_begun = attempt.nontransactional or attempt.decides(self.name)
        change = Change(self._before, self._revisions(attempt), self._after, seconds)
        connection = self.session.connection
        journal.finish(connection, self._run, attempt, change, exists=self._has_journal, has_begun=has_begun)

    @contextmanager
    def _rolled_back_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.session.rollback()
            raise

    def _revisions(self, attempt: Attempt) -> list[Mapping[str, Any]]:
        steps = files_of(self.plan.stages[attempt.stages[self.name]].steps)
        return [journal.applied(revision, path, upgrade=upgrade) for revision, path, upgrade in steps]

    def _begun_before(self, stage: Stage) -> bool:
        """Whether an earlier run began this very stage and did not finish it."""
        wanted = [(revision, upgrade) for revision, _, upgrade in files_of(stage.steps)]
        with self._rolled_back_on_failure():
            self.session.connection.begin()
            rows = journal.rows(self.session.connection)
            self.session.end("ROLLBACK")
        for row in reversed(rows):
            if [(each["revision"], each["upgrade"]) for each in row.revisions] == wanted:
                return not row.is_committed
        return False

    def _committed(self) -> None:
        self._before, self._has_journal = self._after, True

    @contextmanager
    def _failing(self, monitor: BlockerMonitor | None = None) -> Iterator[None]:
        """Turn every failure inside into a ParticipantError.

        Args:
            monitor: of the blockers, where a lock that was not had may be had by a retry.
        """
        try:
            with for_database(self.name), in_database(self.name):
                yield
        except MigrationError as error:
            text, kind = reason_of(error), FailureKind.OTHER
            causes = list(_causes(error))
            if any(isinstance(cause, MovedError) for cause in causes):
                kind = FailureKind.MOVED
            elif any(isinstance(cause, EndedError) for cause in causes):
                kind = FailureKind.ENDED
            elif monitor and any(_is_lock(cause) for cause in causes):
                kind = FailureKind.LOCK
                text += f": blocked by {monitor.seen}" if monitor.seen else ""
            raise ParticipantError(text, self.name, kind) from error
        except Interrupted:
            raise
        except BaseException as error:  # a revision may raise anything, a CancelledError for example
            place = revision_line(error)
            text = f"{place}: {type(error).__name__} was raised" if place else explain(error)
            raise ParticipantError(text, self.name) from error


def _is_lock(cause: BaseException) -> bool:
    return isinstance(cause, LockedError) or getattr(cause, "pgcode", None) in _LOCK_STATES


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes; SQLAlchemy keeps the driver's error beside its own."""
    while error is not None:
        yield error
        original = getattr(error, "orig", None)
        if isinstance(original, psycopg2.Error):
            yield original
        error = error.__cause__
