"""The guarantee of a run: a two-phase commit, or why one is not possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidb.advice.codes import Code
from multidb.config import urls
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError
from multidb.output import count_of, listed
from multidb.planning.plan import Plan

_MOST_SERVERS = 3  # that the first line of a run names


@dataclass(frozen=True)
class Guarantee:
    """Whether a run is committed in two phases, and what that guarantees, for the first line of the run."""

    two_phase: bool
    text: str
    is_degraded: bool = False  # whether two phases were wanted and are not possible


def lock_order(plan: Plan) -> tuple[bool, bool, str]:
    """The order of a run's databases: those that can't be prepared are last, by name. The last one decides."""
    return plan.database.is_sqlite, not plan.database.can_prepare, plan.database.name


def prepared(plans: Sequence[Plan]) -> list[Plan]:
    """The databases that a run of these plans prepares in two phases: all that can be, but for the one that decides."""
    return [plan for plan in sorted(plans, key=lock_order)[:-1] if plan.database.can_prepare]


def unprepared(plans: Sequence[Plan]) -> tuple[str, ...]:
    """The databases with `two_phase: off`, but for the one that decides: they are committed after all others."""
    others = sorted(plans, key=lock_order)[:-1]
    return tuple(plan.database.name for plan in others if not (plan.database.can_prepare or plan.database.is_sqlite))


def servers_text(plans: Sequence[Plan]) -> str:
    """Where a run goes: its servers, and SQLite."""
    servers = sorted({urls.server_text(plan.database.url) for plan in plans if not plan.database.is_sqlite})
    shown = servers[:_MOST_SERVERS] + ([f"{len(servers) - _MOST_SERVERS} more"] if len(servers) > _MOST_SERVERS else [])
    shown += ["SQLite"] if any(plan.database.is_sqlite for plan in plans) else []
    return listed(shown)


def guarantee(plans: Sequence[Plan], results: Mapping[str, ProbeResult], two_phase: str) -> Guarantee:
    """What a run can guarantee. MigrationError if `two_phase` is `required`, and not possible."""
    if len(plans) == 1:
        return Guarantee(two_phase=False, text="one database, in a transaction of its own")
    databases = count_of(len(plans), "database")
    why_not = "two_phase is off" if two_phase == "off" else _obstacle(plans, results)
    last = unprepared(plans)
    if why_not is None and not (last and two_phase == "required"):
        decider = max(plans, key=lock_order).database.name
        cut = [plan.database.name for plan in plans if any(stage.nontransactional for stage in plan.stages)]
        promise = (
            f"stage by stage, because {', '.join(cut)} has revisions outside a transaction"
            if cut
            else "all or none, even if a process or a server fails"
        )
        if last:
            promise += (
                f"; {' and '.join(last)}, where two_phase is off, is committed last: a crash before that leaves the "
                "others changed"
            )
        return Guarantee(two_phase=True, text=f"two-phase commit of {databases}, decided in {decider}: {promise}")
    if two_phase == "required":
        raise MigrationError(Code.TWO_PHASE_REQUIRED, f"two_phase is required, but {why_not or _off(last)}")
    return Guarantee(
        two_phase=False,
        text=f"{databases}, committed one after the other, because {why_not}: a crash between two commits leaves some "
        "databases changed and others not",
        is_degraded=two_phase != "off",
    )


def _obstacle(plans: Sequence[Plan], results: Mapping[str, ProbeResult]) -> str | None:
    """Why these databases can't be committed in two phases, or None if they can."""
    on_sqlite = sorted(plan.database.name for plan in plans if plan.database.is_sqlite)
    if len(on_sqlite) > 1:
        return f"{' and '.join(on_sqlite)} are both on SQLite, which can't prepare a transaction"
    servers: dict[object, list[ProbeResult]] = {}
    preparing = prepared(plans)
    if not preparing:
        return _off(unprepared(plans))
    for plan in preparing:  # the decider needs no slot
        result = results[plan.database.name]
        servers.setdefault(result.server, []).append(result)
    for same_server in servers.values():
        free = min(result.free_slots for result in same_server)
        if free < len(same_server):
            return (
                f"the server {urls.server_text(same_server[0].database.url)} has {max(free, 0)} slots free for "
                f"prepared transactions and {len(same_server)} are needed: set max_prepared_transactions there"
            )
    return None


def _off(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} can't be prepared, because two_phase is off there"
