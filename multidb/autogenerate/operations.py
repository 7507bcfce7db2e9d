"""Alembic's operations for the changes of a revision, by the objects that they change.

Which objects differ is decided by the two schemas. Alembic's comparators only find the operations: those for an object
that does not differ are left out, and what no operation is for is written as DDL.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from alembic.operations import ops
from alembic.operations.ops import MigrateOperation
from sqlalchemy import Column as ModelColumn
from sqlalchemy import ForeignKeyConstraint, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from multidb.database import journal
from multidb.schema import kinds
from multidb.schema.changes import Change
from multidb.schema.difference import Stage
from multidb.schema.objects import Key, Schema, SchemaObject, Sides

PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]
# The attributes that Alembic's alter_column() changes as they are.
_ALTERABLE = {"type", "not_null", "default"}
# The constraints that Alembic drops and creates: as the catalogs call them, and as it does.
_CONSTRAINTS = {"c": "check", "u": "unique", "f": "foreignkey"}
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
Rank = tuple[int, int]


@dataclass(frozen=True)
class Operation:
    """An operation of Alembic's, and the objects that it creates, changes or drops."""

    keys: frozenset[Key]
    operation: MigrateOperation
    rank: Rank | None = None  # None: that of the change

    @property
    def table(self) -> str | None:
        each = self.operation
        return getattr(each, "table_name", None) or getattr(each, "source_table", None)

    @property
    def is_last(self) -> bool:
        """Whether the change of an object ends with it."""
        return isinstance(self.operation, ops.DropTableOp | ops.DropColumnOp)


@dataclass(frozen=True)
class Names:
    """The keys of the objects of two schemas, by the names that Alembic has for them."""

    one: Schema
    other: Schema

    @cached_property
    def _keys(self) -> Mapping[tuple[str, str | None, str, str], Key]:
        objects = {**self.one.objects, **self.other.objects}
        found = {}
        for each in objects.values():
            table = each if each.kind == "table" else objects.get(each.parent) if each.parent else None
            if table is not None and table.kind == "table":
                schema = table.parent[1] if table.parent else None
                own = "" if table is each else each.raw_own_name
                found[each.kind, schema, table.raw_own_name, own] = each.key
        return found

    def key(self, kind: str, schema: str | None, table: str, name: str = "") -> Key | None:
        schema = None if schema == self.one.default_schema else schema
        return self._keys.get((kind, schema, table, name))

    @property
    def schemas(self) -> set[str]:
        return {name for side in (self.one, self.other) for kind, name in side.objects if kind == "schema"}

    def column(self, schema: Schema, column: ModelColumn[Any]) -> kinds.Column | None:
        """The object of a column of the models in one of the schemas."""
        key = self.key("column", column.table.schema, column.table.name, column.name)
        found = schema.objects.get(key) if key else None
        return found if isinstance(found, kinds.Column) else None


def options(names: Names) -> dict[str, Any]:
    """Options of `configure` by which Alembic compares what the schemas have."""

    def include_name(name: str | None, kind: str, parents: MutableMapping[str, str | None]) -> bool:
        if kind == "schema":
            return name is None or name in names.schemas
        if kind == "table" and name is not None:
            return name != journal.NAME and names.key("table", parents["schema_name"], name) is not None
        return True

    def include_object(item: Any, name: str | None, kind: str, _is_live: bool, _other: object) -> bool:
        return kind != "table" or names.key("table", item.schema, name or "") is not None

    def compare_type(_context: object, _live: object, model: ModelColumn[Any], *_types: object) -> bool | None:
        sides = [names.column(schema, model) for schema in (names.one, names.other)]
        if None in sides:
            return None
        first, second = ((side.type, side.collation) for side in sides if side)
        return first != second

    return {
        "autogenerate_plugins": PLUGINS,
        "include_schemas": True,
        "include_name": include_name,
        "include_object": include_object,
        "compare_type": compare_type,
    }


