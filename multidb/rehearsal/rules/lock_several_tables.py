"""Several large tables are locked against all use in one transaction: a deadlock with services is likely."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.output import listed
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for transaction in case.observed.transactions():
        locked: dict[str, None] = {}
        for statement in transaction:
            taken = [oid for oid, mode in statement.acquired.items() if mode == "AccessExclusiveLock"]
            new = [name for _, name in case.large(statement, taken) if name not in locked]
            locked.update(dict.fromkeys(new))
            if new and len(locked) == 2:
                sentence = f"{listed(list(locked))} are locked against reads and writes at the same time"
                advice = "alter one large table in a release, or each in a revision of its own outside the transaction"
                yield case.finding("lock-several-tables", statement, new[-1], sentence, advice)


RULE = Rule("lock-several-tables", Severity.NOTE, find)
