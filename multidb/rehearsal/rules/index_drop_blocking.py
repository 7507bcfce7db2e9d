"""DROP INDEX without CONCURRENTLY: a lock that blocks reads and writes, for a moment once it is granted."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import OUTSIDE


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        of_constraints = {each.index for each in statement.before.constraints.values()}
        for index in statement.dropped:
            if not index.is_index or index.table not in statement.after.relations or index.oid in of_constraints:
                continue
            if statement.held.get(index.table or 0) != "AccessExclusiveLock":
                continue
            if statement.dropped_columns:
                continue  # with its column
            for _, name in case.large(statement, [index.table or 0]):
                sentence = (
                    f"dropping {index.name} waits for all readers of {name}{case.size_text(name)}, and they for it"
                )
                advice = f"drop the index with postgresql_concurrently=True in {OUTSIDE}"
                yield case.finding("index-drop-blocking", statement, index.name, sentence, advice)


RULE = Rule("index-drop-blocking", Severity.NOTE, find)
