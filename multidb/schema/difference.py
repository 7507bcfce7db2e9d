"""A difference between a live database and a revision, as data: severity, sentence, repair."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any


class Severity(StrEnum):
    """What the repair of a difference may do to the database."""

    HARMLESS = "harmless"  # the repair keeps every row and every query: a missing default, a missing index, a name
    RISKY = "risky"  # the repair may lose rows or values, or change their meaning
    EXTRA = "extra"  # no revision has the object, so it is not this project's: it is never dropped


HARMLESS, RISKY, EXTRA = Severity

LAST_OID = 2**32
"""More than any oid of PostgreSQL."""


class Stage(IntEnum):
    """The order in which the statements of several differences run."""

    RENAME, DETACH, CREATE, COLUMN, GENERATED, DEPENDENT, PRIVILEGE, LAST, DROP = range(9)


@dataclass(frozen=True, order=True)
class Statement:
    """A DDL statement without its semicolon. Statements run in the order of their ranks: stage, then oid."""

    rank: tuple[int, int]
    text: str = field(compare=False)


@dataclass(frozen=True)
class Difference:
    name: str  # its name on a command line: `users.email.type`
    severity: Severity
    sentence: str
    statements: tuple[Statement, ...] = ()  # the repair; for an extra object, its DROP
    # SQL of which the last statement counts the rows that prevent the repair, if any could.
    violations: tuple[str, ...] = ()
    rows: int | None = None  # the count, once it is known
    table: str = ""  # the table of these rows, quoted

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"name": self.name, "severity": self.severity, "sentence": self.sentence, "sql": self.ddl}

    @property
    def ddl(self) -> list[str]:
        """The statements of the repair, each with its semicolon."""
        return [f"{statement.text};" for statement in self.statements]
