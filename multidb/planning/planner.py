"""What a command means to do in each database, decided before any is touched."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from alembic import context
from alembic.config import Config
from alembic.runtime.migration import StampStep
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection

from multidb.config.configuration import Database
from multidb.database.probe import Look, check_distinct
from multidb.errors import MigrationError
from multidb.planning import nontransactional, selection
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.planning.plan import Part, Plan, Step, Work, shown

MOVES = {"upgrade", "downgrade", "stamp"}
COMMAND = "multidb.command"
"""The key of `Config.attributes` under which `rollback` and `adopt` say what the journal calls them."""
_TARGETS = "multidb.targets"
_RELATIVE = re.compile(r"(?:.+@)?([+-]\d+)")


@dataclass(frozen=True)
class Target:
    """Where a rollback or a takeover brings a database.

    Args:
        before: the revisions that it is at.
        revision: where it goes.
        stamp: whether that is only recorded.
        first: what is done in the transaction before that.
    """

    before: tuple[str, ...]
    revision: str
    stamp: bool
    first: Callable[[Connection], None] | None = None


def aim(config: Config, targets: Mapping[str, Target], name: str, x_arguments: Sequence[str]) -> None:
    """Give a command of Alembic's a destination of its own for each database.

    Args:
        config: Alembic's, for that command.
        targets: the destinations, by the databases' names; no other is addressed.
        name: what the journal calls it.
        x_arguments: what `-x` was given.
    """
    config.attributes |= {_TARGETS: targets, COMMAND: name}
    options = argparse.Namespace(**vars(config.cmd_opts or argparse.Namespace()))
    options.x = [*x_arguments, f"db={','.join(targets)}"]
    config.cmd_opts = options


def plans(environment: Environment, looks: Sequence[Look], *, allowed: bool) -> list[Plan]:
    """What the command does in the databases that it would move.

    Args:
        environment: the command and its databases.
        looks: what each of them is at.
        allowed: whether protected databases may go back.

    Raises:
        MigrationError: one can't be reached or can't move as asked, or none can move.
    """
    if environment.request.command == "stamp":
        _check_stamps(environment)
    found: list[Plan] = []
    ends: list[str] = []
    check_distinct(looks)
    for look in looks:
        with environment.working_on(look.database.name) as branch:
            plan = _plan(environment, branch, look, ends)
            if plan is not None:
                if look.database.options.get("protected") and not allowed:
                    _check_forward(branch, plan)
                found.append(plan)
    if ends and len(ends) == len(environment.databases):
        raise MigrationError(
            f"{environment.request.symbols[0]} can move nothing: {', '.join(ends)} "
            f"{'is' if len(ends) == 1 else 'are'} already at the end"
        )
    return found


def work_in(environment: Environment, database: Database) -> Work:
    """What the command does in one database: Alembic's own, but for a rollback, and a stamp of several databases.

    `stamp user_db@head payment_db@head` would look for both in each.
    """
    request, script = environment.request, environment.script
    targets = environment.config.attributes.get(_TARGETS)
    if targets is not None:
        return lambda heads, _context: _towards(environment, database, heads, targets[database.name])
    if request.command != "stamp" or len(request.symbols) == 1:
        return request.work
    names = environment.configuration.names
    mine = [symbol for symbol in request.symbols if database.name in selection.databases_of(symbol, names)]
    # The private half of `alembic stamp`; MigrationContext.stamp() would stamp where a plan only asks.
    return lambda heads, _context: script._stamp_revs(mine[0], heads)


def _towards(environment: Environment, database: Database, heads: tuple[str, ...], target: Target) -> list[Step]:
    """The steps that a rollback takes: down, or up again where a downgrade is undone, or a stamp where it was one."""
    revision, script = target.revision, environment.script
    if target.stamp and revision != "base" and not environment.branch(database.name).knows(revision):
        # A takeover is taken back: the row is another project's again.
        return [StampStep(shown(heads), revision, True, False, script.revision_map)]
    if target.stamp:
        return list(script._stamp_revs(revision, heads))
    if revision != "base" and set(heads) < {each.revision for each in script.iterate_revisions(revision, "base")}:
        return list(script._upgrade_revs(revision, _current(heads)))
    return list(script._downgrade_revs(revision, _current(heads)))


def _check_unmoved(target: Target, heads: Iterable[str]) -> None:
    if set(heads) != set(target.before):
        raise MigrationError(
            f"it was at {shown(target.before)} and is at {shown(heads)}: it has moved meanwhile: run again"
        )


def _plan(environment: Environment, branch: Branch, look: Look, ends: list[str]) -> Plan | None:
    """What the command does in a database, or None; one that a relative step can't move is added to `ends`."""
    request, heads = environment.request, look.heads
    purge = bool(context.get_context().purge)
    target: Target | None = (environment.config.attributes.get(_TARGETS) or {}).get(look.database.name)
    if target is not None:
        _check_unmoved(target, heads)
    if request.command not in MOVES:
        return Plan(look, heads, (Part(()),), work=request.work)
    if request.command != "downgrade":
        branch.check_one_head()
    if not purge:
        branch.check_known(heads)
    relative = _RELATIVE.fullmatch(request.symbols[0]) if request.symbols else None
    if relative and request.command != "stamp" and not _can_step(environment, branch, look, int(relative[1])):
        ends.append(look.database.name)
        return None
    steps = _steps(environment, look, () if purge else heads)
    parts = parts_of(steps)
    if purge and not parts:  # to base: only the table is emptied
        parts = (Part(()),)
    return Plan(look, heads, parts, purge=purge, first=target.first if target else None) if parts else None


