"""The rows of a large table are changed in one transaction: they stay locked until all databases have committed."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule
from multidb.rehearsal.rules.backfill_in_ddl import changed_tables
from multidb.rehearsal.rules.support import OUTSIDE, verb


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        written = set(map(statement.name, statement.written))
        for table in changed_tables(case, statement):
            if verb(statement) in ("INSERT", "COPY") or table not in written:
                continue
            if any(case.has_rows(statement.name(oid)) for oid in statement.held):
                continue  # which backfill-in-ddl reports
            sentence = f"it may change as many rows as {table} has{case.size_text(table)}, in one transaction"
            advice = f"change the rows in batches, in {OUTSIDE}"
            yield case.finding("backfill-unbatched", statement, table, sentence, advice, PREDICTED)


RULE = Rule("backfill-unbatched", Severity.WARNING, find)
