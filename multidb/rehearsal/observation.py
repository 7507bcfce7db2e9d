"""What was observed of each statement of the pending revisions, as data that the rules read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from multidb.config.configuration import Database
from multidb.output import shortened
from multidb.planning.acknowledgement import Acknowledgement
from multidb.schema.postgresql.relations import Catalog, Column, Constraint, Relation

# https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES: the modes that block what services do,
# the strongest first.
BLOCKED = {
    "AccessExclusiveLock": "reads and writes",
    "ExclusiveLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ShareLock": "writes",
}
_MODES = list(BLOCKED)


def strongest(modes: Iterable[str]) -> str | None:
    """The strongest of the modes that block reads or writes; None if none of them does."""
    return min((mode for mode in modes if mode in BLOCKED), key=_MODES.index, default=None)


def mode_text(mode: str) -> str:
    """A lock's mode as PostgreSQL's documentation writes it: `ACCESS EXCLUSIVE`."""
    words = "".join(f" {each}" if each.isupper() else each for each in mode.removesuffix("Lock"))
    return words.strip().upper()


@dataclass(frozen=True)
class Statement:
    """A statement that a revision sent to a scratch database on PostgreSQL, and what it did there.

    Tables are those that were there before the first pending revision: what the revisions create has no rows.
    """

    number: int  # in the rehearsal of the database
    revision: str
    place: str  # the line of the file: `migrations/versions/auth_db/auth_0002_x.py:17`
    text: str
    stage: int
    outside: bool  # outside a transaction: its locks end with it
    before: Catalog
    after: Catalog
    first: Catalog  # before the first pending revision
    watched: frozenset[tuple[int, str]] | None = None  # the locks that a second session saw; None outside: none seen
    seconds: float = 0.0  # that it took in the rehearsal, without rows

    @property
    def short(self) -> str:
        return shortened(self.text)

    def name(self, oid: int) -> str:
        """The name that a relation had before the first pending revision: that of the live database."""
        return self.first.name(oid) or self.after.name(oid) or self.before.name(oid)

    def is_old(self, table: int) -> bool:
        """Whether a table was there before the first pending revision."""
        return table in self.first.tables

    @cached_property
    def acquired(self) -> dict[int, str]:
        """The tables of which the statement acquired a lock that blocks, each with the strongest mode."""
        return self._blocking(self._seen if self.outside else self.after.locks - self.before.locks)

    @cached_property
    def held(self) -> dict[int, str]:
        """The tables that are locked when the statement runs, each with the strongest mode that blocks."""
        return self._blocking(self._seen if self.outside else self.after.locks)

    @property
    def _seen(self) -> frozenset[tuple[int, str]]:
        return self.watched or frozenset()

    def _blocking(self, locks: frozenset[tuple[int, str]]) -> dict[int, str]:
        tables = {oid for oid, _ in locks if self.is_old(oid)}
        found = {oid: strongest(mode for each, mode in locks if each == oid) for oid in tables}
        return {oid: mode for oid, mode in found.items() if mode is not None}

    @cached_property
    def scanned(self) -> list[int]:
        """The tables that the statement read from the first row to the last."""
        return [
            oid
            for oid, number in self.after.scans.items()
            if self.is_old(oid) and number > self.before.scans.get(oid, 0)
        ]

    @cached_property
    def rewritten(self) -> list[int]:
        """The relations, indexes included, that the statement wrote into a new file."""
        pairs = [(self.before.relations.get(oid), each) for oid, each in self.after.relations.items()]
        pairs += self._replaced_indexes
        found = [old.oid for old, new in pairs if old and old.filenode != new.filenode]
        return [oid for oid in found if oid in self.first.relations]

    @cached_property
    def _replaced_indexes(self) -> list[tuple[Relation | None, Relation]]:
        """The indexes that became others of their names; those of a type that is stored alike keep their files."""
        former = {each.name: each for each in self.before.relations.values() if each.is_index}
        return [(former[each.name], each) for each in self._other_indexes if each.name in former]

    @cached_property
    def _other_indexes(self) -> list[Relation]:
        new = (each for oid, each in self.after.relations.items() if oid not in self.before.relations)
        return [each for each in new if each.is_index and each.table is not None and self.is_old(each.table)]

    @cached_property
    def written(self) -> list[int]:
        """The tables whose rows the statement may have inserted, updated or deleted."""
        locks = self.after.locks - (frozenset() if self.outside else self.before.locks)
        found = {oid for oid, mode in locks | self._seen if mode == "RowExclusiveLock"}
        return sorted(oid for oid in found if self.is_old(oid))

    @cached_property
    def new_constraints(self) -> list[Constraint]:
        return [each for oid, each in self.after.constraints.items() if oid not in self.before.constraints]

    @cached_property
    def validated(self) -> list[Constraint]:
        """The constraints that were there, and that the statement validated."""
        pairs = ((self.before.constraints.get(oid), each) for oid, each in self.after.constraints.items())
        return [new for old, new in pairs if old and new.is_validated and not old.is_validated]

    @cached_property
    def new_indexes(self) -> list[Relation]:
        """The indexes that the statement built on tables that were there before."""
        replaced = [new for _, new in self._replaced_indexes]
        return [each for each in self._other_indexes if each not in replaced]

    @cached_property
    def dropped(self) -> list[Relation]:
        gone = [each for oid, each in self.before.relations.items() if oid not in self.after.relations]
        replaced = [old for old, _ in self._replaced_indexes]
        return [each for each in gone if each.oid in self.first.relations and each not in replaced]

    @cached_property
    def changed_columns(self) -> list[tuple[Column, Column]]:
        pairs = ((self.before.columns.get(key), each) for key, each in self.after.columns.items())
        return [(old, new) for old, new in pairs if old and old != new and self.is_old(new.table)]

    @cached_property
    def new_columns(self) -> list[Column]:
        new = [each for key, each in self.after.columns.items() if key not in self.before.columns]
        return [each for each in new if self.is_old(each.table)]

    @cached_property
    def dropped_columns(self) -> list[Column]:
        """The columns that the statement dropped of tables that stay."""
        gone = [each for key, each in self.before.columns.items() if key not in self.after.columns]
        return [
            each
            for each in gone
            if each.table in self.after.relations and (each.table, each.number) in self.first.columns
        ]

    def column(self, column: Column) -> str:
        return f"{self.name(column.table)}.{column.name}"


@dataclass(frozen=True)
class Failure:
    """What ended the rehearsal of a database, as it would end the run."""

    revision: str
    place: str
    reason: str


@dataclass(frozen=True)
class TableChange:
    """What a revision did to a table of a database on SQLite, whose locks are of the whole file."""

    revision: str
    place: str
    table: str
    what: str  # `rebuilt`, `dropped`, `column dropped`, `index created`, `written`
    detail: str = ""
    short: ClassVar[str] = ""  # no statement alone makes the change


@dataclass(frozen=True)
class Move:
    """A revision of the plan, as it was rehearsed."""

    revision: str
    place: str
    is_upgrade: bool
    outside: bool


@dataclass(frozen=True)
class Observed:
    """The rehearsal of one database."""

    database: Database
    before: tuple[str, ...]  # the revisions that it is at
    after: tuple[str, ...]  # and where the plan leads
    moves: Sequence[Move] = ()
    statements: Sequence[Statement] = ()
    changes: Sequence[TableChange] = ()
    failure: Failure | None = None
    not_copied: Sequence[str] = ()  # what the live schema has and the scratch database does not
    not_observed: Sequence[str] = ()  # what could not be looked at, and why
    acknowledged: Mapping[str, Sequence[Acknowledgement]] = field(default_factory=dict)  # by revision

    @property
    def last(self) -> Catalog:
        """The catalogs after the last statement; there has to be one."""
        return self.statements[-1].after

    def transactions(self) -> Iterator[list[Statement]]:
        """The statements of each transaction; one outside of any is a transaction of its own."""
        found: list[Statement] = []
        for each in self.statements:
            if found and (each.outside or each.stage != found[-1].stage):
                yield found
                found = []
            found.append(each)
            if each.outside:
                yield found
                found = []
        if found:
            yield found


def effects(statement: Statement) -> list[str]:
    """What a statement does to tables that were there before, in a few words: `rewrites users`."""
    tables = [oid for oid in statement.rewritten if statement.first.relations[oid].is_table]
    found = [f"rewrites {statement.name(oid)}" for oid in tables]
    found += [f"reads all of {statement.name(oid)}" for oid in statement.scanned if oid not in tables]
    return [*found, *(f"blocks {BLOCKED[mode]} of {statement.name(oid)}" for oid, mode in statement.acquired.items())]
