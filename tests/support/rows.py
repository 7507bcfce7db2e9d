"""A thousand rows in every table of a live database, and whether they are still the same.

`python -m tests.support.rows` puts them into all databases of databases.yaml, for what has to be tried with rows;
`python -m tests.support.rows files` prints the variables that name the files of SQLite, for a shell.
"""

import shlex
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from multidb.config import reader
from multidb.config.configuration import variable
from multidb.database import journal
from tests.support.project import query

ROWS = 1000
_OURS = ("alembic_version", journal.NAME)
_TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c
    WHERE relkind = 'r' AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
    )
    ORDER BY c.oid
"""
# The server has values of its own for serial, identity and generated columns.
_COLUMNS = """
    SELECT attname, format_type(atttypid, NULL), atttypmod,
           coalesce(confrelid::regclass::text, attrelid::regclass::text),
           confrelid IS NOT NULL OR EXISTS (
               SELECT FROM pg_index WHERE indrelid = attrelid AND indisunique AND attnum = ANY (indkey)
           )
    FROM pg_attribute a LEFT JOIN pg_constraint ON contype = 'f' AND conrelid = attrelid AND conkey = ARRAY[attnum]
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
    AND coalesce(pg_get_expr(adbin, adrelid), '') NOT LIKE 'nextval(%%'
"""
# What a type's value is made of; `number` is the row's.
_VALUES = {
    "uuid": "md5({table} || number)::uuid",
    "character varying": "left(md5({table} || number), {length})",
    "text": "'some text ' || number",
    "boolean": "'{name}' <> 'is_default'",
    "integer": "number % 5 + 1",
    "numeric": "number % 9",
    "double precision": "number / 7.0",
    "date": "date '2026-01-01' + number % 300",
    "timestamp without time zone": "timestamp '2026-01-01' + number * interval '1 hour'",
    "timestamp with time zone": "timestamptz '2026-01-01' + number * interval '1 hour'",
    "jsonb": "jsonb_build_object('number', number)",
    "geography": "ST_Point(number % 180, number % 90)::geography",
    "geometry": "ST_Point(number % 180, number % 90)::geometry",
    "json": "json_build_object('number', number)",
    "bytea": "decode(md5({table} || number), 'hex')",
    "interval": "number * interval '1 hour'",
    "time without time zone": "time '00:00' + number * interval '1 minute'",
}
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")


def fill(url: str, number: int = ROWS) -> None:
    """Put rows into every table; those that refer to others refer to theirs."""
    for table in _tables(url):
        columns = query(url, _COLUMNS, [table])
        names = ", ".join(f'"{name}"' for name, *_ in columns)
        values = ", ".join(_value(*column) for column in columns)
        into = f"{table} ({names})" if names else table
        query(url, f"INSERT INTO {into} SELECT {values} FROM generate_series(1, {number}) AS number")


def fill_file(connection: sqlite3.Connection) -> None:
    """The same in a SQLite file. A row refers to the row of its own number."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    for (table,) in tables.fetchall():
        columns = connection.execute(f'SELECT name, type FROM pragma_table_info("{table}")').fetchall()
        if table not in _OURS:
            names = ", ".join(f'"{name}"' for name, _ in columns)
            rows = [[_affinity(kind.upper(), number) for _, kind in columns] for number in range(ROWS)]
            connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})', rows)


def _affinity(kind: str, number: int) -> object:
    """A value that a declared type takes, and SQLAlchemy's types can read."""
    if "BOOL" in kind:
        return number % 2
    if "INT" in kind:
        return number
    if kind.startswith(("NUM", "DEC", "REAL", "FLOA", "DOUB")):
        return number % 9
    if kind.startswith("DATE"):
        return f"2026-01-{number % 28 + 1:02}" + (" 12:00:00.000000" if kind == "DATETIME" else "")
    return str(number)


def contents(url: str) -> dict[str, tuple[Any, ...]]:
    """Of every table the number of its rows and what is in them, with which transaction wrote each."""
    select = "SELECT count(*), md5(string_agg(t.xmin || ' ' || t::text, ',' ORDER BY t::text)) FROM {} AS t"
    return {table: query(url, select.format(table))[0] for table in _tables(url)}


def values(url: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of every table, as JSON has them."""
    select = "SELECT to_jsonb(t) FROM {} AS t ORDER BY ctid"
    return {table: [row for (row,) in query(url, select.format(table))] for table in _tables(url)}


def _tables(url: str) -> list[str]:
    return [table for (table,) in query(url, _TABLES) if table not in _OURS]


def _value(name: str, kind: str, modifier: int, table: str, is_key: bool) -> str:
    """A column's value in the row of a number; that of a key is the number's alone."""
    if kind.endswith("[]"):
        return "'{}'"
    if kind in _NUMBERS and (is_key or kind not in _VALUES):
        return "number"
    template = _VALUES.get(kind, f"(enum_range(NULL::{kind}))[number % 2 + 1]")
    return template.format(name=name, table=f"'{table}'", length=max(modifier - 4, 1) if modifier > 0 else 32)


def main() -> None:
    """Fill the databases that databases.yaml names, or print the variables that name its files."""
    configuration = reader.load(Path("databases.yaml"))
    for database in configuration.databases(configuration.names):
        if sys.argv[1:] == ["files"]:
            if database.is_sqlite:
                print(f"{variable(database.name)}={shlex.quote(f'sqlite:///{database.url.database}')}")
        elif database.is_sqlite:
            file = Path(database.url.database or "")
            if file.exists():  # a database that is new has none yet
                with closing(sqlite3.connect(file)) as connection, connection:
                    fill_file(connection)
        else:
            fill(database.url.set(drivername="postgresql").render_as_string(hide_password=False))


if __name__ == "__main__":
    main()
