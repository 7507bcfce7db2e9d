"""A revision sends no statement."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    if case.observed.database.is_sqlite:
        return
    busy = {each.revision for each in case.observed.statements}
    for move in case.observed.moves:
        if move.revision not in busy:
            sentence = "the revision sends no statement"
            advice = "see whether that is meant"
            yield Finding("nothing-changed", case.name, move.revision, move.place, "", sentence, advice)


RULE = Rule("nothing-changed", Severity.NOTE, find)
