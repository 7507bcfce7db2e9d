"""One database through a release: migrated in an open transaction, then prepared or committed, or rolled back.

What a migration is, it is told: a function that is given a connection.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg2
from sqlalchemy import Connection, event

from multidb.config.configuration import Database
from multidb.config.settings import Settings
from multidb.database import journal
from multidb.database.blockers import Watch
from multidb.database.journal import Attempt, Run
from multidb.database.locks import LockedError
from multidb.errors import MigrationError, explain, named, revision_line
from multidb.logs import naming
from multidb.planning import nontransactional
from multidb.planning.nontransactional import Outside
from multidb.planning.plan import MovedError, Part, Plan, files_of
from multidb.release import recovery
from multidb.release.session import EndedError, Session
from multidb.signals import Interrupted

_TRY_AGAIN = {"55P03", "40P01"}  # lock_not_available, deadlock_detected


class Migrate(Protocol):
    """Runs the migrations of one database: env.py's."""

    def __call__(self, database: Database, connection: Connection, **how: Any) -> None:
        """Configure Alembic with `how`, and run."""


@dataclass(frozen=True)
class Applied:
    """What a part of a plan did in one database."""

    after: tuple[str, ...]
    revisions: int
    seconds: float


class FailureError(MigrationError):
    """Why an operation failed in one database.

    Args:
        text: the whole message.
        kind: `lock` if trying again may help, `moved` if the plan is no longer true, `ended` if a part may have been
            committed all the same, else `error`.
        trace: where, for `--raiseerr`, if it happened in another process.
    """

    def __init__(self, text: str, kind: str = "error", trace: str = "") -> None:
        super().__init__(text)
        self.kind, self.trace = kind, trace
        if trace:
            self.add_note(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.kind, self.trace)


def _nothing() -> None:
    """What has to be done before a revision that runs outside a transaction."""


