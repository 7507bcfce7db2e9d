"""What does a revision of a branch look like? The branch is replayed in a scratch database, and that is read back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from alembic import context
from sqlalchemy import Connection

from multidb import logs
from multidb.config.configuration import Database
from multidb.database import journal
from multidb.database.connections import Driver
from multidb.database.journal import Attempt
from multidb.database.probe import Look, look_at
from multidb.errors import MigrationError, named
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.planning.plan import Part, Plan, Step
from multidb.planning.planner import parts_of
from multidb.release.participant import Participant
from multidb.replay import forks
from multidb.replay.scratch import Keeper, Scratch, server_for
from multidb.schema import postgresql
from multidb.schema.objects import Schema

Position = tuple[str, ...]
"""The revisions that a database is at; none is the base."""


@dataclass(frozen=True)
class Question:
    """What a database should be at some positions of its branch.

    Args:
        database: whose branch; its URL says which dialect.
        positions: where, in an order in which each follows from those before it.
        scratch: the scratch database to replay it in; None for SQLite.
        like: the live schema, which says where a name without a schema is.
        near: if given, only those positions matter whose columns are nearest to one of these sets of columns.
    """

    database: Database
    positions: Sequence[Position]
    scratch: Scratch | None
    like: Schema
    near: Sequence[frozenset[str]] | None = None


Answer = Mapping[Position, Schema]


class Replays:
    """Scratch databases on as many servers as it takes, and the questions that they answer.

    Args:
        environment: the command and its databases.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._keepers: dict[Any, Keeper] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for keeper in self._keepers.values():
            keeper.close()

    def question(
        self,
        database: Database,
        positions: Sequence[Position],
        driver: Driver,
        like: Schema,
        near: Sequence[frozenset[str]] | None = None,
    ) -> Question:
        """A question that can be asked.

        Args:
            database: whose branch.
            positions: where, in an order in which each follows from those before it.
            driver: a session on the database's server.
            like: the live schema.
            near: if given, only those positions matter whose columns are nearest to one of these sets of columns.

        Raises:
            MigrationError: there is no server to replay it on.
        """
        if database.is_sqlite:
            return Question(database, positions, None, like, near)
        server = server_for(self._environment.configuration, database, driver)
        if server not in self._keepers:
            self._keepers[server] = Keeper(server)
        return Question(database, positions, self._keepers[server].scratch(), like, near)

    def ask(self, questions: Sequence[Question]) -> dict[str, Answer | MigrationError]:
        """The answers, by the names of the databases; of a branch that can't be replayed, why.

        Args:
            questions: one for each database.
        """
        # An extension such as PostGIS takes longer to make than any branch.
        ordered = sorted(questions, key=lambda each: (not each.database.extensions, -len(each.positions)))
        jobs = self._environment.settings.jobs
        answers = forks.forked(lambda question: _answered(self._environment, question), ordered, jobs)
        return {question.database.name: answer for question, answer in zip(ordered, answers, strict=True)}


def check_alike(name: str, wanted: Schema, live: Schema) -> None:
    """Say so, if the scratch server is of another version: it may write the same definition in another way."""
    ours, theirs = wanted.version // 10000, live.version // 10000
    if ours != theirs:
        with logs.naming(name):
            logs.log.info(
                "replayed on PostgreSQL %s, and the database is on %s: definitions may be written differently",
                ours,
                theirs,
            )


def positions_of(branch: Branch) -> list[Position]:
    """All positions of a branch with one revision, from the first on."""
    return [(each.revision,) for each in reversed(list(branch.directory.walk_revisions()))]


