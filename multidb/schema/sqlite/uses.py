"""What uses a table: views, triggers and foreign keys that stop working when something of it is lost.

SQLite notices that when they are used next. EXPLAIN compiles a statement without running it, so it notices at once.
"""

from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from multidb.errors import first_line
from multidb.schema.sqlite.catalog import quoted

_OBJECTS = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'"
_COLUMNS = """
    SELECT t.name, c.name FROM sqlite_master t, pragma_table_xinfo(t.name) c
    WHERE c.hidden = 0 AND t.name IN (SELECT tbl_name FROM sqlite_master WHERE type = 'trigger')
"""


def failures(connection: Connection) -> dict[str, str]:
    """The uses of tables that do not compile, each with SQLite's reason."""
    found = {}
    for use, statement in _statements(connection):
        try:
            connection.exec_driver_sql(f"EXPLAIN {statement}").close()
        except DBAPIError as error:
            found[use] = first_line(str(error.orig))
    return found


def _statements(connection: Connection) -> Iterator[tuple[str, str]]:
    for kind, name in _rows(connection, _OBJECTS):
        if kind == "view":
            yield f"view {name}", f"SELECT * FROM {quoted(name)}"
        else:
            yield f"a foreign key of {name}", f"PRAGMA foreign_key_check({quoted(name)})"
    columns: dict[str, list[str]] = {}
    for table, column in _rows(connection, _COLUMNS):
        columns.setdefault(table, []).append(quoted(column))
    for table, names in columns.items():
        yield f"a trigger of {table} on INSERT", f"INSERT INTO {quoted(table)} DEFAULT VALUES"
        values = ", ".join(f"{name} = {name}" for name in names)
        yield f"a trigger of {table} on UPDATE", f"UPDATE {quoted(table)} SET {values}"
        yield f"a trigger of {table} on DELETE", f"DELETE FROM {quoted(table)}"


def _rows(connection: Connection, query: str) -> list[tuple[str, str]]:
    return [(first, second) for first, second in connection.exec_driver_sql(query)]
