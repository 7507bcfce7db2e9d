"""What revision files have in place of what Alembic can't write: SQL statements, and types that are none of its own."""

from typing import Any

from alembic.autogenerate import renderers
from alembic.operations.ops import ExecuteSQLOp, RenameTableOp
from sqlalchemy import Enum, TypeDecorator
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.types import TypeEngine

from multidb.autogenerate.expressions import for_text
from multidb.planning import alembic_internals


class StatementOp(ExecuteSQLOp):
    """A statement of DDL, as `op.execute()`."""


@renderers.dispatch_for(StatementOp)
def _render_statement(autogen_context: Any, operation: StatementOp) -> str:
    prefix = autogen_context.opts["alembic_module_prefix"] or ""
    return f"{prefix}execute({literal_of(for_text(str(operation.sqltext)))})"


@renderers.dispatch_for(RenameTableOp)
def _render_rename(autogen_context: Any, operation: RenameTableOp) -> str:
    prefix = autogen_context.opts["alembic_module_prefix"] or ""
    schema = f", schema={operation.schema!r}" if operation.schema else ""
    return f"{prefix}rename_table({operation.table_name!r}, {operation.new_table_name!r}{schema})"


def literal_of(text: str) -> str:
    """A Python literal; of a text of several lines, one for each: Alembic indents the lines of a file."""
    lines = text.splitlines(keepends=True) or [""]
    if len(lines) == 1:
        return _literal_of_line(text)
    return "\n" + "\n".join(f"    {line!r}" for line in lines) + "\n"


def _literal_of_line(text: str) -> str:
    """A raw literal where there are backslashes, so that it reads like the SQL."""
    quote = next((each for each in ("'", '"', '"""') if each not in text and not text.endswith(each[0])), None)
    if "\\" not in text or text.endswith("\\") or quote is None or not text.isprintable():
        return repr(text)
    return f"r{quote}{text}{quote}"


def render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """What a revision has in place of a type, or False for Alembic's own text; to be `render_item` of `configure`."""
    if kind != "type" or not isinstance(item, TypeEngine):
        return False
    module = type(item).__module__
    if isinstance(item, TypeDecorator) and not module.startswith("sqlalchemy."):
        return alembic_internals.rendered_type(item.load_dialect_impl(autogen_context.dialect), autogen_context)
    if autogen_context.dialect.name == "postgresql":
        return _rendered_on_postgresql(item, module, autogen_context)
    return False


def _rendered_on_postgresql(item: Any, module: str, autogen_context: Any) -> str | bool:
    if module.startswith("geoalchemy2."):
        autogen_context.imports.add(f"from geoalchemy2 import {type(item).__name__}")
        # The column alone: an index is written by itself.
        options = [f"{item.geometry_type!r}, srid={item.srid}"] if item.geometry_type else []
        options += [f"dimension={item.dimension}"] if item.dimension not in (None, 2) else []
        return f"{type(item).__name__}({', '.join([*options, 'spatial_index=False'])})"
    if isinstance(item, DOMAIN):  # which is made in front of the tables
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        base = alembic_internals.rendered_type(item.data_type, autogen_context)
        return f"postgresql.DOMAIN({item.name!r}, {base}{_schema(item)}, create_type=False)"
    if isinstance(item, Enum) and item.native_enum and item.name:
        values = ", ".join(map(repr, item.enums))
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return f"postgresql.ENUM({values}, name={str(item.name)!r}{_schema(item)}, create_type=False)"
    return False


def _schema(item: Any) -> str:
    return f", schema={str(item.schema)!r}" if item.schema else ""
