"""A constraint is added NOT VALID and validated in one transaction: the strong lock of the first is kept for both."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.observation import BLOCKED


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for each in statement.validated:
            if statement.outside or each.table not in statement.held:
                continue
            for oid, name in case.large(statement, [each.table]):
                blocked = BLOCKED[statement.held[oid]]
                sentence = (
                    f"VALIDATE CONSTRAINT {each.name} reads all of {name}{case.size_text(name)}, and the lock of an "
                    f"earlier statement blocks {blocked} meanwhile"
                )
                advice = "validate the constraint in a revision outside the transaction, or in the next release"
                yield case.finding("validate-same-transaction", statement, f"{name}.{each.name}", sentence, advice)


RULE = Rule("validate-same-transaction", Severity.ERROR, find)
