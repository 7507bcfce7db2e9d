"""A new column is generated and stored: the table is rewritten."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import rewrite_findings

_ADVICE = "add a plain column that a trigger fills, and fill old rows in batches"


def find(case: Case) -> Iterator[Finding]:
    return rewrite_findings(case, "rewrite-generated", "a stored generated column", _ADVICE)


RULE = Rule("rewrite-generated", Severity.ERROR, find)
