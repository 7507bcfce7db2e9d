"""`log`: print the newest runs that the journals record, newest first; `--all` prints all."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.database import journal
from multidb.database.newest_runs import newest_runs
from multidb.database.recorded_runs import recorded_runs
from multidb.errors import ExitCode
from multidb.output import columns, revisions_text
from multidb.release import running

_NEWEST = 20  # runs


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)
    parser.add_argument("--all", action="store_true", help=f"print all runs, not the {_NEWEST} newest")


def run(command: Command) -> ExitCode:
    number = None if command.options.all else _NEWEST
    journals, has_older = newest_runs(command.databases, number)
    runs = list(recorded_runs({name: running.marked(command.configuration, rows) for name, rows in journals.items()}))
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


def _movement(row: Mapping[str, Any]) -> str:
    before = revisions_text(row["before"])
    return f"{before} -> {revisions_text(row['after'])}" if row["state"] == journal.COMMITTED else f"at {before}"
