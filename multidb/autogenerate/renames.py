"""Renamed tables and columns: no schema tells whether one was renamed, or one dropped and another added.

On a terminal, each pair that looks alike is asked about; elsewhere, `-x rename=auth_db.users.email:address` decides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from alembic.operations import ops
from alembic.operations.ops import MigrateOperation

from multidb.advice.codes import Code
from multidb.autogenerate.rendering import StatementOp
from multidb.autogenerate.workspace import Piece
from multidb.errors import MigrationError
from multidb.schema import kinds
from multidb.schema.changes import Change
from multidb.schema.objects import Schema, SchemaObject

OPTION = "rename"
KINDS = ("table", "column")  # in the order in which they are renamed
# Of the columns of a table that looks like another one, at least this share is equal by name and type.
_ALIKE = 0.5

Ask = Callable[[str], bool]
"""Asks a question, and returns whether the answer is yes."""


@dataclass(frozen=True)
class Rename:
    """A table or column that gets the name of another, which is wanted."""

    old: SchemaObject
    new: SchemaObject
    table: SchemaObject  # whose name, or whose column's, it is

    @property
    def sentence(self) -> str:
        return f"{self.old.label} is renamed {self.new.own_name}"

    def pieces(self, *, is_sqlite: bool) -> tuple[Piece, Piece]:
        """What renames, and what renames back."""
        keys = frozenset({self.old.key, self.new.key})
        there, back = (
            self._operation(old, new, is_sqlite) for old, new in ((self.old, self.new), (self.new, self.old))
        )
        return Piece(keys, there, False), Piece(keys, back, False)

    def _operation(self, old: SchemaObject, new: SchemaObject, is_sqlite: bool) -> MigrateOperation:
        schema = self.table.parent[1] if self.table.parent else None
        if not isinstance(old, kinds.Column):
            return ops.RenameTableOp(old.raw_own_name, new.raw_own_name, schema=schema)
        if is_sqlite:  # which renames it in indexes, CHECKs and triggers, too; a batch does not
            table = self.table.identifier
            return StatementOp(f"ALTER TABLE {table} RENAME COLUMN {old.identifier} TO {new.identifier}")
        table = self.table.raw_own_name
        return ops.AlterColumnOp(table, old.raw_own_name, schema=schema, modify_name=new.raw_own_name)


def sequence_renames(wanted: Schema, here: Schema) -> list[tuple[Piece, Piece]]:
    """Renames of the sequences of columns that were renamed, there and back; each column has the same name by now."""
    owned = {getattr(each, "owned_by", None): each for each in here.objects.values() if each.kind == "sequence"}
    found = []
    for each in wanted.objects.values():
        old = owned.get(getattr(each, "owned_by", None)) if each.kind == "sequence" else None
        if old is not None and old.name != each.name and each.key not in here.objects:
            texts = [
                f"ALTER SEQUENCE {one.identifier} RENAME TO {other.identifier.rpartition('.')[2]}"
                for one, other in ((old, each), (each, old))
            ]
            there, back = (Piece(frozenset({old.key, each.key}), StatementOp(text), False) for text in texts)
            found.append((there, back))
    return found


@dataclass(frozen=True)
class Option:
    """An `-x rename=database.table.column:name`."""

    text: str
    database: str
    old: str
    new: str


def options(x_arguments: Sequence[str], names: Sequence[str]) -> list[Option]:
    """The `-x rename=` of a command line. MigrationError if one is none, or names no database."""
    found = []
    for argument in x_arguments:
        key, _, text = argument.partition("=")
        if key != OPTION:
            continue
        path, colon, new = text.rpartition(":")
        database, dot, old = path.partition(".")
        if not (colon and dot and old and new) or database not in names:
            raise MigrationError(
                Code.SETTING,
                f"-x {OPTION}={text} should be database.table.column:name or database.table:name, "
                f"with one of the databases {', '.join(names)}",
            )
        found.append(Option(text, database, old, new))
    return found


def candidates(changes: Sequence[Change], kind: str, wanted: Schema, here: Schema) -> list[Rename]:
    """The pairs of what goes and what comes that look alike; each is in one pair at most.

    Args:
        kind: `table` or `column`.
    """
    gone, come = _of_kind(changes, kind)
    pairs = sorted(
        ((_likeness(old, new, wanted, here), -number, old, new) for number, old in enumerate(gone) for new in come),
        key=lambda pair: pair[:2],
        reverse=True,
    )
    found: list[Rename] = []
    for likeness, _, old, new in pairs:
        if likeness >= _ALIKE and not any(old is each.old or new is each.new for each in found):
            found.append(_rename(old, new, here))
    return found


def chosen(
    changes: Sequence[Change], kind: str, here: Schema, given: Mapping[Option, str]
) -> Iterator[tuple[Option, Rename]]:
    """The renames that options give, of those that are possible.

    Args:
        kind: `table` or `column`.
        given: options, each with the name of the table or column by now.
    """
    gone, come = _of_kind(changes, kind)
    for option, name in given.items():
        for old in gone:
            for new in come:
                if name == old.name and option.new == new.own_name and _same_place(old, new):
                    yield option, _rename(old, new, here)


def _rename(old: SchemaObject, new: SchemaObject, here: Schema) -> Rename:
    is_column = isinstance(old, kinds.Column) and old.parent is not None
    return Rename(old, new, here.objects[old.parent] if is_column and old.parent else old)


def _of_kind(changes: Sequence[Change], kind: str) -> tuple[list[SchemaObject], list[SchemaObject]]:
    gone = [each.old for each in changes if each.old and not each.new and each.key[0] == kind]
    come = [each.new for each in changes if each.new and not each.old and each.key[0] == kind]
    return gone, come


def _same_place(old: SchemaObject, new: SchemaObject) -> bool:
    return old.parent == new.parent


def _likeness(old: SchemaObject, new: SchemaObject, wanted: Schema, here: Schema) -> float:
    """From 0 to 1."""
    if not _same_place(old, new):
        return 0.0
    if isinstance(old, kinds.Column) and isinstance(new, kinds.Column):
        if old.type != new.type or bool(old.generated) != bool(new.generated):
            return 0.0
        return 1.0 if old == new else 0.75
    before, after = (
        {(each.own_name, each.type) for each in schema.of_kind(kinds.Column, table.key)}
        for schema, table in ((here, old), (wanted, new))
    )
    return len(before & after) / max(len(before), len(after), 1)
