"""A table becomes logged or unlogged: the table is rewritten."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import rewrite_findings

_ADVICE = "do that in a maintenance window"


def find(case: Case) -> Iterator[Finding]:
    return rewrite_findings(case, "rewrite-persistence", "SET LOGGED or UNLOGGED", _ADVICE)


RULE = Rule("rewrite-persistence", Severity.ERROR, find)