def has_other_default(names: Names) -> Callable[[ModelColumn[Any]], bool | None]:
    """A function that says whether a column's default differs; None for a column that only one of the schemas has."""

    def differs(model: ModelColumn[Any]) -> bool | None:
        sides = [names.column(schema, model) for schema in (names.one, names.other)]
        return None if None in sides else len({side.default for side in sides if side}) > 1

    return differs


def operations_for(
    changes: Iterable[Change],
    found: ops.OpContainer,
    names: Names,
    sides: Sides,
    models: MetaData | None = None,
) -> list[Operation]:
    """Alembic's operations for these changes; those that Alembic finds for other objects are left out.

    Args:
        found: what Alembic's comparators found.
        sides: the schemas that the changes lead to, and from.
        models: those that the changes lead to, if they do.
    """
    by_key = {change.key: change for change in changes if not change.is_rename}  # Alembic would drop and create
    flat = [
        Operation(frozenset(keys), each)
        for each in _flat(found)
        for keys in [_keys(each, names, by_key, sides)]
        if keys
    ]
    kept = [each for each in flat if each.keys & by_key.keys() and _is_fitting(each, by_key, sides)]
    if sides.live.dialect == "sqlite":
        return kept
    parts = [part for each in kept for part in _parts(each, sides, names)]
    known = {key for each in parts for key in each.keys}
    left = [change for key, change in by_key.items() if key not in known and change.old and change.new]
    return parts + ([each for change in left for each in _from_models(change, models)] if models else [])


def _from_models(change: Change, models: MetaData) -> list[Operation]:
    """The operations for a constraint or index of which Alembic compares only the name."""
    new, preparer = change.new, _DIALECT.identifier_preparer
    table = next((each for each in models.tables.values() if _is_on(new, each)), None)
    if table is None:
        return []
    drop: MigrateOperation
    create: MigrateOperation
    if isinstance(new, kinds.Index):
        index = next((each for each in table.indexes if preparer.format_index(each) == _own_identifier(new)), None)
        if index is None:
            return []
        drop = ops.DropIndexOp(str(index.name), table.name, schema=table.schema)
        create = ops.CreateIndexOp.from_index(index)
    else:
        type_ = _CONSTRAINTS.get(getattr(new, "type", ""))
        named = (each for each in table.constraints if preparer.format_constraint(each) == _own_identifier(new))
        constraint = next(named, None)
        if type_ is None or constraint is None:
            return []
        drop = ops.DropConstraintOp(str(constraint.name), table.name, type_, schema=table.schema)
        create = ops.AddConstraintOp.from_constraint(constraint)
    return [Operation(frozenset({change.key}), each) for each in (drop, create)]


def _is_on(each: SchemaObject | None, table: Table) -> bool:
    return each is not None and each.table == _DIALECT.identifier_preparer.format_table(table)


def _own_identifier(each: SchemaObject | None) -> str:
    return str(getattr(each, "own_identifier", getattr(each, "identifier", "")))


def _flat(container: ops.OpContainer) -> Iterator[MigrateOperation]:
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            yield from _flat(each)
        else:
            yield each


def _keys(each: Any, names: Names, changes: Mapping[Key, Change], sides: Sides) -> set[Key]:
    """The objects that an operation concerns."""
    table = str(getattr(each, "table_name", None) or getattr(each, "source_table", ""))
    schema = getattr(each, "schema", None)
    of_table = names.key("table", schema, table)
    match each:
        case ops.CreateTableOp():
            return _with_inside(of_table, sides)
        case ops.DropTableOp():
            return _with_inside(of_table, sides) - (changes.keys() - _key(of_table))
        case ops.AddColumnOp():
            return _key(names.key("column", schema, table, each.column.name))
        case ops.DropColumnOp():
            return _key(names.key("column", schema, table, each.column_name))
        case ops.AlterColumnOp():
            key = names.key("column", schema, table, each.column_name)
            return _key(key) | (
                {("comment", f"column {key[1]}")} if key and each.modify_comment is not False else set()
            )
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            return {("comment", f"table {of_table[1]}")} if of_table else set()
        case ops.CreateIndexOp() | ops.DropIndexOp():
            return _key(names.key("index", schema, table, str(each.index_name)))
    if sides.live.dialect == "sqlite":  # which does not tell the names of constraints
        return {key for key, change in changes.items() if key[0] == "constraint" and _is_of(change, of_table)}
    schema = getattr(each, "source_schema", None) or getattr(each, "kw", {}).get("source_schema") or schema
    name = getattr(each, "constraint_name", None)
    return _key(names.key("constraint", schema, table, str(name))) if name else set()


