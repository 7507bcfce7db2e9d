"""Kinds of schema objects that PostgreSQL and SQLite have in common: attributes, severity, wording."""

import re
from dataclasses import replace
from typing import Self

from multidb.output import shortened
from multidb.schema.difference import EXTRA, HARMLESS, LAST_OID, RISKY, Severity, Stage, Statement
from multidb.schema.objects import SchemaObject, Sides
from multidb.schema.violations import count_rows


class Column(SchemaObject):
    kind, stage, verbs, is_inline = "column", Stage.COLUMN, {"type": "is"}, True
    drop_sql = "ALTER TABLE {0.table} DROP COLUMN {0.identifier}"
    rename_sql = "ALTER TABLE {live.table} RENAME COLUMN {live.identifier} TO {0.identifier}"
    type: str
    default: str | None
    not_null: bool
    generated: str | None
    collation: str | None

    @property
    def is_filled(self) -> bool:
        """Whether a new column has a value in each row."""
        return bool(self.default or self.generated)

    @property
    def summary(self) -> str:
        return f"{self.type}{' NOT NULL' if self.not_null else ''}"

    def drop_first(self, sides: Sides) -> list[Statement]:
        """A generated column, after the indexes and constraints of it that are dropped, too."""
        return [replace(each, rank=(Stage.DETACH, self.position - LAST_OID)) for each in self.drop(sides)]

    def phrase(self, attribute: str) -> tuple[str, str]:
        if attribute == "not_null":
            return "", "is NOT NULL" if self.not_null else "allows NULL"
        if attribute in ("default", "generated", "collation", "identity"):
            word, value = attribute.replace("generated", "expression"), getattr(self, attribute)
            return "has", f"{word} {value}" if value else f"no {word}"
        return super().phrase(attribute)

    def severity(self, live: Self, attribute: str) -> Severity:
        if attribute != "default":
            return RISKY
        return HARMLESS if live.default is None else EXTRA if self.default is None else RISKY

    def violations(self, live: Self | None = None, attribute: str = "") -> tuple[str, ...]:
        match attribute:
            case "" if self.not_null and not self.is_filled:
                return (count_rows(self.table),)
            case "not_null" if self.not_null:
                return (count_rows(self.table, f"{self.identifier} IS NULL"),)
        return ()


class Defined(SchemaObject):
    stage, verbs, is_renamable = Stage.DEPENDENT, {"definition": "is"}, True
    definition: str

    @property
    def summary(self) -> str:
        return shortened(self.definition) if self.definition != self.own_name else ""

    def with_column_renamed(self, old: re.Pattern[str], new: str) -> Self:
        # A string literal that has the word changes, too: the repair is verified before it is committed.
        return replace(self, definition=old.sub(lambda _: new, self.definition))


class DefinedAtLength(Defined):
    """An object whose definition is too long for a sentence."""

    is_renamable, summary = False, ""

    def contrast(self, live: Self, attribute: str, revision: str) -> str:
        if attribute == "definition":
            return f"has another definition than in {revision}"
        return super().contrast(live, attribute, revision)


class Constraint(Defined):
    kind = "constraint"


class Index(Defined):
    kind = "index"
    unique: bool

    @property
    def severity_if_missing(self) -> Severity:
        return RISKY if self.unique else HARMLESS


class View(DefinedAtLength):
    kind, severity_if_missing, is_declarable = "view", HARMLESS, False


class Trigger(DefinedAtLength):
    kind, is_declarable = "trigger", False