class _Observer:
    """Looks at the scratch database after each revision.

    Args:
        question: says what matters.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self.schemas: dict[Position, Schema] = {}
        self._columns: dict[Position, frozenset[str]] = {}

    def look(self, heads: Iterable[str], connection: Connection) -> None:
        """Look at it. To read all of a schema takes ten times as long as to read its columns.

        Args:
            heads: where it is now.
            connection: to it, in a transaction.
        """
        position = tuple(sorted(heads))
        if position not in self._question.positions:
            return
        if self._question.near is None:
            self.schemas[position] = postgresql.read(connection)
            return
        self._columns[position] = found = postgresql.columns(connection)
        if found in self._question.near:
            self.schemas[position] = postgresql.read(connection)

    def nearest(self) -> list[Position]:
        """The positions that matter and are yet to be read."""
        near = self._question.near or ()
        found: set[Position] = set()
        unlike = not any(columns & wanted for columns in self._columns.values() for wanted in near)
        for wanted in near:
            common = {position: columns for position, columns in self._columns.items() if unlike or columns & wanted}
            least = min((len(columns ^ wanted) for columns in common.values()), default=None)
            found |= {position for position, columns in common.items() if len(columns ^ wanted) == least}
        return [position for position in self._question.positions if position in found - set(self.schemas)]


def _answered(environment: Environment, question: Question) -> Answer:
    with environment.working_on(question.database.name), logs.silent():
        observer = _observed(environment, question)
        left = observer.nearest()
        if left:
            observer.schemas |= _observed(environment, replace(question, positions=left, near=None)).schemas
    return observer.schemas


def _observed(environment: Environment, question: Question) -> _Observer:
    """Replay a branch through all positions; where it forks, one way after the other."""
    observer, left = _Observer(question), list(question.positions)
    branch = environment.branch(question.database.name)
    while left:
        steps, passed = _way(environment, branch, left)
        with _replaying(question.database.name):
            try:
                with _empty(question) as look:
                    _replay(environment, look, parts_of(steps), observer)
            except MigrationError:
                # As it may have come here in several releases: what one adds to an enum, the next can use.
                with _empty(question) as look:
                    _replay(environment, look, [part for step in steps for part in parts_of([step])], observer)
        left = [position for position in left if position not in passed]
    return observer


def _replay(environment: Environment, look: Look, parts: Sequence[Part], observer: _Observer) -> None:
    """Replay revisions, by the same means as any run."""

    def migrate(database: Database, connection: Connection, **how: Any) -> None:
        note = how.pop("on_version_apply")

        def applied(heads: set[str], **rest: Any) -> None:
            note(heads=heads, **rest)
            observer.look(heads, connection)

        environment.configure(database, connection, as_sql=False, on_version_apply=applied, **how)
        context.run_migrations()

    name, run = look.database.name, journal.Run("replay")
    participant = Participant(Plan(look, (), tuple(parts)), migrate, run, environment.settings)
    with closing(participant):
        participant.session.connection.begin()
        observer.look((), participant.session.connection)
        participant.session.end("ROLLBACK")
        for number, part in enumerate(parts):
            attempt = Attempt(run.id, number, (name,), False, {name: number}, part.outside)
            participant.migrate(attempt)
            participant.commit(attempt)


def _way(environment: Environment, branch: Branch, positions: Iterable[Position]) -> tuple[list[Step], set[Position]]:
    """The steps that lead through as many of the positions as lie on one way, and which these are."""
    steps: list[Step] = []
    here: Position = ()
    passed: set[Position] = set()
    for position in positions:
        if not set(here) <= _below(branch, position):
            continue
        for revision in position:
            steps += environment.script._upgrade_revs(revision, here)  # type: ignore[arg-type]
            here = (*(each for each in here if each not in _below(branch, (revision,))), revision)
        passed.add(position)
    return steps, passed


def _below(branch: Branch, position: Position) -> set[str]:
    """The revisions of a position, and all before them."""
    return {each.revision for each in branch.revision_map.iterate_revisions(position, "base")} if position else set()


@contextmanager
def _empty(question: Question) -> Iterator[Look]:
    """An empty database to replay a branch in, looked at as any other."""
    database = question.database
    if question.scratch is None:
        [look] = look_at([replace(database, url=database.url.set(database=":memory:"))])
        with closing(look):
            yield look
        return
    with question.scratch.made(database.extensions, question.like.space, question.like.search_path) as url:
        [look] = look_at([replace(database, url=url)])
        with closing(look):
            look.wait()
            yield look


@contextmanager
def _replaying(name: str) -> Iterator[None]:
    """Say that it was not the live database in which it happened."""
    try:
        with named(name):
            yield
    except MigrationError as error:
        text = str(error).removeprefix(f"{name}: ")
        raise MigrationError(f"{name}: its branch can't be replayed in a scratch database: {text}") from error
