"""CLUSTER, VACUUM FULL, another tablespace or access method: the table is rewritten."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.rules.support import rewrite_findings

_ADVICE = "use a tool that copies the table beside the running services, or a maintenance window"


def find(case: Case) -> Iterator[Finding]:
    return rewrite_findings(case, "rewrite-table", "the statement", _ADVICE)


RULE = Rule("rewrite-table", Severity.ERROR, find)
