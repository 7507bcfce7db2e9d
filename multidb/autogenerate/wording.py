"""The differences between a database and its models, as sentences."""

from typing import Any

from alembic.operations.ops import UpgradeOps
from sqlalchemy import CheckConstraint, Column, Constraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.engine import Dialect


def sentences(operations: UpgradeOps, dialect: Dialect) -> list[str]:
    """Describe each difference from the database's side: missing, extra, or different from the models."""
    groups = operations.as_diffs()  # the changes of one column are in a list of their own
    return [sentence(each, dialect) for group in groups for each in (group if isinstance(group, list) else [group])]


def sentence(difference: tuple[Any, ...], dialect: Dialect) -> str:  # noqa: C901 - a case per kind of difference
    """One of Alembic's diff tuples in words.

    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#alembic.autogenerate.compare_metadata
    """
    match difference:
        case ("add_table", table):
            return f"table {table.name} is missing"
        case ("remove_table", table):
            return f"table {table.name} is in no model"
        case ("add_column", _, table, column):
            return f"column {table}.{column.name} is missing: {_declared(column, dialect)}"
        case ("remove_column", _, table, column):
            return f"column {table}.{column.name} is in no model"
        case ("modify_type", _, table, column, _, here, model):
            return f"column {table}.{column} is {here.compile(dialect)}, the model says {model.compile(dialect)}"
        case ("modify_nullable", _, table, column, _, here, _):
            return f"column {table}.{column} {_null(here)}, the model says it {_null(not here)}"
        case ("modify_default", _, table, column, _, here, model):
            return f"column {table}.{column} has {_default(here)}, the model says {_default(model)}"
        case ("modify_comment", _, table, column, _, here, model):
            return f"column {table}.{column} has the comment {here!r}, the model says {model!r}"
        case (("add_index" | "add_constraint" | "add_fk"), item):
            return f"{_described(item)} is missing"
        case (("remove_index" | "remove_constraint" | "remove_fk"), item):
            return f"{_described(item)} is in no model"
        case ("create_enum", name, _, values):
            return f"enum type {name} is missing: {', '.join(values)}"
        case ("drop_enum", name, _, _):
            return f"enum type {name} is in no model"
        case (("add_enum_value" | "change_enum_variants"), here, model, columns):
            where = ", ".join(f"{each.table_name}.{each.column_name}" for each in columns)
            return f"enum of {where} has {', '.join(here)}, the model says {', '.join(model)}"
    return " ".join(str(part) for part in difference)


def _declared(column: Column[Any], dialect: Dialect) -> str:
    return f"{column.type.compile(dialect)}{'' if column.nullable else ' NOT NULL'}"


def _null(nullable: bool) -> str:
    return "allows NULL" if nullable else "is NOT NULL"


def _default(default: Any) -> str:
    return "no default" if default is None else f"default {getattr(default, 'arg', default)}"


def _described(item: Index | Constraint) -> str:
    kinds: dict[type, str] = {
        Index: "index",
        UniqueConstraint: "unique constraint",
        ForeignKeyConstraint: "foreign key",
        CheckConstraint: "CHECK",
    }
    kind = next((name for type_, name in kinds.items() if isinstance(item, type_)), "constraint")
    table = item.table.name if item.table is not None else "?"
    return f"{kind} {item.name} of {table}"
