"""A table is renamed: services that know the old name fail until they are released."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for oid, new in statement.after.tables.items():
            old = statement.before.relations.get(oid)
            if old and old.name != new.name and statement.is_old(oid) and case.has_rows(statement.name(oid)):
                sentence = f"{old.name} is called {new.name} from the commit on: services that use {old.name} fail"
                advice = f"create a view {old.name} in the same revision, and drop it in a later release"
                if new.kind != "m" and any(each.name == old.name for each in case.observed.last.relations.values()):
                    continue  # a view or a new table takes the name
                yield case.finding("rename-table", statement, old.name, sentence, advice)


RULE = Rule("rename-table", Severity.WARNING, find)
