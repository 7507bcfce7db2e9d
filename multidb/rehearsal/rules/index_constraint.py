"""UNIQUE or PRIMARY KEY that builds its index: reads and writes are blocked while the index is built."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule
from multidb.rehearsal.observation import BLOCKED
from multidb.rehearsal.rules.support import OUTSIDE


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        built = {each.oid for each in statement.new_indexes}
        for each in statement.new_constraints:
            if each.type not in ("u", "p") or each.index not in built or each.table not in statement.held:
                continue
            for oid, name in case.large(statement, [each.table]):
                blocked = BLOCKED[statement.held[oid]]
                sentence = f"building the index of {each.name} on {name}{case.size_text(name)} blocks {blocked}"
                advice = f"create a unique index CONCURRENTLY in {OUTSIDE}, then ADD CONSTRAINT … USING INDEX"
                yield case.finding("index-constraint", statement, f"{name}.{each.name}", sentence, advice)


RULE = Rule("index-constraint", Severity.ERROR, find)
