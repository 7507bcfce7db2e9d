"""A column is dropped of a table with rows, with all that goes with it."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.output import listed
from multidb.rehearsal.finding import Case, Finding, Rule

_ADVICE = "release the services without it first, and keep a backup: a downgrade restores no values"


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for column in statement.dropped_columns:
            table = statement.name(column.table)
            if not case.has_rows(table):
                continue
            others = [each.name for each in statement.dropped]
            along = f", and with it {listed(others)}" if others else ""
            sentence = f"{statement.column(column)} goes with its rows' values{case.size_text(table)}{along}"
            yield case.finding("drop-column", statement, statement.column(column), sentence, _ADVICE)
    for change in case.observed.changes:
        if change.what == "column dropped" and case.has_rows(change.table):
            subject = f"{change.table}.{change.detail}"
            sentence = f"{subject} goes with its rows' values{case.size_text(change.table)}"
            yield case.finding("drop-column", change, subject, sentence, _ADVICE)


RULE = Rule("drop-column", Severity.WARNING, find)
