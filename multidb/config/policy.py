"""The policy of `plan`, as databases.yaml has it: how severe the findings of a rule are, and from which size on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum


class Severity(IntEnum):
    """How severe a finding is; `off` leaves it out."""

    OFF, NOTE, WARNING, ERROR = range(4)

    def __str__(self) -> str:
        return self.name.lower()


DEFAULT_SMALL = 10_000
"""Rows; a table with fewer raises nothing about locks, scans and rewrites."""


@dataclass(frozen=True)
class Policy:
    """What `policy:` in databases.yaml says, of all databases and of one.

    Attributes:
        bar: the severity from which on a finding ends `plan` with exit code 2.
        small: the number of rows below which a table is small.
        rules: by a rule's id, its severity where it is not the default one.
    """

    bar: Severity = Severity.WARNING
    small: int = DEFAULT_SMALL
    rules: Mapping[str, Severity] = field(default_factory=dict)

    def severity(self, rule: str, default: Severity) -> Severity:
        return self.rules.get(rule, default)

    def overridden(self, other: "PolicyEntry") -> "Policy":
        """This policy, with what another entry says instead."""
        return replace(
            self,
            bar=self.bar if other.bar is None else other.bar,
            small=self.small if other.small is None else other.small,
            rules={**self.rules, **other.rules},
        )


@dataclass(frozen=True)
class PolicyEntry:
    """A mapping `policy:` as it is written; None where a key is left out."""

    bar: Severity | None = None
    small: int | None = None
    rules: Mapping[str, Severity] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)  # of the rules, by their ids
