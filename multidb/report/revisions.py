"""The revisions of a branch as a graph, with the place where the database is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multidb.planning.branches import Branch

_LATEST = 12  # applied revisions of a picture: of a long history, the list has all


@dataclass(frozen=True)
class RevisionNode:
    """A revision.

    Attributes:
        state: `applied`, `here` (the database is at it), `pending`, or `unknown` where the database can't be read.
    """

    name: str
    title: str
    parents: Sequence[str]
    state: str


@dataclass(frozen=True)
class RevisionGraph:
    """The revisions of a branch, from the first on.

    Attributes:
        standing: the revisions at which the database is; None if that is not known.
    """

    nodes: Sequence[RevisionNode]
    heads: Sequence[str]
    standing: Sequence[str] | None

    @property
    def pending(self) -> list[RevisionNode]:
        return [node for node in self.nodes if node.state == "pending"]

    @property
    def latest(self) -> list[RevisionNode]:
        """The nodes of the picture: the latest that are applied, and all that follow."""
        applied = [node for node in self.nodes if node.state != "pending"]
        left_out = {node.name for node in applied[:-_LATEST]}
        return [node for node in self.nodes if node.name not in left_out]


def revision_graph(branch: Branch, standing: Sequence[str] | None) -> RevisionGraph:
    """The graph of a branch.

    Args:
        standing: as `Branch.standing` gives it; None if it is not known.
    """
    applied = branch.ancestors(standing or ())
    ordered = [each.revision for each in branch.revision_map.iterate_revisions("heads", "base")][::-1]

    def state(revision: str) -> str:
        if standing is None:
            return "unknown"
        return "here" if revision in standing else "applied" if revision in applied else "pending"

    nodes = [
        RevisionNode(name, _title(branch.files[name].path), tuple(branch.files[name].parents), state(name))
        for name in ordered
    ]
    return RevisionGraph(nodes, sorted(branch.heads), standing)


def _title(path: str) -> str:
    """The words of a file's name, without reading the file."""
    return " ".join(Path(path).stem.split("_")[2:])
