"""The proof of a revision file: it is run in a scratch database, up, down and up again, and what it makes is read."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import ModuleType

from multidb.autogenerate.comparison import Comparison, sentences
from multidb.autogenerate.workspace import Workspace
from multidb.errors import reason_of
from multidb.schema.changes import Change, changes, with_texts_of
from multidb.schema.objects import Key, Schema

_INHERITED = """
    SELECT attname FROM pg_catalog.pg_attribute
    WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND NOT attislocal ORDER BY attnum
"""


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one direction of a revision file."""

    function: str  # `upgrade`; `upgrade, once more`
    reason: str  # why it fails; empty if it runs
    left: Sequence[Change] = ()  # what differs afterwards

    @property
    def _name(self) -> str:
        """`upgrade()`, `upgrade(), once more,`."""
        name, comma, rest = self.function.partition(",")
        return f"{name}(){comma}{rest}{comma}"

    @property
    def sentences(self) -> list[str]:
        if self.reason:
            return [f"{self._name} fails: {self.reason}"]
        return [f"{self._name} leaves: {sentence}" for sentence in sentences(self.left)]

    @property
    def lines(self) -> list[str]:
        """The sentences, and the SQL that would be right."""
        texts = [line for change in self.left for each in change.statements for line in f"{each.text};".splitlines()]
        return [*self.sentences, *(f"    {text}" for text in dict.fromkeys(texts))]


def flaws_of(
    workspace: Workspace, module: ModuleType, comparison: Comparison, observing: AbstractContextManager[None]
) -> list[Flaw]:
    """Run a revision file in a workspace that is at the revision before it.

    `upgrade()` has to make the schema that is wanted, and `downgrade()` that of the branch.

    Args:
        observing: the context in which `upgrade()` runs for the first time.
    """
    found: list[Flaw] = []
    inherited = _lost_inheritance(workspace, comparison)
    up, down = (comparison.wanted, comparison.others), (comparison.base, ())
    for function, (schema, others) in {"upgrade": up, "downgrade": down, "upgrade, once more": up}.items():
        with observing if function == "upgrade" else nullcontext():
            flaw = _flaw(workspace, function, getattr(module, function.partition(",")[0]), schema, others)
        if flaw is not None:
            found.append(flaw)
            if flaw.reason:
                break
    found += [Flaw("downgrade", "", inherited)] if inherited else []
    return [each for each in found if each.function in ("upgrade", "downgrade") or len(found) == 1]


def flaws_on_branch(workspace: Workspace, module: ModuleType, comparison: Comparison) -> list[Flaw]:
    """Run the revision file for a live database where the branch has been replayed, as in every new database."""
    others, function = comparison.others, "upgrade, in a new database"
    flaw = _flaw(workspace, function, module.upgrade, comparison.wanted, others)
    return [flaw] if flaw else []


def _flaw(
    workspace: Workspace, function: str, run: Callable[[], None], wanted: Schema, others: Collection[Key]
) -> Flaw | None:
    try:
        workspace.call(run)
    except Exception as error:
        return Flaw(function, reason_of(error))
    left = changes(wanted, with_texts_of(wanted, workspace.read(), others))
    return Flaw(function, "", left) if left else None


def _lost_inheritance(workspace: Workspace, comparison: Comparison) -> list[Change]:
    """The tables that stop inheriting: PostgreSQL can't make a column of theirs an inherited one again.

    The schemas do not tell such a column apart. https://www.postgresql.org/docs/current/sql-altertable.html: NO INHERIT
    """
    found = []
    for change in comparison.changes:
        old, new = getattr(change.old, "inherits", ()), getattr(change.new, "inherits", ())
        if change.old is None or change.new is None or set(old) <= set(new):
            continue
        inherited = workspace.connection.exec_driver_sql(_INHERITED, (change.old.identifier,)).scalars().all()
        if inherited:
            what = (
                f"{', '.join(inherited)} of {change.old.label} as its own: no statement makes a column inherited again"
            )
            found.append(replace(change, statements=(), sentences=(what,)))
    return found
