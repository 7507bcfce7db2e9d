"""The guarantee of a run: a two-phase commit, or why one is not possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidb.config import urls
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError
from multidb.output import count_of
from multidb.planning.plan import Plan


@dataclass(frozen=True)
class Guarantee:
    """Whether a run is committed in two phases, and what that guarantees, for the first line of the run."""

    two_phase: bool
    text: str
    is_degraded: bool = False  # whether two phases were wanted and are not possible


def lock_order(plan: Plan) -> tuple[bool, str]:
    """The order in which all runs lock: by name, SQLite last. The last database decides."""
    return plan.database.is_sqlite, plan.database.name


def guarantee(plans: Sequence[Plan], results: Mapping[str, ProbeResult], two_phase: str) -> Guarantee:
    """What a run can guarantee. MigrationError if `two_phase` is `required`, and not possible."""
    if len(plans) == 1:
        return Guarantee(two_phase=False, text="one database, in a transaction of its own")
    databases = count_of(len(plans), "database")
    why_not = "two_phase is off" if two_phase == "off" else _obstacle(plans, results)
    if why_not is None:
        decider = max(plans, key=lock_order).database.name
        cut = [plan.database.name for plan in plans if any(stage.nontransactional for stage in plan.stages)]
        promise = (
            f"stage by stage, because {', '.join(cut)} has revisions outside a transaction"
            if cut
            else "all or none, even if a process or a server fails"
        )
        return Guarantee(two_phase=True, text=f"two-phase commit of {databases}, decided in {decider}: {promise}")
    if two_phase == "required":
        raise MigrationError(f"two_phase is required, but {why_not}")
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
    for plan in sorted(plans, key=lock_order)[:-1]:  # the decider needs no slot
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
