"""Write the revision that leads from a branch to its models, and prove it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from alembic.autogenerate import RevisionContext
from alembic.operations.ops import OpContainer
from alembic.script import Script
from sqlalchemy import MetaData

from multidb.advice.codes import Code
from multidb.autogenerate import renames
from multidb.autogenerate.comparison import Comparison
from multidb.autogenerate.draft import Draft, drafted
from multidb.autogenerate.expressions import as_in_models
from multidb.autogenerate.models import metadata_of
from multidb.autogenerate.operations import Names, Operation, has_other_default, operations_for
from multidb.autogenerate.proof import Flaw, flaws_of, flaws_on_branch
from multidb.autogenerate.workspace import Workspace
from multidb.database import connections
from multidb.errors import MigrationError
from multidb.planning import alembic_internals
from multidb.planning.environment import Environment
from multidb.planning.revision_files import place_of
from multidb.rehearsal.observation import effects
from multidb.rehearsal.observer import Observer
from multidb.replay.replay import Replays
from multidb.schema.changes import Change
from multidb.schema.objects import Sides


@dataclass(frozen=True)
class Written:
    """A revision file, and what is wrong with it: nothing if it is proved.

    `observed` has what `upgrade()` did to the tables that were there before, by the line of the file.
    """

    revision: str
    path: Path
    flaws: Sequence[Flaw]
    observed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        if not self.flaws:
            effects = [f"    {place}: {', '.join(facts)}" for place, facts in self.observed.items()]
            return [*effects, f"{self.revision}: upgrade makes what the models say, downgrade leads back"]
        lines = [f"    {line}" for flaw in self.flaws for line in flaw.lines]
        return [f"{self.revision}: written, not proved", *lines]


def write(environment: Environment, replays: Replays, comparison: Comparison, arguments: dict[str, Any]) -> Written:
    """Write and prove a revision. Alembic's context has to be on the database's branch.

    Args:
        replays: that have the comparison's scratch database.
        arguments: of the revision, as Alembic's RevisionContext takes them.
    """
    branch = environment.branch(comparison.database.name)
    own = RevisionContext(environment.config, branch.directory, arguments)
    comparison.work(environment, replays, partial(_draft, comparison, own))
    [script] = list(own.generate_scripts())
    assert script is not None
    flaws: list[Flaw] = []
    observed: dict[str, Sequence[str]] = {}
    comparison.work(environment, replays, partial(_prove, comparison, script, flaws, observed))
    if comparison.of_branch:
        comparison.of_branch.work(environment, replays, partial(_prove_on_branch, comparison.of_branch, script, flaws))
    path = Path(script.path)
    if flaws:
        _say_at_its_top(path, flaws)
    return Written(script.revision, path, flaws, observed)


def rename(
    environment: Environment,
    replays: Replays,
    comparison: Comparison,
    given: Sequence[renames.Option],
    ask: renames.Ask,
) -> Comparison:
    """The comparison after the renames that options give, or that a person confirms.

    Raises:
        MigrationError: an option is for a table or column that stays, or gets a name that is not wanted.
    """
    name, left = comparison.database.name, {option: option.old for option in given}
    for kind in renames.KINDS:
        found = []
        for option, each in list(renames.chosen(comparison.changes, kind, comparison.here, left)):
            found.append(each)
            del left[option]
            if kind == "table":
                left = {other: _after(old, each) for other, old in left.items()}
        taken = {each.old.key for each in found}
        found += [
            each
            for each in comparison.candidates(kind)
            if each.old.key not in taken
            and ask(f"{name}: {each.old.label} goes, and {each.new.own_name} comes. Is it renamed? [y/N] ")
        ]
        if found:
            comparison = _renamed(environment, replays, comparison, found)
    for option in left:
        what = f"the models drop no {option.old}, or add no {option.new} in its place"
        raise MigrationError(Code.SETTING, f"-x {renames.OPTION}={option.text}: {what}", name)
    return comparison


def _after(name: str, table: renames.Rename) -> str:
    """The name of a column after the rename of its table."""
    prefix = f"{table.old.name}."
    return f"{table.new.name}.{name.removeprefix(prefix)}" if name.startswith(prefix) else name


def _renamed(
    environment: Environment, replays: Replays, comparison: Comparison, found: Sequence[renames.Rename]
) -> Comparison:
    pieces = [each.pieces(is_sqlite=comparison.database.is_sqlite) for each in found]
    results: list[Comparison] = []

    def read(workspace: Workspace, _heads: tuple[str, ...]) -> None:
        workspace.run([*comparison.there, *(there for there, _ in pieces)])
        renamed = comparison.renamed(found, pieces, workspace.read())
        sequences = renames.sequence_renames(renamed.wanted, renamed.here)
        workspace.run([there for there, _ in sequences])
        results.append(renamed.renamed([], sequences, workspace.read()))

    comparison.work(environment, replays, read)
    return results[0]


def _draft(comparison: Comparison, own: RevisionContext, workspace: Workspace, heads: tuple[str, ...]) -> None:
    """Fill Alembic's revision with what holds when it is run."""
    wanted, here, alembic = comparison.wanted, comparison.here, workspace.alembic
    names = Names(wanted, here)
    workspace.run(comparison.there)
    alembic_internals.replace_default_comparison(alembic, has_other_default(names))
    of_a_run = alembic.opts["target_metadata"]  # whose naming convention is not that of the models
    alembic.opts["target_metadata"] = metadata_of(comparison.database)
    own.run_autogenerate(heads, alembic)
    alembic.opts["target_metadata"] = of_a_run
    alembic_internals.replace_expressions(alembic, partial(as_in_models, alembic.dialect))
    [script] = own.generated_revisions
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    models = metadata_of(comparison.database)
    up = drafted(
        workspace, wanted, _finder(script.upgrade_ops, names, Sides(wanted, here, ""), models), comparison.others
    )
    try:
        workspace.run(up.pieces)
    except Exception:
        down = Draft([])
    else:
        down = drafted(workspace, here, _finder(script.downgrade_ops, names, Sides(here, wanted, "")))
    script.upgrade_ops.ops = [piece.operation for piece in (*comparison.there, *up.pieces)]
    script.downgrade_ops.ops = [piece.operation for piece in (*down.pieces, *comparison.back)]


