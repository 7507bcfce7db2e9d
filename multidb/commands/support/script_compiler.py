"""The SQL of scripts for psql: every value as the driver would send it, and every text as it is written.

Alembic compiles a statement for a script with its values in it. SQLAlchemy has no literals for half of PostgreSQL's
types, and Alembic writes spaces for tabs, and a semicolon behind a comment that ends a statement.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2.extensions import adapt
from sqlalchemy import ARRAY, Dialect
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDDLCompiler
from sqlalchemy.exc import CompileError
from sqlalchemy.types import TypeEngine

from multidb.database.quoting import ends_in_comment, literal

# Of these SQLAlchemy writes another value than the driver.
_NOT_BY_SQLALCHEMY = (bytes, bytearray, memoryview, timedelta)
# Characters of Unicode's private use, in the place of those that Alembic replaces or strips.
_TAB, _LINE_END = "\ue009", "\ue00a"


def compile_for_script(dialect: Dialect) -> None:
    """Let a dialect of PostgreSQL compile statements for a script; `finished` has to be called for its text."""
    dialect.statement_compiler = _ScriptCompiler
    dialect.ddl_compiler = _ScriptDDLCompiler


def finished(script: str) -> str:
    """A script with the characters that Alembic would have replaced or stripped."""
    return script.replace(_TAB, "\t").replace(_LINE_END, "\n")


def _kept(text: str) -> str:
    """A statement whose tabs Alembic keeps, and whose last comment ends before a semicolon."""
    text = text.strip().replace("\t", _TAB)
    return f"{text}{_LINE_END}" if ends_in_comment(text) else text


class _ScriptCompiler(PGCompiler):
    def __str__(self) -> str:
        return _kept(super().__str__())

    def render_literal_bindparam(self, bindparam: Any, *arguments: Any, **options: Any) -> Any:
        if bindparam.value is None and bindparam.type.should_evaluate_none:  # JSON's null, not SQL's
            return self.render_literal_value(None, bindparam.type)
        return super().render_literal_bindparam(bindparam, *arguments, **options)  # type: ignore[no-untyped-call] # in SQLAlchemy

    def render_literal_value(self, value: Any, type_: TypeEngine[Any]) -> str:
        if isinstance(type_, ARRAY) and isinstance(value, (list, tuple)):
            return self._cast(self._array(value, type_), type_)
        if isinstance(value, _NOT_BY_SQLALCHEMY):
            return self._as_the_driver_sends_it(value, type_)
        try:
            return str(super().render_literal_value(value, type_))  # type: ignore[no-untyped-call] # in SQLAlchemy
        except (CompileError, NotImplementedError):
            return self._as_the_driver_sends_it(value, type_)

    def _array(self, values: Sequence[Any], type_: ARRAY[Any]) -> str:
        parts = (
            self._array(each, type_)
            if isinstance(each, (list, tuple))
            else self.render_literal_value(each, type_.item_type)
            for each in values
        )
        return f"ARRAY[{', '.join(parts)}]"

    def _as_the_driver_sends_it(self, value: Any, type_: TypeEngine[Any]) -> str:
        processor = type_.dialect_impl(self.dialect).bind_processor(self.dialect)
        if processor is None and isinstance(value, dict):  # hstore, which the driver adapts once it knows its oid
            processor = type_.bind_processor(self.dialect)
        return self._cast(_literal(value if processor is None else processor(value)), type_)

    def _cast(self, text: str, type_: TypeEngine[Any]) -> str:
        return f"CAST({text} AS {self.dialect.type_compiler_instance.process(type_)})"


class _ScriptDDLCompiler(PGDDLCompiler):
    def __str__(self) -> str:
        return _kept(super().__str__())


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, psycopg2.extensions.Binary):
        value = value.adapted
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"'\\x{bytes(value).hex()}'"
    if isinstance(value, str):
        return literal(value)
    try:
        return str(adapt(value).getquoted(), "utf-8")
    except psycopg2.ProgrammingError as error:
        raise CompileError(f"a value of the type {type(value).__name__} can't be written into a script") from error
