"""Replay branches: run their revisions in scratch databases, and read the schema that each revision makes."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from alembic import context
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL

from multidb import logs
from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.attempt import Attempt, Run
from multidb.database.connections import Driver
from multidb.database.probe import Probe, probing
from multidb.errors import MigrationError, code_of, reason_of
from multidb.planning import alembic_internals
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, Stage, Step
from multidb.planning.planner import stages_of
from multidb.planning.processes import map_in_processes
from multidb.release.operation import Operation
from multidb.release.participant import Participant
from multidb.replay.row_changes import touches_rows
from multidb.replay.scratch import Scratch, ScratchServer, Setup, server_for, server_without_live
from multidb.schema.dialect import Dialect, dialect_of
from multidb.schema.objects import Schema

Position = tuple[str, ...]
"""The revisions that a database is at; none is the base."""


class Schemas(dict[Position, Schema]):
    """What a branch makes, at some of its positions, and the revisions whose replay may have touched rows."""

    row_revisions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReplayRequest:
    """The positions of a branch whose schemas are wanted, each after those that lead to it.

    With `near`, only those positions are wanted whose columns are nearest to one of these sets of columns.
    """

    database: Database
    positions: Sequence[Position]
    scratch: Scratch | None  # None for SQLite
    live: Schema  # of the live database, whose default schema the scratch database gets
    near: Sequence[frozenset[str]] | None = None
    kept: Path | None = None  # keep the scratch database; the file of one on SQLite
    for_revision: bool = False  # read as `dialect_of` takes it

    @property
    def url(self) -> URL:
        """The URL of the scratch database."""
        if self.scratch is not None:
            return self.scratch.url
        return self.database.url.set(database=str(self.kept or connections.IN_MEMORY))


class Replays(AbstractContextManager["Replays"]):
    """Scratch databases on as many servers as needed, and the replays in them."""

    def __init__(self, environment: Environment) -> None:
        self._environment, self._opened = environment, ExitStack()
        self._servers: dict[Any, ScratchServer] = {}

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        for server in self._servers.values():
            server.close()

    def request(
        self,
        database: Database,
        positions: Sequence[Position],
        driver: Driver,
        live: Schema,
        near: Sequence[frozenset[str]] | None = None,
    ) -> ReplayRequest:
        """A request that can be run, by a session on the database's server. MigrationError without a scratch server."""
        if database.is_sqlite:
            return ReplayRequest(database, positions, None, live, near)
        url = server_for(self._environment.configuration, database, driver)
        return ReplayRequest(database, positions, self._scratch(url), live, near)

    def request_to_keep(self, database: Database, position: Position) -> ReplayRequest:
        """A request that needs no live database, and keeps the scratch database at the position, for `open`.

        Raises:
            MigrationError: there is no scratch server.
        """
        if database.is_sqlite:
            scratch, nowhere = None, Schema({}, "sqlite")
        else:
            scratch = self._scratch(server_without_live(self._environment.configuration, database))
            nowhere = Schema({}, "postgresql")
        return ReplayRequest(
            database, [position], scratch, nowhere, kept=self._folder / f"{database.name}.db", for_revision=True
        )

    def request_copy(self, database: Database, position: Position, driver: Driver, live: Schema) -> ReplayRequest:
        """As `request`, of one position, and keeps the scratch database, for `open`."""
        request = self.request(database, [position], driver, live)
        return replace(request, kept=self._folder / f"{database.name}.db")

    def open(self, request: ReplayRequest) -> Connection:
        """A connection to a scratch database that was kept, to migrate it further. `close` it before the next one."""
        if request.scratch is None:
            return connections.around(request.url, lambda: connections.open_to_migrate(str(request.kept)))
        return connections.connect(request.url)

    @cached_property
    def _folder(self) -> Path:
        return Path(self._opened.enter_context(TemporaryDirectory(prefix="multidb-scratch-")))

    def _scratch(self, url: URL) -> Scratch:
        if url not in self._servers:
            self._servers[url] = ScratchServer(url)
        return self._servers[url].scratch()

    def run(self, requests: Sequence[ReplayRequest]) -> dict[str, Schemas | MigrationError]:
        """The schemas, by the names of the databases, or why a branch can't be replayed. One request for each."""
        # Creating an extension such as PostGIS takes longer than any branch.
        ordered = sorted(requests, key=lambda each: (not each.database.extensions, -len(each.positions)))
        jobs = self._environment.settings.jobs
        found = map_in_processes(lambda request: _schemas(self._environment, request), ordered, jobs)
        return {request.database.name: schemas for request, schemas in zip(ordered, found, strict=True)}


def positions_of(branch: Branch) -> list[Position]:
    """All positions of a branch with one revision, from the first on."""
    return [(each.revision,) for each in reversed(list(branch.revision_map.iterate_revisions("heads", "base")))]


class Observer(Protocol):
    """Receives what a replay does."""

    def note(self, _connection: Connection, _cursor: object, statement: str, *_parameters: object) -> None:
        """A statement is going to be executed: the listener for SQLAlchemy's `before_cursor_execute`."""

    def observe(self, heads: Iterable[str], connection: Connection, applied: Iterable[str] = ()) -> None:
        """A revision was applied, which led to these heads; or none has been yet."""