def _finder(
    found: OpContainer, names: Names, sides: Sides, models: MetaData | None = None
) -> Callable[[Sequence[Change]], list[Operation]]:
    return lambda todo: operations_for(todo, found, names, sides, models)


def _prove(
    comparison: Comparison,
    script: Script,
    flaws: list[Flaw],
    observed: dict[str, Sequence[str]],
    workspace: Workspace,
    _heads: tuple[str, ...],
) -> None:
    if workspace.database.is_sqlite:  # whose locks are of the whole file
        flaws += flaws_of(workspace, script.module, comparison, nullcontext())
        return
    driver = connections.driver_of(workspace.connection)
    places = {place_of(script.path): script.revision}
    observer = Observer(workspace.database, driver, comparison.here.default_schema, places)
    watching = observer.stage(workspace.connection, 0, outside=False)
    flaws += flaws_of(workspace, script.module, comparison, watching)
    for each in observer.statements:
        found = effects(each)
        if found:
            line = each.place.rpartition("/")[2]
            observed[line] = list(dict.fromkeys([*observed.get(line, ()), *found]))


def _prove_on_branch(
    comparison: Comparison, script: Script, flaws: list[Flaw], workspace: Workspace, _heads: tuple[str, ...]
) -> None:
    flaws += flaws_on_branch(workspace, script.module, comparison)


def _say_at_its_top(path: Path, flaws: Sequence[Flaw]) -> None:
    lines = [f"# {line}" for flaw in flaws for sentence in flaw.sentences for line in sentence.splitlines()]
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(["# Not proved: correct this by hand.", *lines, text]), encoding="utf-8")
