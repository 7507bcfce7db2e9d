"""Where a database is: revision, head, pending revisions, the last run, and what a run has left in doubt."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from multidb.commands.support.command import Command
from multidb.config.configuration import Configuration, Database
from multidb.database import connections, journal
from multidb.database.attempt import Prepared
from multidb.database.journal import JournalRow
from multidb.database.probe import Probe, probing
from multidb.errors import ExitCode, exit_code_of, failure_as_json, said_of
from multidb.release import evidence, recovery, running
from multidb.release.evidence import Evidence, Verdict

_LAST_RUN = ("run", "release", "command", "state", "result", "ended", "started_at", "seconds", "who", "host")
_DECIDED = {Verdict.COMMITTED: "committed", Verdict.ROLLED_BACK: "not committed"}
_LONGEST_LOCK = 1.0  # seconds that another command may have locked what it only looks at
_Known = Mapping[tuple[str, str], Evidence]
"""The evidence of each attempt, by the attempt's id and its decider."""


@dataclass
class DatabaseStatus:
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
        return said_of(self.failure)

    @property
    def exit_code(self) -> ExitCode:
        codes = {exit_code_of(self.failure)} if self.failure else set()
        codes |= {ExitCode.FOUND if each["in_progress"] else ExitCode.PARTIAL for each in self.in_doubt or ()}
        if self.revision != self.head or not self.head:
            codes.add(ExitCode.FOUND)
        return ExitCode.most_severe(codes)

    def as_json(self) -> dict[str, Any]:
        shown = {key: value for key, value in vars(self).items() if key not in ("failure", "foreign")}
        return shown | failure_as_json(self.failure)


def read_statuses(command: Command) -> list[DatabaseStatus]:
    """Read where the databases are that a command names; one that can't be read has its failure."""
    _ = command.revisions  # may fork, which threads forbid
    with probing(command.databases, busy_wait=command.settings.busy_wait, keeps_sessions=False) as probes:
        known = _evidence(command.configuration, probes)
        return [_status(command, probe, known) for probe in probes]


def _evidence(configuration: Configuration, probes: Iterable[Probe]) -> _Known:
    in_doubt: list[Prepared] = []
    for probe in probes:
        with suppress(Exception):  # shown in the database's line
            in_doubt += probe.result().in_doubt
    return evidence.of_all(in_doubt, evidence.found_in(configuration), _LONGEST_LOCK)


def _status(command: Command, probe: Probe, known: _Known) -> DatabaseStatus:
    database = probe.database
    status = DatabaseStatus(database.name)
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
