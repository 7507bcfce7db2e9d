"""An SQLite file's schema, in the same form as a PostgreSQL database's.

SQLite keeps a table as the statement that made it, and no name of a constraint outside of that text; so constraints
go by what they say. https://sqlite.org/schematab.html
"""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, Inspector, inspect

from multidb import journal
from multidb.schemas import Schema, Thing

_OURS = ("alembic_version", journal.NAME)
_MASTER = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL ORDER BY name"


def read(connection: Connection) -> Schema:
    """Read the schema of an SQLite database.

    Args:
        connection: to it.

    Raises:
        DBAPIError: it could not be read.
    """
    return Schema.of_things(_things(connection))


def columns(connection: Connection) -> frozenset[str]:
    """The names of all columns."""
    return frozenset(thing.name for table, _, _ in _made(connection, "table") for thing in _columns(connection, table))


def _things(connection: Connection) -> Iterator[Thing]:
    inspector = inspect(connection)
    for name, _, sql in _made(connection, "table"):
        yield Thing("table", name, {}, sql={"sql": sql})
        yield from _columns(connection, name)
        for definition in _constraints(inspector, name):
            yield Thing("constraint", f"{name}.{definition}", {}, of=name)
    for name, table, sql in _made(connection, "index"):
        facts = {"unique": bool(re.match(r"CREATE\s+UNIQUE", sql, re.IGNORECASE)), "definition": _behind_on(sql)}
        yield Thing("index", f"{table}.{name}", facts, of=table, sql={"sql": sql})
    for name, _, sql in _made(connection, "view"):
        yield Thing("view", name, {"definition": _in_one_line(sql)}, sql={"sql": sql})
    for name, table, sql in _made(connection, "trigger"):
        yield Thing("trigger", f"{table}.{name}", {"definition": _in_one_line(sql)}, of=table, sql={"sql": sql})


def _made(connection: Connection, kind: str) -> list[tuple[str, str, str]]:
    rows = connection.exec_driver_sql(_MASTER, (kind,))
    return [(name, table, sql) for name, table, sql in rows if table not in _OURS and not name.startswith("sqlite_")]


def _columns(connection: Connection, table: str) -> Iterator[Thing]:
    rows = connection.exec_driver_sql("SELECT * FROM pragma_table_xinfo(?)", (table,)).mappings()
    for row in rows:
        facts = {
            "type": row["type"].upper(),
            "not_null": bool(row["notnull"]),
            "default": row["dflt_value"],
            "generated": row["hidden"] > 1,
        }
        yield Thing("column", f"{table}.{row['name']}", facts, of=table, sql={"position": row["cid"]})


def _constraints(inspector: Inspector, table: str) -> Iterator[str]:
    key = inspector.get_pk_constraint(table)["constrained_columns"]
    if key:
        yield f"PRIMARY KEY ({', '.join(key)})"
    for unique in inspector.get_unique_constraints(table):
        yield f"UNIQUE ({', '.join(str(column) for column in unique['column_names'])})"
    for check in inspector.get_check_constraints(table):
        yield f"CHECK ({_in_one_line(check['sqltext'])})"
    for foreign in inspector.get_foreign_keys(table):
        options = "".join(f" {key.upper()} {value}" for key, value in sorted(foreign.get("options", {}).items()))
        yield (
            f"FOREIGN KEY ({', '.join(foreign['constrained_columns'])}) REFERENCES {foreign['referred_table']} "
            f"({', '.join(foreign['referred_columns'])}){options}"
        )


def _behind_on(sql: str) -> str:
    """What an index is of, without its name."""
    return _in_one_line(re.sub(r"^.*?\bON\s+", "", sql, count=1, flags=re.IGNORECASE | re.DOTALL))


def _in_one_line(sql: str) -> str:
    return " ".join(sql.split())
