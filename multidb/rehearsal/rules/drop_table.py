"""A table with rows is dropped, with all that goes with it."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.output import listed
from multidb.rehearsal.finding import Case, Finding, Rule

_ADVICE = "release the services without it first, and keep a backup: a downgrade restores no rows"


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for table in statement.dropped:
            name = statement.name(table.oid)
            if table.is_table and case.has_rows(name):
                others = [each.name for each in statement.dropped if each.kind in ("v", "m") and each is not table]
                keys = [
                    f"{statement.name(each.table)}.{each.name}"
                    for oid, each in statement.before.constraints.items()
                    if oid not in statement.after.constraints and each.referenced == table.oid != each.table
                ]
                along = f", and with it {listed([*others, *keys])}" if others or keys else ""
                sentence = f"{name} goes with its rows{case.size_text(name)}{along}"
                yield case.finding("drop-table", statement, name, sentence, _ADVICE)
    for change in case.observed.changes:
        if change.what == "dropped" and case.has_rows(change.table):
            sentence = f"{change.table} goes with its rows{case.size_text(change.table)}"
            yield case.finding("drop-table", change, change.table, sentence, _ADVICE)


RULE = Rule("drop-table", Severity.WARNING, find)
