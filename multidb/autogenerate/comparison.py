"""Compare the models of databases with what their branches make.

Only the commands that compare import this module: it loads the models.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from alembic.config import Config

from multidb.autogenerate.models import ModelSchemas
from multidb.autogenerate.operations import Names
from multidb.autogenerate.renames import KINDS, OPTION, Rename, candidates
from multidb.autogenerate.workspace import Piece, Workspace, work_in
from multidb.config.configuration import Database
from multidb.errors import MigrationError, in_database
from multidb.planning.environment import Environment
from multidb.replay.replay import ReplayRequest, Replays
from multidb.schema.changes import Change, changes, with_others_kept
from multidb.schema.difference import Stage
from multidb.schema.objects import Key, Schema


@dataclass(frozen=True)
class Comparison:
    """The changes that lead from one branch to its models."""

    database: Database
    request: ReplayRequest  # whose scratch database is at the head of the branch
    models: Schema  # that the models make
    base: Schema  # that is compared with it: of the branch, or of the live database
    wanted: Schema  # that of the models, with what is none of theirs in the branch
    here: Schema  # the base, after renames
    changes: Sequence[Change]
    of_branch: "Comparison | None" = None  # where the live database is compared, and differs from its branch
    prelude: Sequence[Piece] = ()  # what makes the schema that is compared of that of the branch
    renames: Sequence[Rename] = ()
    there: Sequence[Piece] = ()  # what renames, and what renames back
    back: Sequence[Piece] = ()

    @property
    def names(self) -> Names:
        return Names(self.wanted, self.here)

    def work(
        self, environment: Environment, replays: Replays, function: Callable[[Workspace, tuple[str, ...]], None]
    ) -> None:
        """Work in the scratch database, with the schema that is compared, and roll back.

        Args:
            function: gets the workspace, and the revisions in it.
        """
        with closing(replays.open(self.request)) as connection:
            work_in(environment, self.database, connection, self.names, self.prelude, function)

    @property
    def others(self) -> Collection[Key]:
        """The objects of the branch that are none of the models'."""
        return self.wanted.objects.keys() - self.models.objects.keys()

    def print(self, config: Config) -> None:
        """Print each change as a sentence, under the database's name."""
        renamed = [each.sentence for each in self.renames]
        config.print_stdout("\n    ".join([self.database.name, *renamed, *sentences(self.changes)]))

    def drops(self) -> list[str]:
        """The tables and columns that go, in words."""
        alike = {each.old.key: each for kind in KINDS for each in self.candidates(kind)}
        lines = []
        for each in self.changes:
            if each.drops_values and each.old is not None:
                name, values = each.old.name, "rows" if each.old.kind == "table" else "rows' values"
                path, other = f"{self.database.name}.{name}", alike.get(each.key)
                hint = f"; if it is renamed: -x {OPTION}={path}:{other.new.own_name}" if other else ""
                lines.append(f"drops {path} with its {values}{hint}")
        return lines

    def candidates(self, kind: str) -> list[Rename]:
        """The tables or columns that may be renamed."""
        return candidates(self.changes, kind, self.wanted, self.here)

    def renamed(self, found: Sequence[Rename], pieces: Sequence[tuple[Piece, Piece]], here: Schema) -> "Comparison":
        """The comparison after renames, each piece with the one that renames back, which lead to a schema."""
        wanted, here = with_others_kept(self.models, here, self.database.ignored)
        there = [*self.there, *(there for there, _ in pieces)]
        back = [*(back for _, back in reversed(pieces)), *self.back]
        left, renames = changes(wanted, here), [*self.renames, *found]
        return replace(self, wanted=wanted, here=here, changes=left, renames=renames, there=there, back=back)


def sentences(found: Sequence[Change]) -> list[str]:
    """The changes in words, in about the order in which they are made."""
    ordered = sorted(
        found, key=lambda change: min((each.rank for each in change.statements), default=(Stage.CREATE, 0))
    )
    return [sentence for change in ordered for sentence in change.sentences]


def compare(environment: Environment, replays: Replays, models: ModelSchemas) -> list[Comparison]:
    """Compare each database that the command addresses: its branch is replayed, and no live database has to be up.

    Raises:
        MigrationError: a branch can't be replayed, models can't be created, or there is no scratch server.
    """
    requests = []
    for database in environment.databases:
        with environment.working_on(database.name) as branch:
            requests.append(replays.request_to_keep(database, tuple(sorted(branch.heads))))
    found = replays.run(requests)
    return [_compared(models, request, found) for request in requests]


def _compared(models: ModelSchemas, request: ReplayRequest, found: Mapping[str, object]) -> Comparison:
    database = request.database
    schemas = found[database.name]
    if isinstance(schemas, MigrationError):
        schemas.database = schemas.database or database.name
        raise schemas
    assert isinstance(schemas, Mapping)
    [here] = schemas.values()
    with in_database(database.name):
        made = models.schema_for_revision(database, request.scratch.server if request.scratch else None)
    wanted, here = with_others_kept(made, here, database.ignored)
    return Comparison(database, request, made, here, wanted, here, changes(wanted, here))
