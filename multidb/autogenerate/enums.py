"""PostgreSQL enum types in revisions, as plain SQL.

alembic-postgresql-enum finds the differences. Its own operations would need the package at every upgrade, and add a new
value at the wrong position.
"""

from collections.abc import Sequence

from alembic.operations.ops import ExecuteSQLOp, MigrateOperation, OpContainer
from alembic_postgresql_enum import ColumnType
from alembic_postgresql_enum.operations.add_enum_values import AddEnumValuesOp
from alembic_postgresql_enum.operations.sync_enum_values import SyncEnumValuesOp
from sqlalchemy.engine import Dialect

from multidb.schema.postgresql.enum import add_values, create_type
from multidb.schema.postgresql.replaceable import ColumnOfType, replace_type


def in_plain_sql(container: OpContainer, dialect: Dialect) -> None:
    """Replace the plugin's operations in place; the dialect quotes names, and knows the schema that needs no name."""
    container.ops = [plain for operation in container.ops for plain in _plain(operation, dialect)]


def _plain(operation: MigrateOperation, dialect: Dialect) -> Sequence[MigrateOperation]:
    if isinstance(operation, AddEnumValuesOp):
        name = _qualified(operation.schema, operation.name, dialect)
        return [ExecuteSQLOp(text) for text in add_values(name, operation.old_values, operation.new_values)]
    if isinstance(operation, SyncEnumValuesOp):
        return [ExecuteSQLOp(text) for text in _replace_type(operation, dialect)]
    return [operation]


def _replace_type(operation: SyncEnumValuesOp, dialect: Dialect) -> list[str]:
    """PostgreSQL can't remove or reorder values: the type is replaced. A row with a removed value makes that fail."""
    quote = dialect.identifier_preparer.quote
    name, old = (_qualified(operation.schema, each, dialect) for each in (operation.name, f"{operation.name}_old"))
    columns = [
        ColumnOfType(
            _qualified(reference.table_schema, reference.table_name, dialect),
            quote(reference.column_name),
            "[]" if reference.column_type is ColumnType.ARRAY else "",
            reference.existing_server_default,
            reference.existing_server_default,
        )
        for reference in operation.affected_columns
    ]
    return [
        *(f"DROP INDEX {quote(index.name)}" for index in operation.indexes_to_recreate),
        *replace_type(name, (quote(f"{operation.name}_old"), old), create_type(name, operation.new_values), columns),
        *(index.definition for index in operation.indexes_to_recreate),
    ]


def _qualified(schema: str | None, name: str, dialect: Dialect) -> str:
    quote = dialect.identifier_preparer.quote
    return quote(name) if schema in (None, dialect.default_schema_name) else f"{quote(schema)}.{quote(name)}"
