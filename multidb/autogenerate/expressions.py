"""SQL texts in revision files: what SQLAlchemy's `text()` makes of them is what the models say."""

import re

from sqlalchemy.engine import Dialect

# A colon that begins a bind parameter of text(), and one whose backslash text() would take as an escape.
_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))|(?<=\\):(?=\w*(?![:\w]))")


def for_text(sql: str) -> str:
    """The argument of `text()`, and of `op.execute()`, that makes this SQL."""
    return _BIND.sub(r"\\:", sql)


def as_in_models(dialect: Dialect, compiled: str, *, has_binds: bool) -> str:
    """An expression as the models have it: Alembic compiles it for a driver, and writes it without escapes.

    Args:
        has_binds: whether the revision has the expression in a `text()`.
    """
    if dialect.paramstyle in ("format", "pyformat"):
        compiled = compiled.replace("%%", "%")
    return for_text(compiled) if has_binds else compiled
