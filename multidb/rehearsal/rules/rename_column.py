"""A column is renamed: services that know the old name fail until they are released."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for old, new in statement.changed_columns:
            if old.name != new.name and case.has_rows(statement.name(new.table)):
                sentence = f"{statement.column(old)} is called {new.name} from the commit on: services that use it fail"
                advice = "expand and contract: a new column that a trigger keeps in step, see docs/writing-revisions.md"
                yield case.finding("rename-column", statement, statement.column(old), sentence, advice)


RULE = Rule("rename-column", Severity.WARNING, find)
