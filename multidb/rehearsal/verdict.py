"""The verdict: the findings of all rules, weighed by the policy, with what the revisions' own files accept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

from multidb.config.policy import Policy, Severity
from multidb.errors import ExitCode, exit_code_of, said_of
from multidb.planning.acknowledgement import Acknowledgement, expired
from multidb.rehearsal.finding import Case, Finding
from multidb.rehearsal.live import Weights
from multidb.rehearsal.observation import Observed, Statement, TableChange, strongest
from multidb.rehearsal.rules import all_rules
from multidb.rehearsal.rules.support import long_work
from multidb.schema.objects import Schema

UNUSED, EXPIRED = "accepted-unused", "accepted-expired"
"""The rules about acknowledgements, which have no file of their own: no revision can accept them."""


class LockWindow(NamedTuple):
    """A table that is locked from a statement on to the commit of all databases, and the strongest mode.

    The seconds are those of the rehearsal, without rows; `longest` is the revision that takes most of them.
    """

    table: str
    mode: str
    place: str
    first: int  # the number of the statement
    seconds: float = 0.0
    longest: str = ""


@dataclass(frozen=True)
class DatabasePlan:
    """The plan of one database.

    Attributes:
        before: the revisions that it is at; `after`: where the plan leads.
        live: the schema that was read; `planned`: the one that the plan leads to. None where it is not known.
        failure: why it can't be rehearsed.
    """

    database: str
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    live: Schema | None = None
    planned: Schema | None = None
    observed: Observed | None = None
    weights: Weights = field(default_factory=Weights)
    policy: Policy = field(default_factory=Policy)
    findings: Sequence[Finding] = ()
    failure: Exception | None = None
    approval: Mapping[str, Any] = field(default_factory=dict)  # the entry of an approved plan
    slowest_elsewhere: tuple[float, str] = (0.0, "")  # the seconds of another database of the run, and its revision

    @property
    def error(self) -> str | None:
        return said_of(self.failure)

    @property
    def statements(self) -> Sequence[Statement]:
        return self.observed.statements if self.observed else ()

    @property
    def changes(self) -> Sequence[TableChange]:
        """What the revisions did to the tables of a database on SQLite."""
        return self.observed.changes if self.observed else ()

    @property
    def not_copied(self) -> list[str]:
        return list(self.observed.not_copied) if self.observed else []

    @property
    def not_observed(self) -> list[str]:
        missed = self.observed.not_observed if self.observed else ()
        uncounted = [f"the rows that violate it were not counted: {each}" for each in self.weights.not_counted]
        return [*missed, *uncounted]

    @property
    def lock_windows(self) -> list[LockWindow]:
        """The tables with rows that are locked against readers or writers until all databases have committed."""
        found: dict[str, LockWindow] = {}
        for statement in self.statements:
            for oid, mode in statement.acquired.items():
                table = statement.name(oid)
                if not statement.outside and _case(self).has_rows(table):
                    window = found.setdefault(table, LockWindow(table, mode, statement.place, statement.number))
                    found[table] = window._replace(mode=strongest((window.mode, mode)) or mode)
        return [
            window._replace(seconds=seconds, longest=longest)
            for window in found.values()
            for seconds, longest in [max(self.seconds_from(window.first), self.slowest_elsewhere)]
        ]

    def seconds_from(self, first: int) -> tuple[float, str]:
        """How long the revisions take in a transaction, from a statement on, and which of them takes longest."""
        times: dict[str, float] = {}
        for each in self.statements:
            if each.number >= first and not each.outside:
                times[each.revision] = times.get(each.revision, 0.0) + each.seconds
        return sum(times.values()), max(times, key=lambda revision: times[revision], default="")

    @property
    def counting(self) -> list[Finding]:
        """The findings that end `plan` with exit code 2."""
        return [each for each in self.findings if each.accepted is None and each.severity >= self.policy.bar]

    @property
    def exit_code(self) -> ExitCode:
        if self.failure:
            return exit_code_of(self.failure)
        return ExitCode.FOUND if self.counting else ExitCode.OK


def judged(plans: Sequence[DatabasePlan], today: date) -> list[DatabasePlan]:
    """The plans with their findings, the most severe first."""
    cases = {plan.database: _case(plan) for plan in plans if plan.observed is not None}
    long = {
        name: [work for statement, work in long_work(case) if not statement.outside] for name, case in cases.items()
    }
    found = []
    for plan in plans:
        case = cases.get(plan.database)
        if case is None:
            found.append(plan)
            continue
        elsewhere = [work for name, each in long.items() if name != plan.database for work in each]
        slowest = max((each.seconds_from(0) for each in plans if each is not plan), default=(0.0, ""))
        findings = _findings(replace(case, long_elsewhere=elsewhere), today)
        found.append(replace(plan, findings=findings, slowest_elsewhere=slowest))
    return found


def _case(plan: DatabasePlan) -> Case:
    assert plan.observed is not None
    return Case(plan.observed, plan.weights, plan.policy)


def _findings(case: Case, today: date) -> list[Finding]:
    entries = [each for found in case.observed.acknowledged.values() for each in found]
    over = expired(entries, today)
    used: set[Acknowledgement] = set()
    found: list[Finding] = []
    for rule in all_rules():
        severity = case.policy.severity(rule.id, rule.severity)
        for each in rule.find(case):
            accepted = _accepted(case.observed.acknowledged, each)
            used.update(accepted)
            if severity is not Severity.OFF:
                valid = next((one for one in accepted if one not in over), None)
                found.append(replace(each.at(severity), accepted=valid))
    found += _about_acknowledgements(case, [each for each in entries if each not in used], over)
    return sorted(dict.fromkeys(found), key=lambda each: (each.accepted is not None, -each.severity))


def _accepted(entries: Mapping[str, Sequence[Acknowledgement]], finding: Finding) -> list[Acknowledgement]:
    return [
        each
        for each in entries.get(finding.revision, ())
        if each.rule == finding.rule and each.subject in ("", finding.subject)
    ]


def _about_acknowledgements(
    case: Case, unused: Sequence[Acknowledgement], over: Sequence[Acknowledgement]
) -> Iterator[Finding]:
    if case.observed.failure is not None:
        return  # the revisions after the failure were not rehearsed
    known = [rule.id for rule in all_rules()]
    revisions = {each: revision for revision, found in case.observed.acknowledged.items() for each in found}
    for each in unused:
        what = " ".join(filter(None, (each.rule, each.subject)))
        why = "matches nothing" if each.rule in known else "names no rule"
        sentence, advice = f"accepted: {what!r} {why}", "remove it, or correct its name"
        yield Finding(UNUSED, case.name, revisions[each], each.place, what, sentence, advice, severity=Severity.ERROR)
    for each in over:
        if each not in unused:
            sentence = f"accepted: {each.rule} held until {each.until}"
            advice = "do what the finding says, or give another date"
            yield Finding(
                EXPIRED, case.name, revisions[each], each.place, each.rule, sentence, advice, severity=Severity.WARNING
            )
