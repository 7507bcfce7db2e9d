"""An EXCLUDE constraint is added: its index is built while the table is locked, and NOT VALID does not exist for it."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import blocking_scans, scan_sentence


def find(case: Case) -> Iterator[Finding]:
    for statement, oid, name in blocking_scans(case):
        for each in statement.new_constraints:
            if each.table == oid and each.type == "x":
                sentence = scan_sentence(case, statement, oid, f"the exclusion constraint {each.name}")
                advice = "add it to a new table that takes the rows in batches, or in a maintenance window"
                yield case.finding("scan-exclusion", statement, f"{name}.{each.name}", sentence, advice)


RULE = Rule("scan-exclusion", Severity.ERROR, find)
