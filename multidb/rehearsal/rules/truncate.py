"""A table with rows is emptied."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import verb


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        if verb(statement) != "TRUNCATE":
            continue
        for oid in statement.rewritten:
            name = statement.name(oid)
            if statement.first.relations[oid].is_table and case.has_rows(name):
                sentence = f"all rows of {name} go{case.size_text(name)}"
                advice = "keep a backup: a downgrade restores no rows"
                yield case.finding("truncate", statement, name, sentence, advice)


RULE = Rule("truncate", Severity.WARNING, find)
