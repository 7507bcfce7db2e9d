"""Rows of a large table are changed in a transaction that has locked a table against reads or writes before."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule
from multidb.rehearsal.observation import BLOCKED, Statement
from multidb.rehearsal.rules.support import OUTSIDE, verb

CHANGES_ROWS = ("UPDATE", "DELETE", "MERGE", "WITH", "DO", "INSERT", "COPY")


def changed_tables(case: Case, statement: Statement) -> list[str]:
    """The large tables of which a statement may change as many rows as they have."""
    if statement.outside or verb(statement) not in CHANGES_ROWS:
        return []
    return [name for _, name in case.large(statement, statement.scanned)]


def find(case: Case) -> Iterator[Finding]:
    for transaction in case.observed.transactions():
        for statement in transaction:
            tables = changed_tables(case, statement)
            locked = [(statement.name(oid), mode) for oid, mode in statement.held.items()]
            locked = [(name, mode) for name, mode in locked if case.has_rows(name)]
            if tables and locked:
                table, (name, mode) = tables[0], locked[0]
                sentence = (
                    f"it reads or changes the rows of {table}{case.size_text(table)} while {name} is locked, which "
                    f"blocks {BLOCKED[mode]} until the commit"
                )
                advice = f"change the rows in batches, in {OUTSIDE}"
                yield case.finding("backfill-in-ddl", statement, table, sentence, advice, PREDICTED)


RULE = Rule("backfill-in-ddl", Severity.ERROR, find)
