"""`drift`: is each live database what its own recorded revision says it should be?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from multidb import threads
from multidb.commands.reading import NAME_WIDTH
from multidb.config.configuration import Database
from multidb.database.probe import Look, doubles, looked_at
from multidb.errors import MigrationError, explain
from multidb.output import Say
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, shown
from multidb.replay import replay
from multidb.replay.replay import Answer, Question, Replays
from multidb.schema import snapshot
from multidb.schema.diff import Difference, differences, number_of
from multidb.schema.snapshot import Live

NONE, ERROR, DRIFT = 0, 1, 2
"""The exit codes."""


@dataclass
class _State:
    """What was found in one database."""

    database: str
    revision: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    error: str | None = None

    @property
    def code(self) -> int:
        return ERROR if self.error is not None else DRIFT if self.differences else NONE

    def fail(self, error: Exception) -> None:
        """Note why there is nothing else to say of it."""
        self.error = explain(error).removeprefix(f"{self.database}: ")

    def as_json(self) -> dict[str, Any]:
        found = [
            {"name": each.name, "severity": each.severity, "sentence": each.sentence, "sql": each.sql}
            for each in self.differences
        ]
        return {"database": self.database, "revision": self.revision, "differences": found, "error": self.error}

    def lines(self) -> list[str]:
        """It, for people."""
        where = ", ".join(self.revision) or "<base>"
        if self.error is not None:
            return [f"{self.database:{NAME_WIDTH}} FAILED: {self.error}"]
        if not self.differences:
            return [f"{self.database:{NAME_WIDTH}} {where}: no drift"]
        found = [f"{self.database:{NAME_WIDTH}} {where}: {number_of(len(self.differences))}"]
        for each in self.differences:
            found += [f"    {each.sentence}", *(f"        {line}" for sql in each.sql for line in sql.splitlines())]
        return found


def drift(environment: Environment, databases: Sequence[Database], *, as_json: bool, say: Say) -> int:
    """Print in what live databases differ from their recorded revisions. Nothing in them is changed.

    Args:
        environment: of all databases.
        databases: which to look at.
        as_json: print JSON, for programs.
        say: prints a line.

    Returns:
        The exit code: 0 there is no drift, 2 there is, 1 a database can't be read or its branch not be replayed.
    """
    with Replays(environment) as replays, looked_at(databases, environment.settings.wait) as looks:
        states = _states(environment, replays, looks)
    if as_json:
        say(json.dumps([state.as_json() for state in states], indent=2))
    else:
        for line in (line for state in states for line in state.lines()):
            say(line)
    codes = {state.code for state in states}
    return next((code for code in (ERROR, DRIFT) if code in codes), NONE)


def check(environment: Environment, plans: Sequence[Plan]) -> None:
    """Refuse to migrate a database that is not what its recorded revision says.

    Args:
        environment: of the run.
        plans: what the run is about to do; their databases are locked.

    Raises:
        MigrationError: one has drifted, or can't be compared.
    """
    databases = [plan.database for plan in plans]
    with Replays(environment) as replays, looked_at(databases, environment.settings.wait) as looks:
        # The run has PostgreSQL's locks, by sessions of its own; of an SQLite file one state is read, whatever comes.
        states = _states(environment, replays, looks, locked=True)
    for state in states:
        if state.error is not None:
            raise MigrationError(f"{state.database}: drift could not be looked for: {state.error}")
    drifted = [state for state in states if state.differences]
    if drifted:
        first = drifted[0]
        more = number_of(sum(len(state.differences) for state in drifted))
        names = ", ".join(state.database for state in drifted)
        raise MigrationError(
            f"{first.database}: it has drifted from {shown(first.revision)}: {first.differences[0].sentence} "
            f"({more} in {names}): `python -m multidb drift` shows all; mend it, or run with -x check_drift=false"
        )


def _states(environment: Environment, replays: Replays, looks: Sequence[Look], *, locked: bool = False) -> list[_State]:
    """What was found in each database; one that can't be read or replayed doesn't stop the others."""
    seconds = None if locked else environment.settings.lock_wait
    found = threads.each(lambda look: _tried(look, seconds), looks)
    states = {look.database.name: _State(look.database.name) for look in looks}
    questions: list[Question] = []
    lives: dict[str, Live] = {}
    wrong = doubles(looks)
    for look, each in zip(looks, found, strict=True):
        state = states[look.database.name]
        if state.database in wrong:
            state.error = wrong[state.database]
            continue
        if isinstance(each, Exception):
            state.fail(each)
            continue
        state.revision, lives[state.database] = list(each.heads), each
        try:
            environment.branch(state.database).check_known(each.heads)
            questions.append(replays.question(look.database, [each.heads], look.connection, each.schema))
        except Exception as error:  # a line of its own says so, and the others have theirs
            state.fail(error)
    for name, answer in replays.ask(questions).items():
        if isinstance(answer, MigrationError):
            states[name].fail(answer)
        else:
            states[name].differences = _differences(lives[name], answer)
    return list(states.values())


def _tried(look: Look, seconds: float | None) -> Live | Exception:
    try:
        if seconds is not None:
            snapshot.check_there(look)
        return snapshot.read(look, seconds)
    except Exception as error:
        return error


def _differences(found: Live, answer: Answer) -> list[Difference]:
    wanted = answer[found.heads]
    replay.check_alike(found.database.name, wanted, found.schema)
    return differences(wanted, found.schema, shown(found.heads), found.database.ignored)
