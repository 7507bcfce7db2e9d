"""The tables of a database as a picture shows them, with what pending revisions add, change and drop."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from multidb.output import shortened
from multidb.schema.kinds import Column, Constraint, Index, Trigger
from multidb.schema.matching import match_objects
from multidb.schema.objects import Key, Schema, SchemaObject

# As pg_get_constraintdef() and SQLite's normalised definitions write it.
_REFERENCE = re.compile(r'FOREIGN KEY \((.*?)\) REFERENCES ((?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))?)')
_KEY = re.compile(r"PRIMARY KEY \((.*?)\)")
_LONGEST = 60  # characters of a definition


class Mark(StrEnum):
    """What the pending revisions do to an object."""

    KEPT = "kept"
    ADDED = "added"
    CHANGED = "changed"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Member:
    """A column of a table; or a constraint, an index or a trigger that changes."""

    name: str
    text: str
    mark: Mark = Mark.KEPT
    is_key: bool = False


@dataclass(frozen=True)
class Entity:
    """A table."""

    name: str
    mark: Mark
    members: Sequence[Member]


@dataclass(frozen=True)
class Reference:
    """A foreign key, from a table to the one that it names."""

    source: str
    target: str
    columns: str
    mark: Mark


@dataclass(frozen=True)
class Entities:
    """The tables of a database, and the foreign keys between them."""

    tables: Sequence[Entity]
    references: Sequence[Reference]


def entities(live: Schema, planned: Schema | None = None) -> Entities:
    """The tables of a live schema.

    Args:
        planned: the schema after the pending revisions; without it, nothing is marked.
    """
    return _Marked(live, planned or live).entities()


class _Marked:
    """Both schemas' objects, each with what happens to it."""

    def __init__(self, live: Schema, planned: Schema) -> None:
        match = match_objects(planned, live)
        self._objects: dict[Key, SchemaObject] = {**match.extra, **planned.objects}
        self._former = {new.key: old.raw_own_name for old, new in match.renamed}
        self._marks: dict[Key, Mark] = dict.fromkeys(self._objects, Mark.KEPT)
        changed = [new.key for old, new in match.both if old.attributes != new.attributes]
        self._marks |= dict.fromkeys([*self._former, *changed], Mark.CHANGED)
        self._marks |= dict.fromkeys(match.missing, Mark.ADDED) | dict.fromkeys(match.extra, Mark.DROPPED)
        # A reference names its table as SQL does; a table of another schema may be written without it.
        tables = [each for each in self._objects.values() if each.kind == "table"]
        self._tables: Mapping[str, SchemaObject] = {
            name: each for each in tables for name in (each.name, each.identifier)
        }

    def entities(self) -> Entities:
        tables = sorted({each.name: each for each in self._tables.values()}.items())
        return Entities([self._entity(table) for _, table in tables], list(self._references()))

    def _entity(self, table: SchemaObject) -> Entity:
        parts = [each for each in self._objects.values() if each.parent == table.key]
        keys = _names(parts, _KEY)
        columns = sorted((each for each in parts if isinstance(each, Column)), key=lambda each: each.position)
        members = [self._member(each, each.summary, is_key=each.identifier in keys) for each in columns]
        mark = self._marks[table.key]
        if mark in (Mark.KEPT, Mark.CHANGED):
            others = [each for each in parts if isinstance(each, Constraint | Index | Trigger)]
            members += [
                self._member(each, f"{each.kind} {shortened(each.summary, _LONGEST)}")
                for each in others
                if self._marks[each.key] is not Mark.KEPT
            ]
            if any(each.mark is not Mark.KEPT for each in members):
                mark = Mark.CHANGED
        return Entity(table.name, mark, members)

    def _member(self, each: SchemaObject, text: str, *, is_key: bool = False) -> Member:
        former = self._former.get(each.key)
        name = shortened(each.raw_own_name, _LONGEST)
        return Member(name, f"{text}, was {former}" if former else text, self._marks[each.key], is_key)

    def _references(self) -> Iterator[Reference]:
        for each in self._objects.values():
            found = _REFERENCE.search(each.definition) if isinstance(each, Constraint) else None
            target = self._tables.get(found[2]) if found else None
            if found and target and each.parent:
                yield Reference(each.parent[1], target.name, found[1], self._marks[each.key])


def _names(parts: Sequence[SchemaObject], pattern: re.Pattern[str]) -> set[str]:
    """The columns in the first parentheses of a table's constraints."""
    definitions = [each.definition for each in parts if isinstance(each, Constraint)]
    return {name for text in definitions for found in pattern.findall(text) for name in found.split(", ")}
