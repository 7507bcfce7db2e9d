"""Targets: a destination for each database, for the commands that Alembic has not, `rollback` and `adopt`."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from alembic.config import Config
from sqlalchemy import Connection

from multidb.planning import alembic_internals

OPTION = "multidb_targets"
"""The option of env.py that has the targets."""


@dataclass(frozen=True)
class Target:
    before: tuple[str, ...]  # the revisions that it is at
    revisions: tuple[str, ...]  # that it gets to; none is the base, and several can only be recorded
    stamp: bool  # whether the destination is only recorded
    purge: bool = False  # whether `alembic_version` is emptied first
    first: Callable[[Connection], None] | None = None  # called in the transaction before that


@dataclass(frozen=True)
class Targets:
    """The destinations of a command."""

    command: str  # `rollback` or `adopt`
    typed: str  # as the journal records the command
    by_name: Mapping[str, Target]  # by the databases' names; no other database is addressed
    confirm: Callable[[], None] = lambda: None  # called under the locks; raises MigrationError if they no longer hold

    def run(self, config: Config, x_arguments: Sequence[str]) -> None:
        """Bring the databases to their targets, by env.py and as one run, which raises SystemExit if it fails."""
        options = argparse.Namespace(**vars(config.cmd_opts or argparse.Namespace()))
        others = (argument for argument in x_arguments if argument.partition("=")[0] != "db")
        options.x = [*others, f"db={','.join(self.by_name)}"]
        config.cmd_opts = options
        alembic_internals.run_env(config, {OPTION: self})
