"""CREATE INDEX without CONCURRENTLY: writes to the table are blocked while the index is built."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.observation import BLOCKED
from multidb.rehearsal.rules.support import OUTSIDE


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        of_constraints = {each.index for each in statement.after.constraints.values()}
        for index in statement.new_indexes:
            if index.oid in of_constraints or index.table not in statement.held:
                continue
            for oid, name in case.large(statement, [index.table]):
                blocked = BLOCKED[statement.held[oid]]
                sentence = f"building {index.name} on {name}{case.size_text(name)} blocks {blocked}"
                advice = f"create the index with postgresql_concurrently=True in {OUTSIDE}"
                yield case.finding("index-blocking", statement, index.name, sentence, advice)


RULE = Rule("index-blocking", Severity.ERROR, find)
