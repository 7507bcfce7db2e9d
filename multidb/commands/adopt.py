"""`adopt`: bring live databases that were made some other way under their branches, losing nothing.

A database is recorded at the revision that it equals, which is found by replaying its branch; that is the whole
change. It is made by Alembic's own `stamp --purge`, as a release of all the databases, and is looked at again inside
its transaction.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from multidb import threads
from multidb.commands.reading import NAME_WIDTH
from multidb.config.configuration import Database, variable
from multidb.database.probe import Look, check_distinct, looked_at
from multidb.errors import MigrationError, explain, named, nearest
from multidb.output import Say
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import shown
from multidb.planning.selection import owner_of
from multidb.replay.replay import Answer, Position, Question, Replays, positions_of
from multidb.schema import snapshot
from multidb.schema.diff import EXTRA, RISKY, Difference, differences, distance, number_of
from multidb.schema.objects import Schema
from multidb.schema.reconcile import reconciled
from multidb.schema.snapshot import Live


@dataclass(frozen=True)
class Found:
    """The position of a branch that a live database is nearest to.

    Args:
        position: which.
        schema: what it says.
        differences: in what the database is not that.
        distance: how much there is between them: 0 if they are equal.
        as_well: other positions that say the same.
    """

    position: Position
    schema: Schema
    differences: Sequence[Difference]
    distance: int
    as_well: Sequence[Position] = ()

    @property
    def lacks(self) -> int:
        """How many differences are not extra."""
        return sum(1 for each in self.differences if each.severity is not EXTRA)


@dataclass
class Case:
    """A database that is to be taken over."""

    live: Live
    found: Found
    refusal: str | None = None

    @property
    def name(self) -> str:
        return self.live.database.name

    @property
    def risky(self) -> dict[str, Difference]:
        """The differences that have to be named, by what names them."""
        return {f"{self.name}.{each.name}": each for each in self.found.differences if each.severity is RISKY}

    def mends(self, connection: Connection) -> None:
        """What is done inside the transaction."""
        found, ignored = self.found, self.live.database.ignored
        reconciled(found.schema, shown(found.position), found.differences, ignored)(connection)


def examine(
    environment: Environment,
    databases: Sequence[Database],
    *,
    dry_run: bool,
    reconcile: bool,
    risky: Sequence[str],
    say: Say,
) -> list[Case]:
    """Find what live databases are, print it, and refuse those that can't be recorded as they are.

    Args:
        environment: of all databases.
        databases: which to take over.
        dry_run: whether that is all.
        reconcile: whether differences that are harmless may be mended.
        risky: the names of differences that may be mended though they are not, each behind its database's and a dot.
        say: prints a line.

    Returns:
        Those that can be recorded; they are still unchanged.

    Raises:
        MigrationError: one can't be read, or can't be taken over as it is.
    """
    with Replays(environment) as replays, looked_at(databases, environment.settings.wait) as looks:
        check_distinct(looks)
        found = _read(looks, environment.settings.lock_wait)
        lines = {name: _nothing_to_do(environment, each) for name, each in found.items()}
        strange = {name: each for name, each in found.items() if lines[name] is None}
        by_name = {look.database.name: look for look in looks}
        cases = _cases(environment, replays, strange, by_name, say) if strange else {}
        _choose(cases.values(), reconcile=reconcile, risky=risky)
        for name, line in lines.items():
            if line is not None:
                say(f"{name:{NAME_WIDTH}} {line}")
            else:
                _print(cases[name], say, dry_run=dry_run)
    _check_named(cases.values(), risky)
    refused = [case for case in cases.values() if case.refusal is not None]
    if refused:
        more = f"; and {', '.join(case.name for case in refused[1:])}" if len(refused) > 1 else ""
        raise MigrationError(f"{refused[0].name}: {refused[0].refusal}{more}; no database was changed")
    if cases and dry_run:
        say(f"nothing was changed: {', '.join(cases)} can be taken over")
    return list(cases.values())


def record(config: Config, cases: Sequence[Case], x_arguments: Sequence[str]) -> None:
    """Record the databases at the revisions that they equal, in one release.

    Args:
        config: Alembic's.
        cases: what `adopt` found.
        x_arguments: what `-x` was given.

    Raises:
        MigrationError: one has changed since, or can't be mended; no database was changed.
    """
    targets = {
        case.name: planner.Target(case.live.heads, case.found.position[0], stamp=True, first=case.mends)
        for case in cases
    }
    planner.aim(config, targets, "adopt", x_arguments)
    command.stamp(config, "heads", purge=True)


def _read(looks: Sequence[Look], seconds: float) -> dict[str, Live]:
    def read(look: Look) -> Live:
        with named(look.database.name):
            snapshot.check_there(look)
            return snapshot.read(look, seconds)

    return {each.database.name: each for each in threads.each(read, looks)}


def _nothing_to_do(environment: Environment, found: Live) -> str | None:
    """What to say of a database that needs no takeover, or None of one that does.

    Raises:
        MigrationError: its version table holds what can't be told.
    """
    name, heads = found.database.name, found.heads
    branch = environment.branch(name)
    known = [head for head in heads if branch.knows(head)]
    if known and len(known) == len(heads):
        return f"is at {shown(heads)} of its branch already; `python -m multidb drift {name}` says whether that is true"
    if known:
        raise MigrationError(
            f"{name}: alembic_version holds {shown(heads)}, of which {shown(known)} is of this branch, "
            "and the rest is not: delete the rows that are not true"
        )
    if not heads and found.schema.is_empty:
        return f"is empty: `alembic upgrade {name}@head` makes it"
    for head in heads:
        owner = owner_of(head, environment.configuration.names)
        if owner is not None:
            raise MigrationError(
                f"{name}: alembic_version holds {head}, which is {owner}'s: the URL leads to another database, or "
                "another checkout has that revision"
            )
    return None


def _cases(
    environment: Environment, replays: Replays, strange: Mapping[str, Live], looks: Mapping[str, Look], say: Say
) -> dict[str, Case]:
    """What each database is nearest to: on its own branch, and that no other could own it."""
    answers = replays.ask(_questions(environment, replays, strange, looks))
    cases: dict[str, Case] = {}
    for name, found in strange.items():
        own = answers[name]
        if isinstance(own, MigrationError):
            raise own
        if not own:
            raise MigrationError(
                f"{name}: its branch has no revision yet that it could be at: write the first one against an empty "
                f"database, `{variable(name)}=… alembic -x db={name} revision --autogenerate`"
            )
        case = Case(found, _nearest(found, own))
        case.refusal = _claimed(case, answers)
        with_rows = snapshot.counted(looks[name], case.found.differences)
        case.found = replace(case.found, differences=with_rows)
        cases[name] = case
    for name, answer in answers.items():
        if isinstance(answer, MigrationError):
            say(f"{explain(answer)}; so nobody can say whether these databases are {name}'s")
    return cases


def _questions(
    environment: Environment, replays: Replays, strange: Mapping[str, Live], looks: Mapping[str, Look]
) -> list[Question]:
    """What is every revision of every branch? Of the others it matters only where they have a table in common."""
    # A branch that is SQLite's here may have been on PostgreSQL there; so where there is one, it says which to ask for.
    host = min(strange.values(), key=lambda each: each.database.is_sqlite).database
    columns = {name: found.schema.columns for name, found in strange.items()}
    questions = []
    for name in environment.configuration.names:
        positions = positions_of(environment.branch(name))
        if name in strange:
            database, driver = strange[name].database, looks[name].connection
            like = strange[name].schema
            questions.append(replays.question(database, positions, driver, like, [*columns.values()]))
        elif not host.is_sqlite:
            extensions = environment.configuration.entries[name].extensions
            other = replace(host, name=name, extensions=extensions)
            driver, like = looks[host.name].connection, strange[host.name].schema
            questions.append(replays.question(other, positions, driver, like, [*columns.values()]))
    return questions


def _nearest(found: Live, answer: Answer) -> Found:
    """The position that a live database equals, or is nearest to; the first of several."""
    ignored = found.database.ignored
    distances = {position: distance(schema, found.schema, ignored) for position, schema in answer.items()}
    least = min(distances.values())
    alike = [position for position, each in distances.items() if each == least]
    schema = answer[alike[0]]
    lacking = differences(schema, found.schema, shown(alike[0]), ignored)
    return Found(alike[0], schema, lacking, least, alike[1:] if not lacking else ())


def _claimed(case: Case, answers: Mapping[str, Answer | MigrationError]) -> str | None:
    """Why another branch's claim to the database is as good as its own, or better; None if no other has one."""
    for name, answer in answers.items():
        if name == case.name or isinstance(answer, MigrationError):
            continue
        rivals = {position: schema for position, schema in answer.items() if _is_comparable(schema, case.live.schema)}
        if not rivals:
            continue
        other = _nearest(case.live, rivals)
        stamp = f"`alembic stamp --purge {case.name}@{shown(case.found.position)}` records what you say"
        if not other.lacks and not case.found.lacks and (case.found.distance or not other.distance):
            return f"it could be {name}'s as well, at {shown(other.position)}: {stamp}"
        fits = not other.lacks and bool(case.found.lacks)
        if fits or (other.distance < case.found.distance and other.lacks <= case.found.lacks):
            return f"it looks like {name}'s, at {shown(other.position)}: correct the URL; if it is meant, {stamp}"
    return None


