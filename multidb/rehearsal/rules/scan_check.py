"""A CHECK is validated at once: all rows are read while the table is locked."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import NOT_VALID, blocking_scans, scan_sentence


def find(case: Case) -> Iterator[Finding]:
    for statement, oid, name in blocking_scans(case):
        for each in statement.new_constraints:
            if each.table == oid and each.type == "c" and each.is_validated:
                sentence = scan_sentence(case, statement, oid, f"the CHECK {each.name}")
                yield case.finding("scan-check", statement, f"{name}.{each.name}", sentence, NOT_VALID)


RULE = Rule("scan-check", Severity.ERROR, find)