class Participant:
    """A database that has work.

    Args:
        plan: what to do in it. On PostgreSQL its look's connection is the session, and has the lock already.
        migrate: runs the migrations.
        run: what the journal says of the run.
        settings: of the run.
    """

    def __init__(self, plan: Plan, migrate: Migrate, run: Run, settings: Settings) -> None:
        self.plan, self.database, self.name = plan, plan.database, plan.database.name
        self._migrate, self._run = migrate, run
        self._limits, self._lock_wait = settings.limits(self.database.options), settings.lock_wait
        driver = None if self.database.is_sqlite else plan.look.connection
        self.session = Session(self.database, driver, self._limits, settings.lock_wait, plan.look.alike)
        self._before = self._after = plan.before
        self._has_journal = plan.look.has_journal

    def wait(self, _attempt: Attempt) -> None:
        """Wait until nobody else writes to an SQLite file, before any other database is touched."""
        with self._failing():
            self.session.wait_for_writers()

    def migrate(self, attempt: Attempt) -> Applied:
        """Migrate in a transaction that stays open, or outside one where the part says so.

        Where this database decides for others, it commits a row `begun` first, by which they can be settled: it is
        there before any of them is prepared.
        """
        part, started = self.plan.parts[attempt.parts[self.name]], time.monotonic()
        watch = Watch(self.database, self.session.backend, self._limits.lock_timeout)
        with self._failing(watch), watch:
            if part.outside:
                self._migrate_outside(attempt, part)
            else:
                if attempt.two_phase and attempt.decider == self.name:
                    self._write_begun(attempt)
                self.session.connection.begin()
                with self.session.in_a_revision():
                    self._run_migrations(attempt, part)
                self.session.verify()
                self._write_done(attempt, time.monotonic() - started)
        return Applied(self._after, len(part.steps), time.monotonic() - started)

    def prepare(self, attempt: Attempt) -> None:
        """The first half of the commit: from here on the transaction survives the session, and the server."""
        with self._failing():
            self.session.end(f"PREPARE TRANSACTION '{attempt.gid(self.name)}'", "PREPARE TRANSACTION")

    def commit(self, attempt: Attempt) -> None:
        """Commit plainly: where it decides for others, this is the decision."""
        with self._failing():
            if not self.plan.parts[attempt.parts[self.name]].outside:  # that has committed itself
                self.session.commit()
            self._committed()

    def commit_prepared(self, attempt: Attempt) -> None:
        """The second half of the commit."""
        with self._failing():
            recovery.finish_in(self.session.driver, attempt.gid(self.name), commit=True)
            self._committed()

    def rollback(self, attempt: Attempt, prepared: bool) -> None:
        """Undo what is not committed.

        Args:
            attempt: that is given up.
            prepared: whether the first half of the commit may have happened.
        """
        with self._failing():
            self._after = self._before
            self.session.rollback()
            if prepared:
                recovery.finish_in(self.session.driver, attempt.gid(self.name), commit=False)

    def close(self) -> None:
        """End the session, and with it the lock; what is open is rolled back."""
        self.session.close()

    def _migrate_outside(self, attempt: Attempt, part: Part) -> None:
        """Each statement commits itself; then the new revision and the journal's row together."""
        session, started = self.session, time.monotonic()
        begun_before = self._begun_before(part)
        self._write_begun(attempt)
        seen = Outside(
            session.driver,
            begun_before=begun_before,
            lock_timeout=self._limits.lock_timeout,
            wait=self._lock_wait,
        )
        session.outside = True
        if not self.database.is_sqlite:
            event.listen(session.connection, "before_cursor_execute", seen.before)
        try:
            with session.in_a_revision():
                self._run_migrations(attempt, part, lambda: self._write_done(attempt, time.monotonic() - started))
            if session.is_open:
                session.commit()
        finally:
            session.outside = False
            if not self.database.is_sqlite:
                event.remove(session.connection, "before_cursor_execute", seen.before)

    def _run_migrations(self, attempt: Attempt, part: Part, applied: Callable[[], None] = _nothing) -> None:
        def note(heads: set[str], **_: Any) -> None:
            self._after = tuple(sorted(heads))
            applied()

        number = attempt.parts[self.name]
        work = self.plan.work_of(number, self._before)
        self._after = () if self.plan.empties(number) else self._before
        self._migrate(
            self.database,
            self.session.connection,
            work=nontransactional.around(work, _nothing, self.session.begin_after_outside),
            on_version_apply=note,
            transactional_ddl=not part.outside,
        )

    def _write_begun(self, attempt: Attempt) -> None:
        connection = self.session.connection
        with self._rolled_back_on_failure():
            connection.begin()
            journal.begin(
                connection, self._run, attempt, self._before, self._revisions(attempt), there=self._has_journal
            )
            self.session.commit()
        self._has_journal = True

    @contextmanager
    def _rolled_back_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.session.rollback()
            raise

    def _write_done(self, attempt: Attempt, seconds: float) -> None:
        begun = self.plan.parts[attempt.parts[self.name]].outside or (
            attempt.two_phase and attempt.decider == self.name
        )
        journal.finish(
            self.session.connection,
            self._run,
            attempt,
            before=self._before,
            after=self._after,
            revisions=self._revisions(attempt),
            seconds=seconds,
            there=self._has_journal,
            begun=begun,
        )

    def _revisions(self, attempt: Attempt) -> list[Mapping[str, Any]]:
        steps = files_of(self.plan.parts[attempt.parts[self.name]].steps)
        return [journal.applied(revision, path, upgrade=upgrade) for revision, path, upgrade in steps]

    def _begun_before(self, part: Part) -> bool:
        """Whether an earlier run began this very part, and did not come to its end."""
        wanted = [(revision, upgrade) for revision, _, upgrade in files_of(part.steps)]
        with self._rolled_back_on_failure():
            self.session.connection.begin()
            rows = journal.entries(self.session.connection)
            self.session.end("ROLLBACK")
        for row in reversed(rows):
            if [(each["revision"], each["upgrade"]) for each in row.revisions] == wanted:
                return row.state == journal.BEGUN
        return False

    def _committed(self) -> None:
        self._before, self._has_journal = self._after, True

    @contextmanager
    def _failing(self, watch: Watch | None = None) -> Iterator[None]:
        """Turn whatever is raised into one message that begins with the database's name."""
        try:
            with naming(self.name), named(self.name):
                yield
        except MigrationError as error:
            text, kind = explain(error), "error"
            causes = list(_causes(error))
            if any(isinstance(cause, MovedError) for cause in causes):
                kind = "moved"
            elif any(isinstance(cause, EndedError) for cause in causes):
                kind = "ended"
            elif watch and any(_may_pass(cause) for cause in causes):
                kind = "lock"
                text += f": blocked by {watch.seen}" if watch.seen else ""
            raise FailureError(text, kind) from error
        except Interrupted:
            raise
        except BaseException as error:  # such as a CancelledError: whatever a revision raises is a failure of it
            place = revision_line(error)
            text = f"{place}: {type(error).__name__} was raised" if place else explain(error)
            raise FailureError(f"{self.name}: {text}") from error


def _may_pass(cause: BaseException) -> bool:
    """Whether trying again may help."""
    return isinstance(cause, LockedError) or getattr(cause, "pgcode", None) in _TRY_AGAIN


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came from; SQLAlchemy keeps the driver's beside it."""
    while error is not None:
        yield error
        original = getattr(error, "orig", None)
        if isinstance(original, psycopg2.Error):
            yield original
        error = error.__cause__
