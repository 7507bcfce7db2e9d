"""Plan a command: what it does in each database, decided before any is changed."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from alembic import context
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError, joined
from multidb.output import count_of, revisions_text
from multidb.planning import alembic_internals, nontransactional
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, Stage, Step, Work
from multidb.planning.revision_files import place_of, without
from multidb.planning.targets import Target

_RELATIVE = re.compile(r"(?:.+@)?([+-]\d+)")


class FilesError(MigrationError):
    """Revision files of a plan can't run as they are."""


class ProtectedError(MigrationError):
    """Protected databases would go back.

    Args:
        plans: of these databases.
        gone: the tables that would be dropped, as messages name them, if that is known.
    """

    def __init__(self, plans: Sequence[Plan], gone: Sequence[str] = ()) -> None:
        without = f", without {count_of(len(gone), 'table')} ({', '.join(gone)})" if gone else ""
        if len(plans) == 1:
            [plan] = plans
            moved = f"from {revisions_text(plan.before)} to {revisions_text(_after(plan))}"
            reason = f"it is protected, and would go back {moved}{without}"
        else:
            names = ", ".join(plan.database.name for plan in plans)
            reason = f"{names} are protected, and would go back{without}"
        name = plans[0].database.name if len(plans) == 1 else None
        super().__init__(Code.PROTECTED, f"{reason}: say -x allow=downgrade if that is meant", name)
        self.plans = plans


def plans(environment: Environment, results: Sequence[ProbeResult], *, may_downgrade: bool) -> list[Plan]:
    """The plans of a command for the databases that it would change; protected databases only if it may downgrade.

    Raises:
        ProtectedError: protected databases would go back; names all of them.
        MigrationError: a database can't move as asked, or none can move.
    """
    request = environment.request
    if request.command == "stamp":
        _check_stamps(environment)
    at_the_end: list[str] = []
    protected: list[Plan] = []

    def plan(branch: Branch, result: ProbeResult) -> Plan | None:
        name = result.database.name
        if request.targets:
            found = _plan_target(environment, branch, result, request.targets.by_name[name])
        elif _is_at_the_end(environment, branch, result):
            at_the_end.append(name)
            return None
        else:
            found = _plan(environment, branch, result)
        if found is not None and result.database.options.get("protected") and not may_downgrade:
            protected.extend([found] if goes_back(branch, found) else [])
        return found

    planned = _planned(environment, results, plan)
    if protected:
        raise ProtectedError(protected)
    if at_the_end and len(at_the_end) == len(environment.databases):
        raise MigrationError(
            Code.STEPS,
            f"{request.symbols[0]} can move nothing: {', '.join(at_the_end)} "
            f"{'is' if len(at_the_end) == 1 else 'are'} already at the end",
        )
    return planned


def check_targets(environment: Environment, targets: Mapping[str, Target], results: Sequence[ProbeResult]) -> None:
    """Raise MigrationError if a database can't reach its target, for example because a revision can't be undone."""
    _planned(
        environment,
        results,
        lambda branch, result: _plan_target(environment, branch, result, targets[result.database.name]),
    )


def _planned(
    environment: Environment, results: Sequence[ProbeResult], plan: Callable[[Branch, ProbeResult], Plan | None]
) -> list[Plan]:
    """The plans of the databases with work. FilesError names the files of all databases that can't run as they are."""
    found: list[Plan] = []
    errors: list[MigrationError] = []
    for result in results:
        if is_at_head(environment, result):
            continue
        try:
            with environment.working_on(result.database.name) as branch:
                planned = plan(branch, result)
        except FilesError as error:
            errors.append(error)
            continue
        if planned is not None:
            found.append(planned)
    if errors:
        raise joined(errors)
    return found


def work_in(environment: Environment, database: Database) -> Work:
    """What an Alembic command does in one database: its own work, except for a stamp of several databases.

    `stamp user_db@head payment_db@head` would look for both revisions in each database.
    """
    request, script = environment.request, environment.script
    if request.command != "stamp" or len(request.symbols) == 1:
        return request.work
    [symbol] = [each for each in request.symbols if database.name in environment.databases_of(each)]
    return lambda heads, _context: alembic_internals.stamp_steps(script, symbol, heads)