def _is_comparable(one: Schema, other: Schema) -> bool:
    return one.is_sqlite is other.is_sqlite and bool(one.tables & other.tables)


def _choose(cases: Iterable[Case], *, reconcile: bool, risky: Sequence[str]) -> None:
    """Refuse the databases that can't be recorded as they are."""
    for case in cases:
        if case.refusal or not case.found.differences:
            continue
        count = number_of(len(case.found.differences))
        where = f"it is not {shown(case.found.position)}, the nearest: {count}"
        left = [name for name in case.risky if name not in risky]
        breaking = [each for each in case.risky.values() if each.rows]
        if not reconcile:
            case.refusal = (
                f"{where}, as the lines above say: --reconcile mends what is harmless and keeps what is extra"
            )
        elif left:
            case.refusal = f"{where}, of which {len(left)} risky: mend by hand, or add --risky {shlex.quote(left[0])}"
        elif breaking:
            case.refusal = f"{breaking[0].sentence}, and {breaking[0].rows} rows would break: correct them first"


def _check_named(cases: Iterable[Case], risky: Sequence[str]) -> None:
    """Refuse what should be mended, and is no risky difference.

    Raises:
        MigrationError: there is such a one.
    """
    known = [name for case in cases for name in case.risky]
    for name in risky:
        if name not in known:
            raise MigrationError(f"--risky {name}: there is no such risky difference{nearest(name, known)}")


