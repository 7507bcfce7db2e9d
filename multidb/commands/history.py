"""`log` and `verify`: what the journals of all databases say together."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

from multidb import threads
from multidb.config.configuration import Database
from multidb.database import connections, journal
from multidb.database.journal import Entry
from multidb.errors import named
from multidb.output import Say, in_columns
from multidb.planning.branches import Branch

Journals = Mapping[str, list[Entry]]


def read(databases: Sequence[Database]) -> Journals:
    """The journals of several databases, read at the same time.

    Raises:
        MigrationError: one can't be read.
    """

    def entries(database: Database) -> list[Entry]:
        with named(database.name), connections.connect(database.url) as connection:
            return journal.entries(connection)

    found = threads.each(entries, databases)
    return {database.name: rows for database, rows in zip(databases, found, strict=True)}


def log(databases: Sequence[Database], *, as_json: bool, say: Say) -> None:
    """Print the runs that the databases know of, newest first.

    Args:
        databases: whose.
        as_json: print JSON, for programs.
        say: prints a line.

    Raises:
        MigrationError: a database can't be read.
    """
    runs = list(_runs(read(databases)))
    if as_json:
        say(json.dumps(runs, indent=2))
        return
    for run in runs:
        words = [run["started_at"][:19] + "Z", run["run"], run["release"] or "-", f"`{run['command']}`"]
        say("  ".join([*words, f"by {run['who']} on {run['host']}", run["state"]]))
        lines = [
            (f"    {each['database']}", _moved(each), f"{each['seconds'] or 0:.2f} s", each["state"])
            for each in run["databases"]
        ]
        for line in in_columns(lines).splitlines():
            say(line)
    if not runs:
        say("no run yet")


def verify(script: ScriptDirectory, databases: Sequence[Database], say: Say) -> int:
    """Print every applied revision whose file is gone, or is no longer the one that was applied.

    Args:
        script: Alembic's script directory.
        databases: which.
        say: prints a line.

    Returns:
        The exit code: 0 there is none, 1 there are.

    Raises:
        MigrationError: a database can't be read.
    """
    problems = 0
    for name, entries in read(databases).items():
        branch = Branch(script, name)
        files = {each.revision: Path(each.path) for each in branch.directory.walk_revisions()}
        for revision, sha256 in _applied(entries, branch).items():
            file = files.get(revision)
            if file is None:
                problem = "applied, and has no file"
            elif sha256 is not None and journal.digest(file) != sha256:
                problem = f"applied, and its file has changed since: migrations/versions/{name}/{file.name}"
            else:
                continue
            problems += 1
            say(f"{name}: {revision}: {problem}")
    if not problems:
        say("every applied revision is the one that its file says")
    return 1 if problems else 0


def committed(entries: Iterable[Entry]) -> list[Entry]:
    """Those of the rows that tell of something that happened."""
    return [entry for entry in entries if entry.state == journal.COMMITTED]


def is_stamp(entry: Entry) -> bool:
    """Whether it ran no revision."""
    return all(each["sha256"] is None for each in entry.revisions)


def _runs(journals: Journals) -> Iterable[dict[str, Any]]:
    rows: dict[str, list[tuple[str, Entry]]] = {}
    for name, entries in journals.items():
        for entry in entries:
            rows.setdefault(entry.run, []).append((name, entry))
    for run, found in sorted(rows.items(), key=lambda item: min(row.started_at for _, row in item[1]), reverse=True):
        first = min((row for _, row in found), key=lambda row: row.started_at)
        yield {
            "run": run,
            "release": first.release,
            "command": first.command,
            "state": _state(found, set(journals)),
            "who": first.who,
            "host": first.host,
            "started_at": first.started_at,
            "versions": first.versions,
            "databases": [_row(name, row) for name, row in found],
        }


def _state(rows: Sequence[tuple[str, Entry]], names: set[str]) -> str:
    """What became of a run, as far as the databases that were read can say."""
    done: dict[str, set[str]] = {}
    last = max((row.attempt for _, row in rows), key=lambda attempt: int(attempt.rpartition(".")[2]))
    for name, row in rows:
        if row.state == journal.COMMITTED:
            done.setdefault(row.attempt, set(row.participants) & names).discard(name)
    if not done:
        return "not committed"
    return "partly committed" if any(done.values()) or last not in done else "committed"


def _row(database: str, entry: Entry) -> dict[str, Any]:
    row = entry.as_json()
    state = entry.state if entry.state == journal.COMMITTED else "not committed"
    keys = ("attempt", "before", "after", "revisions", "started_at", "seconds")
    return {"database": database, "state": state} | {key: row[key] for key in keys}


def _moved(row: Mapping[str, Any]) -> str:
    before, after = (", ".join(row[key]) or "<base>" for key in ("before", "after"))
    return f"{before} -> {after}" if row["state"] == journal.COMMITTED else f"at {before}"


def _applied(entries: Iterable[Entry], branch: Branch) -> dict[str, str | None]:
    """The revisions that are applied, by the journal, each with its file's SHA-256 as it was then."""
    found: dict[str, str | None] = {}
    for entry in committed(entries):
        if is_stamp(entry):  # it says which are applied, whatever was before
            known = tuple(revision for revision in entry.after if branch.knows(revision))
            below = {each.revision for each in branch.revision_map.iterate_revisions(known, "base")} if known else set()
            found = {revision: sha256 for revision, sha256 in found.items() if revision in below}
            continue
        for each in entry.revisions:
            if each["upgrade"]:
                found[each["revision"]] = each["sha256"]
            else:
                found.pop(each["revision"], None)
    return found
