"""`status`: print where every database is: revision, head, pending revisions, the last run.

Exit code 0: all databases are at head; 2: revisions are pending, a branch has none, or a run is in progress; 3: a
database is in doubt; 1: a database can't be read.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.config.configuration import Configuration, Database
from multidb.database import connections, journal
from multidb.database.attempt import Prepared
from multidb.database.journal import JournalRow
from multidb.database.probe import Probe, probing
from multidb.errors import ExitCode, exit_code_of, reason_of
from multidb.output import columns, revisions_text, shortened
from multidb.release import evidence, recovery, running
from multidb.release.evidence import Evidence, Verdict

_TITLES = ("database", "revision", "head", "pending", "last run")
_LAST_RUN = ("run", "release", "command", "state", "result", "ended", "started_at", "seconds", "who", "host")
_LONGEST_ERROR = 100  # characters of a failed run's error

_DECIDED = {Verdict.COMMITTED: "committed", Verdict.ROLLED_BACK: "not committed"}
_LONGEST_LOCK = 1.0  # seconds that another command may have locked what it only looks at
_Known = Mapping[tuple[str, str], Evidence]
"""The evidence of each attempt, by the attempt's id and its decider."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    _ = command.revisions  # may fork, which threads forbid
    with probing(command.databases, busy_wait=command.settings.busy_wait, keeps_sessions=False) as probes:
        known = _evidence(command.configuration, probes)
        found = [_status(command, probe, known) for probe in probes]
    if command.options.json:
        print(json.dumps([status.as_json() for status in found], indent=2))
    else:
        print(columns([_TITLES, *(status.cells for status in found)]))
        for status in found:
            for each in status.in_doubt or ():
                print(f"{status.database} {_line(each)}")
            for text in status.foreign:
                print(f"{status.database}: {text}")
    return ExitCode.most_severe(status.code for status in found)


@dataclass
class _Status:
    """What is known of a database; None for what is not."""

    database: str
    revision: list[str] | None = None
    head: list[str] | None = None
    pending: int | None = None
    last_run: dict[str, Any] | None = None
    in_doubt: list[dict[str, Any]] | None = None
    foreign: tuple[str, ...] = ()  # what to say of prepared transactions that are not this project's
    failure: Exception | None = None

    @property
    def error(self) -> str | None:
        return reason_of(self.failure) if self.failure else None

    @property
    def code(self) -> ExitCode:
        codes = {exit_code_of(self.failure)} if self.failure else set()
        codes |= {ExitCode.FOUND if each["in_progress"] else ExitCode.PARTIAL for each in self.in_doubt or ()}
        if self.revision != self.head or not self.head:
            codes.add(ExitCode.FOUND)
        return ExitCode.most_severe(codes)

    def as_json(self) -> dict[str, Any]:
        shown = {key: value for key, value in vars(self).items() if key not in ("failure", "foreign")}
        return shown | {"error": self.error}

    @property
    def cells(self) -> tuple[str, ...]:
        head = ", ".join(self.head or ())
        if self.error:
            return self.database, "?", head, "?", f"FAILED: {self.error}"
        is_running = all(each["in_progress"] for each in self.in_doubt or ())
        pending = str(self.pending) if not self.in_doubt else "in progress" if is_running else "in doubt"
        return (
            self.database,
            revisions_text(self.revision or ()),
            head or "no revisions",
            pending,
            self._last_run_text(),
        )

    def _last_run_text(self) -> str:
        run = self.last_run
        if run is None:
            return "-"
        text = f"{run['started_at'][:19]}Z {run['release'] or run['run']} ({run['command']})"
        if run["result"] == journal.COMMITTED:
            return text
        error = run["ended"] and run["ended"]["error"]
        return f"{text} {run['result']}" + (f": {shortened(error, _LONGEST_ERROR)}" if error else "")


def _evidence(configuration: Configuration, probes: Iterable[Probe]) -> _Known:
    in_doubt: list[Prepared] = []
    for probe in probes:
        with suppress(Exception):  # shown in the database's line
            in_doubt += probe.result().in_doubt
    return evidence.of_all(in_doubt, evidence.found_in(configuration), _LONGEST_LOCK)


def _status(command: Command, probe: Probe, known: _Known) -> _Status:
    database = probe.database
    status = _Status(database.name)
    try:
        branch = command.revisions.branch(database.name)
        status.head = sorted(branch.heads)
        result = probe.result()
        status.foreign = result.foreign
        status.in_doubt = [_in_doubt(command.configuration, database, prepared, known) for prepared in result.in_doubt]
        status.revision = sorted(result.heads)
        if not status.in_doubt:
            heads = branch.standing(result.heads)
            status.revision, status.pending = sorted(heads), 0
            if status.revision != status.head:
                pending = branch.revision_map.iterate_revisions("heads", heads, implicit_base=True)
                status.pending = sum(1 for _ in pending)
        rows: list[JournalRow] = []
        if result.journal_columns:
            with connections.connect(database.url) as connection:
                rows = running.marked(command.configuration, journal.rows(connection, result.database, newest=1))
        if rows:
            status.last_run = {key: getattr(rows[-1], key) for key in _LAST_RUN}
    except Exception as error:  # shown in the database's line; the others have theirs
        status.failure = error
    return status


def _in_doubt(configuration: Configuration, database: Database, prepared: Prepared, known: _Known) -> dict[str, Any]:
    found = known[prepared.attempt, prepared.decider]
    return {
        "gid": prepared.gid,
        "run": prepared.attempt,
        "decider": prepared.decider,
        "decided": _DECIDED.get(found.verdict),
        "in_progress": found.verdict is Verdict.RUNNING,
        "reason": found.text or None,
        "role": prepared.owner,
        "connect": database.url.database,
        "sql": recovery.sql_by_hand(prepared, found),
        "choice": recovery.choice_by_hand(configuration, prepared, found),
    }


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
