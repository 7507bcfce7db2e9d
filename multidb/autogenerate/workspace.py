"""A scratch database at the head of a branch, in which a revision is tried before it is written, and run after it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from alembic.operations.ops import MigrateOperation
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from multidb import logs
from multidb.autogenerate.operations import Names, options
from multidb.autogenerate.rendering import render_item
from multidb.config.configuration import Database
from multidb.planning import alembic_internals
from multidb.planning.environment import Environment
from multidb.release.batch import batch_mode
from multidb.schema.changes import comparable
from multidb.schema.dialect import dialect_of
from multidb.schema.objects import Key, Schema


@dataclass(frozen=True)
class Piece:
    """A part of a revision that is run as a whole, and the objects that it concerns."""

    keys: frozenset[Key]
    operation: MigrateOperation
    is_alembics: bool


class PieceError(Exception):
    """A piece that fails when it is run. `reason` is the driver's error, or what else was raised."""

    def __init__(self, piece: Piece, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.piece, self.reason = piece, reason


def work_in(
    environment: Environment,
    database: Database,
    connection: Connection,
    names: Names,
    prelude: Sequence[Piece],
    work: Callable[["Workspace", tuple[str, ...]], None],
) -> None:
    """Work in a scratch database, by Alembic's context, and roll back.

    Args:
        names: of the objects that Alembic's comparators may see.
        prelude: what is run first.
    """

    def work_once(heads: Any, alembic: MigrationContext) -> list[Any]:
        # A copy: the next configure() would change the options that this revision is rendered with.
        alembic.opts = dict(alembic.opts)
        workspace = Workspace(database, connection, alembic)
        workspace.run(prelude)
        work(workspace, heads)
        return []

    with closing(connection.begin()), logs.silent():
        environment.configure_reading(database, connection, work=work_once, render_item=render_item, **options(names))
        context.run_migrations()


class Workspace:
    """The scratch database of one branch, and Alembic's context in it."""

    def __init__(self, database: Database, connection: Connection, alembic: MigrationContext) -> None:
        self.database, self.connection, self.alembic = database, connection, alembic
        self._dialect = dialect_of(connection, database.version_table, for_revision=True)

    def read(self) -> Schema:
        return comparable(self._dialect.read(self.connection))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo at the end of the block what was done in it."""
        savepoint = self.connection.begin_nested()
        try:
            yield
        finally:
            savepoint.rollback()
            if self.database.is_sqlite:  # which is no part of a transaction
                self.connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")

    def run(self, pieces: Sequence[Piece]) -> None:
        """Run pieces as the revision will have them: as Python code. Raises PieceError."""
        for piece in pieces:
            names: dict[str, Any] = {"op": op, "sa": sa}
            try:
                code, imports = alembic_internals.rendered(piece.operation, self.alembic)
                exec("\n".join(sorted(imports)), names)  # noqa: S102 - what Alembic writes into the file
                self.call(partial(exec, code, names))
            except Exception as error:
                reason = error.orig if isinstance(error, DBAPIError) and error.orig else error
                raise PieceError(piece, reason) from error

    def call(self, function: Callable[[], None]) -> None:
        """Call what runs operations, as a run does it."""
        with batch_mode() if self.database.is_sqlite else nullcontext():
            function()
