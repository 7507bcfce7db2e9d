"""The live database has an invalid index of the name that a revision creates: IF NOT EXISTS would keep it."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        for index in statement.new_indexes:
            if index.name in case.weights.invalid_indexes and not statement.outside:
                sentence = f"an invalid index {index.name} is there already, and CREATE INDEX would fail or keep it"
                advice = f"DROP INDEX CONCURRENTLY {index.name} before the run"
                own = statement.place, index.name, sentence, advice, statement.short, PREDICTED
                yield Finding("index-invalid-left", case.name, statement.revision, *own)


RULE = Rule("index-invalid-left", Severity.WARNING, find)