class _Reader:
    """Reads the scratch database after each revision, at the positions that the request wants."""

    def __init__(self, request: ReplayRequest) -> None:
        self._request = request
        self.schemas = Schemas()
        self._columns: dict[Position, frozenset[str]] = {}
        self._touches_rows = False  # whether a statement since the last position may have

    def note(self, _connection: Connection, _cursor: object, statement: str, *_parameters: object) -> None:
        """The listener for SQLAlchemy's `before_cursor_execute`."""
        if not self._touches_rows:
            self._touches_rows = touches_rows(statement, self._request.database.version_table)

    def observe(self, heads: Iterable[str], connection: Connection, applied: Iterable[str] = ()) -> None:
        """Read the schema, or only its columns, which takes a tenth of the time.

        Args:
            applied: the revision that led here.
        """
        if self._touches_rows:
            self.schemas.row_revisions |= set(applied)
        self._touches_rows = False
        position = tuple(sorted(heads))
        if position not in self._request.positions:
            return
        if self._request.near is None:
            self.schemas[position] = self._read(connection)
            return
        self._columns[position] = found = self._dialect(connection).column_names(connection)
        if found in self._request.near:
            self.schemas[position] = self._read(connection)

    def _read(self, connection: Connection) -> Schema:
        live = None if self._request.for_revision else self._request.live
        return self._dialect(connection).read(connection, live)

    def _dialect(self, connection: Connection) -> Dialect:
        table = self._request.database.version_table
        return dialect_of(connection, table, for_revision=self._request.for_revision)

    def nearest(self) -> list[Position]:
        """The positions that are wanted and whose schema is yet to be read."""
        near = self._request.near or ()
        found: set[Position] = set()
        has_no_common_column = not any(columns & wanted for columns in self._columns.values() for wanted in near)
        for wanted in near:
            distances = {
                position: len(columns ^ wanted)
                for position, columns in self._columns.items()
                if has_no_common_column or columns & wanted
            }
            found |= {position for position, each in distances.items() if each == min(distances.values())}
        return [position for position in self._request.positions if position in found - set(self.schemas)]


def _schemas(environment: Environment, request: ReplayRequest) -> Schemas:
    with environment.working_on(request.database.name), logs.silent():
        observer = _observed(environment, request)
        left = observer.nearest()
        if left:
            observer.schemas.update(_observed(environment, replace(request, positions=left, near=None)).schemas)
    return observer.schemas


def _observed(environment: Environment, request: ReplayRequest) -> _Reader:
    """Replay a branch through all positions; where it forks, one way after the other."""
    observer, left = _Reader(request), list(request.positions)
    branch = environment.branch(request.database.name)
    while left:
        steps, passed = _way(environment, branch, left)
        with _in_scratch_database():
            try:
                with empty_database(request) as probe:
                    run_stages(environment, probe, stages_of(steps), observer)
            except MigrationError:
                # As several runs may have done it: a value that one adds to an enum, the next can use.
                with empty_database(request) as probe:
                    run_stages(environment, probe, [stage for step in steps for stage in stages_of([step])], observer)
        left = [position for position in left if position not in passed]
    return observer


def run_stages(environment: Environment, probe: Probe, stages: Sequence[Stage], observer: Observer) -> None:
    """Run revisions in an empty database, by the code of any run."""

    def migrate(database: Database, connection: Connection, **options: Any) -> None:
        note = options.pop("on_version_apply")

        def applied(heads: set[str], step: MigrationInfo, **rest: Any) -> None:
            note(heads=heads, step=step, **rest)
            observer.observe(heads, connection, step.up_revision_ids)

        environment.configure_migration(database, connection, on_version_apply=applied, **options)
        context.run_migrations()

    name, run, result = probe.database.name, Run("replay"), probe.result()
    driver = None if probe.database.is_sqlite else probe.take_connection()
    plan = Plan(result.database, (), tuple(stages))
    participant = Participant(plan, result, driver, migrate, run, environment.settings)
    with closing(participant):
        connection = participant.session.connection
        connection.begin()
        observer.observe((), connection)
        participant.session.end("ROLLBACK")
        event.listen(connection, "before_cursor_execute", observer.note)
        for number, stage in enumerate(stages):
            attempt = Attempt(run.id, number, (name,), name, False, {name: number}, stage.nontransactional)
            for operation in (Operation.BEGIN, Operation.MIGRATE, Operation.COMMIT):
                participant.perform(operation, attempt)


def _way(environment: Environment, branch: Branch, positions: Iterable[Position]) -> tuple[list[Step], set[Position]]:
    """The steps through as many of the positions as lie on one way, and these positions."""
    steps: list[Step] = []
    here: Position = ()
    passed: set[Position] = set()
    for position in positions:
        if not set(here) <= branch.ancestors(position):
            continue
        for revision in position:
            steps += alembic_internals.upgrade_steps(environment.script, revision, here)
            here = (*(each for each in here if each not in branch.ancestors((revision,))), revision)
        passed.add(position)
    return steps, passed


@contextmanager
def empty_database(request: ReplayRequest) -> Iterator[Probe]:
    """An empty database to replay a branch in, probed as any other."""
    database = request.database
    created: AbstractContextManager[URL]
    if request.scratch is None:
        if request.kept:
            request.kept.write_bytes(b"")
        created = nullcontext(request.url)
    else:
        setup, schema = Setup.of(database, request.live), database.version_table.schema
        created = request.scratch.created(setup, schema, is_kept=request.kept is not None)
    with created as url, probing([replace(database, url=url)]) as [probe]:
        probe.wait()
        yield probe


@contextmanager
def _in_scratch_database() -> Iterator[None]:
    """Name the scratch database in a failure: it did not happen in the live one."""
    try:
        yield
    except Exception as error:
        # A server that lacks a privilege, or does not answer, is no fault of the branch.
        code = Code.SCRATCH_SERVER if code_of(error) is Code.SCRATCH_SERVER else Code.NOT_REPLAYED
        raise MigrationError(code, f"its branch can't be replayed in a scratch database: {reason_of(error)}") from error
