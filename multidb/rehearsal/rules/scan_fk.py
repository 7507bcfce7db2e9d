"""A foreign key is validated at once: all rows are read while both tables are locked against writes."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import NOT_VALID, blocking_scans, scan_sentence


def find(case: Case) -> Iterator[Finding]:
    for statement, oid, name in blocking_scans(case):
        for each in statement.new_constraints:
            if each.table == oid and each.type == "f" and each.is_validated:
                sentence = scan_sentence(case, statement, oid, f"the foreign key {each.name}")
                if statement.is_old(each.referenced) and each.referenced != oid:
                    sentence += f", and writes to {statement.name(each.referenced)} meanwhile"
                yield case.finding("scan-fk", statement, f"{name}.{each.name}", sentence, NOT_VALID)


RULE = Rule("scan-fk", Severity.ERROR, find)
