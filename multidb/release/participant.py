"""One database in a run: migrated in an open transaction, then prepared or committed, or rolled back."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Protocol

import psycopg2
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb.advice import known
from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.config.settings import Settings
from multidb.database import journal
from multidb.database.attempt import Attempt, Run
from multidb.database.blockers import LockMonitor
from multidb.database.connections import Driver
from multidb.database.journal import JournalRow
from multidb.database.listening import listening
from multidb.database.locks import LockedError
from multidb.database.probe import ProbeResult
from multidb.database.quoting import quoted, version_table
from multidb.errors import MigrationError, causes_of, code_of, explain, in_database, reason_of, revision_line
from multidb.logs import for_database
from multidb.output import revisions_text
from multidb.planning import nontransactional
from multidb.planning.plan import MovedError, Plan, Stage, Step, Work, around_revision, files_of, runs_file
from multidb.planning.revision_files import load, place_of
from multidb.release import recovery
from multidb.release.completed import CompletedStatements, stays_text
from multidb.release.concurrently import ConcurrentStatements, invalid_indexes
from multidb.release.operation import Applied, FailureKind, Operation, ParticipantError
from multidb.release.preexisting import is_preexisting
from multidb.release.session import EndedError, Session
from multidb.signals import Interrupted


class Migrate(Protocol):
    """Runs the migrations of one database: a function of env.py's."""

    def __call__(self, database: Database, connection: Connection, **options: Any) -> None:
        """Configure Alembic with the options of `Environment.configure_migration`, and run."""


