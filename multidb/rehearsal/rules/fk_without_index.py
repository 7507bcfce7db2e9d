"""The columns of a new foreign key have no index: each deleted or updated key reads all of the table."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.rehearsal.finding import Case, Finding, Rule


def find(case: Case) -> Iterator[Finding]:
    for statement in case.observed.statements:
        last = case.observed.last
        for key in statement.new_constraints:
            if key.type != "f" or key.oid not in last.constraints or not case.is_large(statement.name(key.table)):
                continue
            indexes = (each for each in last.relations.values() if each.table == key.table)
            if not any(set(key.columns) == set(each.columns[: len(key.columns)]) for each in indexes):
                table = statement.name(key.table)
                sentence = f"no index of {table}{case.size_text(table)} begins with the columns of {key.name}"
                advice = "create an index CONCURRENTLY if rows of the referenced table are deleted"
                yield case.finding("fk-without-index", statement, f"{table}.{key.name}", sentence, advice)


RULE = Rule("fk-without-index", Severity.NOTE, find)
