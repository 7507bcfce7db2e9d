"""A revision sets lock_timeout itself, so that a lock is waited for longer than the run allows."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        old, new = statement.before.lock_timeout, statement.after.lock_timeout
        if new != old and (new == "0" or not statement.outside):
            value = "no limit" if new == "0" else new
            sentence = f"the revision sets lock_timeout to {value}: while it waits, all others wait behind it"
            advice = "leave the setting to the run: lock_timeout in databases.yaml, or -x lock_timeout="
            yield case.finding("lock-timeout", statement, "", sentence, advice)


RULE = Rule("lock-timeout", Severity.WARNING, find)
