"""Schemas, their objects, and the interface of every kind of object.

A kind is a class in a file of its own, in the folder of its dialect. Its fields are its attributes, by which objects
are compared; fields with `compare=False` are names and inputs of DDL. So `==` means equal but for the name.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from multidb.output import shortened
from multidb.schema.difference import EXTRA, LAST_OID, RISKY, Difference, Severity, Stage, Statement

OWNER = "@owner"
"""The owner of the database, or the migrating role if it is no superuser: their names differ between servers."""

Key = tuple[str, str]
"""An object's kind and name."""

Address = tuple[str, int, int]
"""Where PostgreSQL's pg_depend finds an object: its catalog, its oid, and the number of a column or 0."""

# Attributes with another name on the command line.
_ASPECTS = {
    "not_null": "null",
    "valid": "validity",
    "state": "enabled",
    "cycling": "cycle",
    "enforcing_foreign_keys": "foreign keys enforced",
}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
@dataclass(frozen=True, kw_only=True)
class SchemaObject:
    """A table, a column, an index, a privilege. Subclasses are frozen dataclasses without a decorator.

    Methods belong to the object of the revision, and take the live one; only `as_extra` and `drop` belong to the live
    object. SQL templates are formatted with the object as `0`.
    """

    kind: ClassVar[str]
    title: ClassVar[str] = ""
    stage: ClassVar[Stage] = Stage.CREATE
    verbs: ClassVar[Mapping[str, str]] = {}  # for attributes of which "has" is not the verb
    create_sql: ClassVar[str] = ""
    drop_sql: ClassVar[str]
    rename_sql: ClassVar[str]
    is_renamable: ClassVar[bool] = False
    is_inline: ClassVar[bool] = False  # part of the CREATE statement of its parent
    is_declarable: ClassVar[bool] = True  # by models, without a DDL event
    is_annotation: ClassVar[bool] = False  # so parents of two kinds, a table and a schema, can have one of equal names

    # As it is displayed: `users`, `users.email`; with its schema, unless that is the default one.
    name: str = field(compare=False)
    parent: Key | None = None  # the object with which this one is created and dropped
    identifier: str = field(default="", compare=False)  # its name in SQL, quoted
    table: str = field(default="", compare=False)  # the name of its table in SQL
    position: int = field(default=0, compare=False)  # its place among the columns of the table
    oid: int = field(default=0, compare=False)  # PostgreSQL's, in whose order objects are created

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    @property
    def key(self) -> Key:
        return self.kind, f"{self.parent[0]} {self.name}" if self.is_annotation and self.parent else self.name

    @property
    def own_name(self) -> str:
        return self.name.removeprefix(f"{self.parent[1]}.") if self.parent else self.name

    @property
    def raw_own_name(self) -> str:
        """The own name without the quotes that keep it apart from the names of other objects."""
        name = self.own_name
        return name[1:-1].replace('""', '"') if name.startswith('"') and name.endswith('"') else name

    @property
    def is_default(self) -> bool:
        """Whether every new parent has such an object."""
        return False

    @property
    def attributes(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.compare and each.name != "parent"}

    @property
    def aliases(self) -> set[str]:
        """The names by which a pattern under `ignore:` can match the object."""
        parent = self.parent[1] if self.parent else ""
        return {self.name, self.own_name, parent, parent.rpartition(".")[2], self.name.rpartition(".")[2]}

    @property
    def can_be_declared(self) -> bool:
        """Whether models can declare the object itself, whatever its parent is."""
        return self.is_declarable

    def as_declared(self) -> Self:
        """The object without the attributes that models can't declare."""
        return self

    @property
    def label(self) -> str:
        return f"{self.title or self.kind} {self.name}"

    @property
    def summary(self) -> str:
        """The most important attribute, if a sentence can hold it."""
        return ""

    def phrase(self, attribute: str) -> tuple[str, str]:
        """An attribute as a verb, which may be empty, and the value."""
        value, word = getattr(self, attribute), attribute.replace("_", " ")
        if isinstance(value, bool):
            return "", f"is {'' if value else 'not '}{word}"
        text = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        if attribute in self.verbs:
            return self.verbs[attribute], shortened(text) or "nothing"
        return f"has {word}", text or "none"

    def contrast(self, live: Self, attribute: str, revision: str) -> str:
        """The sentence about an attribute that differs, without its subject."""
        verb, found = live.phrase(attribute)
        return f"{verb} {found}, {revision} says {'' if verb else 'it '}{self.phrase(attribute)[1]}".strip()

    @property
    def severity_if_missing(self) -> Severity:
        return RISKY

    def severity(self, live: Self, attribute: str) -> Severity:
        """The severity of a difference in an attribute."""
        return RISKY

    def as_missing(self, sides: "Sides") -> Difference:
        severity, summary = self.severity_if_missing, f": {self.summary}" if self.summary else ""
        violations = self.violations() if severity is RISKY else ()
        sentence, statements = f"{self.label} is missing{summary}", tuple(self.create(sides))
        return Difference(self.name, severity, sentence, statements, violations, table=self.table)

    def as_extra(self, sides: "Sides") -> Difference:
        summary = f": {self.summary}" if self.summary else ""
        sentence = f"{self.label} is not in {sides.revision}{summary}"
        return Difference(self.name, EXTRA, sentence, tuple(self.drop(sides)))

    def as_changed(self, live: Self, attribute: str, sides: "Sides") -> Iterator[Difference]:
        """The differences in an attribute that is not equal."""
        severity = self.severity(live, attribute)
        if severity is not EXTRA or not sides.ignores(live.aliases):
            yield Difference(
                f"{self.name}.{_ASPECTS.get(attribute, attribute.replace('_', ' '))}",
                severity,
                f"{live.label} {self.contrast(live, attribute, sides.revision)}",
                tuple(self.change(live, attribute, sides)),
                self.violations(live, attribute) if severity is RISKY else (),
                table=live.table,
            )

    def create(self, sides: "Sides") -> list[Statement]:
        parts = [self, *(each for each in sides.wanted.dependents(self.key) if not each.is_inline)]
        return sorted(statement for part in parts for statement in part.create_alone(sides))

    def create_alone(self, sides: "Sides") -> list[Statement]:
        return self.ranked(*self.creation(sides))

    def creation(self, sides: "Sides") -> list[str]:
        return [self.create_sql.format(self)] if self.create_sql else []

    def drop(self, sides: "Sides") -> list[Statement]:
        return self.ranked(self.drop_sql.format(self))

    def drop_first(self, sides: "Sides") -> list[Statement]:
        """Drop the object before anything else is changed."""
        return [replace(each, rank=(Stage.DETACH, -LAST_OID - self.oid)) for each in self.drop(sides)]

    def rename(self, live: Self, sides: "Sides") -> list[Statement]:
        """Give the live object the name of this one."""
        return [Statement((Stage.RENAME, 0), self.rename_sql.format(self, live=live))]

    def change(self, live: Self, attribute: str, sides: "Sides") -> list[Statement]:
        """Give the live object the attribute of this one."""
        texts = self.alteration(live, attribute)
        return self.recreate(live, sides) if texts is None else self.ranked(*texts)

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        """The statements that change an attribute in place; None if there are none."""
        return None

    def transition(self, live: Self, attributes: Sequence[str], sides: "Sides") -> list[Statement]:
        """Give the live object all of these attributes, also where it has more than this one."""
        found = [each for attribute in attributes for each in self.as_changed(live, attribute, sides)]
        return [statement for each in found for statement in each.statements]

    def recreate(self, live: Self, sides: "Sides") -> list[Statement]:
        return [*live.drop(sides), *self.create(sides)]

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        """SQL of which the last statement counts the rows that prevent a change or, without `live`, the creation."""
        return ()

    def ranked(self, *texts: str) -> list[Statement]:
        return [Statement((self.stage, self.oid), text) for text in texts]

    def with_parent_renamed(self, old: "SchemaObject", new: "SchemaObject") -> Self:
        return replace(self, name=self.name.replace(old.name, new.name, 1), parent=new.key)

    def with_column_renamed(self, old: re.Pattern[str], new: str) -> Self:
        """The object after a column of its table got a new name."""
        return self


