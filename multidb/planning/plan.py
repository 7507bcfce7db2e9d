"""What a run does in each database, release by release: what planning decides, and participants carry out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb.config.configuration import Database
from multidb.database.probe import Look
from multidb.errors import MigrationError

Work = Callable[[Any, MigrationContext], Any]
"""From the revisions that a database is at, the steps to take: Alembic's own form of a command."""

Step = Any
"""One of Alembic's steps: a revision to run, or to stamp."""


@dataclass(frozen=True)
class Part:
    """What one release brings to a database: revisions in a transaction, or one outside."""

    steps: tuple[Step, ...]
    outside: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run does in one database.

    Args:
        look: the database, and the connection that looked at it.
        before: the revisions that it is at.
        parts: what to do, release by release.
        work: Alembic's work, where the command is none that takes steps.
        purge: whether `alembic_version` is emptied first.
        first: what is done in the transaction before the first step.
    """

    look: Look
    before: tuple[str, ...]
    parts: tuple[Part, ...]
    work: Work | None = None
    purge: bool = False
    first: Callable[[Connection], None] | None = None

    @property
    def database(self) -> Database:
        return self.look.database

    @property
    def count(self) -> int:
        """Of the revisions that it applies."""
        return sum(len(part.steps) for part in self.parts)

    def empties(self, part: int) -> bool:
        """Whether `alembic_version` is emptied before a part."""
        return self.purge and part == 0

    def work_of(self, part: int, expected: Iterable[str]) -> Work:
        """Alembic's work for one part.

        Args:
            part: which.
            expected: the revisions that the database has to be at.
        """
        if self.work is not None:
            return self.work
        start = set() if self.empties(part) else set(expected)

        def steps(heads: tuple[str, ...], context: MigrationContext) -> Iterable[Step]:
            if set(heads) != start:
                raise MovedError(f"it was at {shown(start)} and is at {shown(heads)}: somebody else has moved it")
            if self.first is not None and part == 0:
                assert context.connection is not None
                self.first(context.connection)
            return self.parts[part].steps

        return steps


class MovedError(MigrationError):
    """A database is no longer where it was when the run was planned."""


def files_of(steps: Iterable[Step]) -> list[tuple[str, Path | None, bool]]:
    """Of each step the revision that it is about, its file if it runs one, and whether it goes up."""
    found: list[tuple[str, Path | None, bool]] = []
    for step in steps:
        script = getattr(step, "revision", None)
        if script is not None:
            found.append((script.revision, Path(script.path), bool(step.is_upgrade)))
        else:
            stamped = step.to_revisions if step.is_upgrade else step.from_revisions
            found += [(revision, None, bool(step.is_upgrade)) for revision in stamped]
    return found


def shown(revisions: Iterable[str]) -> str:
    """Revisions, as a message names them."""
    return ", ".join(sorted(revisions)) or "base"
