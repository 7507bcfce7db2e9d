"""SQLite's batch mode: `batch_alter_table()` alters what its operations name, and leaves everything else as it is.

Alembic would describe the table by what SQLAlchemy's reflection sees, and rebuild it from that. Here, each operation
edits the table's own CREATE TABLE: `multidb/schema/sqlite/alteration.py`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    event,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from multidb.advice.codes import Code
from multidb.errors import MigrationError, current_revision_line
from multidb.logs import log
from multidb.planning.alembic_internals import Batch, batches_applied_by, is_type_bound
from multidb.schema.sqlite.alteration import Alteration, rename_columns
from multidb.schema.sqlite.catalog import NAME, folded, quoted, unquoted
from multidb.schema.sqlite.definition import ConstraintDefinition
from multidb.schema.sqlite.uses import LostUses, Uses

_IS_THERE = "SELECT 1 FROM sqlite_master WHERE type IN ('index', 'trigger') AND name = ? COLLATE NOCASE"
_CREATE = re.compile(rf"\s*CREATE\s+(?:UNIQUE\s+)?(INDEX|TRIGGER)\s+({NAME})", re.IGNORECASE)


@contextmanager
def batch_mode(*, is_script: bool = False) -> Iterator[None]:
    """Let the batches of revisions that run on SQLite edit their tables.

    Args:
        is_script: whether the statements are recorded for another database.

    Raises:
        MigrationError: at the end, something has stopped working because of a batch, and nothing has replaced it.
    """
    batches = _Batches(is_script)
    with batches_applied_by("sqlite", batches.apply):
        try:
            yield
            batches.check()
        finally:
            batches.end()


class _Batches:
    """The batches of a run in one database."""

    def __init__(self, is_script: bool) -> None:
        self._is_script = is_script
        self._connection: Connection | None = None
        self._lost: LostUses | None = None
        self._kept: set[str] = set()  # indexes and triggers of tables that were altered, in lower case

    def apply(self, batch: Batch) -> None:
        """Alter a table as a batch asks for.

        Raises:
            MigrationError: an operation can't be carried out, or something would be lost that no operation names.
        """
        connection = batch.impl.connection
        assert connection is not None
        if batch.schema not in (None, "main"):
            raise MigrationError(
                Code.BATCH,
                f"{batch.schema}.{batch.table} is in an attached file: batch mode alters only tables of the database",
            )
        if self._connection is None:
            self._connection, self._lost = connection, LostUses(connection, Uses.read(connection))
            event.listen(connection, "before_cursor_execute", self._replace_kept)
        assert self._lost is not None
        with _all_or_nothing(connection):
            before, alteration = self._alter(batch, connection)
        place = current_revision_line()
        self._lost.note(f"{place}: " if place else "", before, alteration.table, alteration.dropped)

    def _alter(self, batch: Batch, connection: Connection) -> tuple[Uses, Alteration]:
        """Alter the table. Returns the uses of all tables before, when columns had their new names already."""
        names = {args[1]: kw["name"] for name, args, kw in batch.operations if name == "alter_column" and kw["name"]}
        aliases = rename_columns(connection, batch.table, names)
        before, alteration = Uses.read(connection), Alteration(connection, batch.table, aliases)
        operations = _Operations(batch, alteration)
        for name, args, kw in batch.operations:
            operations.apply(name, args, kw)
        operations.add_table_arguments()
        self._kept -= alteration.dependents
        alteration.finish(always=batch.always, is_script=self._is_script)
        self._kept |= alteration.dependents
        for index, options in operations.new_indexes:
            alteration.use_present_names(index.table)
            batch.impl.create_index(index, **options)
        return before, alteration

    def check(self) -> None:
        if self._lost is not None:
            self._lost.check()

    def end(self) -> None:
        if self._connection is not None:
            event.remove(self._connection, "before_cursor_execute", self._replace_kept)

    def _replace_kept(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        """Drop an index or a trigger that a batch has kept, and that the revision is about to create.

        Revisions that were written for Alembic's batch mode do so, which loses triggers and indexes of expressions.
        """
        match = _CREATE.match(statement)
        name = unquoted(match[2]) if match else ""
        if not match or folded(name) not in self._kept:
            return
        self._kept.remove(folded(name))
        if connection.exec_driver_sql(_IS_THERE, (name,)).first():  # not dropped since, itself or with its table
            log.info("%s %s is replaced, which the batch had kept", match[1].lower(), name)
            connection.exec_driver_sql(f"DROP {match[1]} {quoted(name)}")


@contextmanager
def _all_or_nothing(connection: Connection) -> Iterator[None]:
    """Undo all of it if a part fails: a revision may catch the error, or run outside a transaction."""
    connection.exec_driver_sql("SAVEPOINT multidb_batch")
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):  # SQLite itself rolls back after some errors
            connection.exec_driver_sql("ROLLBACK TO multidb_batch")
            connection.exec_driver_sql("RELEASE multidb_batch")
        connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
        raise
    connection.exec_driver_sql("RELEASE multidb_batch")


class _Operations:
    """Alembic's operations, as calls of an Alteration."""

    def __init__(self, batch: Batch, alteration: Alteration) -> None:
        self._batch, self._alteration = batch, alteration
        self.new_indexes: list[tuple[Index, dict[str, Any]]] = []

    def apply(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        match name:
            case "alter_column":
                self._alteration.alter_column(args[1], **_changes(options))
            case "add_column":
                self._add_column(args[1], options)
            case "drop_column":
                self._drop_column(args[1].name, if_exists=bool(options.get("if_exists")))
            case "add_constraint":
                self._alteration.add_constraint(args[0])
            case "drop_constraint":
                self._drop_constraint(args[0])
            case "create_index":
                self.new_indexes.append((args[0], options))
            case "drop_index":
                self._drop_index(args[0].name, if_exists=bool(options.get("if_exists")))
            # What is left are comments, which SQLite does not have.

    def add_table_arguments(self) -> None:
        """Add what the table is to have beside what the operations give it; a constraint that it has is one."""
        alteration, options = self._alteration, self._batch.options
        for each in self._batch.additions:
            if isinstance(each, Column):
                Table(alteration.table, MetaData(), each)
                alteration.add_column(each)
            elif isinstance(each, Constraint):
                _bind(each, alteration)
                alteration.add_constraint(each, once=True)
            else:
                raise MigrationError(
                    Code.BATCH, f"table_args can't have a {type(each).__name__}: write an operation of the batch"
                )
        if "sqlite_with_rowid" in options:
            alteration.set_option("WITHOUT ROWID", wanted=not options["sqlite_with_rowid"])
        if "sqlite_strict" in options:
            alteration.set_option("STRICT", wanted=options["sqlite_strict"])
        if "sqlite_autoincrement" in options:
            alteration.set_autoincrement(wanted=options["sqlite_autoincrement"])
        if self._batch.orders:
            alteration.reorder_columns(self._batch.orders)

    def _add_column(self, column: "Column[Any]", options: dict[str, Any]) -> None:
        if options.get("if_not_exists") and self._alteration.has_column(column.name):
            return
        self._alteration.add_column(column, options.get("insert_before"), options.get("insert_after"))
        if options.get("inline_references"):
            for constraint in column.table.foreign_key_constraints:
                self._alteration.add_constraint(constraint)

    def _drop_column(self, name: str, *, if_exists: bool) -> None:
        if not if_exists or self._alteration.has_column(name):
            self._alteration.drop_column(name)

    def _drop_index(self, name: str, *, if_exists: bool) -> None:
        if not self._alteration.drop_index(name) and not if_exists:
            raise MigrationError(Code.BATCH, f"{self._alteration.table} has no index {name}")

    def _drop_constraint(self, constraint: Constraint) -> None:
        name = constraint.name if isinstance(constraint.name, str) else None
        if is_type_bound(constraint):  # the CHECK of a type that is replaced; there may be none
            self._alteration.use_present_names(constraint.table)
            self._alteration.drop_constraint(name, self._alteration.definition_of(constraint))
        elif not self._alteration.drop_constraint(name) and not self._drop_unnamed(name or ""):
            raise MigrationError(Code.BATCH, f"{self._alteration.table} has no constraint {name}")

    def _drop_unnamed(self, name: str) -> bool:
        """Drop the constraint without a name that the revision gives this name."""
        definition = _names_of_unnamed(self._batch, self._alteration).get(name)
        return definition is not None and self._alteration.drop_constraint(None, definition)


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """What an `alter_column()` changes, as an Alteration has it."""
    found: dict[str, Any] = {}
    if options["type_"] is not None:
        found["type"] = options["type_"]
    if options["nullable"] is not None:
        found["not_null"] = not options["nullable"]
    if options["server_default"] is not False:
        found["default"] = options["server_default"]
    return found


def _names_of_unnamed(batch: Batch, alteration: Alteration) -> dict[str, ConstraintDefinition]:
    """The constraints without a name, by the names that the revision has for them."""
    found = {}
    if batch.naming_convention:
        for definition in alteration.unnamed:
            name = _conventional_name(definition, alteration, batch.naming_convention)
            if name is not None:
                found[name] = definition
    for each in batch.described:
        if isinstance(each, Constraint) and isinstance(each.name, str):
            _bind(each, alteration)
            definition_of = alteration.definition_of(each)
            if definition_of is not None:
                found[each.name] = definition_of
    return found


def _conventional_name(
    definition: ConstraintDefinition, alteration: Alteration, convention: Mapping[str, str]
) -> str | None:
    """The name of a constraint under a naming convention; None if the convention has none for it."""
    table = Table(alteration.table, MetaData(naming_convention=convention), *map(Column, alteration.columns))
    constraint: Constraint
    match definition.text.split()[0]:
        case "PRIMARY":
            constraint = PrimaryKeyConstraint(*definition.columns)
        case "UNIQUE":
            constraint = UniqueConstraint(*definition.columns)
        case "FOREIGN":
            parents = [f"{definition.parent}.{name}" for name in definition.columns]
            constraint = ForeignKeyConstraint(definition.columns, parents)
        case _:
            constraint = CheckConstraint(definition.text.removeprefix("CHECK (")[:-1])
    with suppress(InvalidRequestError):  # a convention with the constraint's own name, which it lacks
        table.append_constraint(constraint)
    return constraint.name if isinstance(constraint.name, str) else None


def _bind(constraint: Constraint, alteration: Alteration) -> None:
    """Let a constraint be of a table, if it is of none yet, and have the table that it refers to."""
    if getattr(constraint, "parent", None) is None:
        Table(alteration.table, MetaData(), *map(Column, alteration.columns), constraint)
    if isinstance(constraint, ForeignKeyConstraint):
        for element in constraint.elements:
            parent, column = element.target_fullname.split(".")[-2:]
            table = constraint.table.metadata.tables.get(parent)
            if table is None:
                Table(parent, constraint.table.metadata, Column(column))
            elif column not in table.columns:
                table.append_column(Column(column))
