"""The proof of a revision file: it is run in a scratch database, up, down and up again, and what it makes is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from multidb.autogenerate.comparison import sentences
from multidb.autogenerate.workspace import Workspace
from multidb.errors import reason_of
from multidb.schema.changes import Change, changes
from multidb.schema.objects import Schema


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one direction of a revision file."""

    function: str  # `upgrade`
    reason: str  # why it fails; empty if it runs
    left: Sequence[Change] = ()  # what differs afterwards

    @property
    def sentences(self) -> list[str]:
        if self.reason:
            return [f"{self.function}() fails: {self.reason}"]
        return [f"{self.function}() leaves: {sentence}" for sentence in sentences(self.left)]

    @property
    def lines(self) -> list[str]:
        """The sentences, and the SQL that would be right."""
        texts = [line for change in self.left for each in change.statements for line in f"{each.text};".splitlines()]
        return [*self.sentences, *(f"    {text}" for text in dict.fromkeys(texts))]


def flaws_of(workspace: Workspace, module: ModuleType, wanted: Schema, here: Schema) -> list[Flaw]:
    """Run a revision file in a workspace that is at the revision before it.

    Args:
        wanted: the schema that upgrade() has to make.
        here: the schema to which downgrade() has to lead back.
    """
    found: list[Flaw] = []
    for function, schema in (("upgrade", wanted), ("downgrade", here), ("upgrade", wanted)):
        flaw = _flaw(workspace, function, getattr(module, function), schema)
        if flaw is not None:
            found.append(flaw)
            if flaw.reason:
                break
    return [
        each for number, each in enumerate(found) if each.sentences not in [other.sentences for other in found[:number]]
    ]


def _flaw(workspace: Workspace, function: str, run: Callable[[], None], wanted: Schema) -> Flaw | None:
    try:
        workspace.call(run)
    except Exception as error:
        return Flaw(function, reason_of(error))
    left = changes(wanted, workspace.read())
    return Flaw(function, "", left) if left else None
