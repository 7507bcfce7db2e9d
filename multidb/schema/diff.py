"""How a live database differs from what a revision says: each difference in words, and the SQL that mends it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from multidb.schema.matching import Pairs, paired
from multidb.schema.objects import Key, Schema, Thing
from multidb.schema.postgresql_ddl import PostgresqlDdl, Statement
from multidb.schema.wording import listed, named, on, role, said, summary


class Severity(StrEnum):
    """What mending a difference may do to what is there."""

    HARMLESS = "harmless"
    """No row and no reader can mind: a missing default, a missing index, a name."""
    RISKY = "risky"
    """Rows may break, or what is there may mean something else."""
    EXTRA = "extra"
    """No revision has it, so it is somebody's own: it is never dropped."""


HARMLESS, RISKY, EXTRA = Severity


@dataclass(frozen=True)
class Difference:
    """One thing in which a live database is not what a revision says.

    Args:
        name: what it is called on a command line.
        severity: what mending it may do.
        sentence: it, in words.
        statements: the SQL that mends it; for something extra, that drops it.
        breaking: the SQL of which the last statement counts the rows that the mending would break, if it could any.
        rows: how many these are, once they are counted; None if nobody knows.
        table: whose rows they are, quoted as SQL needs it.
    """

    name: str
    severity: Severity
    sentence: str
    statements: tuple[Statement, ...] = ()
    breaking: tuple[str, ...] = ()
    rows: int | None = None
    table: str = ""

    @property
    def sql(self) -> list[str]:
        """The statements as a client takes them."""
        return [f"{statement.text};" for statement in self.statements]


def differences(wanted: Schema, live: Schema, revision: str, ignored: Sequence[str] = ()) -> list[Difference]:
    """In what a live database is not what a revision says.

    Args:
        wanted: what the revision says.
        live: what is there.
        revision: its id, for the sentences.
        ignored: patterns of names; what no revision has and is called so is somebody else's, and left out.
    """
    pairs = paired(wanted, live)
    found = _Writer(wanted, pairs.live, revision, ignored).differences(pairs)
    return sorted(found, key=_order)


def extras(wanted: Schema, live: Schema) -> dict[Key, Mapping[str, Any]]:
    """The facts of all that a live database has and a revision doesn't, whosever it is.

    Args:
        wanted: what the revision says.
        live: what is there.
    """
    return {key: thing.facts for key, thing in paired(wanted, live).extra.items()}


def _order(difference: Difference) -> tuple[bool, tuple[int, int]]:
    """An order in which the statements work, one difference after the other: what is extra goes last, and backwards."""
    ranks = [statement.rank for statement in difference.statements] or [(0, 0)]
    if difference.severity is EXTRA:
        stage, oid = max(ranks, key=lambda rank: (rank[1], rank[0]))
        return True, (-oid, -stage)
    return False, min(ranks)


def distance(wanted: Schema, live: Schema, ignored: Sequence[str] = ()) -> int:
    """How much there is between a live database and what a revision says; to be compared with that of another one.

    Args:
        wanted: what the revision says.
        live: what is there.
        ignored: as in `differences`.
    """
    pairs = paired(wanted, live)
    changed: int = sum(here.facts[fact] != value for here, should in pairs.both for fact, value in should.facts.items())
    extra = sum(not _is_called(thing, ignored) for thing in pairs.extra.values())
    return len(pairs.missing) + len(pairs.renamed) + changed + extra


