"""SET NOT NULL without a proof: all rows are read while the table is locked."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import blocking_scans, scan_sentence

_ADVICE = (
    "before it, add CHECK (… IS NOT NULL) NOT VALID and VALIDATE it in a revision outside the transaction: "
    "SET NOT NULL then reads no rows"
)


def find(case: Case) -> Iterator[Finding]:
    for statement, oid, _ in blocking_scans(case):
        columns = [new for old, new in statement.changed_columns if new.table == oid and new.not_null > old.not_null]
        if columns and not any(each.type == "p" for each in statement.new_constraints):
            sentence = scan_sentence(case, statement, oid, f"SET NOT NULL on {columns[0].name}")
            yield case.finding("scan-not-null", statement, statement.column(columns[0]), sentence, _ADVICE)


RULE = Rule("scan-not-null", Severity.ERROR, find)
