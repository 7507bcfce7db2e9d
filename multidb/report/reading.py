"""What the page says, read from all databases; one that can't be read has its error, and does not stop the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from multidb.config import urls
from multidb.config.configuration import Database
from multidb.database import journal
from multidb.database.holders import Holder, holders
from multidb.database.newest_runs import newest_runs
from multidb.database.probe import probing
from multidb.database.recorded_runs import recorded_runs
from multidb.database.threads import map_in_threads
from multidb.errors import said_of
from multidb.output import count_of, revisions_text
from multidb.planning.environment import Environment
from multidb.rehearsal.planning import Destination, planned
from multidb.rehearsal.verdict import DatabasePlan
from multidb.release import running
from multidb.replay.drift import Drift, find_drift
from multidb.replay.replay import Replays
from multidb.report.entities import Entities, entities
from multidb.report.revisions import RevisionGraph, revision_graph

RUNS = 50
"""The newest runs of the timeline."""


@dataclass(frozen=True)
class DatabaseReport:
    """What the page says of one database.

    Attributes:
        place: its server, or its file, without a password.
        holders_error: why the sessions can't be read; `journal_error`: why the runs can't be.
    """

    name: str
    place: str
    plan: DatabasePlan
    drift: Drift
    graph: RevisionGraph | None
    entities: Entities | None
    holders: Sequence[Holder]
    holders_error: str
    journal_error: str
    last_run: Mapping[str, Any] | None

    @property
    def error(self) -> str:
        """Why the database can't be read or planned, or is not compared."""
        return self.plan.error or self.drift.error or self.journal_error or self.holders_error or ""

    @property
    def revision(self) -> str:
        return revisions_text(self.graph.standing) if self.graph and self.graph.standing is not None else "?"

    @property
    def head(self) -> str:
        return revisions_text(self.graph.heads) if self.graph and self.graph.heads else "no revisions"

    @property
    def pending(self) -> int | None:
        return len(self.graph.pending) if self.graph and self.graph.standing is not None else None

    @property
    def drift_text(self) -> str:
        return "?" if self.drift.error else count_of(len(self.drift.differences), "difference")

    @property
    def verdict(self) -> str:
        """What `plan` says of the pending revisions, in a word or two."""
        if self.plan.failure or not self.pending:
            return "?" if self.plan.failure else "nothing pending"
        counting = self.plan.counting
        return count_of(len(counting), "finding") if counting else "fine"


@dataclass(frozen=True)
class Report:
    """What the page says.

    Attributes:
        made_at: UTC.
        guarantee: what a run would guarantee, or why it would be refused.
        runs: the newest ones, as `recorded_runs` gives them.
    """

    made_at: datetime
    databases: Sequence[DatabaseReport]
    guarantee: str
    runs: Sequence[Mapping[str, Any]]


def read(environment: Environment, replays: Replays, databases: Sequence[Database]) -> Report:
    """Read all that the page says. Nothing in the databases is changed.

    Raises:
        ConfigError: the policy names a rule that there is not.
    """
    journals = dict(zip(_names(databases), map_in_threads(_journal, databases), strict=True))
    marked = {name: running.marked(environment.configuration, rows) for name, (rows, _) in journals.items()}
    runs = list(recorded_runs(marked))[:RUNS]
    sessions = dict(zip(_names(databases), map_in_threads(_holders, databases), strict=True))
    release = planned(environment, replays, databases, Destination())
    with probing(databases, environment.settings.wait, busy_wait=environment.settings.busy_wait) as probes:
        drifts = {drift.database: drift for drift in find_drift(environment, replays, probes)}
    plans = {plan.database: plan for plan in release.databases}
    found = [
        DatabaseReport(
            name=each.name,
            place="SQLite" if each.is_sqlite else urls.server_text(each.url),
            plan=plans[each.name],
            drift=drifts[each.name],
            graph=_graph(environment, plans[each.name]),
            entities=_entities(plans[each.name]),
            holders=sessions[each.name][0],
            holders_error=sessions[each.name][1],
            journal_error=journals[each.name][1],
            last_run=next((run for run in runs if each.name in {row["database"] for row in run["databases"]}), None),
        )
        for each in databases
    ]
    return Report(datetime.now(UTC), found, release.guarantee, runs)


def read_entities(environment: Environment, replays: Replays, database: Database) -> Entities:
    """The tables of one database, with what its pending revisions change.

    Raises:
        Exception: what keeps the database from being read, or its revisions from being rehearsed.
    """
    [plan] = planned(environment, replays, [database], Destination()).databases
    if plan.failure:
        raise plan.failure
    assert plan.live is not None
    return entities(plan.live, plan.planned)


def _names(databases: Sequence[Database]) -> list[str]:
    return [each.name for each in databases]


def _journal(database: Database) -> tuple[list[journal.JournalRow], str]:
    """The rows of the newest runs, or why there are none."""
    try:
        return list(newest_runs([database], RUNS)[0][database.name]), ""
    except Exception as error:
        return [], said_of(error)


def _holders(database: Database) -> tuple[Sequence[Holder], str]:
    try:
        return holders(database), ""
    except Exception as error:
        return (), said_of(error)


def _graph(environment: Environment, plan: DatabasePlan) -> RevisionGraph | None:
    """The revisions of the branch; None if it can't be loaded, without the place of a database that can't be read."""
    try:
        branch = environment.branch(plan.database)
    except Exception:  # the plan has it
        return None
    if plan.live is None:
        return revision_graph(branch, None)
    try:
        return revision_graph(branch, branch.standing(plan.before))
    except Exception:  # the database is at a revision that the branch has not, as its plan says
        return revision_graph(branch, None)


def _entities(plan: DatabasePlan) -> Entities | None:
    return entities(plan.live, plan.planned) if plan.live is not None else None
