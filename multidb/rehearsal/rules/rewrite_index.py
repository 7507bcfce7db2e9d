"""An index is built again by another change, such as a new collation of its column."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for oid in statement.rewritten:
            index = statement.first.relations[oid]
            if not index.is_index or index.table is None or index.table in statement.rewritten:
                continue
            for table, name in case.large(statement, [index.table]):
                if table in statement.held:
                    sentence = f"the change builds the index {index.name} of {name}{case.size_text(name)} again"
                    advice = "create an index with the new definition CONCURRENTLY, then drop the old one"
                    yield case.finding("rewrite-index", statement, index.name, sentence, advice)


RULE = Rule("rewrite-index", Severity.ERROR, find)
