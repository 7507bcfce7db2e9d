"""`log`: print the newest runs that the journals record, newest first; `--all` prints all."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.database import journal
from multidb.database.journal import JournalRow, Journals
from multidb.database.newest_runs import newest_runs
from multidb.errors import ExitCode
from multidb.output import columns, revisions_text
from multidb.release import running

_OF_RUN = ("run", "release", "command", "state", "who", "host", "started_at", "versions")
_OF_DETAILS = ("plan", "commit", "actor")
_OF_DATABASE = ("attempt", "two_phase", "before", "after", "revisions", "started_at", "seconds", "details")
_NEWEST = 20  # runs


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)
    parser.add_argument("--all", action="store_true", help=f"print all runs, not the {_NEWEST} newest")


def run(command: Command) -> ExitCode:
    number = None if command.options.all else _NEWEST
    journals, has_older = newest_runs(command.databases, number)
    runs = list(_runs({name: running.marked(command.configuration, rows) for name, rows in journals.items()}))
    if command.options.json:
        print(json.dumps(runs, indent=2))
        return ExitCode.OK
    for each in runs:
        words = [each["started_at"][:19] + "Z", each["run"], each["release"] or "-", f"`{each['command']}`"]
        plan = each["plan"] and f"plan {each['plan'][:12]}"
        print("  ".join(filter(None, [*words, f"by {each['who']} on {each['host']}", plan, each["state"]])))
        lines = [
            (f"    {row['database']}", _movement(row), f"{row['seconds'] or 0:.2f} s", row["state"])
            for row in each["databases"]
        ]
        print(columns(lines))
        if end := _end(each):
            print(f"    {end}")
    if has_older:
        print(f"these are the {_NEWEST} newest runs: --all prints the older ones, too")
    if not runs:
        print("no run yet")
    return ExitCode.OK


def _end(run: Mapping[str, Any]) -> str:
    """When and how a run ended, by which role, from which commit and for whom, as far as it is known."""
    ended = run["ended"] or {}
    role = f" as {ended['role']}" if ended.get("role") else ""
    known = (
        f"ended {ended['at'][:19]}Z{role}" if ended else "",
        f"commit {_shortened(run['commit'])}" if run["commit"] else "",
        f"for {run['actor']}" if run["actor"] else "",
    )
    return ", ".join(filter(None, known)) + (f": {ended['error']}" if ended.get("error") else "")


def _shortened(commit: str) -> str:
    """A commit as git shows it to people, and whether files differed from it."""
    name, dash, dirty = commit.partition("-")
    return f"{name[:12]}{dash}{dirty}"


def _runs(journals: Journals) -> Iterable[dict[str, Any]]:
    by_run: dict[str, list[tuple[str, JournalRow]]] = {}
    for name, rows in journals.items():
        for row in rows:
            by_run.setdefault(row.run, []).append((name, row))
    first = {run_id: min((row for _, row in found), key=lambda row: row.started_at) for run_id, found in by_run.items()}
    for run_id, row in sorted(first.items(), key=lambda item: item[1].started_at, reverse=True):
        found = by_run[run_id]
        newest_first = sorted((each for _, each in found), key=_number, reverse=True)
        ended = next((each.ended for each in newest_first if each.ended), None)
        yield {key: getattr(row, key) for key in _OF_RUN} | {
            "state": _state(found, set(journals)),
            "ended": ended,
            **{key: next(filter(None, (each.details.get(key) for each in newest_first)), None) for key in _OF_DETAILS},
            "databases": [_row(name, each) for name, each in found],
        }


def _state(rows: Sequence[tuple[str, JournalRow]], names: set[str]) -> str:
    """How a run ended: as it reported itself, else as far as the journals that were read show it."""
    last = max(_number(row) for _, row in rows)
    results = {row.result for _, row in rows if row.ended} - {journal.COMMITTED, journal.NOT_COMMITTED}
    if results:
        return results.pop()
    missing: dict[str, set[str]] = {}  # of each committed attempt, the databases without a row of it
    for name, row in rows:
        if row.is_committed:
            missing.setdefault(row.attempt, set(row.participants) & names).discard(name)
    open_ends = {row.result for _, row in rows if _number(row) == last and not row.is_committed}
    if not missing:
        return (open_ends or {journal.NOT_COMMITTED}).pop()
    if open_ends == {journal.RUNNING}:
        return journal.RUNNING
    return journal.PARTLY_COMMITTED if any(missing.values()) or open_ends else journal.COMMITTED


def _number(row: JournalRow) -> int:
    """The number of a row's attempt in its run."""
    return int(row.attempt.rpartition(".")[2])


def _row(database: str, row: JournalRow) -> dict[str, Any]:
    state = row.state if row.is_committed else "not committed"
    return {"database": database, "state": state} | {key: getattr(row, key) for key in _OF_DATABASE}


def _movement(row: Mapping[str, Any]) -> str:
    before = revisions_text(row["before"])
    return f"{before} -> {revisions_text(row['after'])}" if row["state"] == journal.COMMITTED else f"at {before}"
