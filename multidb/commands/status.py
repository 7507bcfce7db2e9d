"""`status`: print where every database is: revision, head, pending revisions, the last run.

Exit code 0: all databases are at head; 2: revisions are pending, a branch has none, or a run is in progress; 3: a
database is in doubt; 1: a database can't be read.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.commands.support.database_status import DatabaseStatus, read_statuses
from multidb.database import journal
from multidb.errors import ExitCode
from multidb.output import columns, revisions_text, shortened

_TITLES = ("database", "revision", "head", "pending", "last run")
_LONGEST_ERROR = 100  # characters of a failed run's error


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    found = read_statuses(command)
    if command.options.json:
        print(json.dumps([status.as_json() for status in found], indent=2))
    else:
        print(columns([_TITLES, *map(_cells, found)]))
        for status in found:
            for each in status.in_doubt or ():
                print(f"{status.database} {_line(each)}")
            for text in status.foreign:
                print(f"{status.database}: {text}")
    return ExitCode.most_severe(status.exit_code for status in found)


def _cells(status: DatabaseStatus) -> tuple[str, ...]:
    head = ", ".join(status.head or ())
    if status.error:
        return status.database, "?", head, "?", f"FAILED: {status.error}"
    is_running = all(each["in_progress"] for each in status.in_doubt or ())
    pending = str(status.pending) if not status.in_doubt else "in progress" if is_running else "in doubt"
    return (
        status.database,
        revisions_text(status.revision or ()),
        head or "no revisions",
        pending,
        _last_run_text(status),
    )


def _last_run_text(status: DatabaseStatus) -> str:
    run = status.last_run
    if run is None:
        return "-"
    text = f"{run['started_at'][:19]}Z {run['release'] or run['run']} ({run['command']})"
    if run["result"] == journal.COMMITTED:
        return text
    error = run["ended"] and run["ended"]["error"]
    return f"{text} {run['result']}" + (f": {shortened(error, _LONGEST_ERROR)}" if error else "")


def _line(found: Mapping[str, Any]) -> str:
    """What a person should know and do about a prepared transaction."""
    if found["in_progress"]:
        return f"waits for {found['reason']}, which is in progress"
    by_hand = f"as the role {found['role']} or a superuser, in the database {found['connect']}"
    if found["sql"]:
        return f"is in doubt: `python -m multidb recover`. By hand, {by_hand}: {found['sql']}"
    where, choice = f"is in doubt: {found['gid']}: {found['reason']}", found["choice"]
    if not choice:
        return f"{where}: correct that, then `python -m multidb recover`"
    others = "; ".join(f"{name}: {state}" for name, state in choice["databases"].items())
    return (
        f"{where}. In the other databases, the run is: {others}. Do the same in all; here, {by_hand}, either "
        f"{choice['commit']} or {choice['rollback']}"
    )
