"""Batch mode rebuilds a large table of an SQLite file, which no other session can write to until the commit."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for change in case.observed.changes:
        if change.what == "rebuilt" and case.is_large(change.table):
            sentence = (
                f"{change.table} is rebuilt{case.size_text(change.table)}, and no other process can write meanwhile"
            )
            advice = "stop the service for the run, or let it wait for the lock"
            yield case.finding("sqlite-rebuild", change, change.table, sentence, advice)


RULE = Rule("sqlite-rebuild", Severity.NOTE, find)
