"""The statements that make an SQLite file like what a revision says.

SQLite alters little of a table in place, so it is built anew, as https://sqlite.org/lang_altertable.html#otheralter
says: with all that the revision says, and with the columns that it doesn't know, which are nobody's to drop.
"""

import re

from sqlalchemy.dialects import sqlite

from multidb.mending import Statement
from multidb.schemas import Schema, Thing

_NAME, _TABLE, _REST = range(3)
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
        parts = [thing, *self._wanted.belonging_to(thing.name)] if thing.kind == "table" else [thing]
        return [Statement(_rank(part), part.sql["sql"]) for part in parts if "sql" in part.sql]

    def drop(self, thing: Thing) -> list[Statement]:
        """Take away what no revision has."""
        if thing.kind == "constraint":
            return self._rebuilt(thing.of)
        if thing.kind == "column":
            return [Statement(_TABLE, f"ALTER TABLE {_quote(thing.of)} DROP COLUMN {_quote(thing.own_name)}")]
        return [Statement(_rank(thing), f"DROP {thing.kind.upper()} {_quote(thing.own_name)}")]

    def rename(self, here: Thing, wanted: Thing) -> list[Statement]:
        """Give a column or an index the name that it should have."""
        if here.kind == "index":
            return [*self.drop(here), *self.create(wanted)]
        old, new = _quote(here.own_name), _quote(wanted.own_name)
        return [Statement(_NAME, f"ALTER TABLE {_quote(here.of)} RENAME COLUMN {old} TO {new}")]

    def change(self, here: Thing, wanted: Thing, _fact: str) -> list[Statement]:
        """Make one fact what it should be."""
        if here.kind == "column":
            return self._rebuilt(here.of)
        return [*self.drop(here), *self.create(wanted)]

    def breaking(self, thing: Thing, here: Thing | None = None, fact: str = "") -> str | None:
        """The SQL that counts the rows which a change would break, or None where it would break none, or can't be said.

        Args:
            thing: as it should be.
            here: as it is, or None if it is missing.
            fact: what differs.
        """
        table, column = _quote(thing.of), _quote(thing.own_name)
        definition = thing.name.removeprefix(f"{thing.of}.")
        keys = re.match(r"(?:PRIMARY KEY|UNIQUE) \((.*?)\)", definition)
        if thing.kind == "column" and here is None:
            needed = thing.facts["not_null"] and thing.facts["default"] is None
            return f"SELECT count(*) FROM {table}" if needed else None
        if thing.kind == "column" and fact == "not_null" and thing.facts["not_null"]:
            return f"SELECT count(*) FROM {table} WHERE {column} IS NULL"
        if thing.kind == "column" and fact == "type":
            cast = f"CAST({column} AS {thing.facts['type']})"
            return f"SELECT count(*) FROM {table} WHERE CAST({cast} AS TEXT) IS NOT CAST({column} AS TEXT)"
        if thing.kind == "constraint" and keys:
            names = ", ".join(_quote(name.strip()) for name in keys[1].split(","))
            return f"SELECT count(*) - (SELECT count(*) FROM (SELECT DISTINCT {names} FROM {table})) FROM {table}"
        if thing.kind == "constraint" and definition.startswith("CHECK "):
            return f"SELECT count(*) FROM {table} WHERE NOT {definition.removeprefix('CHECK ')}"
        return None

    def _rebuilt(self, table: str) -> list[Statement]:
        should, here = self._columns(self._wanted, table), self._columns(self._live, table)
        extra = [column for name, column in here.items() if name not in should]
        new, old = _quote(f"multidb_{table}"), _quote(table)
        made = re.sub(
            r"^(CREATE TABLE\s+)(\"[^\"]+\"|[^\s(]+)", rf"\g<1>{new}", self._wanted.things["table", table].sql["sql"]
        )
        kept = [_quote(name) for name in (*should, *(each.own_name for each in extra)) if _is_written(here.get(name))]
        names = ", ".join(kept)
        texts = [
            made,
            *(f"ALTER TABLE {new} ADD COLUMN {_column(column)}" for column in extra),
            f"INSERT INTO {new} ({names}) SELECT {names} FROM {old}",
            f"DROP TABLE {old}",
            f"ALTER TABLE {new} RENAME TO {old}",
            *(each.sql["sql"] for each in self._live.things.values() if each.of == table and "sql" in each.sql),
        ]
        return [Statement(_TABLE, text) for text in texts]

    @staticmethod
    def _columns(schema: Schema, table: str) -> dict[str, Thing]:
        found = [thing for thing in schema.things.values() if thing.kind == "column" and thing.of == table]
        return {thing.own_name: thing for thing in sorted(found, key=lambda each: int(each.sql["position"]))}


def _is_written(column: Thing | None) -> bool:
    """Whether a column is there, and holds what somebody wrote into it."""
    return column is not None and not column.facts["generated"]


def _column(thing: Thing) -> str:
    facts = thing.facts
    default = f" DEFAULT {facts['default']}" if facts["default"] is not None else ""
    return f"{_quote(thing.own_name)} {facts['type']}{default}{' NOT NULL' if facts['not_null'] else ''}"


def _rank(thing: Thing) -> int:
    return _TABLE if thing.kind == "table" else _REST
