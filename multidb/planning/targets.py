"""Targets: a destination for each database, for the commands that Alembic has not, `rollback` and `adopt`."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alembic.config import Config
from sqlalchemy import Connection

from multidb.planning import alembic_internals

_OPTION = "multidb_targets"


@dataclass(frozen=True)
class Target:
    """The destination of one database.

    Args:
        before: the revisions that it is at.
        revision: the destination.
        stamp: whether the destination is only recorded.
        purge: whether `alembic_version` is emptied first.
        first: what is done in the transaction before that.
    """

    before: tuple[str, ...]
    revision: str
    stamp: bool
    purge: bool = False
    first: Callable[[Connection], None] | None = None


@dataclass(frozen=True)
class Targets:
    """The destinations of a command.

    Args:
        command: `rollback` or `adopt`.
        typed: as the journal records the command.
        by_name: the targets, by the databases' names; no other database is addressed.
    """

    command: str
    typed: str
    by_name: Mapping[str, Target]

    @classmethod
    def received(cls, options: Mapping[str, Any]) -> "Targets | None":
        """The targets among the options that env.py was given, if there are any."""
        return options.get(_OPTION)

    def run(self, config: Config, x_arguments: Sequence[str]) -> None:
        """Bring the databases to their targets, by env.py and as one run.

        Raises:
            MigrationError: the run failed.
        """
        options = argparse.Namespace(**vars(config.cmd_opts or argparse.Namespace()))
        options.x = [*x_arguments, f"db={','.join(self.by_name)}"]
        config.cmd_opts = options
        alembic_internals.run_env(config, {_OPTION: self})
