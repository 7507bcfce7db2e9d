"""A new column has a volatile default: the table is rewritten."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import rewrite_findings

_ADVICE = "add the column without a default, set the default in a second statement, and fill old rows in batches"


def find(case: Case) -> Iterator[Finding]:
    return rewrite_findings(case, "rewrite-default", "a default that is computed for each row", _ADVICE)


RULE = Rule("rewrite-default", Severity.ERROR, find)
