"""Rebuild a table: make another one, copy the rows, put the other one in its place.

SQLite alters little of a table in place. https://sqlite.org/lang_altertable.html#otheralter
"""

import re
from collections.abc import Iterable, Sequence

from multidb.database.quoting import literal
from multidb.schema.sqlite.catalog import NAME, quoted

_HEAD = re.compile(rf"^(\s*CREATE\s+TABLE\s+)({NAME})", re.IGNORECASE)


def rebuild(
    table: str, create_sql: str, copies: Sequence[tuple[str, str]], dependents: Iterable[str], *, has_sequence: bool
) -> list[str]:
    """The statements that rebuild a table.

    Args:
        table: its name.
        create_sql: its new CREATE TABLE.
        copies: the columns that keep their values, each with the expression that reads them from the old table.
        dependents: the statements of its indexes and triggers, which go with the old table.
        has_sequence: whether its AUTOINCREMENT continues where it is, so that no number is used again.
    """
    new, old = quoted(f"multidb_{table}"), quoted(table)
    columns, expressions = ", ".join(name for name, _ in copies), ", ".join(expression for _, expression in copies)
    return [
        "PRAGMA legacy_alter_table = ON",  # without it, a view of the table prevents the rename
        _HEAD.sub(lambda match: match[1] + new, create_sql, count=1),
        # OR ABORT: an ON CONFLICT of the table would leave out rows, or replace them.
        *([f"INSERT OR ABORT INTO {new} ({columns}) SELECT {expressions} FROM {old}"] if copies else []),
        *(_keep_sequence(table) if has_sequence else ()),
        f"DROP TABLE {old}",
        f"ALTER TABLE {new} RENAME TO {old}",
        "PRAGMA legacy_alter_table = OFF",
        *dependents,
    ]


def _keep_sequence(table: str) -> tuple[str, str]:
    new, old = literal(f"multidb_{table}"), literal(table)
    return (
        f"DELETE FROM sqlite_sequence WHERE name = {new}",
        f"INSERT INTO sqlite_sequence SELECT {new}, seq FROM sqlite_sequence WHERE name = {old}",
    )