def stages_of(steps: Sequence[Step]) -> tuple[Stage, ...]:
    """Cut the steps into stages: a revision that runs outside a transaction is a stage of its own.

    Raises:
        FilesError: files can't run as they are; names all of them.
    """
    _check_files(steps)
    found: list[Stage] = []
    for step in steps:
        script = getattr(step, "revision", None)  # a stamp has none, and runs nothing
        if script is not None and nontransactional.is_declared(script):
            found.append(Stage((step,), nontransactional=True))
            continue
        if found and not found[-1].nontransactional:
            found[-1] = Stage((*found[-1].steps, step))
        else:
            found.append(Stage((step,)))
    return tuple(found)


def _check_files(steps: Iterable[Step]) -> None:
    found: dict[tuple[str, Code], list[str]] = {}  # the places of each reason
    texts: dict[str, dict[str, bytes]] = {"upgrade": {}, "downgrade": {}}  # by the function that is to run, by path
    for step in steps:
        script = getattr(step, "revision", None)
        if script is not None:
            text = Path(script.path).read_bytes()
            texts["upgrade" if step.is_upgrade else "downgrade"][script.path] = text
            problem = nontransactional.problem_of(script, text)
            if problem:
                place, reason, code = problem
                found.setdefault((reason, code), []).append(place)
    for function, files in texts.items():
        missing = without(function, files)
        if missing:
            reason = f"there is no {function}(): write one"
            found[reason, Code.MISSING_FUNCTION] = [place_of(path) for path in missing]
    if found:
        errors = [MigrationError(code, f"{', '.join(places)}: {reason}") for (reason, code), places in found.items()]
        whole = joined(errors)
        raise FilesError(whole.code, whole.reason)


def _plan(environment: Environment, branch: Branch, result: ProbeResult) -> Plan | None:
    """What a command of Alembic's does in a database, or None for nothing."""
    request = environment.request
    if request.command != "downgrade":
        for symbol in request.symbols:
            branch.check_destination(symbol)
    heads = () if request.purge else branch.standing(result.heads)
    steps = _steps(environment, result.database, heads)
    stages = stages_of(steps if request.purge else [*_renaming(environment, branch, result), *steps])
    if request.purge:
        recorded = {revision for stage in stages for step in stage.steps for revision in step.to_revisions}
        if recorded == set(result.heads):
            return None
        stages = stages or (Stage(()),)  # to base: the table is only emptied
    return Plan(result.database, result.heads, stages, purge=request.purge) if stages else None


def _renaming(environment: Environment, branch: Branch, result: ProbeResult) -> list[Step]:
    """The steps that record the revisions of the branch instead of those of former files, which they replace."""
    return [
        alembic_internals.replacing_step(environment.script, (recorded,), (revision,))
        for recorded, revision in zip(result.heads, branch.standing(result.heads), strict=True)
        if recorded != revision
    ]


def _plan_target(environment: Environment, branch: Branch, result: ProbeResult, target: Target) -> Plan | None:
    """What `rollback` or `adopt` does in a database, or None for nothing."""
    if set(result.heads) != set(target.before):
        raise MigrationError(
            Code.MOVED,
            f"its revision changed from {revisions_text(target.before)} to {revisions_text(result.heads)} while "
            "planning: run again",
        )
    heads = () if target.purge else branch.standing(result.heads)
    with explained(revisions_text(target.revisions)):
        steps = _steps_to(environment, branch, heads, target)
    renaming = [] if target.purge else _renaming(environment, branch, result)
    stages = stages_of([*renaming, *steps])
    return Plan(result.database, result.heads, stages, purge=target.purge, first=target.first) if stages else None


