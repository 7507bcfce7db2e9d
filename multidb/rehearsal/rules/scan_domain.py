"""A constraint of a domain is validated at once: each table that uses the domain is read while it is locked."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import blocking_scans, scan_sentence


def find(case: Case) -> Iterator[Finding]:
    for statement, oid, name in blocking_scans(case):
        constraints = [each for each in statement.new_constraints if each.domain and each.is_validated]
        if constraints:
            sentence = scan_sentence(case, statement, oid, f"the constraint {constraints[0].name} of a domain")
            advice = "add the constraint NOT VALID, and VALIDATE it in the next release"
            yield case.finding("scan-domain", statement, name, sentence, advice)


RULE = Rule("scan-domain", Severity.ERROR, find)
