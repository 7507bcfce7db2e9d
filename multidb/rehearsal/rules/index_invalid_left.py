"""The live database has an invalid index of the name that a revision creates: IF NOT EXISTS would keep it."""

import re
from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule

_CREATE_INDEX = re.compile(r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\b", re.IGNORECASE)


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        if statement.outside or not _CREATE_INDEX.match(statement.text):
            continue  # outside a transaction, the run itself drops what a failed one has left
        for index in case.weights.invalid_indexes:
            if re.search(rf"\b{re.escape(index.rpartition('.')[2])}\b", statement.text):
                sentence = f"an invalid index {index} is there already, and IF NOT EXISTS would keep it"
                advice = f"DROP INDEX CONCURRENTLY {index} before the run"
                yield case.finding("index-invalid-left", statement, index, sentence, advice, PREDICTED)


RULE = Rule("index-invalid-left", Severity.WARNING, find)
