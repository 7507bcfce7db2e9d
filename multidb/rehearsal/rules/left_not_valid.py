"""A constraint is NOT VALID after the last revision: a later release has to validate it."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        last = case.observed.last
        for each in statement.new_constraints:
            if each.table and each.oid in last.constraints and not last.constraints[each.oid].is_validated:
                name = statement.name(each.table)
                sentence = f"{each.name} of {name} stays NOT VALID: old rows may violate it"
                advice = "VALIDATE the constraint in the next release"
                yield case.finding("left-not-valid", statement, f"{name}.{each.name}", sentence, advice)


RULE = Rule("left-not-valid", Severity.NOTE, find)
