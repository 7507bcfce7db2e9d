"""The run would fail, as the rehearsal did: by an error, or because its transaction can't be prepared."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    failure = case.observed.failure
    if failure is not None:
        advice = "correct the revision; nothing was changed"
        sentence = f"the rehearsal failed: {failure.reason}"
        yield Finding("fails", case.name, failure.revision, failure.place, "", sentence, advice)


RULE = Rule("fails", Severity.ERROR, find)
