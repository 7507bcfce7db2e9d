"""A table stays locked while something else of the run takes long: all is committed together."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.observation import BLOCKED, Statement
from multidb.rehearsal.rules.support import OUTSIDE, long_work


def find(case: Case) -> Iterator[Finding]:
    long = {statement.number: work for statement, work in long_work(case)}
    for transaction in case.observed.transactions():
        if transaction[0].outside:
            continue
        reported: set[int] = set()
        for place, statement in enumerate(transaction):
            for oid, mode in statement.acquired.items():
                name = statement.name(oid)
                if oid in reported or not case.has_rows(name):
                    continue
                later = [long[each.number] for each in transaction[place + 1 :] if each.number in long]
                if later or case.long_elsewhere:
                    reported.add(oid)
                    cause = later[0] if later else case.long_elsewhere[0]
                    where = f"{cause.place} of {cause.database}" if not later else cause.place
                    yield _finding(case, statement, name, mode, f"{where} {cause.text}")


def _finding(case: Case, statement: Statement, name: str, mode: str, cause: str) -> Finding:
    sentence = f"{BLOCKED[mode]} of {name} are blocked from here to the commit of all databases, while {cause}"
    advice = f"do the long work first, or in {OUTSIDE}, or in a release of its own"
    return case.finding("lock-window", statement, name, sentence, advice)


RULE = Rule("lock-window", Severity.WARNING, find)
