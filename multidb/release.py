"""One run over several databases: all of them move, or none.

Every database that has work is migrated in an open transaction. Nothing is committed until all have migrated;
if one fails, all are rolled back.
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from alembic.util import CommandError

from multidb import engines, planning
from multidb.environment import Environment
from multidb.errors import MigrationError, explain, named
from multidb.logs import log, naming
from multidb.looking import Look, look_at


class Participant:
    """A database that has work, and the connection that does it."""

    def __init__(self, environment: Environment, look: Look, connections: ExitStack) -> None:
        self.environment = environment
        self.database = look.database
        with named(self.database.name):
            connection = engines.connect_to_migrate(self.database, look.connection)
        self.connection = connections.enter_context(connection)
        self.committed = False

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Alembic's context in this database, inside a transaction that stays open."""
        with self.environment.working_on(self.database.name), _autocommit_refused():
            self.connection.begin()
            self.environment.configure(
                self.database, self.connection, work=planning.work_in(self.environment, self.database)
            )
            yield

    def verify(self) -> None:
        """Find what a commit would refuse, while everything can still be rolled back."""
        with naming(self.database.name), named(self.database.name):
            if not self.database.is_sqlite:
                self.connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
                return
            violations = self.connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if violations:
                table, row, parent, _ = violations[0]
                raise MigrationError(
                    f"{len(violations)} rows would refer to nothing, such as row {row} of {table}, to {parent}: "
                    "correct the revision, or the data"
                )

    def commit(self) -> None:
        self.connection.commit()
        self.committed = True


@contextmanager
def opened(environment: Environment) -> Iterator[list[Participant]]:
    """The databases that have work, with their transactions; committed together when the block ends.

    Args:
        environment: the command and its databases.

    Raises:
        MigrationError: a database can't be reached or can't move as asked, or a migration failed. Nothing is
            committed then, unless a commit itself failed: the message says which were before it.
    """
    with ExitStack() as connections:
        looks = look_at(environment.databases)
        for look in looks:
            connections.callback(look.close)
        participants = [Participant(environment, look, connections) for look in planning.with_work(environment, looks)]
        if not participants:
            log.info("nothing to do in %s", _count(len(environment.databases)))
        try:
            yield participants
            for participant in participants:
                participant.verify()
        except KeyboardInterrupt as error:
            raise MigrationError("interrupted; no database was changed") from error
        _commit(participants)


def _commit(participants: list[Participant]) -> None:
    # SQLite writes when it commits, and a full disk shows only then: while all others can still be rolled back.
    for participant in sorted(participants, key=lambda each: not each.database.is_sqlite):
        try:
            participant.commit()
        except Exception as error:
            done = [each.database.name for each in participants if each.committed]
            raise MigrationError(
                f"{participant.database.name}: the commit failed: {explain(error)}; "
                + (f"committed before it: {', '.join(done)}" if done else "no database was changed")
            ) from error
    if participants:
        log.info("committed in %s", _count(len(participants)))


@contextmanager
def _autocommit_refused() -> Iterator[None]:
    """Say what Alembic's bare AssertionError means."""
    try:
        yield
    except AssertionError as error:
        if any(frame.name == "autocommit_block" for frame in traceback.extract_tb(error.__traceback__)):
            raise CommandError(
                "autocommit_block() would commit this database before the others have migrated: "
                "leave it out, or run its statements by hand"
            ) from error
        raise


def _count(number: int) -> str:
    return "1 database" if number == 1 else f"{number} databases"
