"""A column gets a type that is stored in another way: the table is rewritten."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import rewrite_findings

_ADVICE = "expand and contract: a new column, filled in batches, and the old one dropped in a later release"


def find(case: Case) -> Iterator[Finding]:
    return rewrite_findings(case, "rewrite-type", "the new type", _ADVICE)


RULE = Rule("rewrite-type", Severity.ERROR, find)
