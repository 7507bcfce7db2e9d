"""`status`: print where every database is: revision, head, pending revisions, the last run.

Exit code 0: all databases are at head; 2: revisions are pending; 3: a database is in doubt; 1: a database can't be
read.
"""

import argparse
import json
from dataclasses import dataclass, field
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.config.configuration import Configuration, Database
from multidb.database import connections, journal
from multidb.database.attempt import Prepared
from multidb.database.probe import Probe, probing
from multidb.errors import ExitCode, exit_code_of, reason_of
from multidb.output import columns, revisions_text
from multidb.planning.branches import Branch
from multidb.release import recovery

_TITLES = ("database", "revision", "head", "pending", "last run")
_LAST_RUN = ("run", "release", "command", "state", "started_at", "seconds", "who", "host")


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    with probing(command.databases) as probes:
        found = [_status(command, probe) for probe in probes]
    if command.options.json:
        print(json.dumps([status.as_json() for status in found], indent=2))
    else:
        print(columns([_TITLES, *(status.cells for status in found)]))
        for status in found:
            for each in status.in_doubt:
                print(
                    f"{status.database} is in doubt: `python -m multidb recover`. By hand, as the role "
                    f"{each['role']} or a superuser, in the database {each['connect']}: {each['sql']}"
                )
    return ExitCode.most_severe(status.code for status in found)


@dataclass
class _Status:
    database: str
    revision: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    pending: int = 0
    last_run: dict[str, Any] | None = None
    in_doubt: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None

    @property
    def error(self) -> str | None:
        return reason_of(self.failure) if self.failure else None

    @property
    def code(self) -> ExitCode:
        if self.failure:
            return exit_code_of(self.failure)
        if self.in_doubt:
            return ExitCode.PARTIAL
        return ExitCode.FOUND if self.revision != self.head else ExitCode.OK

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "failure"} | {"error": self.error}

    @property
    def cells(self) -> tuple[str, ...]:
        head = ", ".join(self.head)
        if self.error:
            return self.database, "?", head, "?", f"FAILED: {self.error}"
        run = self.last_run
        last = f"{run['started_at'][:19]}Z {run['release'] or run['run']} ({run['command']})" if run else "-"
        pending = "in doubt" if self.in_doubt else str(self.pending)
        return self.database, revisions_text(self.revision), head, pending, last


def _status(command: Command, probe: Probe) -> _Status:
    database = probe.database
    status = _Status(database.name)
    try:
        branch = Branch(command.script, database.name)
        status.head = sorted(branch.heads)
        result = probe.result()
        status.revision = sorted(result.heads)
        status.in_doubt = [_in_doubt(command.configuration, database, prepared) for prepared in result.in_doubt]
        if not status.in_doubt:
            branch.check_known(result.heads)
            pending = branch.revision_map.iterate_revisions("heads", result.heads, implicit_base=True)
            status.pending = sum(1 for _ in pending)
        with connections.around(database.url, lambda: probe.connection) as connection:
            rows = journal.rows(connection) if result.journal_columns else []
        if rows:
            status.last_run = {key: getattr(rows[-1], key) for key in _LAST_RUN}
    except Exception as error:  # shown in the database's line; the others have theirs
        status.failure = error
    return status


def _in_doubt(configuration: Configuration, database: Database, prepared: Prepared) -> dict[str, Any]:
    committed = recovery.evidence(configuration, prepared)
    return {
        "gid": prepared.gid,
        "run": prepared.attempt,
        "decider": prepared.decider,
        "decided": None if committed is None else "committed" if committed else "not committed",
        "role": prepared.owner,
        "connect": database.url.database,
        "sql": recovery.sql_by_hand(prepared, committed),
    }
