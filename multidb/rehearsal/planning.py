"""Plan a release: what is pending in each database, rehearsed, weighed with the live one, and judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from multidb.config.configuration import Database
from multidb.database.probe import Probe, probing
from multidb.errors import ExitCode, MigrationError, reason_of
from multidb.planning import alembic_internals, planner
from multidb.planning.acknowledgement import Acknowledgement, acknowledgements
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, Step, files_of
from multidb.rehearsal.approval import entry_of
from multidb.rehearsal.live import weigh
from multidb.rehearsal.rehearse import Rehearsal, rehearse
from multidb.rehearsal.rules import all_rules
from multidb.rehearsal.verdict import DatabasePlan, judged
from multidb.release.guarantee import Guarantee, guarantee, prepared
from multidb.replay.replay import Replays
from multidb.schema import snapshot
from multidb.schema.diff import differences
from multidb.schema.snapshot import Snapshot


@dataclass(frozen=True)
class Destination:
    """Where a plan leads: up to a revision, or to `heads`, or down to one, or to `base`."""

    symbol: str = "heads"
    is_down: bool = False

    def steps(self, environment: Environment, heads: tuple[str, ...]) -> list[Step]:
        steps = alembic_internals.downgrade_steps if self.is_down else alembic_internals.upgrade_steps
        with planner.explained(self.symbol):
            return steps(environment.script, self.symbol, heads)


@dataclass(frozen=True)
class ReleasePlan:
    """The plan of a run: of each database, and what the run would guarantee.

    Attributes:
        guarantee: in words, or why the run would be refused; empty where nothing is pending.
    """

    databases: Sequence[DatabasePlan]
    guarantee: str = ""
    is_refused: bool = False

    @property
    def exit_code(self) -> ExitCode:
        codes = [each.exit_code for each in self.databases]
        return ExitCode.most_severe([*codes, ExitCode.FOUND if self.is_refused else ExitCode.OK])


def planned(
    environment: Environment, replays: Replays, databases: Sequence[Database], destination: Destination
) -> ReleasePlan:
    """Plan what databases would do; one that can't be planned does not stop the others.

    Raises:
        ConfigError: the policy names a rule that there is not.
    """
    rules = [rule.id for rule in all_rules()]
    names = [database.name for database in databases]
    policies = {name: environment.configuration.policy_of(name, rules) for name in names}
    with probing(databases, environment.settings.wait, busy_wait=environment.settings.busy_wait) as probes:
        found: dict[str, DatabasePlan] = {}
        work: list[tuple[Plan, Snapshot, Probe]] = []
        for probe, live in zip(probes, snapshot.read_all(probes, environment.settings.lock_wait), strict=True):
            name = probe.database.name
            if isinstance(live, Exception):
                found[name] = DatabasePlan(name, failure=live)
                continue
            try:
                plan = _plan(environment, live, destination)
            except Exception as error:
                found[name] = DatabasePlan(name, live.heads, live=live.schema, failure=error)
                continue
            read = DatabasePlan(name, live.heads, live.heads, live.schema, live.schema, policy=policies[name])
            found[name] = read if plan is None else replace(read, planned=None)
            if plan is not None:
                work.append((plan, live, probe))
        plans = [plan for plan, _, _ in work]
        promise, refusal = _guarantee(environment, plans, probes)
        prepared = _prepared(plans, promise)
        rehearsals = rehearse(environment, replays, work, prepared)
        for plan, live, probe in work:
            name = plan.database.name
            try:
                found[name] = _weighed(found[name], rehearsals[name], plan, live, probe)
            except Exception as error:  # shown in the database's line; the others have theirs
                found[name] = replace(found[name], failure=error)
    ordered = [found[database.name] for database in databases]
    text = refusal or (promise.text if promise else "")
    return ReleasePlan(judged(ordered, datetime.now(UTC).date()), text, bool(refusal))


def _plan(environment: Environment, live: Snapshot, destination: Destination) -> Plan | None:
    with environment.working_on(live.database.name) as branch:
        heads = branch.standing(live.heads)
        stages = planner.stages_of(destination.steps(environment, heads))
    return Plan(live.database, heads, stages) if stages else None


def _guarantee(
    environment: Environment, plans: Sequence[Plan], probes: Sequence[Probe]
) -> tuple[Guarantee | None, str]:
    """What a run of these plans guarantees, or why it would be refused."""
    if not plans:
        return None, ""
    results = {probe.database.name: probe.result() for probe in probes if probe.has_answered}
    try:
        return guarantee(plans, results, environment.settings.two_phase), ""
    except MigrationError as error:
        return None, reason_of(error)


def _prepared(plans: Sequence[Plan], promise: Guarantee | None) -> frozenset[str]:
    """The databases whose transaction a run of these plans would prepare: all but the one that decides."""
    if promise is None or not promise.two_phase:
        return frozenset()
    return frozenset(plan.database.name for plan in prepared(plans))


def _weighed(
    found: DatabasePlan, rehearsal: Rehearsal | MigrationError, plan: Plan, live: Snapshot, probe: Probe
) -> DatabasePlan:
    if isinstance(rehearsal, MigrationError):
        raise rehearsal
    pending = []
    if rehearsal.after is not None:
        pending = differences(rehearsal.after, live.schema, "the new revision", live.database.ignored)
    weights = weigh(live.database, probe.connection, live.schema.default_schema, pending)
    observed = replace(rehearsal.observed, acknowledged=_acknowledged(plan))
    not_copied = [f"{kind} {name}" for kind, name in sorted(weights.without_kind - rehearsal.without_kind)]
    observed = replace(observed, not_copied=(*observed.not_copied, *not_copied))
    approval = entry_of(plan, observed.after, live.schema, found.policy)
    found = replace(found, after=observed.after, planned=rehearsal.after, approval=approval)
    return replace(found, observed=observed, weights=weights)


def _acknowledged(plan: Plan) -> dict[str, list[Acknowledgement]]:
    return {revision: acknowledgements(path) for revision, path, _ in files_of(plan.steps) if path is not None}
