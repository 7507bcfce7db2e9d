"""Identify live databases: find the position of its branch that each equals, or comes nearest to."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from multidb.advice.codes import Code
from multidb.database.probe import Probe
from multidb.errors import MigrationError, explain
from multidb.output import Print, revisions_text
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.replay.replay import Position, ReplayRequest, Replays, Schemas, positions_of
from multidb.schema import snapshot
from multidb.schema.diff import differences, distance
from multidb.schema.difference import EXTRA, Difference
from multidb.schema.objects import Schema
from multidb.schema.snapshot import Snapshot


@dataclass(frozen=True)
class Match:
    """The position of a branch that a live database is nearest to."""

    position: Position
    schema: Schema  # that the branch makes there
    differences: Sequence[Difference]  # between the live database and that schema
    distance: int  # how much differs; 0 if they are equal
    equal_positions: Sequence[Position] = ()  # others with an identical schema
    row_revisions: Sequence[str] = ()  # between these positions, the revisions that may have touched rows

    @property
    def lacks(self) -> int:
        """How many differences are not extra."""
        return sum(1 for each in self.differences if each.severity is not EXTRA)

    @property
    def fits(self) -> bool:
        """Whether the live database has everything that the position has."""
        return not self.lacks

    def fits_better_than(self, other: "Match") -> bool:
        """Whether this match fits and the other does not, or is nearer without lacking more."""
        is_nearer = self.distance < other.distance and self.lacks <= other.lacks
        return (self.fits and not other.fits) or is_nearer

    def fits_as_well_as(self, other: "Match") -> bool:
        """Whether both fit, and neither is the only one that is equal to the live database.

        A live database that equals the other exactly is the other's, unless it equals this one exactly, too.
        """
        return self.fits and other.fits and (other.distance > 0 or self.distance == 0)


@dataclass(frozen=True)
class Identification:
    live: Snapshot
    match: Match  # on its own branch
    claim: str | None  # why the database may be another branch's


def identify(
    environment: Environment,
    replays: Replays,
    unknown: Mapping[str, Snapshot],
    probes: Mapping[str, Probe],
    print_line: Print,
    chosen: Mapping[str, Position] = MappingProxyType({}),
) -> dict[str, Identification | MigrationError]:
    """Find the nearest position of each database on its own branch, and whether another branch fits as well.

    A line is printed for a branch of another database that can't be compared.

    Args:
        chosen: positions that are compared instead of the nearest ones, by the names of the databases.

    Returns:
        For each database, what it is, or why that can't be said: its branch can't be loaded or replayed, or is empty.
    """
    branches, found = _loaded(environment)
    found |= replays.run(_requests(environment, branches, replays, unknown, probes, chosen))
    identified: dict[str, Identification | MigrationError] = {}
    for name, live in unknown.items():
        own = found[name]
        if isinstance(own, MigrationError):
            own.database = own.database or name
            identified[name] = own
            continue
        if not own:
            identified[name] = MigrationError(
                Code.NO_REVISIONS,
                "its branch has no revision yet that could be recorded: write the first one with "
                f"`alembic -x db={name} revision --autogenerate`",
                name,
            )
            continue
        match = _nearest(live, own)
        touching = _between(branches[name], [match.position, *match.equal_positions], own.row_revisions)
        claim = _claim(live, match, found)
        counted = snapshot.count_violations(probes[name], match.differences)
        match = replace(match, differences=counted, row_revisions=touching)
        identified[name] = Identification(live, match, claim)
    for name, schemas in found.items():
        if isinstance(schemas, MigrationError) and name not in unknown:
            print_line(f"{explain(schemas)}; whether these databases are {name}'s is therefore unknown")
    return identified


def _loaded(environment: Environment) -> tuple[dict[str, Branch], dict[str, Schemas | MigrationError]]:
    """The branches of all databases, and for those that can't be loaded, why."""
    branches: dict[str, Branch] = {}
    errors: dict[str, Schemas | MigrationError] = {}
    for name in environment.configuration.names:
        try:
            branches[name] = environment.branch(name)
        except MigrationError as error:
            errors[name] = error
    return branches, errors


def _requests(
    environment: Environment,
    branches: Mapping[str, Branch],
    replays: Replays,
    unknown: Mapping[str, Snapshot],
    probes: Mapping[str, Probe],
    chosen: Mapping[str, Position],
) -> list[ReplayRequest]:
    """Every position of every branch; of the other branches only those matter that have a table in common.

    A branch that databases.yaml has on SQLite is written in SQLite's words, and not replayed on PostgreSQL.
    """
    host = min(unknown.values(), key=lambda each: each.database.is_sqlite).database
    columns = [live.schema.column_names for live in unknown.values()]
    requests = []
    for name, branch in branches.items():
        positions = positions_of(branch)
        if name in unknown:
            live, near = unknown[name], None if name in chosen else columns
            positions = [chosen[name]] if name in chosen else positions
            requests.append(replays.request(live.database, positions, probes[name].connection, live.schema, near))
        elif not host.is_sqlite and not environment.configuration.is_on_sqlite(name):
            extensions = environment.configuration.entries[name].extensions
            other = replace(host, name=name, extensions=extensions)
            driver, live_schema = probes[host.name].connection, unknown[host.name].schema
            requests.append(replays.request(other, positions, driver, live_schema, columns))
    return requests


def _nearest(live: Snapshot, schemas: Mapping[Position, Schema]) -> Match:
    """The position that a live database equals, or is nearest to.

    Of several with the same schema it is the earliest. If a former project has recorded a revision, it is the latest:
    what that project has done is not done again.
    """
    ignored = live.database.ignored
    distances = {position: distance(schema, live.schema, ignored) for position, schema in schemas.items()}
    least = min(distances.values())
    first, *others = [position for position, each in distances.items() if each == least]
    schema = schemas[first]
    equal = [first, *(each for each in others if not distance(schemas[each], schema))]
    nearest = equal[-1] if live.heads else first
    found = differences(schema, live.schema, revisions_text(nearest), ignored)
    return Match(nearest, schema, found, least, [position for position in equal if position != nearest])


def _between(branch: Branch, positions: Iterable[Position], revisions: Collection[str]) -> list[str]:
    """Those of some revisions that have been applied at some of several positions, and not at all of them."""
    applied = [branch.ancestors(position) for position in positions]
    found = set[str]().union(*applied) - applied[0].intersection(*applied)
    return [revision for revision in branch.files if revision in found and revision in revisions]


def _claim(live: Snapshot, own: Match, found: Mapping[str, Schemas | MigrationError]) -> str | None:
    """Why another branch fits a live database as well as its own branch, or better; None if no other does."""
    name = live.database.name
    for other_name, schemas in found.items():
        if other_name == name or isinstance(schemas, MigrationError):
            continue
        comparable = {position: schema for position, schema in schemas.items() if _is_comparable(schema, live.schema)}
        if not comparable:
            continue
        other = _nearest(live, comparable)
        where = f"{other_name}'s, at {revisions_text(other.position)}"
        stamp = f"`alembic stamp --purge {name}@{revisions_text(own.position)}` records it all the same"
        if other.fits_as_well_as(own):
            return f"its schema equally matches {where}: {stamp}"
        if other.fits_better_than(own):
            return f"its schema matches {where}: correct the URL; if the URL is right, {stamp}"
    return None


def _is_comparable(one: Schema, other: Schema) -> bool:
    return one.dialect == other.dialect and bool(one.tables & other.tables)
