"""ATTACH PARTITION without a CHECK that implies the bounds: all rows of the new partition are read."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import blocking_scans, scan_sentence


def find(case: Case) -> Iterator[Finding]:
    for statement, oid, name in blocking_scans(case):
        if statement.after.relations[oid].is_partition and not statement.before.relations[oid].is_partition:
            sentence = scan_sentence(case, statement, oid, "ATTACH PARTITION")
            advice = "before it, add a CHECK with the bounds of the partition NOT VALID, and VALIDATE it"
            yield case.finding("scan-partition", statement, name, sentence, advice)


RULE = Rule("scan-partition", Severity.ERROR, find)