class Participant:
    """A database that has work.

    The driver is a PostgreSQL session that holds the database's lock, and belongs to the participant from here on; None
    for SQLite.
    """

    def __init__(
        self, plan: Plan, result: ProbeResult, driver: Driver, migrate: Migrate, run: Run, settings: Settings
    ) -> None:
        self.plan, self.database, self.name = plan, plan.database, plan.database.name
        self._migrate, self._run = migrate, run
        self._limits, self._lock_wait = settings.limits(self.database.options), settings.lock_wait
        self.session = Session(self.database, driver, self._limits, settings.lock_wait, result.dialect_cache_key)
        self._before = self._after = plan.before
        self._journal_exists = bool(result.journal_columns)
        self._missing_columns = journal.missing_columns(result.journal_columns)
        self._lock_hold = settings.lock_hold
        self._blockers = self._stands = ""
        self._begun_before = False  # whether an earlier attempt began the revision outside a transaction
        self._invalid_before: list[str] = []  # the indexes that were invalid before the first attempt
        self.on_locked: Callable[[str, Mapping[str, float]], None] = lambda *_: None
        """Is called, perhaps by another thread, with tables that are locked and with the time since when at most."""
        self.on_revision: Callable[[str, str], None] = lambda *_: None
        """Is called with the name of the database and each revision that begins."""

    def perform(self, operation: Operation, attempt: Attempt) -> Applied | None:
        """Perform an operation, or raise ParticipantError. Returns what MIGRATE applied."""
        with self._failing(operation):
            match operation:
                case Operation.LOAD | Operation.WAIT | Operation.BEGIN:
                    self._begin(operation, attempt)
                case Operation.MIGRATE:
                    return self._migrated(attempt)
                case Operation.PREPARE:
                    self.session.end(f"PREPARE TRANSACTION '{attempt.gid(self.name)}'", "PREPARE TRANSACTION")
                case Operation.COMMIT:
                    self._commit(attempt)
                case Operation.COMMIT_PREPARED:
                    recovery.finish_in(self.session.driver, self.database, attempt.gid(self.name), commit=True)
                    self._note_commit()
                case Operation.ROLLBACK:
                    self._roll_back()
                case Operation.ROLLBACK_PREPARED:
                    self._roll_back()
                    recovery.finish_in(self.session.driver, self.database, attempt.gid(self.name), commit=False)
                case Operation.CLOSE:
                    self.close()
        return None

    def _commit(self, attempt: Attempt) -> None:
        if not self._stage(attempt).nontransactional:  # that has committed itself
            self.session.commit()
        self._note_commit()

    def close(self) -> None:
        self.session.close()

    def _begin(self, operation: Operation, attempt: Attempt) -> None:
        if operation is Operation.LOAD:
            load(step.revision for step in self.plan.steps if runs_file(step))
        elif operation is Operation.WAIT:
            self.session.wait_for_writers()
        else:
            self._write_begun(attempt)

    def _migrated(self, attempt: Attempt) -> Applied:
        stage, started = self._stage(attempt), time.monotonic()
        on_locked = (lambda *_: None) if stage.nontransactional else self._note_locked
        limits = self._limits.lock_timeout, self._lock_hold
        monitor = LockMonitor(self.database, self.session.backend, limits, on_locked)
        try:
            with monitor:
                self._add_journal_columns()
                if stage.nontransactional:
                    self._migrate_nontransactional(attempt)
                else:
                    self._migrate_in_transaction(attempt)
            on_locked(self.session.locked_tables, monitor.looked_at)
        finally:
            self._blockers = monitor.seen
        return Applied(self._after, len(stage.steps), time.monotonic() - started)

    def _note_locked(self, tables: Sequence[str], since: float) -> None:
        if tables:
            self.on_locked(self.name, dict.fromkeys(tables, max(since, self.session.began_at)))

    def _migrate_in_transaction(self, attempt: Attempt) -> None:
        """Migrate in a transaction that stays open."""
        started = time.monotonic()
        self.session.connection.begin()
        with self.session.in_revision():
            self._run_migrations(attempt)
        self.session.verify()
        self._record(attempt, started)

    def _migrate_nontransactional(self, attempt: Attempt) -> None:
        """Run a revision whose statements commit by themselves, then record it together with its journal row."""
        session, started, completed = self.session, time.monotonic(), CompletedStatements()

        try:
            with (
                self._concurrent_statements() as statements,
                listening(session.connection, {"after_cursor_execute": completed.after_execute}),
                session.in_revision(autocommit=True),
            ):
                self._run_migrations(attempt, statements, lambda: self._record(attempt, started), completed.stop)
        except BaseException:
            self._stands = stays_text(completed.statements, self._left_invalid())
            raise
        if session.in_transaction:
            session.commit()

    def _left_invalid(self) -> list[str]:
        """The indexes that the revision left invalid, as far as its session can be asked."""
        if self.database.is_sqlite:
            return []
        with suppress(psycopg2.Error):
            return invalid_indexes(self.session.driver, self._invalid_before)
        return []

    @contextmanager
    def _concurrent_statements(self) -> Iterator[ConcurrentStatements | None]:
        """Prepare the session for each statement of a revision outside a transaction; SQLite needs none of that."""
        if self.database.is_sqlite:
            yield None
            return
        statements = ConcurrentStatements(
            self.session.driver,
            begun_before=self._begun_before,
            invalid_before=self._invalid_before,
            lock_timeout=self._limits.lock_timeout,
            lock_wait=self._lock_wait,
        )
        with listening(self.session.connection, {"before_cursor_execute": statements.before_execute}):
            yield statements

    def _run_migrations(
        self,
        attempt: Attempt,
        statements: ConcurrentStatements | None = None,
        applied: Callable[[], None] = lambda: None,
        recording: Callable[[], None] = lambda: None,
    ) -> None:
        def clean_up() -> None:
            if statements is not None:
                statements.clean_up()

        def begin_recording() -> None:
            recording()
            self.session.begin_recording()
            if statements is not None:
                statements.check()

        def note(heads: set[str], **_: Any) -> None:
            self._after = tuple(sorted(heads))
            applied()

        number = attempt.stages[self.name]
        purges = self.plan.purges(number)
        work = self.plan.work_of(number, self._before)
        self._after = () if purges else self._before
        self._create_version_schema()
        with batch_mode_in(self.database):
            self._migrate(
                self.database,
                self.session.connection,
                work=nontransactional.around(self._restoring(work), clean_up, begin_recording),
                on_version_apply=note,
                transactional_ddl=not attempt.nontransactional,
                purge=purges,
            )

    def _restoring(self, work: Work) -> Work:
        """Alembic's work, after each of whose revisions the session is restored: for its record, and for the next."""

        def steps(heads: tuple[str, ...], context: MigrationContext) -> list[Step]:
            return [
                around_revision(
                    each,
                    partial(self.on_revision, self.name, each.revision.revision),
                    partial(self.session.restore, place_of(each.revision.path)),
                )
                if runs_file(each)
                else each
                for each in work(heads, context)
            ]

        return steps

    def _check_recorded(self) -> None:
        """Raise MigrationError if the version table does not hold what the run has recorded in it."""
        table = version_table(self.database.version_table)
        cursor = self.session.driver.cursor()
        cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - quoted
        found = tuple(sorted(row[0] for row in cursor.fetchall()))
        if found != self._after:
            raise MigrationError(
                Code.RECORD_CHANGED,
                f"{self.database.version_table.name} holds {revisions_text(found)} after the last revision, and not "
                f"{revisions_text(self._after)}: let the revisions, and triggers on the table, leave it to Alembic",
            )

    def _record(self, attempt: Attempt, started: float) -> None:
        self._check_recorded()
        self._write_committed(attempt, started)

    def _add_journal_columns(self) -> None:
        """Add the columns that an older checkout's journal lacks."""
        if self._missing_columns:
            with self._rolled_back_on_failure():
                self.session.connection.begin()
                journal.add_columns(self.session.connection, self.database, self._missing_columns)
                self.session.commit()
            self._missing_columns = []

    def _create_version_schema(self) -> None:
        """Create the schema of the version table, if that is to be in one that is missing; Alembic would not.

        By the driver: SQLAlchemy would begin a transaction, which an `autocommit_block()` takes for a caller's.
        """
        table = self.database.version_table
        if table.schema is None or table.is_found:
            return
        with self.session.driver.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.to_regnamespace(%s) IS NULL", [quoted(table.schema)])
            if cursor.fetchone()[0]:
                cursor.execute(f"CREATE SCHEMA {quoted(table.schema)}")

    def _write_begun(self, attempt: Attempt) -> None:
        """Commit the row `begun`. Only statements outside a transaction may stay without its becoming `committed`."""
        self._add_journal_columns()
        row = journal.row_of(self._run, attempt, self.name, self._before)
        if attempt.nontransactional:
            self._find_earlier_attempt(attempt)
            details = {**self._run.details, "invalid_indexes": self._invalid_before}
            row |= self._applying(attempt) | {"details": json.dumps(details)}
        with self._rolled_back_on_failure():
            self.session.connection.begin()
            journal.insert(self.session.connection, self.database, row, exists=self._journal_exists)
            self.session.commit()
        self._journal_exists = True

    def _write_committed(self, attempt: Attempt, started: float) -> None:
        connection = self.session.connection
        committed = journal.committed(self._after, time.monotonic() - started) | self._applying(attempt)
        if attempt.decides(self.name):  # the row was written as `begun`
            journal.update(connection, self.database, attempt.id, committed)
        else:
            row = journal.row_of(self._run, attempt, self.name, self._before)
            journal.insert(connection, self.database, row | committed, exists=self._journal_exists)

    @contextmanager
    def _rolled_back_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.session.rollback()
            raise

    def _stage(self, attempt: Attempt) -> Stage:
        return self.plan.stages[attempt.stages[self.name]]

    def _applying(self, attempt: Attempt) -> dict[str, Any]:
        steps = files_of(self._stage(attempt).steps)
        return journal.applying([journal.applied(revision, path, upgrade=upgrade) for revision, path, upgrade in steps])

    def _find_earlier_attempt(self, attempt: Attempt) -> None:
        """Find whether an earlier attempt began this very stage and did not finish it, and what was there before it."""
        wanted = [(revision, upgrade) for revision, _, upgrade in files_of(self._stage(attempt).steps)]
        with self._rolled_back_on_failure():
            self.session.connection.begin()
            rows = journal.rows(self.session.connection, self.database)
            self._invalid_before = [] if self.database.is_sqlite else invalid_indexes(self.session.driver)
            self.session.end("ROLLBACK")
        newest = next((row for row in reversed(rows) if _moves(row) == wanted), None)
        self._begun_before = newest is not None and not newest.is_committed
        if newest is not None and self._begun_before:  # an older checkout did not note the indexes
            self._invalid_before = newest.details.get("invalid_indexes", self._invalid_before)

    def _note_commit(self) -> None:
        self._before, self._journal_exists = self._after, True

    def _roll_back(self) -> None:
        self._after = self._before
        self.session.rollback()

    @contextmanager
    def _failing(self, operation: Operation) -> Iterator[None]:
        """Turn every failure inside into a ParticipantError."""
        try:
            with for_database(self.name), in_database(self.name):
                yield
        except MigrationError as error:
            code, text, kind = code_of(error), reason_of(error), FailureKind.OTHER
            if operation is Operation.MIGRATE and code is Code.ALEMBIC:
                code = Code.RECORD_CHANGED  # Alembic updates one row of the version table, and has not found it
            causes = list(causes_of(error))
            if any(isinstance(cause, MovedError) for cause in causes):
                kind = FailureKind.MOVED
            elif any(isinstance(cause, EndedError) for cause in causes):
                kind = FailureKind.ENDED
            elif any(isinstance(each, LockedError) or getattr(each, "pgcode", None) in known.LOCKED for each in causes):
                may_retry = operation in (Operation.BEGIN, Operation.MIGRATE)
                kind = FailureKind.LOCK if may_retry else FailureKind.BUSY
                text += f": blocked by {self._blockers}" if operation is Operation.MIGRATE and self._blockers else ""
            is_first = operation is Operation.MIGRATE and not self._before
            if is_first and is_preexisting(self.database, causes):
                adopt = f"python -m multidb adopt {self.name}"
                code = Code.PREEXISTING
                text += f"; it was there before the run: `{adopt}` records a schema that was made otherwise"
            raise ParticipantError(code, text, self.name, kind, stands=self._stands) from error
        except Interrupted:
            raise
        except BaseException as error:  # a revision may raise anything, a CancelledError for example
            place = revision_line(error)
            text = f"{place}: {type(error).__name__} was raised" if place else explain(error)
            code = Code.REVISION_RAISED if place else code_of(error)  # a signal is an Interrupted
            raise ParticipantError(code, text, self.name, stands=self._stands) from error


def batch_mode_in(database: Database) -> AbstractContextManager[None]:
    """Batch mode in a database on SQLite, which alters what its operations name and nothing else."""
    if not database.is_sqlite:
        return nullcontext()
    from multidb.release.batch import batch_mode  # imports the schema room, which most runs don't need

    return batch_mode()


def _moves(row: JournalRow) -> list[tuple[str, bool]]:
    """The revisions of a journal's row, each with whether it was an upgrade."""
    return [(each["revision"], each["upgrade"]) for each in row.revisions]
