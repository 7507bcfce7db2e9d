"""`ready`: wait until the databases are at the head of these files, so that a service may start.

The command takes no lock and writes nothing: a hundred services may run it at the same moment.
"""

import argparse
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

import psycopg2

from multidb.advice.codes import Code
from multidb.commands.support.command import Command, add_databases, add_json
from multidb.config import settings
from multidb.database import connections, journal
from multidb.database.probe import Probe, probing
from multidb.errors import ExitCode, MigrationError, explain, failure_as_json, in_database
from multidb.logs import log
from multidb.output import revisions_text
from multidb.planning.branches import Branch

_INTERVAL = 1.0  # seconds between two probes
_SHORTEST_ANSWER = 15.0  # seconds that a server has to accept the session and to answer, even with a shorter timeout


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    parser.add_argument("--timeout", default="5min", help="how long to wait for the migration; default: 5min")
    parser.add_argument("--newer", action="store_true", help="accept revisions that are newer than these files")
    add_json(parser)


def run(command: Command) -> ExitCode:
    """Raise MigrationError if a database is not at head in time, is newer and may not be, or can't be read."""
    timeout = settings.value("wait", command.options.timeout, "--timeout")
    databases, wait, busy_wait = command.databases, command.settings.wait, command.settings.busy_wait
    until: float | None = None  # the timeout begins when the servers answer
    logged: list[str] = []
    with command.interruptible():
        branches = [_branch(command, database.name) for database in databases]
        while True:
            answer_until = time.monotonic() + max(wait, busy_wait) + max(timeout, _SHORTEST_ANSWER)
            with probing(databases, wait, busy_wait=busy_wait) as probes:
                for probe in probes:
                    probe.wait(max(0.0, answer_until - time.monotonic()))
                found = [_readiness(*pair, command.options.newer) for pair in zip(probes, branches, strict=True)]
            obstacles = [each.obstacle for each in found if each.obstacle]
            failures = [each.failure for each in found if each.failure]
            until = until or time.monotonic() + timeout
            is_last = bool(failures) or not obstacles or time.monotonic() >= until
            if is_last and command.options.json:
                print(json.dumps([each.as_json() for each in found], indent=2))
            if failures:
                raise failures[0]
            if not obstacles:
                return ExitCode.OK
            if is_last:
                raise MigrationError(Code.NOT_READY, f"timed out after {timeout:g} s: {'; '.join(obstacles)}")
            if obstacles != logged:
                logged = obstacles
                log.info("waiting for the migration, at most %g s: %s", timeout, "; ".join(obstacles))
            time.sleep(_INTERVAL)


def _branch(command: Command, name: str) -> Branch:
    """The branch of a database. MigrationError if it has no revisions: an empty database would look ready."""
    missing = MigrationError(
        Code.NO_REVISIONS, f"migrations/versions/{name} has no revisions: see whether its files are there", name
    )
    try:
        branch = command.revisions.branch(name)
    except FileNotFoundError as error:  # the folder itself
        raise missing from error
    if not branch.files:
        raise missing
    return branch


@dataclass(frozen=True)
class _Readiness:
    """Whether a database is ready: it has neither an obstacle, which may go, nor a failure, which stays."""

    database: str
    obstacle: str | None = None
    failure: MigrationError | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "ready": not self.obstacle and not self.failure,
            "obstacle": self.obstacle,
            **failure_as_json(self.failure),
        }


def _readiness(probe: Probe, branch: Branch, accepts_newer: bool) -> _Readiness:
    try:
        return _Readiness(branch.database, _obstacle(probe, branch, accepts_newer))
    except MigrationError as error:
        return _Readiness(branch.database, failure=error)


def _obstacle(probe: Probe, branch: Branch, accepts_newer: bool) -> str | None:
    """Why a database isn't ready yet, or None if it is. Raises MigrationError if waiting does not help."""
    name = branch.database
    if not probe.wait(0):
        raise MigrationError(
            Code.NO_ANSWER, "its server does not answer: check whether it is frozen, then run again", name
        )
    try:
        with in_database(name):
            result = probe.result()
            is_known = all(map(branch.stands_for, result.heads))
            heads = branch.standing(result.heads) if is_known else result.heads
    except MigrationError as error:
        # With a session open, the server is being restarted, or another process is at work in the database.
        passing = (psycopg2.OperationalError, sqlite3.OperationalError)
        if probe.connection is not None and isinstance(error.__cause__, passing):
            return explain(error)
        raise
    if result.in_doubt:
        return f"{name} is in doubt until a run, or `python -m multidb recover`, resolves it"
    if set(heads) == set(branch.heads):
        return None
    if _is_newer(probe, branch):
        if accepts_newer:
            return None
        raise MigrationError(
            Code.NEWER,
            f"it is at {revisions_text(heads)}, newer than {revisions_text(branch.heads)}, the head of these files: "
            "start a newer version, or accept newer revisions with --newer",
            name,
        )
    at, head = revisions_text(heads), revisions_text(branch.heads)
    return (
        f"{name} is at {at} and not at {head}: `alembic upgrade {name}@{'heads' if len(branch.heads) > 1 else 'head'}`"
    )


def _is_newer(probe: Probe, branch: Branch) -> bool:
    """Whether the database went on from the head of the files, to revisions that these do not have.

    Numbered ids say so themselves; of others the journal does.
    """
    heads = probe.result().heads
    unknown = [head for head in heads if not branch.stands_for(head)]
    if not unknown:
        return False
    newest = max((branch.number_of(revision) or 0 for revision in branch.files), default=0)
    numbers = [branch.number_of(head) for head in unknown]
    if all(number is not None and number > newest for number in numbers):
        return True
    with connections.around(probe.database.url, lambda: probe.connection) as connection:
        rows = journal.rows(connection, probe.database)
    applied = {each["revision"] for row in rows if row.is_committed for each in row.revisions if each["upgrade"]}
    return journal.left_at(rows, heads) and set(branch.heads) <= applied