def _is_of(change: Change, table: Key | None) -> bool:
    each = change.new or change.old
    return each is not None and each.parent == table


def _key(key: Key | None) -> set[Key]:
    return {key} if key else set()


def _with_inside(table: Key | None, sides: Sides) -> set[Key]:
    """A table and all in it but the indexes, which have operations of their own."""
    if table is None:
        return set()
    schema = sides.wanted if table in sides.wanted.objects else sides.live
    inside = schema.dependents(table)
    indexes = {each.key for each in inside if isinstance(each, kinds.Index)}
    return {table, *(each.key for each in inside if each.key not in indexes and each.parent not in indexes)}


def _is_fitting(each: Operation, changes: Mapping[Key, Change], sides: Sides) -> bool:
    """Whether an operation does all that its change takes, on tables with rows, too."""
    operation = each.operation
    if not isinstance(operation, ops.AlterColumnOp) or sides.live.dialect == "sqlite":
        return True
    operation.kw.pop("autoincrement", None)  # is for MySQL, and a warning here
    for change in (changes[key] for key in each.keys & changes.keys() if key[0] == "column"):
        stages = {statement.rank[0] for statement in change.statements}
        is_changed = change.old is not None and change.new is not None
        if not is_changed or stages != {Stage.COLUMN} or not set(change.attributes) <= _ALTERABLE:
            return False
    return True


def _parts(each: Operation, sides: Sides, names: Names) -> Iterator[Operation]:
    """An operation; of a new table, the foreign keys to tables that are created after it are added later."""
    operation = each.operation
    if not isinstance(operation, ops.CreateTableOp):
        yield each
        return
    key = names.key("table", operation.schema, operation.table_name)
    table = sides.wanted.objects[key] if key else None
    later = [
        item
        for item in operation.columns
        if isinstance(item, ForeignKeyConstraint) and table and _is_created_after(item, table, names, sides)
    ]
    if not later:
        yield each
        return
    operation.columns = [item for item in operation.columns if not any(item is each for each in later)]
    yield each
    for item in later:
        yield Operation(
            each.keys, ops.AddConstraintOp.from_constraint(item), (Stage.DEPENDENT, table.oid if table else 0)
        )


def _is_created_after(key: ForeignKeyConstraint, table: SchemaObject, names: Names, sides: Sides) -> bool:
    schema, _, name = key.elements[0].target_fullname.rpartition(".")[0].rpartition(".")
    referred = names.key("table", schema or None, name)
    other = sides.wanted.objects.get(referred) if referred else None
    return other is not None and other.oid > table.oid and referred not in sides.live.objects


def grouped(operations: Collection[MigrateOperation]) -> list[MigrateOperation]:
    """Operations on one table, for SQLite, where they are run as one batch."""
    found: dict[tuple[str | None, str], ops.ModifyTableOps] = {}
    result: list[MigrateOperation] = []
    for each in operations:
        table = getattr(each, "table_name", None) or getattr(each, "source_table", None)
        if table is None or isinstance(each, ops.CreateTableOp | ops.DropTableOp | ops.RenameTableOp):
            result.append(each)
            continue
        place = getattr(each, "schema", None), table
        if place not in found:
            found[place] = ops.ModifyTableOps(table, [], schema=place[0])
            result.append(found[place])
        found[place].ops.append(each)
    return result
