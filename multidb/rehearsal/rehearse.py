"""Rehearse pending revisions: run them in a scratch database that has the shape of the live one.

The live schema is copied by its own recorded revision, replayed, and by the differences between the two. Then the
plan's stages run as a run performs them: the same participant, the same transactions, and PREPARE TRANSACTION.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from alembic import context
from sqlalchemy import Connection

from multidb import logs
from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.attempt import Attempt, Run
from multidb.database.probe import Probe, probing
from multidb.errors import MigrationError, said_of
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan
from multidb.planning.processes import map_in_processes
from multidb.planning.revision_files import place_of
from multidb.rehearsal import sqlite
from multidb.rehearsal.observation import Failure, Move, Observed
from multidb.rehearsal.observer import Observer
from multidb.release.operation import Operation, ParticipantError
from multidb.release.participant import Participant
from multidb.replay.replay import ReplayRequest, Replays
from multidb.replay.shape import copy_shape, without_kind
from multidb.schema.dialect import dialect_of
from multidb.schema.objects import Schema
from multidb.schema.snapshot import Snapshot


@dataclass(frozen=True)
class Rehearsal:
    """What was observed, and the schema that it led to."""

    observed: Observed
    after: Schema | None  # after the revisions; None if they failed
    without_kind: frozenset[tuple[str, str]] = frozenset()  # as `shape.without_kind` finds it


def rehearse(
    environment: Environment,
    replays: Replays,
    plans: Sequence[tuple[Plan, Snapshot, Probe]],
    prepared: frozenset[str],
) -> dict[str, Rehearsal | MigrationError]:
    """Rehearse the plans of databases: of each the rehearsal, or why there is none.

    Args:
        plans: each with what the live database is, and a session there.
        prepared: the databases whose transaction the run would prepare.
    """
    found: dict[str, Rehearsal | MigrationError] = {}
    requests: dict[str, ReplayRequest] = {}
    for plan, live, probe in plans:
        try:
            requests[plan.database.name] = replays.request_copy(
                plan.database, plan.before, probe.connection, live.schema
            )
        except MigrationError as error:
            found[plan.database.name] = error
    schemas = replays.run(list(requests.values()))
    left: list[tuple[Plan, Snapshot]] = []
    for plan, live, _ in plans:
        replayed = schemas.get(plan.database.name)
        if isinstance(replayed, MigrationError):
            found[plan.database.name] = replayed
        elif replayed is not None:
            left.append((plan, live))

    def one(item: tuple[Plan, Snapshot]) -> Rehearsal:
        plan, live = item
        name = plan.database.name
        return _rehearsed(environment, replays, requests[name], plan, live, is_prepared=name in prepared)

    results = map_in_processes(one, left, environment.settings.jobs)
    return found | {plan.database.name: each for (plan, _), each in zip(left, results, strict=True)}


def _rehearsed(
    environment: Environment, replays: Replays, request: ReplayRequest, plan: Plan, live: Snapshot, *, is_prepared: bool
) -> Rehearsal:
    database = replace(plan.database, url=request.url)
    with environment.working_on(database.name), logs.silent():
        with closing(replays.open(request)) as connection, connection.begin():
            not_copied = copy_shape(connection, database, live.schema)
            kinds = frozenset() if database.is_sqlite else without_kind(connections.driver_of(connection))
        with probing([database]) as [probe]:
            probe.wait()
            own = replace(plan, database=database)
            observed = _Rehearsing(environment, probe, own, live, is_prepared=is_prepared).run()
        after = None
        if observed.failure is None:
            with closing(replays.open(request)) as connection, connection.begin():
                after = dialect_of(connection, database.version_table).read(connection, live.schema)
    kept = replace(observed, database=plan.database, not_copied=(*not_copied, *observed.not_copied))
    return Rehearsal(kept, after, kinds)


class _Rehearsing:
    """The run of a plan in a scratch database, observed."""

    def __init__(
        self, environment: Environment, probe: Probe, plan: Plan, live: Snapshot, *, is_prepared: bool
    ) -> None:
        self._environment, self._plan, self._is_prepared = environment, plan, is_prepared
        self._run, self._applied = Run("rehearsal"), 0  # the number of steps that were applied
        result = probe.result()
        driver = None if plan.database.is_sqlite else probe.take_connection()
        self._participant = Participant(plan, result, driver, self._migrate, self._run, environment.settings)
        self._not_observed: list[str] = []
        self._slots = result.free_slots if not plan.database.is_sqlite else 0
        places = {place_of(step.revision.path): step.revision.revision for step in plan.steps}
        if plan.database.is_sqlite:
            self._observer: Any = sqlite.Observer(places)
        else:
            self._observer = Observer(plan.database, driver, live.schema.default_schema, places)

    def run(self) -> Observed:
        plan = self._plan
        observed = Observed(plan.database, plan.before, tuple(plan.steps[-1].to_revisions))
        failure = None
        with closing(self._participant):
            try:
                for number in range(len(plan.stages)):
                    self._perform(number)
            except ParticipantError as error:
                failure = self._failure(error)
        if not plan.database.is_sqlite:
            self._not_observed += self._observer.missed
            observed = replace(observed, statements=self._observer.statements)
        else:
            observed = replace(observed, changes=self._observer.changes)
        return replace(observed, moves=self._moves(), failure=failure, not_observed=self._not_observed)

    def _perform(self, number: int) -> None:
        """Run one stage as a run does, up to its commit."""
        participant, stage, name = self._participant, self._plan.stages[number], self._plan.database.name
        prepares = self._is_prepared and not stage.nontransactional and self._slots > 0
        if self._is_prepared and not prepares and not stage.nontransactional:
            self._not_observed.append("PREPARE TRANSACTION: the scratch server has max_prepared_transactions = 0")
        others = (name, "others") if prepares else (name,)
        attempt = Attempt(self._run.id, number, others, others[-1], prepares, {name: number}, stage.nontransactional)
        if not prepares:
            participant.perform(Operation.BEGIN, attempt)
        with self._observer.stage(participant.session.connection, number, outside=stage.nontransactional):
            participant.perform(Operation.MIGRATE, attempt)
        if prepares:
            participant.perform(Operation.PREPARE, attempt)
            participant.perform(Operation.COMMIT_PREPARED, attempt)
        else:
            participant.perform(Operation.COMMIT, attempt)

    def _migrate(self, database: Database, connection: Connection, **options: Any) -> None:
        note = options.pop("on_version_apply")

        def applied(**applied: Any) -> None:
            note(**applied)
            self._applied += 1

        self._environment.configure_migration(database, connection, on_version_apply=applied, **options)
        context.run_migrations()

    def _moves(self) -> list[Move]:
        """The revisions that were applied."""
        found = [
            Move(step.revision.revision, place_of(step.revision.path), bool(step.is_upgrade), stage.nontransactional)
            for stage in self._plan.stages
            for step in stage.steps
        ]
        return found[: self._applied]

    def _failure(self, error: ParticipantError) -> Failure:
        """The failure with its revision: the one after the last that was applied."""
        steps = self._plan.steps
        step = steps[min(self._applied, len(steps) - 1)]
        return Failure(step.revision.revision, place_of(step.revision.path), said_of(error))