Kind = TypeVar("Kind", bound=SchemaObject)


@dataclass(frozen=True)
class Schema:
    """The objects of a database, except those of extensions, of the system and of this project."""

    objects: Mapping[Key, SchemaObject]  # by kind and name
    dialect: str  # SQLAlchemy's name for it
    version: int = 0  # of the server, in the form of PostgreSQL's `server_version_num`; 0 for SQLite
    owner: str = ""  # the role that `OWNER` means here, quoted; empty where no statement may set owners
    default_schema: str = "public"  # the PostgreSQL schema of names without one
    search_path: str = ""  # the setting, with the role's name for "$user"
    # Of PostgreSQL: who uses whom, and the context of the cast between two types (`e` for explicit).
    uses: Sequence[tuple[Address, Address]] = ()
    casts: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def tables(self) -> frozenset[str]:
        return frozenset(name for kind, name in self.objects if kind == "table")

    @property
    def column_names(self) -> frozenset[str]:
        return frozenset(name for kind, name in self.objects if kind == "column")

    @property
    def is_empty(self) -> bool:
        """Whether there is no object that could come from a branch."""
        return not any(kind in ("table", "view", "enum", "domain") for kind, _ in self.objects)

    def of_kind(self, kind: type[Kind], parent: Key | None = None) -> list[Kind]:
        """The objects of a kind, of one parent if it is given, by parent and position."""
        found = [each for each in self.objects.values() if isinstance(each, kind)]
        found = [each for each in found if parent in (None, each.parent)]
        return sorted(found, key=lambda each: (each.parent or (), each.position))

    def dependents(self, key: Key) -> list[SchemaObject]:
        """The objects that are created and dropped with another one."""
        children = [each for each in self.objects.values() if each.parent == key]
        return [each for child in children for each in (child, *self.dependents(child.key))]


@dataclass(frozen=True)
class Sides:
    wanted: Schema  # the schema of the revision
    live: Schema  # the schema of the database
    revision: str  # its id, for sentences
    ignored: Sequence[str] = ()  # patterns; extra objects whose names match them are no differences
    keeps_extra: bool = True  # what only the database has is not dropped
    replaced: Collection[Key] = ()  # types to be replaced, although they could be altered

    def ignores(self, names: Iterable[str]) -> bool:
        return is_ignored(names, self.ignored)


def is_ignored(names: Iterable[str], patterns: Sequence[str]) -> bool:
    """Whether a pattern of `ignore:` matches one of an object's names."""
    return any(fnmatchcase(name, pattern) for name in names if name for pattern in patterns)
