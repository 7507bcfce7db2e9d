"""What does a revision of a branch look like? The branch is replayed in a scratch database, and that is read back."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from alembic import context
from sqlalchemy import Connection

from multidb import catalogs, journal, logs, parallel
from multidb.branches import Branch
from multidb.config import Database
from multidb.engines import Driver
from multidb.environment import Environment
from multidb.errors import MigrationError, named
from multidb.journal import Attempt
from multidb.looking import Look, look_at
from multidb.participants import Participant
from multidb.planning import parts_of
from multidb.plans import Part, Plan
from multidb.schemas import Schema
from multidb.scratch import Keeper, Scratch, server_for

Position = tuple[str, ...]
"""The revisions that a database is at; none is the base."""


@dataclass(frozen=True)
class Question:
    """What a database should be at some positions of its branch.

    Args:
        database: whose branch; its URL says which dialect.
        positions: where, in an order in which each follows from those before it.
        scratch: the scratch database to replay it in; None for SQLite.
        with_tables: if given, a position matters only if it has one of these tables.
    """

    database: Database
    positions: Sequence[Position]
    scratch: Scratch | None
    with_tables: frozenset[str] | None = None


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
        with_tables: frozenset[str] | None = None,
    ) -> Question:
        """A question that can be asked.

        Args:
            database: whose branch.
            positions: where, in an order in which each follows from those before it.
            driver: a session on the database's server.
            with_tables: if given, a position matters only if it has one of these tables.

        Raises:
            MigrationError: there is no server to replay it on.
        """
        if database.is_sqlite:
            return Question(database, positions, None, with_tables)
        server = server_for(self._environment.configuration, database, driver)
        if server not in self._keepers:
            self._keepers[server] = Keeper(server)
        return Question(database, positions, self._keepers[server].scratch(), with_tables)

    def ask(self, questions: Sequence[Question]) -> dict[str, Answer | MigrationError]:
        """The answers, by the names of the databases; of a branch that can't be replayed, why.

        Args:
            questions: one for each database.
        """
        # An extension such as PostGIS takes longer to make than any branch.
        ordered = sorted(questions, key=lambda each: (not each.database.extensions, -len(each.positions)))
        jobs = self._environment.settings.jobs
        answers = parallel.forked(lambda question: _answered(self._environment, question), ordered, jobs)
        return {question.database.name: answer for question, answer in zip(ordered, answers, strict=True)}


def positions_of(branch: Branch) -> list[Position]:
    """All positions of a branch with one revision, from the first on."""
    return [(each.revision,) for each in reversed(list(branch.directory.walk_revisions()))]


def _answered(environment: Environment, question: Question) -> Answer:
    """Replay a branch; where it forks, as often as it takes."""
    found: dict[Position, Schema] = {}
    left = list(question.positions)
    name = question.database.name
    with environment.working_on(name) as branch, logs.silent():
        while left:
            with _replaying(name), _empty(question) as look:
                passed = _replay(environment, branch, look, left, found, question.with_tables)
            left = [position for position in left if position not in passed]
    return found


def _replay(
    environment: Environment,
    branch: Branch,
    look: Look,
    positions: Iterable[Position],
    found: dict[Position, Schema],
    with_tables: frozenset[str] | None,
) -> set[Position]:
    """Replay a branch through those of the positions that lie on one way. Returns which these are."""

    def migrate(database: Database, connection: Connection, **how: Any) -> None:
        environment.configure(database, connection, as_sql=False, **how)
        context.run_migrations()

    parts, ends = _way(environment, branch, positions)
    run = journal.Run("replay")
    participant = Participant(Plan(look, (), tuple(parts)), migrate, run, environment.settings)
    name = look.database.name
    with closing(participant):
        for number in range(len(parts) + 1):
            if number in ends:
                schema = _read(participant)
                if with_tables is None or schema.tables & with_tables:
                    found[ends[number]] = schema
            if number < len(parts):
                attempt = Attempt(run.id, number, (name,), False, {name: number}, parts[number].outside)
                participant.migrate(attempt)
                participant.commit(attempt)
    return set(ends.values())


def _way(
    environment: Environment, branch: Branch, positions: Iterable[Position]
) -> tuple[list[Part], dict[int, Position]]:
    """The releases that lead through the positions, and after how many of them each is reached."""
    parts: list[Part] = []
    ends: dict[int, Position] = {}
    here: Position = ()
    for position in positions:
        below = (
            {each.revision for each in branch.revision_map.iterate_revisions(position, "base")} if position else set()
        )
        if not set(here) <= below:
            continue
        for revision in position:
            steps = list(environment.script._upgrade_revs(revision, here))  # type: ignore[arg-type]
            parts += parts_of(steps)
            here = tuple(each for each in (*here, revision) if each == revision or each not in _below(branch, revision))
        ends[len(parts)] = position
    return parts, ends


def _below(branch: Branch, revision: str) -> set[str]:
    return {each.revision for each in branch.revision_map.iterate_revisions(revision, "base")}


def _read(participant: Participant) -> Schema:
    session = participant.session
    session.connection.begin()
    schema = catalogs.read(session.connection)
    session.end("ROLLBACK")
    return schema


@contextmanager
def _empty(question: Question) -> Iterator[Look]:
    """An empty database to replay a branch in, looked at as any other."""
    database = question.database
    if question.scratch is None:
        with tempfile.TemporaryDirectory(prefix="multidb-scratch-") as folder:
            url = database.url.set(database=str(Path(folder) / "scratch.db"))
            [look] = look_at([replace(database, url=url)])
            with closing(look):
                yield look
        return
    with question.scratch.made(database.extensions) as url:
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
