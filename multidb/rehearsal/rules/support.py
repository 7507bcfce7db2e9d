"""What several rules have in common."""

from collections.abc import Iterator

from multidb.rehearsal.finding import Case, Finding, LongWork
from multidb.rehearsal.live import bytes_text
from multidb.rehearsal.observation import BLOCKED, Statement, mode_text

OUTSIDE = "a revision of its own with `outside_transaction = True`"
NOT_VALID = "add the constraint NOT VALID, and VALIDATE it in the next release"


def verb(statement: Statement) -> str:
    """The first word of a statement."""
    return (statement.text.split(None, 1) or [""])[0].upper().rstrip(";")


def rewrites(case: Case) -> Iterator[tuple[Statement, int, str]]:
    """The statements that rewrite a large table, by the table's name; TRUNCATE leaves nothing to rewrite."""
    for statement in case.observed.statements:
        if verb(statement) != "TRUNCATE":
            for oid, name in case.large(statement, statement.rewritten):
                if statement.first.relations[oid].is_table:
                    yield statement, oid, name


def reason_of_rewrite(statement: Statement, table: int) -> str:
    """Which rule a rewritten table is for."""
    added = [each for each in statement.new_columns if each.table == table]
    if any(old.type != new.type for old, new in statement.changed_columns if new.table == table):
        return "rewrite-type"
    if any(each.generated == "s" for each in added):
        return "rewrite-generated"
    if any(each.identity or (each.default or "").startswith("nextval(") for each in added):
        return "rewrite-identity"
    if any(each.default is not None for each in added):
        return "rewrite-default"
    if statement.before.relations[table].persistence != statement.after.relations[table].persistence:
        return "rewrite-persistence"
    return "rewrite-table"


def rewrite_findings(case: Case, rule: str, cause: str, advice: str) -> Iterator[Finding]:
    """The findings of one rule about rewritten tables."""
    for statement, oid, name in rewrites(case):
        if reason_of_rewrite(statement, oid) == rule:
            size = case.size(name)
            room = f"; that needs {bytes_text(size.bytes + size.index_bytes)} of disk once more" if size else ""
            blocked = BLOCKED.get(statement.held.get(oid, "AccessExclusiveLock"), "writes")
            sentence = f"{cause} rewrites {name}{case.size_text(name)} and its indexes, and blocks {blocked}{room}"
            yield case.finding(rule, statement, name, sentence, advice)


def blocking_scans(case: Case) -> Iterator[tuple[Statement, int, str]]:
    """The statements that read a large table as a whole while services can't write to it; no rewrites."""
    for statement in case.observed.statements:
        for oid, name in case.large(statement, statement.scanned):
            if oid in statement.held and oid not in statement.rewritten:
                yield statement, oid, name


def scan_sentence(case: Case, statement: Statement, table: int, what: str) -> str:
    name, mode = statement.name(table), statement.held[table]
    return f"{what} reads all of {name}{case.size_text(name)} under {mode_text(mode)}, which blocks {BLOCKED[mode]}"


def long_work(case: Case) -> Iterator[tuple[Statement, LongWork]]:
    """The statements whose time grows with a large table: scans, rewrites, indexes."""
    for statement in case.observed.statements:
        for verb_text, tables in (("rewrites", statement.rewritten), ("reads all of", statement.scanned)):
            found = [oid for oid in tables if statement.first.relations[oid].is_table]
            large = list(case.large(statement, found))
            if large:
                _, name = large[0]
                yield statement, LongWork(case.name, statement.place, f"{verb_text} {name}", name)
                break
