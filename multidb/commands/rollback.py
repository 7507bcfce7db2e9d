"""`rollback`: revert the last run in every database that it changed, or all runs after a release.

The command prints its plan and asks first. It is a run itself: all databases are reverted, or none. What an earlier run
left in doubt is resolved first, in all databases.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from multidb import logs
from multidb.advice.codes import Code
from multidb.commands.support.command import Command
from multidb.config.configuration import Database
from multidb.database import journal
from multidb.database.attempt import Prepared
from multidb.database.journal import JournalRow, Journals
from multidb.database.probe import probing
from multidb.database.run_order import RunOrder
from multidb.errors import ConfigError, ExitCode, MigrationError, in_database
from multidb.output import columns, revisions_text
from multidb.planning import planner, selection
from multidb.planning.branches import Branch
from multidb.planning.targets import Target, Targets
from multidb.release import recovery
from multidb.release.waiting import results_of


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="RELEASE", help="revert every run after this release")
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.set_defaults(own_keys=("db",))  # `-x db=` names the databases to revert, and no others


def run(command: Command) -> ExitCode:
    """Raise MigrationError if there is nothing to revert, a database has changed since, or the answer is no."""
    logs.configure(command.alembic)
    to = command.options.to
    chosen = selection.chosen_by_x(command.options.x, command.configuration.names)
    names = [name for name in command.configuration.names if name in chosen or not chosen]
    databases = command.configuration.databases(names)

    def found() -> list[_Reversal]:
        return _reversals(journal.read_all(databases), to, command.configuration.names, is_named=bool(chosen))

    _resolve(command, names)
    reversals = found()
    reverted = {each.database for each in reversals}
    with probing([each for each in databases if each.name in reverted], keeps_sessions=False) as probes:
        results = results_of(probes)
        heads = {result.database.name: result.heads for result in results}
    for each in reversals:
        if set(heads[each.database]) != set(each.before):
            raise MigrationError(
                Code.NOT_REVERSIBLE,
                f"it is at {revisions_text(heads[each.database])}, and the last run left it at "
                f"{revisions_text(each.before)}: it was changed in another way since",
                each.database,
            )
    with command.environment() as environment:
        targets = {each.database: _target(environment.branch(each.database), each) for each in reversals}
        planner.check_targets(environment, targets, results)
    lines = [
        (
            each.database,
            revisions_text(each.before),
            "->",
            revisions_text(each.after),
            ", ".join(dict.fromkeys(row.run for row in each.rows[::-1])),
        )
        for each in reversals
    ]
    print(columns([("database", "from", "", "to", "reverts"), *lines]))
    for line in _left(reversals, command.configuration.names):
        print(line)
    if not command.options.yes and not _confirmed():
        raise MigrationError(
            Code.NOT_CONFIRMED,
            "nothing was done"
            if sys.stdin.isatty()
            else "nothing was done: there is no terminal to answer on: add --yes",
        )
    typed = f"rollback --to {to}" if to else "rollback"

    def confirm() -> None:
        if [each.attempts for each in found()] != [each.attempts for each in reversals]:
            raise MigrationError(
                Code.MOVED, "another run has changed these databases since the plan was printed: run again"
            )

    Targets("rollback", typed, targets, confirm).run(command.alembic, command.options.x)
    return ExitCode.OK


def _left(reversals: Sequence["_Reversal"], known: Collection[str]) -> Iterator[str]:
    """A line for each run that also changed a database which databases.yaml no longer has; that one stays as it is."""
    gone: dict[str, list[str]] = {}
    for row in (row for each in reversals for row in each.rows):
        for name in row.participants:
            if name not in known and name not in gone.setdefault(row.run, []):
                gone[row.run].append(name)
    for run, names in gone.items():
        if names:
            yield f"run {run} also changed {', '.join(names)}, which databases.yaml does not have: left as it is"


def _resolve(command: Command, names: Collection[str]) -> None:
    """Resolve what is in doubt, also in databases that are not reverted, where these can be reached."""
    in_doubt: list[tuple[Database, Prepared]] = []
    databases: list[Database] = []
    for name in command.configuration.names:
        try:
            databases += command.configuration.databases([name])
        except ConfigError:
            if name in names:
                raise
    with probing(databases, command.settings.wait, keeps_sessions=False) as probes:
        for probe in probes:
            try:
                with in_database(probe.database.name):
                    in_doubt += [(probe.database, prepared) for prepared in probe.result().in_doubt]
            except MigrationError:
                if probe.database.name in names:
                    raise
    recovery.resolve_all(command.configuration, in_doubt, command.settings.lock_wait)


@dataclass(frozen=True)
class _Reversal:
    database: str
    rows: tuple[JournalRow, ...]  # of the journal, oldest first

    @property
    def attempts(self) -> tuple[str, ...]:
        """What identifies it."""
        return self.database, *(row.attempt for row in self.rows)

    @property
    def before(self) -> tuple[str, ...]:
        return self.rows[-1].after

    @property
    def after(self) -> tuple[str, ...]:
        return self.rows[0].before

    @property
    def is_stamp(self) -> bool:
        return all(row.is_stamp for row in self.rows)


def _reversals(journals: Journals, to: str | None, known: Collection[str], *, is_named: bool) -> list[_Reversal]:
    """What is reverted, by the journals of the databases to be reverted; `is_named` if `-x db=` names these."""
    rows = {name: [row for row in found if row.is_committed] for name, found in journals.items()}
    everything = [row for found in rows.values() for row in found]
    if not everything:
        raise MigrationError(Code.NOT_REVERSIBLE, "the journals record no run: there is nothing to revert")
    order = RunOrder(rows)
    if to is None:
        last = _newest(order, rows)
        reverted = {name: [row for row in found if row.run == last] for name, found in rows.items()}
    else:
        of_release = list(dict.fromkeys(row.run for row in everything if row.release == to))
        if not of_release:
            known = sorted({row.release for row in everything if row.release})
            raise MigrationError(
                Code.NOT_REVERSIBLE, f"the journals record no release {to!r}: there are {', '.join(known) or 'none'}"
            )
        reverted = {name: _after(found, of_release, order, name) for name, found in rows.items()}
    reversals = [_Reversal(name, tuple(found)) for name, found in reverted.items() if found]
    for each in reversals:
        _check_newest(each, rows)
        for row in each.rows:
            _check_whole(row, rows, known, is_named=is_named)
    moving = [each for each in reversals if each.before != each.after]
    if not moving:
        where = f"where {to} left them" if to else "where the last run found them"
        raise MigrationError(Code.NOT_REVERSIBLE, f"the databases are {where}: there is nothing to revert")
    return moving


def _newest(order: RunOrder, rows: Mapping[str, list[JournalRow]]) -> str:
    newest = order.newest()
    if len(newest) == 1:
        return newest[0]
    places = {run: [name for name, found in rows.items() if any(row.run == run for row in found)] for run in newest}
    runs = ", ".join(f"{run} ({', '.join(names)})" for run, names in places.items())
    raise MigrationError(
        Code.NOT_REVERSIBLE,
        f"the newest runs share no database, nor the clock of a server, and each may be the last: {runs}: "
        f"name the databases to revert, as in `python -m multidb -x db={','.join(places[newest[0]])} rollback`",
    )


def _after(rows: Sequence[JournalRow], of_release: Sequence[str], order: RunOrder, database: str) -> list[JournalRow]:
    """The rows of a database after a release, which may have been several runs."""
    there = [row.id for row in rows if row.run in of_release]
    if there:
        return [row for row in rows if row.id > max(there)]
    found = []
    for row in rows:
        is_after = [order.is_after(row.run, run) for run in of_release]
        if False not in is_after and None in is_after:
            raise MigrationError(
                Code.NOT_REVERSIBLE,
                f"whether run {row.run} came before or after the release is not known, for they share no database, nor "
                "the clock of a server: name the databases to revert with -x db=",
                database,
            )
        if all(is_after):
            found.append(row)
    return found


def _check_newest(reversal: _Reversal, rows: Mapping[str, list[JournalRow]]) -> None:
    newest = rows[reversal.database][-1]
    if newest is not reversal.rows[-1]:
        raise MigrationError(
            Code.NOT_REVERSIBLE, f"run {newest.run} changed it since, with `{newest.command}`", reversal.database
        )
    if len({row.is_stamp for row in reversal.rows}) > 1:
        raise MigrationError(
            Code.NOT_REVERSIBLE,
            "it was stamped in between, which can't be reverted together with migrations: "
            "go back by hand, with `alembic downgrade` and `alembic stamp`",
            reversal.database,
        )


def _check_whole(
    row: JournalRow, rows: Mapping[str, list[JournalRow]], known: Collection[str], *, is_named: bool
) -> None:
    """Refuse to take half a run back: it was committed in all of its databases, so each has to have its row."""
    if not row.may_be_two_phase:
        return
    lacking = [
        name
        for name in row.participants
        if (name in rows or not is_named) and row.attempt not in {each.attempt for each in rows.get(name, ())}
    ]
    if not lacking:
        return
    names, there = ", ".join(lacking), ",".join(name for name in row.participants if name not in lacking)
    only = f"to revert the others alone, name them: `python -m multidb -x db={there} rollback`"
    gone = [name for name in lacking if name not in known]
    if gone:
        raise MigrationError(
            Code.NOT_REVERSIBLE,
            f"run {row.run} also changed {', '.join(gone)}, which databases.yaml does not have: {only}",
        )
    raise MigrationError(
        Code.NOT_REVERSIBLE,
        f"run {row.run} also changed {names}, whose journal has no row of that, as after a restore: compare the "
        f"databases; {only}",
    )


def _target(branch: Branch, reversal: _Reversal) -> Target:
    """Where a reversal leads; MigrationError if its revisions would have to be run towards two heads."""
    if len(reversal.after) > 1 and not reversal.is_stamp:
        raise MigrationError(
            Code.NOT_REVERSIBLE,
            f"it was at {revisions_text(reversal.after)}, which are two heads: go back by hand, "
            "with `alembic downgrade`",
            reversal.database,
        )
    after = reversal.after if reversal.is_stamp else branch.standing(reversal.after)
    return Target(reversal.before, after, stamp=reversal.is_stamp)


def _confirmed() -> bool:
    return sys.stdin.isatty() and input("Go back? [y/N] ").strip().lower() in ("y", "yes")
