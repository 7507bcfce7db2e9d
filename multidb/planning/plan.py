"""The plan of a run for each database, stage by stage: planning decides it, participants carry it out."""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.errors import MigrationError
from multidb.output import revisions_text

Work = Callable[[Any, MigrationContext], Any]
"""From the revisions that a database is at, the steps to take: Alembic's own form of a command."""

Step = Any
"""One of Alembic's steps: a revision to run, or to stamp."""


class MovedError(MigrationError):
    """A database is no longer at the revision for which the run was planned."""


@dataclass(frozen=True)
class Stage:
    """What one commit group of a run does in a database: revisions in a transaction, or one outside."""

    steps: tuple[Step, ...]
    nontransactional: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run does in one database."""

    database: Database
    before: tuple[str, ...]  # the revisions that it is at
    stages: tuple[Stage, ...]
    purge: bool = False  # whether `alembic_version` is emptied before the first step
    first: Callable[[Connection], None] | None = None  # called in the transaction before the first step

    @property
    def steps(self) -> list[Step]:
        """The steps of all stages, in order."""
        return [step for stage in self.stages for step in stage.steps]

    @property
    def revision_count(self) -> int:
        return len(self.steps)

    def purges(self, number: int) -> bool:
        """Whether `alembic_version` is emptied before a stage."""
        return self.purge and number == 0

    def work_of(self, number: int, expected: Iterable[str]) -> Work:
        """Alembic's work for one stage, which raises MovedError if the database is not at the expected revisions."""
        start = set() if self.purges(number) else set(expected)

        def steps(heads: tuple[str, ...], context: MigrationContext) -> Iterable[Step]:
            if set(heads) != start:
                raise MovedError(
                    Code.MOVED,
                    f"its revision changed from {revisions_text(start)} to {revisions_text(heads)} after the run was "
                    "planned",
                )
            if self.first is not None and number == 0:
                assert context.connection is not None
                self.first(context.connection)
            return self.stages[number].steps

        return steps


def around_revision(step: Step, before: Callable[[], None], after: Callable[[], None]) -> Step:
    """A step with calls around its revision's function; `after` precedes the record of the revision."""
    run, wrapped = step.migration_fn, copy(step)

    @wraps(run)  # Alembic logs its name: upgrade, downgrade
    def migrate(**options: Any) -> None:
        before()
        run(**options)
        after()

    wrapped.migration_fn = migrate
    return wrapped


def runs_file(step: Step) -> bool:
    """Whether a step runs a revision's file; a stamp only records revisions."""
    return getattr(step, "revision", None) is not None


def files_of(steps: Iterable[Step]) -> list[tuple[str, Path | None, bool]]:
    """For each step: the revision, its file if the step runs it, and whether the step is an upgrade."""
    found: list[tuple[str, Path | None, bool]] = []
    for step in steps:
        if runs_file(step):
            found.append((step.revision.revision, Path(step.revision.path), bool(step.is_upgrade)))
        else:
            stamped = step.to_revisions if step.is_upgrade else step.from_revisions
            found += [(revision, None, bool(step.is_upgrade)) for revision in stamped]
    return found