def _steps(environment: Environment, look: Look, heads: tuple[str, ...]) -> list[Step]:
    request = environment.request
    try:
        return list(work_in(environment, look.database)(heads, context.get_context()))
    except (AssertionError, RevisionError) as error:
        # Alembic's walk left the tree, or came to a merge.
        raise MigrationError(f"{request.symbols[0]} leads nowhere from here: name the revision you mean") from error
    except CommandError as error:
        if "Ambiguous walk" in str(error):
            raise MigrationError(
                f"{request.symbols[0]} is ambiguous from a merge: name the revision you mean"
            ) from error
        raise


def parts_of(steps: Iterable[Step]) -> tuple[Part, ...]:
    """Cut where a revision must run outside a transaction: it is a release by itself."""
    found: list[Part] = []
    for step in steps:
        script = getattr(step, "revision", None)  # a stamp has none, and runs nothing
        if script is not None and nontransactional.is_declared(script):
            found.append(Part((step,), outside=True))
            continue
        if script is not None:
            nontransactional.check_undeclared(script)
        if found and not found[-1].outside:
            found[-1] = Part((*found[-1].steps, step))
        else:
            found.append(Part((step,)))
    return tuple(found)


def _can_step(environment: Environment, branch: Branch, look: Look, steps: int) -> bool:
    """Whether a relative step leads anywhere.

    Raises:
        MigrationError: it is in the wrong direction, or longer than the way that is left.
    """
    command = environment.request.command
    up = command == "upgrade"
    if (steps > 0) is not up:
        raise MigrationError(f"{command} {steps:+} is the wrong way: say {'+' if up else '-'}N")
    upper, lower = ("heads", look.heads) if up else (look.heads, "base")
    left = sum(1 for _ in branch.revision_map.iterate_revisions(upper, lower, implicit_base=up))
    if left and left < abs(steps):
        raise MigrationError(f"{steps:+} asks for {abs(steps)} steps, {left} left; no database was moved")
    return bool(left)


def _check_forward(branch: Branch, plan: Plan) -> None:
    """Refuse to take a protected database back.

    Raises:
        MigrationError: it would be at an older revision afterwards.
    """
    last = plan.parts[-1].steps[-1:]
    after = last[0].to_revisions if last else ()
    kept = {each.revision for each in branch.revision_map.iterate_revisions(after, "base")} if after else set()
    if not set(filter(branch.knows, plan.before)) <= kept:
        raise MigrationError(
            f"it is protected, and would go back from {shown(plan.before)} to {shown(after)}: "
            "say -x allow=downgrade if that is meant"
        )


def _check_stamps(environment: Environment) -> None:
    """Refuse a stamp of several revisions unless each is of another database."""
    symbols = environment.request.symbols
    if len(symbols) == 1:
        return
    owners = [selection.databases_of(symbol, environment.configuration.names) for symbol in symbols]
    if not all(owners) or len(set().union(*owners)) < len(symbols):
        raise MigrationError(
            f"stamp {' '.join(symbols)}: with several revisions each must name a database of its own, "
            "as in `stamp user_db@head payment_db@head`"
        )


def _current(heads: tuple[str, ...]) -> str:
    """As Alembic's own functions are declared; they take what `get_current_heads()` returns."""
    return cast(str, heads)
