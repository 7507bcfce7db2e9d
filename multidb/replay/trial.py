"""Try a history: one upgrade from an empty database, in as few transactions as the release protocol has for it.

A replay is lenient, and tries each revision by itself where that fails, as several releases may have run them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import psycopg2
from sqlalchemy import Connection

from multidb import logs
from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.errors import causes_of, code_of
from multidb.planning import alembic_internals
from multidb.planning.environment import Environment
from multidb.planning.planner import stages_of
from multidb.replay.replay import Replays, empty_database, run_stages

# What a statement answers that can't run in a transaction, or not in that of the revisions before.
_IN_TRANSACTION = (
    psycopg2.errors.ActiveSqlTransaction,  # CREATE INDEX CONCURRENTLY
    psycopg2.errors.UnsafeNewEnumValueUsage,  # of a value that the same transaction has added
    psycopg2.errors.ObjectInUse,  # "pending trigger events": rows were changed whose constraints are deferred
)


@dataclass(frozen=True)
class Obstacle:
    """Where a trial ended."""

    revision: str
    error: Exception

    @property
    def is_transaction(self) -> bool:
        """Whether the revision may run outside the transaction of the others."""
        return code_of(self.error) is Code.ENDS_TRANSACTION or any(
            isinstance(each, _IN_TRANSACTION) for each in causes_of(self.error)
        )

    @property
    def is_new_value(self) -> bool:
        """Whether the revision uses the value of an enum that one before it has added."""
        return any(isinstance(each, psycopg2.errors.UnsafeNewEnumValueUsage) for each in causes_of(self.error))


class _Counter:
    """Counts the revisions that were applied."""

    def __init__(self) -> None:
        self.applied: list[str] = []

    def note(self, _connection: Connection, _cursor: object, statement: str, *_parameters: object) -> None:
        pass

    def observe(self, _heads: Iterable[str], _connection: Connection, applied: Iterable[str] = ()) -> None:
        self.applied += applied


def obstacle_in(environment: Environment, replays: Replays, database: Database) -> Obstacle | None:
    """The revision at which an upgrade of an empty database to its heads fails, or None.

    Raises:
        MigrationError: there is no scratch server.
    """
    with environment.working_on(database.name), logs.silent():
        request = replace(replays.request_to_keep(database, ()), kept=None)
        steps = alembic_internals.upgrade_steps(environment.script, "heads", ())
        counter = _Counter()
        try:
            with empty_database(request) as probe:
                run_stages(environment, probe, stages_of(steps), counter)
        except Exception as error:
            failed = steps[min(len(counter.applied), len(steps) - 1)]
            return Obstacle(failed.revision.revision, error)
    return None
