"""Rows of the live database violate what a revision adds, so that the run would fail."""

from collections.abc import Iterator

from multidb.config.policy import Severity
from multidb.output import count_of
from multidb.rehearsal.finding import PREDICTED, Case, Finding, Rule
from multidb.rehearsal.live import Failing
from multidb.rehearsal.observation import Statement
from multidb.rehearsal.rules.required_column import required
from multidb.rehearsal.rules.support import verb

_CORRECTS = ("UPDATE", "DELETE", "MERGE", "DO", "WITH", "TRUNCATE")


def find(case: Case) -> Iterator[Finding]:
    for each in case.weights.failing:
        cause = _cause(case, each)
        if _is_corrected(case, each, cause) or (cause is not None and required(case, cause)):
            continue
        place, revision, text = (cause.place, cause.revision, cause.short) if cause else _last_move(case)
        sentence = f"{each.sentence}, and {count_of(each.rows, 'row')} would violate that: the run would fail"
        advice = "correct the rows first, in a revision before"
        own = case.name, revision, place, each.table, sentence, advice, text
        yield Finding("would-fail", *own, basis=PREDICTED)


def _cause(case: Case, failing: Failing) -> Statement | None:
    """The last statement that changed what rows of the table have to fulfil."""
    for statement in reversed(case.observed.statements):
        tables = [each.table for _, each in statement.changed_columns]
        tables += [each.table for each in statement.new_columns]
        tables += [each.table for each in (*statement.new_constraints, *statement.validated)]
        tables += [each.table for each in statement.new_indexes if each.table is not None]
        if failing.table in map(statement.name, tables):
            return statement
    return None


def _is_corrected(case: Case, failing: Failing, cause: Statement | None) -> bool:
    """Whether a statement before may correct the rows; the rehearsal has none."""
    if cause is None:
        changes = case.observed.changes
        return any(each.table == failing.table and each.what == "written" for each in changes)
    before = case.observed.statements[: cause.number]
    written = [each for each in before if failing.table in map(each.name, each.written)]
    return any(verb(each) in _CORRECTS for each in written)


def _last_move(case: Case) -> tuple[str, str, str]:
    moves = case.observed.moves
    return (moves[-1].place, moves[-1].revision, "") if moves else ("", "", "")


RULE = Rule("would-fail", Severity.ERROR, find)
