"""Recovery: resolve the prepared transactions that an interrupted run left in doubt.

The name of a prepared transaction names its decider, and the decider's journal holds the decision: see `evidence`.
Missing evidence is never a rollback.
https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg2

from multidb.advice.codes import Code
from multidb.config.configuration import Configuration, Database
from multidb.database import locks
from multidb.database.attempt import GID, Prepared
from multidb.database.connections import Driver
from multidb.database.locks import Wait
from multidb.errors import ExitCode, MigrationError, PartialError, RetryError, explain
from multidb.logs import for_database, log
from multidb.release import evidence
from multidb.release.evidence import Evidence, Verdict

_GONE = (
    "its prepared transaction is gone, and its journal has no row of the run: it was rolled back by hand, or lost in a "
    "failover or a restore: compare the database with the others of the run, and bring it to where they are"
)
_BUSY_TIMEOUT = 5.0  # seconds to wait for another session that finishes the same transaction


class GoneError(PartialError):
    """A prepared transaction is gone, and was finished in another way than its run decided.

    Attributes:
        committed: whether it was committed.
    """

    def __init__(self, reason: str, *, committed: bool) -> None:
        super().__init__(Code.TRANSACTION_GONE, reason)
        self.committed = committed


@dataclass(frozen=True)
class Resolution:
    """What became of a prepared transaction, or why it is left as it is."""

    database: Database
    prepared: Prepared
    evidence: Evidence
    failure: Exception | None = None  # why it could not be finished as the evidence says

    @property
    def is_done(self) -> bool:
        return self.failure is None and self.evidence.verdict in (Verdict.COMMITTED, Verdict.ROLLED_BACK)

    @property
    def exit_code(self) -> ExitCode:
        if self.is_done:
            return ExitCode.OK
        return ExitCode.RETRY if self.evidence.verdict is Verdict.RUNNING else ExitCode.PARTIAL

    @property
    def code(self) -> Code:
        """The code of what it is left as."""
        if isinstance(self.failure, GoneError):
            return self.failure.code
        return Code.IN_PROGRESS if self.evidence.verdict is Verdict.RUNNING else Code.IN_DOUBT

    def __str__(self) -> str:
        """One line, without the name of the database unless the transaction was finished."""
        gid, verdict = self.prepared.gid, self.evidence.verdict
        if self.is_done:
            return f"{verdict} {gid}, as {self.prepared.decider} had decided"
        if isinstance(self.failure, GoneError):
            return f"not {verdict}: {gid}: {explain(self.failure)}"
        if verdict is Verdict.RUNNING:
            return f"{self.evidence.text}, is in progress: run again when it has ended, or with -x lock_wait=SECONDS"
        advice = "correct that and run `python -m multidb recover`"
        if self.evidence.is_lost:
            advice = "`python -m multidb status` shows what each database of the run did, and the SQL to do the same"
        return f"in doubt: {gid}: {explain(self.failure) if self.failure else self.evidence.text}: {advice}"


def resolve(
    configuration: Configuration, in_doubt: Sequence[tuple[Database, Prepared]], seconds: float
) -> Iterator[Resolution]:
    """Finish prepared transactions, each given with its database, as the journals say.

    A decider need not be a database that the command addresses. A run in progress is waited for so many seconds.

    Yields:
        What became of each, as it is known; a failure of one leaves the transaction in doubt, and stops no other. And
        each participant of the same attempts whose prepared transaction is gone.
    """
    known: dict[tuple[str, str], Evidence] = {}
    for database, prepared in in_doubt:
        with for_database(database.name):
            key = prepared.attempt, prepared.decider
            if key not in known:
                known[key] = evidence.of_attempt(*key, evidence.found_in(configuration), seconds)
            found, failure = known[key], None
            if found.verdict in (Verdict.COMMITTED, Verdict.ROLLED_BACK):
                try:
                    finish(database, prepared.gid, commit=found.verdict is Verdict.COMMITTED)
                except Exception as error:
                    failure = error
            yield Resolution(database, prepared, found, failure)
    for (attempt, decider), found in known.items():
        yield from _gone(configuration, attempt, decider, found, {database.name for database, _ in in_doubt})


def _gone(
    configuration: Configuration, attempt: str, decider: str, found: Evidence, done: Collection[str]
) -> Iterator[Resolution]:
    """The participants of a committed attempt that neither committed it nor have it prepared."""
    find = evidence.found_in(configuration)
    names = [name for name in found.participants if name != decider and name not in done]
    for name, state in evidence.states_in(names, attempt, find).items():
        if state == evidence.NOT_COMMITTED:
            prepared = Prepared(f"{GID}{attempt}:{decider}:{name}", "", attempt, decider, name)
            yield Resolution(find(name), prepared, found, GoneError(_GONE, committed=False))


def resolve_all(configuration: Configuration, in_doubt: Sequence[tuple[Database, Prepared]], seconds: float) -> None:
    """As `resolve`, with a log line for each.

    Raises:
        PartialError: a transaction can't be resolved.
        RetryError: the run of one is still in progress.
    """
    left = []
    for resolution in resolve(configuration, in_doubt, seconds):
        if resolution.is_done:
            log.info("%s", resolution)
        else:
            left.append(resolution)
    if left:
        first = min(left, key=lambda each: each.exit_code)  # before a run in progress, what a person has to see to
        more = f"; and in {len(left) - 1} more" if len(left) > 1 else ""
        failure = RetryError if first.exit_code == ExitCode.RETRY else PartialError
        raise failure(first.code, f"{first}{more}", first.database.name)


def finish(database: Database, gid: str, *, commit: bool, broken: float | None = None) -> None:
    """Commit or roll back a prepared transaction over a session of its own; another session may have done so already.

    Args:
        broken: where the session that prepared it has just broken: seconds to wait until that session has ended and
            given its lock back, before which the server may still be about to prepare.

    Raises:
        LockedError: that session has not ended.
        GoneError: another session has finished it in the other way.
        psycopg2.Error: the transaction can't be finished.
    """
    with evidence.session(database) as driver:
        if broken is not None:
            locks.lock(driver, Wait(broken))
        finish_in(driver, database, gid, commit=commit)


def finish_in(driver: Driver, database: Database, gid: str, *, commit: bool) -> None:
    """As `finish`, over a given session that is in no transaction."""
    wait = Wait(_BUSY_TIMEOUT)
    while True:
        try:
            with driver.cursor() as cursor:
                if not commit:  # a standby without the rollback has the same evidence: the row is still `begun`
                    cursor.execute("SET synchronous_commit = local")
                cursor.execute(f"{'COMMIT' if commit else 'ROLLBACK'} PREPARED %s", [gid])
        except psycopg2.errors.UndefinedObject:
            _check_gone(driver, database, gid, commit=commit)
            return
        except psycopg2.errors.InsufficientPrivilege as error:
            raise MigrationError(
                Code.FOREIGN_OWNER, f"only {_owner_text(driver, gid)}, or a superuser, may finish it"
            ) from error
        except psycopg2.errors.ObjectNotInPrerequisiteState:  # "is busy": another session is finishing it
            wait.pause(lambda: "another session that finishes it")
        else:
            return


def _owner_text(driver: Driver, gid: str) -> str:
    """The role that prepared a transaction."""
    with driver.cursor() as cursor:
        cursor.execute("SELECT owner::text FROM pg_prepared_xacts WHERE gid = %s", [gid])
        found = cursor.fetchone()
    return f"the role {found[0]}, which prepared it" if found else "the role that prepared it"


def _check_gone(driver: Driver, database: Database, gid: str, *, commit: bool) -> None:
    """Check in the database's own journal how another session has finished a transaction, if it was ever prepared."""
    committed = evidence.is_committed(driver, database, gid.removeprefix(GID).partition(":")[0])
    if commit and not committed:
        raise GoneError(_GONE, committed=False)
    if committed and not commit:
        raise GoneError(
            "its prepared transaction was committed, though the run was rolled back: compare the database with the "
            "others of the run, and bring it back to where they are",
            committed=True,
        )


def sql_by_hand(prepared: Prepared, found: Evidence) -> str | None:
    """The SQL that finishes a transaction, in its database; None unless the evidence says how."""
    statements = {Verdict.COMMITTED: _sql("COMMIT", prepared), Verdict.ROLLED_BACK: _sql("ROLLBACK", prepared)}
    return statements.get(found.verdict)


def choice_by_hand(configuration: Configuration, prepared: Prepared, found: Evidence) -> Mapping[str, object] | None:
    """Both statements, and what each other database of the run did; None unless the decider is lost for good."""
    if not found.is_lost:
        return None
    return {
        "commit": _sql("COMMIT", prepared),
        "rollback": _sql("ROLLBACK", prepared),
        "databases": evidence.in_each(configuration, prepared),
    }


def _sql(verb: str, prepared: Prepared) -> str:
    return f"{verb} PREPARED '{prepared.gid}';"
