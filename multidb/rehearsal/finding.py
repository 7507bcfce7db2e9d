"""A finding of a rule, and what the rules read: what was observed, what the live database weighs, and the policy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from multidb.config.policy import Policy, Severity
from multidb.planning.acknowledgement import Acknowledgement
from multidb.rehearsal.live import Size, Weights
from multidb.rehearsal.observation import Observed, Statement, TableChange

OBSERVED, PREDICTED = "observed", "predicted"


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        subject: the table, the column or the index, as an acknowledgement names it.
        sentence: what happens, with the size.
        advice: the safe way.
        basis: `observed` in the rehearsal, or `predicted` from it and the live database.
        accepted: the acknowledgement of the revision's file, if it has one.
    """

    rule: str
    database: str
    revision: str
    place: str
    subject: str
    sentence: str
    advice: str
    statement: str = ""
    basis: str = OBSERVED
    severity: Severity = Severity.OFF
    accepted: Acknowledgement | None = None

    def at(self, severity: Severity) -> "Finding":
        return replace(self, severity=severity)


class LongWork(NamedTuple):
    """A statement that takes as long as a table is large."""

    database: str
    place: str
    text: str  # `scans users`
    table: str


@dataclass(frozen=True)
class Case:
    """The rehearsal of one database beside its live one.

    Attributes:
        long_elsewhere: the long work in the other databases of the run: they are committed together.
    """

    observed: Observed
    weights: Weights
    policy: Policy
    long_elsewhere: Sequence[LongWork] = field(default_factory=tuple)

    @property
    def name(self) -> str:
        return self.observed.database.name

    def size(self, table: str) -> Size | None:
        return self.weights.sizes.get(table)

    def has_rows(self, table: str) -> bool:
        """Whether a table may have rows: one that is not in the live database has none."""
        size = self.size(table)
        return size is not None and size.bytes > 0 and size.rows != 0

    def is_large(self, table: str) -> bool:
        """Whether a table has as many rows as the policy calls large, or may have."""
        size = self.size(table)
        return size is not None and size.most_rows >= self.policy.small

    def size_text(self, table: str) -> str:
        size = self.size(table)
        return f" ({size.text})" if size else ""

    def large(self, statement: Statement, tables: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Those of the tables that are large, with their names."""
        for oid in tables:
            name = statement.name(oid)
            if self.is_large(name):
                yield oid, name

    def finding(
        self, rule: str, at: Statement | TableChange, subject: str, sentence: str, advice: str, basis: str = OBSERVED
    ) -> Finding:
        return Finding(rule, self.name, at.revision, at.place, subject, sentence, advice, at.short, basis)


@dataclass(frozen=True)
class Rule:
    """A rule: its id, which is that of its section in docs/plan-rules.md, and how severe its findings are."""

    id: str
    severity: Severity
    find: Callable[[Case], Iterable[Finding]]