def _steps_to(environment: Environment, branch: Branch, heads: tuple[str, ...], target: Target) -> list[Step]:
    """The steps to a target: down, or up where a downgrade is reverted, or a stamp."""
    revisions, script = target.revisions, environment.script
    if target.stamp and not all(map(branch.knows, revisions)):
        # An adoption is reverted: the recorded revisions are the other project's again.
        return [alembic_internals.replacing_step(script, heads, revisions)]
    if target.stamp:
        return alembic_internals.stamp_steps(script, revisions or "base", heads)
    [revision] = revisions or ("base",)
    if revision != "base" and set(heads) < {each.revision for each in script.iterate_revisions(revision, "base")}:
        return alembic_internals.upgrade_steps(script, revision, heads)
    return alembic_internals.downgrade_steps(script, revision, heads)


def _steps(environment: Environment, database: Database, heads: tuple[str, ...]) -> list[Step]:
    with explained(environment.request.symbols[0]):
        return list(work_in(environment, database)(heads, context.get_context()))


@contextmanager
def explained(symbol: str) -> Iterator[None]:
    """Explain why Alembic can't walk to a revision."""
    try:
        yield
    except (AssertionError, RevisionError) as error:
        # Alembic's walk left the tree, or came to a merge.
        raise MigrationError(Code.STEPS, f"{symbol} leads nowhere from here: name the revision you mean") from error
    except CommandError as error:
        if "Ambiguous walk" in str(error):  # Alembic's own message, which is not translated
            raise MigrationError(
                Code.STEPS, f"{symbol} is ambiguous from a merge: name the revision you mean"
            ) from error
        raise


def is_at_head(environment: Environment, result: ProbeResult) -> bool:
    """Whether `upgrade heads` finds nothing to do: the usual case, which needs no map of Alembic's."""
    request, name = environment.request, result.database.name
    if request.command != "upgrade" or request.symbols[0] not in ("heads", "head", f"{name}@heads", f"{name}@head"):
        return False
    heads = environment.branch(name).heads
    return len(heads) == 1 and result.recorded == heads


def _is_at_the_end(environment: Environment, branch: Branch, result: ProbeResult) -> bool:
    """Whether a relative step finds no revision to move to. A step that is too long or in the wrong direction fails."""
    command, symbols = environment.request.command, environment.request.symbols
    relative = _RELATIVE.fullmatch(symbols[0]) if symbols and command in ("upgrade", "downgrade") else None
    if not relative:
        return False
    steps, is_upgrade = int(relative[1]), command == "upgrade"
    if is_upgrade:
        branch.check_destination(symbols[0])
    heads = branch.standing(result.heads)
    if (steps > 0) is not is_upgrade:
        raise MigrationError(Code.STEPS, f"{command} {steps:+} is the wrong way: say {'+' if is_upgrade else '-'}N")
    upper, lower = ("heads", heads) if is_upgrade else (heads, "base")
    left = sum(1 for _ in branch.revision_map.iterate_revisions(upper, lower, implicit_base=is_upgrade))
    if left and left < abs(steps):
        raise MigrationError(Code.STEPS, f"{steps:+} asks for {abs(steps)} steps, {left} left; no database was moved")
    return not left


def goes_back(branch: Branch, plan: Plan) -> bool:
    """Whether a plan takes a revision back, or its record."""
    return not set(branch.known(plan.before)) <= branch.ancestors(_after(plan))


def _after(plan: Plan) -> tuple[str, ...]:
    last = plan.stages[-1].steps[-1:]
    return tuple(last[0].to_revisions) if last else ()


def _check_stamps(environment: Environment) -> None:
    """Refuse a stamp of several revisions unless each is of another database."""
    symbols = environment.request.symbols
    if len(symbols) == 1:
        return
    owners = [environment.databases_of(symbol) for symbol in symbols]
    if not all(owners) or len(set().union(*owners)) < len(symbols):
        raise MigrationError(
            Code.REVISION_NAME,
            f"stamp {' '.join(symbols)}: with several revisions each must name a database of its own, "
            "as in `stamp user_db@head payment_db@head`",
        )
