"""`log`: print the runs that the journals record, newest first."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.database import journal
from multidb.database.journal import JournalRow, Journals
from multidb.errors import ExitCode
from multidb.output import columns, revisions_text

_OF_RUN = ("run", "release", "command", "state", "who", "host", "started_at", "versions")
_OF_DATABASE = ("attempt", "two_phase", "before", "after", "revisions", "started_at", "seconds", "details")


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    runs = list(_runs(journal.read_all(command.databases)))
    if command.options.json:
        print(json.dumps(runs, indent=2))
        return ExitCode.OK
    for each in runs:
        words = [each["started_at"][:19] + "Z", each["run"], each["release"] or "-", f"`{each['command']}`"]
        print("  ".join([*words, f"by {each['who']} on {each['host']}", each["state"]]))
        lines = [
            (f"    {row['database']}", _movement(row), f"{row['seconds'] or 0:.2f} s", row["state"])
            for row in each["databases"]
        ]
        print(columns(lines))
    if not runs:
        print("no run yet")
    return ExitCode.OK


def _runs(journals: Journals) -> Iterable[dict[str, Any]]:
    by_run: dict[str, list[tuple[str, JournalRow]]] = {}
    for name, rows in journals.items():
        for row in rows:
            by_run.setdefault(row.run, []).append((name, row))
    first = {run_id: min((row for _, row in found), key=lambda row: row.started_at) for run_id, found in by_run.items()}
    for run_id, row in sorted(first.items(), key=lambda item: item[1].started_at, reverse=True):
        yield {key: getattr(row, key) for key in _OF_RUN} | {
            "state": _state(by_run[run_id], set(journals)),
            "databases": [_row(name, each) for name, each in by_run[run_id]],
        }


def _state(rows: Sequence[tuple[str, JournalRow]], names: set[str]) -> str:
    """The state of a run, as far as the journals that were read show it."""
    missing: dict[str, set[str]] = {}  # of each committed attempt, the databases without a row of it
    last = max((row.attempt for _, row in rows), key=lambda attempt: int(attempt.rpartition(".")[2]))
    for name, row in rows:
        if row.is_committed:
            missing.setdefault(row.attempt, set(row.participants) & names).discard(name)
    if not missing:
        return "not committed"
    return "partly committed" if any(missing.values()) or last not in missing else "committed"


def _row(database: str, row: JournalRow) -> dict[str, Any]:
    state = row.state if row.is_committed else "not committed"
    return {"database": database, "state": state} | {key: getattr(row, key) for key in _OF_DATABASE}


def _movement(row: Mapping[str, Any]) -> str:
    before = revisions_text(row["before"])
    return f"{before} -> {revisions_text(row['after'])}" if row["state"] == journal.COMMITTED else f"at {before}"
