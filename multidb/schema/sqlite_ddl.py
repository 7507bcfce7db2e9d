"""The statements that make an SQLite file like what a revision says.

SQLite alters little of a table in place, so it is built anew, as https://sqlite.org/lang_altertable.html#otheralter
says: with all that the revision says, and with the columns that it doesn't know, which are nobody's to drop.
"""

import re

from sqlalchemy.dialects import sqlite

from multidb.schema.objects import Key, Schema, Thing
from multidb.schema.postgresql_ddl import Statement, literal
from multidb.schema.sqlite import NAME

_RENAME, _TABLE, _REST = range(3)
_quote = sqlite.dialect().identifier_preparer.quote


class SqliteDdl:
    """Statements for one file.

    Args:
        wanted: what a revision says.
        live: what is there.
    """

    def __init__(self, wanted: Schema, live: Schema) -> None:
        self._wanted, self._live = wanted, live

    def create(self, thing: Thing) -> list[Statement]:
        """Make what is missing, with all that belongs to it."""
        if thing.kind in ("column", "constraint"):
            return self._rebuilt(thing.of)
        parts = [thing, *self._wanted.belonging_to(thing.key)]
        return [Statement(_rank(part), part.sql["sql"]) for part in parts if "sql" in part.sql]

    def drop(self, thing: Thing) -> list[Statement]:
        """Take away what no revision has."""
        if thing.kind == "constraint":
            return self._rebuilt(thing.of)
        if thing.kind == "column":
            text = f"ALTER TABLE {_table(thing)} DROP COLUMN {_quote(thing.own_name)}"
            return [Statement((_TABLE, 0), text)]
        return [Statement(_rank(thing), f"DROP {thing.kind.upper()} {_quote(thing.own_name)}")]

    def rename(self, here: Thing, wanted: Thing) -> list[Statement]:
        """Give a column or an index the name that it should have."""
        if here.kind == "index":
            return [*self.drop(here), *self.create(wanted)]
        old, new = _quote(here.own_name), _quote(wanted.own_name)
        return [Statement((_RENAME, 0), f"ALTER TABLE {_table(here)} RENAME COLUMN {old} TO {new}")]

    def change(self, here: Thing, wanted: Thing, _fact: str) -> list[Statement]:
        """Make one fact what it should be."""
        if here.kind in ("column", "table"):
            return self._rebuilt(here.of or here.key)
        return [*self.drop(here), *self.create(wanted)]

    def breaking(self, thing: Thing, here: Thing | None = None, fact: str = "") -> tuple[str, ...]:
        """The SQL of which the last statement counts the rows that a change would break; none where none would.

        Args:
            thing: as it should be.
            here: as it is, or None if it is missing.
            fact: what differs.
        """
        if thing.kind == "column":
            return _rows_of_column(thing, here, fact)
        if thing.kind != "constraint":
            return ()
        table, definition = _table(thing), thing.facts["definition"]
        keys = re.match(r"(PRIMARY KEY|UNIQUE) \((.*?)\)", definition)
        if keys:
            names = [_quote(name.strip()) for name in keys[2].split(",")]
            # In a primary key no NULL is meant to be, and in a UNIQUE each is another.
            known = " AND ".join(f"{name} IS NOT NULL" for name in names) if keys[1] == "UNIQUE" else "true"
            distinct = f"SELECT DISTINCT {', '.join(names)} FROM {table} WHERE {known}"
            return (f"SELECT count(*) - (SELECT count(*) FROM ({distinct})) FROM {table} WHERE {known}",)
        if definition.startswith("CHECK "):
            return (f"SELECT count(*) FROM {table} WHERE NOT {definition.removeprefix('CHECK ')}",)
        return ()

    def _rebuilt(self, key: Key | None) -> list[Statement]:
        assert key is not None
        table = key[1]
        should, here = ({each.own_name: each for each in one.columns_of(key)} for one in (self._wanted, self._live))
        extra = [column for name, column in here.items() if name not in should]
        new, old = _quote(f"multidb_{table}"), _quote(table)
        made = re.sub(
            rf"^(\s*CREATE\s+TABLE\s+)({NAME})",
            lambda match: match[1] + new,
            self._wanted.things[key].sql["sql"],
            count=1,
            flags=re.IGNORECASE,
        )
        written = (*should.values(), *extra)
        kept = [column for column in written if column.own_name in here and not column.facts["generated"]]
        names = ", ".join(_quote(column.own_name) for column in kept)
        counted = any(column.facts["autoincrement"] for column in here.values())
        texts = [
            "PRAGMA legacy_alter_table = ON",  # else a view of the table would keep it from being renamed
            made,
            *(f"ALTER TABLE {new} ADD COLUMN {column.sql['text']}" for column in extra),
            f"INSERT INTO {new} ({names}) SELECT {names} FROM {old}",
            *(_number_goes_on(f"multidb_{table}", table) if counted else ()),
            f"DROP TABLE {old}",
            f"ALTER TABLE {new} RENAME TO {old}",
            "PRAGMA legacy_alter_table = OFF",
            *(each.sql["sql"] for each in self._live.belonging_to(key) if "sql" in each.sql),
        ]
        return [Statement((_TABLE, 0), text) for text in texts]


def _table(thing: Thing) -> str:
    """The name of the table that it belongs to, as SQL writes it."""
    assert thing.of is not None
    return _quote(thing.of[1])


def _rows_of_column(thing: Thing, here: Thing | None, fact: str) -> tuple[str, ...]:
    table, column = _table(thing), _quote(thing.own_name)
    if here is None:
        needed = thing.facts["not_null"] and thing.facts["default"] is None
        return (f"SELECT count(*) FROM {table}",) if needed else ()
    if fact == "not_null" and thing.facts["not_null"]:
        return (f"SELECT count(*) FROM {table} WHERE {column} IS NULL",)
    if fact == "generated" and thing.facts["generated"]:
        value = thing.facts["generated"].rpartition(")")[0] + ")"
        return (f"SELECT count(*) FROM {table} WHERE {column} IS NOT {value}",)
    if fact == "type":  # a column's type only says what a value is turned into, if that loses nothing of it
        return (
            f"CREATE TEMP TABLE multidb_probe (was, value {thing.facts['type']})",
            f"INSERT INTO temp.multidb_probe SELECT {column}, {column} FROM {table}",
            "SELECT count(*) FROM temp.multidb_probe WHERE CAST(was AS TEXT) IS NOT CAST(value AS TEXT)",
        )
    return ()


def _number_goes_on(new: str, old: str) -> tuple[str, str]:
    """Let AUTOINCREMENT go on where it was: no number of a deleted row is given again."""
    return (
        f"DELETE FROM sqlite_sequence WHERE name = {literal(new)}",
        f"INSERT INTO sqlite_sequence SELECT {literal(new)}, seq FROM sqlite_sequence WHERE name = {literal(old)}",
    )


def _rank(thing: Thing) -> tuple[int, int]:
    return (_TABLE if thing.kind == "table" else _REST), 0
