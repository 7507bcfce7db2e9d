"""A session of the live database has locked, for a minute or longer, a table that a revision locks."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    reported: set[tuple[str, str]] = set()
    for statement in case.observed.statements:
        for oid in statement.acquired:
            table = statement.name(oid)
            for session in case.weights.sessions:
                if table.rpartition(".")[2] in session.tables and (table, session.text) not in reported:
                    reported.add((table, session.text))
                    sentence = f"{table} is locked by {session.text}: the statement would wait for that"
                    advice = "let the transaction end, or end the session, before the run"
                    yield case.finding("lock-blocked", statement, table, sentence, advice, PREDICTED)


RULE = Rule("lock-blocked", Severity.WARNING, find)