def _broken(difference: Difference) -> str:
    """How many rows mending would break."""
    if difference.breaking and difference.rows is None:
        return "; the rows that would break can't be counted yet"
    return f"; {difference.rows} rows would break" if difference.rows else ""


def _print(case: Case, say: Say, *, dry_run: bool) -> None:
    revision, heads = shown(case.found.position), case.live.heads
    was = f"alembic_version holds {shown(heads)}" if heads else "no version is recorded"
    if not case.found.differences:
        as_well = (
            f" (and {', '.join(map(shown, case.found.as_well))}, which says the same)" if case.found.as_well else ""
        )
        done = "would be recorded" if dry_run else "will be recorded"
        what = f"equals {revision}{as_well}; {was}: {done} at {revision}" if not case.refusal else f"equals {revision}"
        say(f"{case.name:{NAME_WIDTH}} {what}")
        return
    say(f"{case.name:{NAME_WIDTH}} {number_of(len(case.found.differences))} from {revision}, the nearest; {was}")
    for each in case.found.differences:
        kept = "; kept" if each.severity is EXTRA else ""
        name = shlex.quote(f"{case.name}.{each.name}")
        way = f"  --risky {name}" if each.severity is RISKY else ""
        say(f"    {each.severity:8}  {each.sentence}{_broken(each)}{kept}{way}")
        if each.severity is not EXTRA:
            for sql in each.sql:
                for line in sql.splitlines():
                    say(f"              {line}")
