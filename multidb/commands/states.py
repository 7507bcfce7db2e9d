"""`status` and `recover`: where every database is, and what an earlier run left in doubt."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from alembic.script import ScriptDirectory

from multidb.config.configuration import Configuration, Database
from multidb.config.settings import Settings
from multidb.database import connections, journal
from multidb.database.journal import Entry
from multidb.database.probe import Look, look_at, looked_at
from multidb.errors import explain
from multidb.output import Say, in_columns
from multidb.planning.branches import Branch
from multidb.release import recovery

AT_HEAD, ERROR, PENDING, IN_DOUBT = 0, 1, 2, 3
"""The exit codes."""


@dataclass
class State:
    """Where one database is."""

    database: str
    revision: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    pending: int = 0
    last_run: dict[str, Any] | None = None
    in_doubt: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def code(self) -> int:
        if self.error:
            return ERROR
        if self.in_doubt:
            return IN_DOUBT
        return PENDING if self.revision != self.head else AT_HEAD

    @property
    def cells(self) -> tuple[str, ...]:
        run = self.last_run
        last = f"{run['started_at'][:19]}Z {run['release'] or run['run']} ({run['command']})" if run else "-"
        if self.error:
            return self.database, "?", ", ".join(self.head), "?", f"FAILED: {self.error}"
        shown = ", ".join(self.revision) or "<base>"
        return self.database, shown, ", ".join(self.head), "in doubt" if self.in_doubt else str(self.pending), last


def status(
    configuration: Configuration, script: ScriptDirectory, databases: Sequence[Database], *, as_json: bool, say: Say
) -> int:
    """Print where the databases are.

    Args:
        configuration: of all databases.
        script: Alembic's script directory.
        databases: those to print.
        as_json: print JSON, for programs.
        say: prints a line.

    Returns:
        The exit code: 0 all are at head, 2 one has work pending, 3 one is in doubt, 1 one can't be read.
    """
    with looked_at(databases) as looks:
        found = [_state(configuration, script, look) for look in looks]
    if as_json:
        say(json.dumps([asdict(state) for state in found], indent=2))
    else:
        titles = ("database", "revision", "head", "pending", "last run")
        for line in in_columns([titles, *(state.cells for state in found)]).splitlines():
            say(line)
        for state in found:
            for doubt in state.in_doubt:
                say(f"{state.database} is in doubt: `python -m multidb recover`. By hand, as the role {doubt['role']} "
                    f"or a superuser, in the database {doubt['connect']}: {doubt['sql']}")  # fmt: skip
    codes = {state.code for state in found}
    return next((code for code in (ERROR, IN_DOUBT, PENDING) if code in codes), AT_HEAD)


def recover(configuration: Configuration, databases: Sequence[Database], settings: Settings, say: Say) -> int:
    """Finish what earlier runs left in doubt.

    Args:
        configuration: of all databases; a decider may be any of them.
        databases: those to look into.
        settings: how long to wait for servers and for locks.
        say: prints a line.

    Returns:
        The exit code: 0 nothing is left in doubt, 3 something is, 1 a database can't be read.
    """
    code = AT_HEAD
    found: list[tuple[Database, journal.Prepared]] = []
    for look in look_at(databases, settings.wait):
        error = look.error
        look.close()  # whoever settles it opens a session of his own
        if error is not None and not look.in_doubt:
            say(f"{look.database.name}: FAILED: {explain(error)}")
            code = ERROR
        found += [(look.database, prepared) for prepared in look.in_doubt]
    doubts = recovery.settle(configuration, found, settings.lock_wait, say)
    for database, doubt in doubts:
        say(f"{database.name}: {doubt}")
    if not found and code == AT_HEAD:
        say("nothing in doubt")
    return IN_DOUBT if doubts else code


def _state(configuration: Configuration, script: ScriptDirectory, look: Look) -> State:
    database = look.database
    state = State(database.name)
    try:
        branch = Branch(script, database.name)
        state.head = sorted(branch.heads)
        state.revision = sorted(look.heads)
        state.in_doubt = [_doubt(configuration, database, prepared) for prepared in look.in_doubt]
        if not state.in_doubt:
            branch.check_known(look.heads)
            state.pending = sum(
                1 for _ in branch.revision_map.iterate_revisions("heads", look.heads, implicit_base=True)
            )
        with connections.around(database.url, lambda: look.connection) as connection:
            rows = journal.entries(connection) if look.has_journal else []
        state.last_run = _brief(rows[-1]) if rows else None
    except Exception as error:  # a line of its own says so, and the others have theirs
        state.error = explain(error).removeprefix(f"{database.name}: ")
    return state


def _doubt(configuration: Configuration, database: Database, prepared: journal.Prepared) -> dict[str, Any]:
    decided = recovery.evidence(configuration, prepared)
    return {
        "gid": prepared.gid,
        "run": prepared.attempt,
        "decider": prepared.decider,
        "decided": None if decided is None else "committed" if decided else "not committed",
        "role": prepared.owner,
        "connect": database.url.database,
        "sql": recovery.by_hand(prepared, decided),
    }


def _brief(entry: Entry) -> dict[str, Any]:
    found = entry.as_json()
    return {key: found[key] for key in ("run", "release", "command", "state", "started_at", "seconds", "who", "host")}
