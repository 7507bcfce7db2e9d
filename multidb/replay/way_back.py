"""What a way back would drop, as far as the files say: for a refusal."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from multidb.errors import MigrationError
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, runs_file
from multidb.replay.replay import Position, ReplayRequest, Replays


def tables_gone(environment: Environment, plans: Sequence[Plan]) -> list[str]:
    """The tables that plans would drop, by replays; none where no scratch database can be had."""
    found: list[str] = []
    ways: dict[str, tuple[Position, Position]] = {}
    with suppress(MigrationError), Replays(environment) as replays:
        requests: list[ReplayRequest] = []
        for plan in plans:
            if any(map(runs_file, plan.steps)):  # a stamp drops nothing
                name = plan.database.name
                before = tuple(sorted(environment.branch(name).standing(plan.before)))
                ways[name] = before, tuple(sorted(plan.steps[-1].to_revisions))
                request = replays.request_to_keep(plan.database, before)
                requests.append(replace(request, positions=ways[name][::-1], kept=None))
        for name, schemas in replays.run(requests).items():
            if not isinstance(schemas, MigrationError):
                there, left = (schemas[position].tables for position in ways[name])
                found += [f"{name}.{table}" for table in sorted(there - left)]
    return found
