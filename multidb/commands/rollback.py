"""`rollback`: take back what the last run did, or all that came after a release, as one release."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alembic import command
from alembic.config import Config

from multidb.commands.history import Journals, committed, is_stamp, read
from multidb.config.configuration import Configuration
from multidb.database.journal import Entry
from multidb.database.probe import look_at
from multidb.errors import MigrationError
from multidb.output import Say, in_columns
from multidb.planning import planner


@dataclass(frozen=True)
class Step:
    """What is taken back in one database."""

    database: str
    rows: tuple[Entry, ...]  # oldest first

    @property
    def before(self) -> tuple[str, ...]:
        return self.rows[-1].after

    @property
    def after(self) -> tuple[str, ...]:
        return self.rows[0].before

    @property
    def is_stamp(self) -> bool:
        return all(is_stamp(row) for row in self.rows)


def rollback(
    configuration: Configuration,
    config: Config,
    *,
    to: str | None,
    yes: bool,
    x_arguments: Sequence[str],
    say: Say,
) -> None:
    """Take back the last run, or the runs after a release, newest first, in one release.

    Args:
        configuration: of all databases.
        config: Alembic's.
        to: the release to go back to; None takes back the last run.
        yes: don't ask.
        x_arguments: what `-x` was given.
        say: prints a line.

    Raises:
        MigrationError: there is nothing to take back, a database has moved since in another way, or nobody says yes.
    """
    databases = configuration.databases(configuration.names)
    steps = _steps(read(databases), to)
    heads = {}
    for look in look_at([each for each in databases if each.name in {step.database for step in steps}]):
        look.wait()
        heads[look.database.name] = look.heads
        look.close()
    for step in steps:
        _check_unmoved(step, heads[step.database])
    lines = [
        (step.database, _shown(step.before), "->", _shown(step.after), ", ".join(row.run for row in step.rows[::-1]))
        for step in steps
    ]
    for line in in_columns([("database", "from", "", "to", "takes back"), *lines]).splitlines():
        say(line)
    if not yes and not _confirmed():
        raise MigrationError("nothing was done; say yes, or --yes where nobody can be asked")
    _run(config, steps, to, x_arguments)


def _run(config: Config, steps: Sequence[Step], to: str | None, x_arguments: Sequence[str]) -> None:
    """By Alembic's own command, with a destination of its own for each database."""
    targets = {step.database: planner.Target(step.before, _target(step), stamp=step.is_stamp) for step in steps}
    planner.aim(config, targets, f"rollback --to {to}" if to else "rollback", x_arguments)
    command.downgrade(config, "base")


def _steps(journals: Journals, to: str | None) -> list[Step]:
    rows = {name: committed(entries) for name, entries in journals.items()}
    everything = [row for those in rows.values() for row in those]
    if not everything:
        raise MigrationError("no journal tells of a run: there is nothing to take back")
    if to is None:
        run = max(everything, key=lambda row: row.started_at).run
        undone = {name: [row for row in those if row.run == run] for name, those in rows.items()}
    else:
        cut = max((row.started_at for row in everything if row.release == to), default=None)
        if cut is None:
            known = sorted({row.release for row in everything if row.release})
            raise MigrationError(f"no journal tells of a release {to!r}: there are {', '.join(known) or 'none'}")
        undone = {name: _after(those, to, cut) for name, those in rows.items()}
    found = [Step(name, tuple(those)) for name, those in undone.items() if those]
    for step in found:
        _check_newest(step, rows)
    moved = [step for step in found if step.before != step.after]
    if not moved:
        where = f"where {to} left them" if to else "where the last run found them"
        raise MigrationError(f"the databases are {where}: there is nothing to take back")
    return moved


def _after(rows: Sequence[Entry], release: str, cut: str) -> list[Entry]:
    """The rows of a database that came after a release: by their order, or, where it took no part, by the time."""
    took_part = [row.id for row in rows if row.release == release]
    return [row for row in rows if (row.id > max(took_part) if took_part else row.started_at > cut)]


def _check_newest(step: Step, rows: Mapping[str, list[Entry]]) -> None:
    newest = rows[step.database][-1]
    if newest is not step.rows[-1]:
        raise MigrationError(f"{step.database}: run {newest.run} has moved it since, with `{newest.command}`")
    if len({is_stamp(row) for row in step.rows}) > 1:
        raise MigrationError(
            f"{step.database}: it was stamped in between, which can't be undone together with migrations: "
            "go back by hand, with `alembic downgrade` and `alembic stamp`"
        )


def _check_unmoved(step: Step, heads: tuple[str, ...]) -> None:
    if set(heads) != set(step.before):
        raise MigrationError(
            f"{step.database}: it is at {_shown(heads)}, and the last run left it at {_shown(step.before)}: "
            "it has been moved in another way since"
        )


def _target(step: Step) -> str:
    if len(step.after) > 1:
        raise MigrationError(
            f"{step.database}: it was at {_shown(step.after)}, which are two heads: go back by hand, "
            "with `alembic downgrade`"
        )
    return step.after[0] if step.after else "base"


def _confirmed() -> bool:
    return sys.stdin.isatty() and input("Go back? [y/N] ").strip().lower() in ("y", "yes")


def _shown(revisions: Sequence[str]) -> str:
    return ", ".join(revisions) or "<base>"
