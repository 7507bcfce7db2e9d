"""A new column is NOT NULL without a default: rows that are there, and inserts of running services, have no value."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule
from multidb.rehearsal.observation import Statement
from multidb.schema.postgresql.relations import Column


def required(case: Case, statement: Statement) -> list[Column]:
    """The columns that a statement adds to tables with rows, and that have no value there."""
    new = [each for each in statement.new_columns if case.has_rows(statement.name(each.table))]
    return [each for each in new if each.not_null and each.default is None and not each.identity + each.generated]


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for column in required(case, statement):
            table, subject = statement.name(column.table), statement.column(column)
            size = case.size_text(table)
            sentence = f"{subject} is NOT NULL without a default, and {table} has rows{size}: the run fails"
            advice = "add the column nullable or with a server default, and make it NOT NULL when it is filled"
            yield case.finding("required-column", statement, subject, sentence, advice, PREDICTED)


RULE = Rule("required-column", Severity.ERROR, find)