class _Writer:
    """Writes differences down."""

    def __init__(self, wanted: Schema, live: Schema, revision: str, ignored: Sequence[str]) -> None:
        self._revision, self._ignored = revision, ignored
        if live.is_sqlite:
            from multidb.schema.sqlite_ddl import SqliteDdl

            self._ddl: PostgresqlDdl | SqliteDdl = SqliteDdl(wanted, live)
        else:
            self._ddl = PostgresqlDdl(wanted, live)

    def differences(self, pairs: Pairs) -> Iterator[Difference]:
        """What is missing, what is called or made otherwise, and what is there besides."""
        # What belongs to a thing comes and goes with it, and is not said again.
        for thing in pairs.missing.values():
            if thing.of not in pairs.missing:
                yield self._missing(thing)
        for here, should in pairs.renamed:
            yield self._renamed(here, should)
        for here, should in pairs.both:
            yield from self._changed(here, should)
        for thing in pairs.extra.values():
            if thing.of not in pairs.extra and not self._is_ignored(thing):
                yield self._extra(thing)

    def _missing(self, thing: Thing) -> Difference:
        if thing.kind == "privilege":
            what = f"{role(thing.sql['grantee'])} lacks {listed(thing.facts['privileges'])} on {on(thing)}"
            return Difference(thing.name, HARMLESS, what, tuple(self._ddl.create(thing)))
        harmless = thing.kind in ("comment", "view", "extension") or (
            thing.kind == "index" and not thing.facts["unique"]
        )
        sentence = f"{named(thing)} is missing{summary(thing)}"
        breaking = () if harmless else self._ddl.breaking(thing)
        severity = HARMLESS if harmless else RISKY
        return Difference(
            thing.name, severity, sentence, tuple(self._ddl.create(thing)), breaking, table=thing.sql.get("table", "")
        )

    def _renamed(self, here: Thing, should: Thing) -> Difference:
        statements = tuple(self._ddl.rename(here, should))
        if here.kind == "column":
            sentence = (
                f"column {here.name} is at the place of {should.own_name}, which is missing, and like it: renamed?"
            )
            return Difference(f"{should.name}.name", RISKY, sentence, statements)
        sentence = f"{named(here)} is called {should.own_name} in {self._revision}"
        return Difference(f"{should.name}.name", HARMLESS, sentence, statements)

    def _extra(self, thing: Thing) -> Difference:
        if thing.kind == "privilege":
            what = f"{role(thing.sql['grantee'])} has {listed(thing.facts['privileges'])} on {on(thing)}, and not"
            return Difference(thing.name, EXTRA, f"{what} in {self._revision}", tuple(self._ddl.drop(thing)))
        sentence = f"{named(thing)} is not in {self._revision}{summary(thing)}"
        return Difference(thing.name, EXTRA, sentence, tuple(self._ddl.drop(thing)))

    def _changed(self, here: Thing, should: Thing) -> Iterator[Difference]:
        if here.kind == "enum":
            yield from self._values(here, should)
        elif here.kind == "privilege":
            yield from self._privileges(here, should)
        for fact, wanted in should.facts.items():
            found = here.facts[fact]
            if found == wanted or fact in ("values", "privileges"):
                continue
            if fact == "default" and should.facts.get("identity"):
                continue  # the identity comes in its place
            if fact == "identity options" and here.facts["identity"] != should.facts["identity"]:
                continue
            severity = _severity(here.kind, fact, found, wanted)
            if severity is EXTRA and self._is_ignored(here):
                continue
            yield Difference(
                f"{should.name}.{_ASPECTS.get(fact, fact)}",
                severity,
                f"{named(here)} {said(here.kind, fact, found, wanted, self._revision)}",
                tuple(self._ddl.change(here, should, fact)),
                self._ddl.breaking(should, here, fact) if severity is RISKY and fact != "owner" else (),
                table=here.sql.get("table", ""),
            )

    def _values(self, here: Thing, should: Thing) -> Iterator[Difference]:
        assert isinstance(self._ddl, PostgresqlDdl)
        found, wanted = here.facts["values"], should.facts["values"]
        missing = [value for value in wanted if value not in found]
        extra = [value for value in found if value not in wanted]
        if missing:
            sentence = f"enum type {here.name} lacks {listed(missing)}"
            yield Difference(f"{here.name}.values", HARMLESS, sentence, tuple(self._ddl.add_values(here, should)))
        if [value for value in found if value in wanted] != [value for value in wanted if value in found]:
            sentence = (
                f"enum type {here.name} has the order {', '.join(found)}, {self._revision} says {', '.join(wanted)}"
            )
            statements = tuple(self._ddl.retyped(here, [*wanted, *extra]))
            yield Difference(f"{here.name}.order", RISKY, sentence, statements)
        for value in extra:
            if not _matches((value, f"{here.name}.{value}", here.name), self._ignored):
                sentence = f"enum type {here.name} has the value {value}, which is not in {self._revision}"
                yield Difference(f"{here.name}.{value}", EXTRA, sentence, tuple(self._ddl.retyped(here, wanted)))

    def _privileges(self, here: Thing, should: Thing) -> Iterator[Difference]:
        assert isinstance(self._ddl, PostgresqlDdl)
        found, wanted = here.facts["privileges"], should.facts["privileges"]
        missing = [privilege for privilege in wanted if privilege not in found]
        extra = [privilege for privilege in found if privilege not in wanted]
        who = role(here.sql["grantee"])
        if missing:
            sentence = f"{who} lacks {listed(missing)} on {on(here)}"
            yield Difference(here.name, HARMLESS, sentence, tuple(self._ddl.grant(should, missing)))
        if extra and not self._is_ignored(here):
            sentence = f"{who} has {listed(extra)} on {on(here)}, and not in {self._revision}"
            yield Difference(here.name, EXTRA, sentence, tuple(self._ddl.revoke(here, extra)))

    def _is_ignored(self, thing: Thing) -> bool:
        return _is_called(thing, self._ignored)


def _is_called(thing: Thing, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns is for a thing, or for what it belongs to, or for who was granted it."""
    of = thing.of[1] if thing.of else ""
    names = {thing.name, thing.own_name, of, of.rpartition(".")[2], thing.name.rpartition(".")[2]}
    return _matches(names | {str(thing.sql.get("grantee", ""))}, patterns)


def _matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names if name for pattern in patterns)


_ASPECTS = {"not_null": "null", "valid": "validity"}


def _severity(kind: str, fact: str, found: object, wanted: object) -> Severity:
    if kind == "column" and fact == "default":
        return HARMLESS if found is None else EXTRA if wanted is None else RISKY
    return HARMLESS if kind == "comment" or (kind == "index" and fact == "valid") else RISKY


def number_of(count: int) -> str:
    """How many differences."""
    return "1 difference" if count == 1 else f"{count} differences"
