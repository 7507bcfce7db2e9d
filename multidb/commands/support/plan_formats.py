"""A plan for people and for pipelines: text, JSON, Markdown for a pull request, annotations for GitHub."""

from collections.abc import Iterator
from typing import Any

from multidb.config.policy import Severity
from multidb.errors import failure_as_json
from multidb.output import NAME_WIDTH, count_of, revisions_text
from multidb.rehearsal.finding import Finding
from multidb.rehearsal.observation import BLOCKED, Statement, mode_text
from multidb.rehearsal.planning import ReleasePlan
from multidb.rehearsal.verdict import DatabasePlan

FORMATS = ("text", "markdown", "github")
MARKER = "<!-- multidb plan -->"
"""The first line of a Markdown comment, by which a pipeline finds the former one to replace it."""
_LONGEST_COMMENT = 65_000  # characters; GitHub takes 65,536


def rendered(release: ReleasePlan, format_: str, *, is_verbose: bool = False) -> str:
    """A plan in one of FORMATS."""
    if format_ == "markdown":
        return _markdown(release)
    if format_ == "github":
        return "\n".join(_annotations(release))
    return "\n".join(_text(release, is_verbose=is_verbose))


def as_json(release: ReleasePlan) -> dict[str, Any]:
    """A plan as JSON has it."""
    return {
        "guarantee": release.guarantee,
        "refused": release.is_refused,
        "exit_code": int(release.exit_code),
        "databases": [_database_json(each) for each in release.databases],
    }


def _database_json(plan: DatabasePlan) -> dict[str, Any]:
    observed = plan.observed
    return {
        "database": plan.database,
        "before": list(plan.before),
        "after": list(plan.after),
        **failure_as_json(plan.failure),
        "revisions": [
            {"revision": each.revision, "file": each.place, "upgrade": each.is_upgrade, "outside": each.outside}
            for each in (observed.moves if observed else ())
        ],
        "findings": [_finding_json(each) for each in plan.findings],
        "lock_windows": [
            {
                "table": each.table,
                "mode": mode_text(each.mode),
                "blocks": BLOCKED[each.mode],
                "from": each.place,
                "seconds": round(each.seconds, 3),
                "longest": each.longest,
            }
            for each in plan.lock_windows
        ],
        "statements": [_statement_json(each) for each in plan.statements],
        "sizes": {
            name: {"rows": size.rows, "bytes": size.bytes, "index_bytes": size.index_bytes}
            for name, size in plan.weights.sizes.items()
            if name in _touched(plan)
        },
        "not_copied": plan.not_copied,
        "not_observed": plan.not_observed,
    }


def _finding_json(found: Finding) -> dict[str, Any]:
    file, _, line = found.place.rpartition(":")
    has_line = line.isdigit()
    return {
        "rule": found.rule,
        "severity": str(found.severity),
        "revision": found.revision,
        "file": file if has_line else found.place,
        "line": int(line) if has_line else None,
        "subject": found.subject,
        "sentence": found.sentence,
        "advice": found.advice,
        "statement": found.statement,
        "basis": found.basis,
        "accepted": found.accepted.reason if found.accepted else None,
    }


def _statement_json(statement: Statement) -> dict[str, Any]:
    return {
        "revision": statement.revision,
        "place": statement.place,
        "sql": statement.text,
        "outside": statement.outside,
        "locks": {statement.name(oid): mode_text(mode) for oid, mode in statement.acquired.items()},
        "rewrites": [statement.name(oid) for oid in statement.rewritten],
        "scans": [statement.name(oid) for oid in statement.scanned],
        "facts": facts(statement),
    }


def _touched(plan: DatabasePlan) -> set[str]:
    tables = {
        each.name(oid)
        for each in plan.statements
        for oid in (*each.acquired, *each.scanned, *each.rewritten, *each.written)
    }
    return tables | {each.table for each in plan.changes}


def facts(statement: Statement) -> list[str]:
    """What was observed of a statement, in words."""
    found = [
        f"locks {statement.name(oid)} ({mode_text(mode)}: blocks {BLOCKED[mode]})"
        for oid, mode in statement.acquired.items()
    ]
    found += [f"rewrites {statement.name(oid)}" for oid in statement.rewritten]
    found += [f"reads all of {statement.name(oid)}" for oid in statement.scanned if oid not in statement.rewritten]
    proved = [
        f"{statement.column(new)} becomes NOT NULL without reading rows: a constraint proves it"
        for old, new in statement.changed_columns
        if new.not_null and not old.not_null and new.table not in statement.scanned
    ]
    if statement.outside and statement.watched is None:
        found.append("its locks were not observed")
    return [*found, *proved]


def _text(release: ReleasePlan, *, is_verbose: bool) -> Iterator[str]:
    """The verdict first, then what matters."""
    for plan in release.databases:
        yield f"{plan.database:{NAME_WIDTH}} {_verdict(plan)}"
        for each in plan.findings:
            if each.severity > Severity.NOTE or is_verbose:
                yield from _finding_lines(each)
        notes = [each for each in plan.findings if each.severity <= Severity.NOTE]
        if notes and not is_verbose:
            yield f"    {count_of(len(notes), 'note')}: --verbose prints them"
        yield from _remarks(plan)
        if is_verbose:
            yield from _statement_lines(plan)
    if release.guarantee:
        yield f"the run: {'refused: ' if release.is_refused else ''}{release.guarantee}"


