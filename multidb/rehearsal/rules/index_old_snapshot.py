"""CONCURRENTLY waits for every transaction that was open before, and one is open for a minute or longer."""

import re
from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule

_CONCURRENTLY = re.compile(r"\bINDEX\b.*\bCONCURRENTLY\b", re.IGNORECASE | re.DOTALL)


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        if statement.outside and _CONCURRENTLY.search(statement.text) and case.weights.sessions:
            oldest = max(case.weights.sessions, key=lambda session: session.seconds)
            sentence = f"CONCURRENTLY waits for {oldest.text}"
            advice = "let the transaction end, or end the session, before the run"
            yield case.finding("index-old-snapshot", statement, "", sentence, advice, PREDICTED)


RULE = Rule("index-old-snapshot", Severity.WARNING, find)
