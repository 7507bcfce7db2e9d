"""A new column is serial or an identity: the table is rewritten."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import rewrite_findings

_ADVICE = "add a nullable column, fill it in batches, and make it an identity column afterwards"


def find(case: Case) -> Iterator[Finding]:
    return rewrite_findings(case, "rewrite-identity", "numbering the rows", _ADVICE)


RULE = Rule("rewrite-identity", Severity.ERROR, find)
