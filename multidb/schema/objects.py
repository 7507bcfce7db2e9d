"""What a schema consists of: the things in it, each with the facts by which two of the same name are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

OWNER = "@owner"
"""The owner of the database, or a role that migrates it and is no superuser: who that is differs between servers."""

Key = tuple[str, str]
"""A thing's kind and its name."""


@dataclass(frozen=True)
class Thing:
    """A table, a column, an index: whatever has a name of its own.

    Args:
        kind: what it is: `table`, `column`, `constraint`, `privilege`.
        name: as it is shown: `users`, `users.email`; with its schema in front, unless that is the default one.
        facts: what is compared.
        of: what it belongs to, with which it comes and goes, if to anything.
        sql: what DDL needs to know besides; not compared.
    """

    kind: str
    name: str
    facts: Mapping[str, Any]
    of: Key | None = None
    sql: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        if self.of is not None and self.kind in ("comment", "privilege"):  # a table and a schema may have one name
            return self.kind, f"{self.of[0]} {self.name}"
        return self.kind, self.name

    @property
    def own_name(self) -> str:
        """Its name without that of what it belongs to."""
        return self.name.removeprefix(f"{self.of[1]}.") if self.of else self.name


@dataclass(frozen=True)
class Schema:
    """All that is in a database, but for what belongs to extensions, to the system, and to this project itself.

    Args:
        things: by kind and name.
        version: of the server, in the form of PostgreSQL's `server_version_num`; 0 for SQLite.
        owner: the role that `OWNER` means here, quoted as SQL needs it.
        space: the PostgreSQL schema of whatever is named without one.
        search_path: the setting that says so.
    """

    things: Mapping[Key, Thing]
    version: int = 0
    owner: str = ""
    space: str = "public"
    search_path: str = ""

    @property
    def is_sqlite(self) -> bool:
        return not self.version

    @cached_property
    def tables(self) -> frozenset[str]:
        return frozenset(name for kind, name in self.things if kind == "table")

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name for kind, name in self.things if kind == "column")

    @property
    def is_empty(self) -> bool:
        """Whether nobody has put anything into it that could be a branch's."""
        return not any(kind in ("table", "view", "enum") for kind, _ in self.things)

    def columns_of(self, table: Key) -> list[Thing]:
        """The columns of a table, in their order."""
        found = [thing for thing in self.things.values() if thing.kind == "column" and thing.of == table]
        return sorted(found, key=lambda each: int(each.sql["position"]))

    def belonging_to(self, key: Key) -> list[Thing]:
        """What comes and goes with a thing, and what with that."""
        found = [thing for thing in self.things.values() if thing.of == key]
        return [each for thing in found for each in (thing, *self.belonging_to(thing.key))]
