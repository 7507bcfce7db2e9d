"""One run over several databases: all of them move, or none.

Every database that has work is migrated in an open transaction. Nothing is committed until all have migrated;
if one fails, all are rolled back.
"""

import re
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from multidb import engines, selection
from multidb.branches import Branch
from multidb.config import Database
from multidb.environment import Environment, Work
from multidb.errors import MigrationError, explain, named
from multidb.logs import log, naming
from multidb.looking import Look, look_at

MOVES = {"upgrade", "downgrade", "stamp"}
_RELATIVE = re.compile(r"(?:.+@)?([+-]\d+)")


class Participant:
    """A database that has work, and the connection that does it."""

    def __init__(self, environment: Environment, database: Database, connection: Connection) -> None:
        self.environment = environment
        self.database = database
        self.connection = connection
        self.committed = False

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Alembic's context in this database, inside a transaction that stays open."""
        with self.environment.working_on(self.database.name), _autocommit_refused():
            self.connection.begin()
            self.environment.configure(self.database, self.connection, work=work_in(self.environment, self.database))
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
        participants = plan(environment, connections)
        if not participants:
            log.info("nothing to do in %s", _count(len(environment.databases)))
        try:
            yield participants
            for participant in participants:
                participant.verify()
        except KeyboardInterrupt as error:
            raise MigrationError("interrupted; no database was changed") from error
        _commit(participants)


def plan(environment: Environment, connections: ExitStack) -> list[Participant]:
    """Ask every database for its revision, before any is touched, and find those that have work.

    Args:
        environment: the command and its databases.
        connections: closes, and so rolls back, the connections in the end.

    Raises:
        MigrationError: one can't be reached, or can't move as asked.
    """
    if environment.request.command == "stamp":
        _check_stamps(environment)
    participants: list[Participant] = []
    ends: list[str] = []
    looks = look_at(environment.databases)
    for look in looks:
        connections.callback(look.close)
    for look in looks:
        database = look.database
        with environment.working_on(database.name) as branch:
            if _has_work(environment, branch, look, ends):
                connection = engines.connect_to_migrate(database, look.connection)
                participants.append(Participant(environment, database, connections.enter_context(connection)))
    if ends and len(ends) == len(environment.databases):
        raise MigrationError(
            f"{environment.request.symbols[0]} can move nothing: {', '.join(ends)} "
            f"{'is' if len(ends) == 1 else 'are'} already at the end"
        )
    return participants


def _has_work(environment: Environment, branch: Branch, look: Look, ends: list[str]) -> bool:
    """Whether the command would move a database; one that a relative step can't move is added to `ends`."""
    request, heads = environment.request, look.heads
    if request.command not in MOVES or context.get_context().purge:
        return True
    if request.command != "downgrade":
        _ = branch.head
    branch.check_known(heads)
    relative = _RELATIVE.fullmatch(request.symbols[0]) if request.symbols else None
    if relative and request.command != "stamp":
        left = _steps_left(branch, heads, up=request.command == "upgrade")
        asked = abs(int(relative[1]))
        if not left:
            ends.append(look.database.name)
            return False
        if left < asked:
            raise MigrationError(f"{relative[1]} asks for {asked} steps, {left} left; no database was moved")
    return bool(list(work_in(environment, look.database)(heads, context.get_context())))


def _check_stamps(environment: Environment) -> None:
    """Refuse a stamp of several revisions unless each is of another database."""
    symbols = environment.request.symbols
    if len(symbols) == 1:
        return
    owners = [selection.databases_of(symbol, environment.configuration.names) for symbol in symbols]
    if not all(owners) or len(set().union(*owners)) < len(symbols):
        raise MigrationError(
            f"stamp {' '.join(symbols)}: with several revisions each must name a database of its own, "
            "as in `stamp user_db@head payment_db@head`"
        )


def _steps_left(branch: Branch, heads: tuple[str, ...], *, up: bool) -> int:
    upper, lower = ("heads", heads) if up else (heads, "base")
    return sum(1 for _ in branch.revision_map.iterate_revisions(upper, lower, implicit_base=up))


def work_in(environment: Environment, database: Database) -> Work:
    """What the command does in one database: Alembic's own, but for a stamp of several databases.

    `stamp user_db@head payment_db@head` would look for both in each.
    """
    request = environment.request
    if request.command != "stamp" or len(request.symbols) == 1:
        return request.work
    names = environment.configuration.names
    mine = [symbol for symbol in request.symbols if database.name in selection.databases_of(symbol, names)]
    # The private half of `alembic stamp`; MigrationContext.stamp() would stamp where a plan only asks.
    return lambda heads, _context: environment.script._stamp_revs(mine[0], heads)


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