def _verdict(plan: DatabasePlan) -> str:
    if plan.error is not None:
        return f"FAILED: {plan.error}"
    if plan.observed is None:
        return f"{revisions_text(plan.before)}: nothing pending"
    way = f"{revisions_text(plan.before)} -> {revisions_text(plan.after)}"
    counting = len(plan.counting)
    return f"{way}: {count_of(counting, 'finding') if counting else 'fine'}"


def _finding_lines(found: Finding) -> Iterator[str]:
    accepted = f", accepted: {found.accepted.reason}" if found.accepted else ""
    yield f"    {found.severity} {found.rule} ({found.basis}{accepted})"
    yield f"        {found.place}: {found.sentence}"
    if found.statement:
        yield f"        {found.statement}"
    yield f"        instead: {found.advice}"


def _remarks(plan: DatabasePlan) -> Iterator[str]:
    """How long tables are locked, and what the rehearsal could not do."""
    for each in plan.lock_windows:
        blocked = f"blocks {BLOCKED[each.mode]} of {each.table}"
        rehearsed = f"{each.seconds:.2f} s in the rehearsal, without rows, most of them in {each.longest}"
        yield f"    {blocked} from {each.place} to the commit of all databases: {rehearsed}"
    for text in plan.not_copied:
        yield f"    not copied into the scratch database: {text}"
    for text in plan.not_observed:
        yield f"    not observed: {text}"


def _statement_lines(plan: DatabasePlan) -> Iterator[str]:
    for each in plan.statements:
        yield f"    {each.place}: {each.short}"
        for fact in facts(each):
            yield f"        {fact}"
    for change in plan.changes:
        yield f"    {change.place}: {change.table}: {' '.join(filter(None, (change.what, change.detail)))}"


def _markdown(release: ReleasePlan) -> str:
    """A comment for a pull request; short where there is nothing to say."""
    lines = [MARKER, f"### Migration plan: {_summary(release)}", ""]
    rows = [plan for plan in release.databases if plan.observed is not None or plan.failure]
    if rows:
        lines += ["| database | from | to | verdict |", "| --- | --- | --- | --- |"]
        for plan in rows:
            verdict = f"failed: {plan.error}" if plan.error else _verdict(plan).rpartition(": ")[2]
            cells = plan.database, revisions_text(plan.before), revisions_text(plan.after), verdict
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
        lines.append("")
    for plan in rows:
        for each in plan.findings:
            lines += _markdown_finding(plan, each)
        for text in plan.not_copied:
            lines.append(f"- `{plan.database}`: not copied into the scratch database: {_escaped(text)}")
        for text in plan.not_observed:
            lines.append(f"- `{plan.database}`: not observed: {_escaped(text)}")
    if release.guarantee:
        lines += ["", f"The run: {'refused: ' if release.is_refused else ''}{_escaped(release.guarantee)}"]
    return _cut(lines)


def _summary(release: ReleasePlan) -> str:
    counting = sum(len(plan.counting) for plan in release.databases)
    failed = sum(plan.failure is not None for plan in release.databases)
    if failed:
        return f"{count_of(failed, 'database')} not planned"
    if counting:
        return count_of(counting, "finding")
    return "fine" if any(plan.observed for plan in release.databases) else "nothing pending"


def _markdown_finding(plan: DatabasePlan, found: Finding) -> list[str]:
    mark = "note" if found.accepted else str(found.severity)
    accepted = f" *Accepted: {_escaped(found.accepted.reason)}*" if found.accepted else ""
    lines = [f"- {mark}: **{found.rule}** `{found.place}` in `{plan.database}`: {_escaped(found.sentence)}.{accepted}"]
    if found.statement:
        lines.append(f"  <br>`{found.statement.replace('`', '')}`")
    if not found.accepted:
        lines.append(f"  <br>Instead: {_escaped(found.advice)}")
    return lines


def _cut(lines: list[str]) -> str:
    """The lines that fit into a comment, and how many do not."""
    kept: list[str] = []
    length = 0
    for number, line in enumerate(lines):
        length += len(line) + 1
        if length > _LONGEST_COMMENT - 100:
            kept.append(f"\n… and {count_of(len(lines) - number, 'line')}: `python -m multidb plan` prints all")
            break
        kept.append(line)
    return "\n".join(kept)


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|").replace("\n", " ")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _annotations(release: ReleasePlan) -> Iterator[str]:
    """https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands"""
    levels = {Severity.ERROR: "error", Severity.WARNING: "warning"}
    for plan in release.databases:
        if plan.error is not None:
            yield f"::error title={plan.database}::{_data(plan.error)}"
        for each in plan.findings:
            level = "notice" if each.accepted else levels.get(each.severity, "notice")
            file, _, line = each.place.rpartition(":")
            place = f"file={_property(file)},line={line}" if line.isdigit() else f"file={_property(each.place)}"
            yield f"::{level} {place},title={each.rule}::{_data(f'{each.sentence}: {each.advice}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
