"""`rollback`: revert the last run in every database that it changed, or all runs after a release.

The command prints its plan and asks first. It is a run itself: all databases are reverted, or none.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidb.commands.support.command import Command
from multidb.database import journal
from multidb.database.journal import JournalRow, Journals
from multidb.database.probe import probing
from multidb.errors import ExitCode, MigrationError
from multidb.output import columns, revisions_text
from multidb.planning import planner
from multidb.planning.targets import Target, Targets
from multidb.release.locking import results_of


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="RELEASE", help="revert every run after this release")
    parser.add_argument("--yes", action="store_true", help="don't ask")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if there is nothing to revert, a database has changed since, or the answer is no."""
    to = command.options.to
    databases = command.configuration.databases(command.configuration.names)
    reversals = _reversals(journal.read_all(databases), to)
    names = {each.database for each in reversals}
    with probing([each for each in databases if each.name in names]) as probes:
        results = results_of(probes)
        heads = {result.database.name: result.heads for result in results}
    for each in reversals:
        if set(heads[each.database]) != set(each.before):
            raise MigrationError(
                f"it is at {revisions_text(heads[each.database])}, and the last run left it at "
                f"{revisions_text(each.before)}: it was changed in another way since",
                each.database,
            )
    targets = {each.database: Target(each.before, _destination(each), stamp=each.is_stamp) for each in reversals}
    with command.environment() as environment:
        planner.check_targets(environment, targets, results)
    lines = [
        (
            each.database,
            revisions_text(each.before),
            "->",
            revisions_text(each.after),
            ", ".join(row.run for row in each.rows[::-1]),
        )
        for each in reversals
    ]
    print(columns([("database", "from", "", "to", "reverts"), *lines]))
    if not command.options.yes and not _confirmed():
        raise MigrationError("nothing was done; answer yes, or add --yes where there is no terminal")
    typed = f"rollback --to {to}" if to else "rollback"
    Targets("rollback", typed, targets).run(command.alembic, command.options.x)
    return ExitCode.OK


@dataclass(frozen=True)
class _Reversal:
    database: str
    rows: tuple[JournalRow, ...]  # of the journal, oldest first

    @property
    def before(self) -> tuple[str, ...]:
        return self.rows[-1].after

    @property
    def after(self) -> tuple[str, ...]:
        return self.rows[0].before

    @property
    def is_stamp(self) -> bool:
        return all(row.is_stamp for row in self.rows)


def _reversals(journals: Journals, to: str | None) -> list[_Reversal]:
    rows = {name: [row for row in found if row.is_committed] for name, found in journals.items()}
    everything = [row for found in rows.values() for row in found]
    if not everything:
        raise MigrationError("the journals record no run: there is nothing to revert")
    if to is None:
        last = max(everything, key=lambda row: row.started_at).run
        reverted = {name: [row for row in found if row.run == last] for name, found in rows.items()}
    else:
        cut = max((row.started_at for row in everything if row.release == to), default=None)
        if cut is None:
            known = sorted({row.release for row in everything if row.release})
            raise MigrationError(f"the journals record no release {to!r}: there are {', '.join(known) or 'none'}")
        reverted = {name: _after(found, to, cut) for name, found in rows.items()}
    reversals = [_Reversal(name, tuple(found)) for name, found in reverted.items() if found]
    for each in reversals:
        _check_newest(each, rows)
    moving = [each for each in reversals if each.before != each.after]
    if not moving:
        where = f"where {to} left them" if to else "where the last run found them"
        raise MigrationError(f"the databases are {where}: there is nothing to revert")
    return moving


def _after(rows: Sequence[JournalRow], release: str, cut: str) -> list[JournalRow]:
    """The rows of a database after a release: by their order, or, where the database took no part, by the time."""
    of_release = [row.id for row in rows if row.release == release]
    return [row for row in rows if (row.id > max(of_release) if of_release else row.started_at > cut)]


def _check_newest(reversal: _Reversal, rows: Mapping[str, list[JournalRow]]) -> None:
    newest = rows[reversal.database][-1]
    if newest is not reversal.rows[-1]:
        raise MigrationError(f"run {newest.run} changed it since, with `{newest.command}`", reversal.database)
    if len({row.is_stamp for row in reversal.rows}) > 1:
        raise MigrationError(
            "it was stamped in between, which can't be reverted together with migrations: "
            "go back by hand, with `alembic downgrade` and `alembic stamp`",
            reversal.database,
        )


def _destination(reversal: _Reversal) -> str:
    if len(reversal.after) > 1:
        raise MigrationError(
            f"it was at {revisions_text(reversal.after)}, which are two heads: go back by hand, "
            "with `alembic downgrade`",
            reversal.database,
        )
    return reversal.after[0] if reversal.after else "base"


def _confirmed() -> bool:
    return sys.stdin.isatty() and input("Go back? [y/N] ").strip().lower() in ("y", "yes")
