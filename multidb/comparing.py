"""How a live database differs from what a revision says: each difference in words, and the SQL that mends it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from multidb.mending import PostgresqlDdl, Statement
from multidb.schemas import OWNER, Key, Schema, Thing


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
        breaking: the SQL that counts the rows which the mending would break, or None where there are none.
        rows: how many these are, once they are counted; None if nobody knows.
    """

    name: str
    severity: Severity
    sentence: str
    statements: tuple[Statement, ...] = ()
    breaking: str | None = None
    rows: int | None = None

    @property
    def sql(self) -> list[str]:
        """The statements as a client takes them."""
        return [f"{statement.text};" for statement in self.statements]


@dataclass
class _Pairs:
    """What there is to compare, with things that are only called otherwise put together."""

    missing: dict[Key, Thing]
    extra: dict[Key, Thing]
    both: list[tuple[Thing, Thing]]
    renamed: list[tuple[Thing, Thing]] = field(default_factory=list)


def differences(wanted: Schema, live: Schema, revision: str, ignored: Sequence[str] = ()) -> list[Difference]:
    """In what a live database is not what a revision says.

    Args:
        wanted: what the revision says.
        live: what is there.
        revision: its id, for the sentences.
        ignored: patterns of names; what no revision has and is called so is somebody else's, and left out.
    """
    renamed = list(_renamed_columns(wanted, live))
    live = _with_columns_renamed(live, renamed)
    pairs = _paired(wanted, live)
    pairs.renamed += renamed
    found = _Writer(wanted, live, revision, ignored).differences(pairs)
    return sorted(found, key=_order)


def _order(difference: Difference) -> tuple[bool, int]:
    """An order in which the statements work, one difference after the other: what is extra goes last, and backwards."""
    ranks = [statement.rank for statement in difference.statements] or [0]
    is_extra = difference.severity is EXTRA
    return is_extra, -max(ranks) if is_extra else min(ranks)


def distance(wanted: Schema, live: Schema, ignored: Sequence[str] = ()) -> int:
    """How much there is between a live database and what a revision says; to be compared with that of another one.

    Args:
        wanted: what the revision says.
        live: what is there.
        ignored: as in `differences`.
    """
    renamed = list(_renamed_columns(wanted, live))
    pairs = _paired(wanted, _with_columns_renamed(live, renamed))
    changed: int = sum(here.facts[fact] != value for here, should in pairs.both for fact, value in should.facts.items())
    extra = sum(not _is_called(thing, ignored) for thing in pairs.extra.values())
    return len(pairs.missing) + len(renamed) + len(pairs.renamed) + changed + extra


def _renamed_columns(wanted: Schema, live: Schema) -> Iterator[tuple[Thing, Thing]]:
    """Columns that are the same but for the name, at the same place of their table: here and as it should be."""
    places = {
        (thing.of, thing.sql["position"]): thing
        for key, thing in wanted.things.items()
        if thing.kind == "column" and key not in live.things
    }
    for key, here in live.things.items():
        if here.kind == "column" and key not in wanted.things:
            should = places.get((here.of, here.sql["position"]))
            if should is not None and should.facts == here.facts:
                yield here, should


def _with_columns_renamed(live: Schema, renamed: Iterable[tuple[Thing, Thing]]) -> Schema:
    """The live schema as it would be then: constraints and indexes follow a column's new name."""
    things = dict(live.things)
    for here, should in renamed:
        del things[here.key]
        things[should.key] = replace(should, facts=here.facts)
        word = re.compile(rf"\b{re.escape(here.own_name)}\b")
        for key, thing in list(things.items()):
            if thing.of == here.of and "definition" in thing.facts:
                definition = word.sub(should.own_name, thing.facts["definition"])
                things[key] = replace(thing, facts={**thing.facts, "definition": definition})
            elif thing.of == here.name:  # a comment, or a privilege, of the column's
                del things[key]
                moved = replace(thing, name=thing.name.replace(here.name, should.name, 1), of=should.name)
                things[moved.key] = moved
    return replace(live, things=things)


def _paired(wanted: Schema, live: Schema) -> _Pairs:
    pairs = _Pairs(
        {key: thing for key, thing in wanted.things.items() if key not in live.things},
        {key: thing for key, thing in live.things.items() if key not in wanted.things},
        [(live.things[key], thing) for key, thing in wanted.things.items() if key in live.things],
    )
    by_facts = {
        (here.kind, here.of, repr(sorted(here.facts.items()))): here
        for here in pairs.extra.values()
        if here.kind in ("constraint", "index")
    }
    for key, should in list(pairs.missing.items()):
        here = by_facts.pop((should.kind, should.of, repr(sorted(should.facts.items()))), None)
        if here is not None:
            del pairs.missing[key], pairs.extra[here.key]
            pairs.renamed.append((here, should))
    return pairs


class _Writer:
    """Writes differences down."""

    def __init__(self, wanted: Schema, live: Schema, revision: str, ignored: Sequence[str]) -> None:
        self._revision, self._ignored = revision, ignored
        self._sqlite = live.is_sqlite
        if live.is_sqlite:
            from multidb.sqlite_mending import SqliteDdl

            self._ddl: PostgresqlDdl | SqliteDdl = SqliteDdl(wanted, live)
        else:
            self._ddl = PostgresqlDdl(wanted, live)

    def differences(self, pairs: _Pairs) -> Iterator[Difference]:
        """What is missing, what is called or made otherwise, and what is there besides."""
        # What belongs to a thing comes and goes with it, and is not said again.
        gone = {thing.name for thing in pairs.missing.values() if thing.kind not in ("comment", "privilege")}
        gone |= {name for pair in pairs.renamed for name in (pair[0].name, pair[1].name)}
        for thing in pairs.missing.values():
            if thing.of not in gone:
                yield self._missing(thing)
        for here, should in pairs.renamed:
            yield self._renamed(here, should)
        for here, should in pairs.both:
            yield from self._changed(here, should)
        there = {thing.name for thing in pairs.extra.values() if thing.kind not in ("comment", "privilege")}
        for thing in pairs.extra.values():
            if thing.of not in there and thing.of not in gone and not self._is_ignored(thing):
                yield self._extra(thing)

    def _missing(self, thing: Thing) -> Difference:
        if thing.kind == "privilege":
            what = f"{_role(thing.sql['grantee'])} lacks {_and(thing.facts['privileges'])} on {thing.of}"
            return Difference(thing.name, HARMLESS, what, tuple(self._ddl.create(thing)))
        harmless = thing.kind in ("comment", "view", "extension") or (
            thing.kind == "index" and not thing.facts["unique"]
        )
        sentence = f"{_named(thing)} is missing{_summary(thing)}"
        breaking = None if harmless else self._ddl.breaking(thing)
        severity = HARMLESS if harmless else RISKY
        return Difference(thing.name, severity, sentence, tuple(sorted(self._ddl.create(thing))), breaking)

    def _renamed(self, here: Thing, should: Thing) -> Difference:
        statements = tuple(self._ddl.rename(here, should))
        if here.kind == "column":
            sentence = (
                f"column {here.name} is at the place of {should.own_name}, which is missing, and like it: renamed?"
            )
            return Difference(f"{should.name}.name", RISKY, sentence, statements)
        sentence = f"{_named(here)} is called {should.own_name} in {self._revision}"
        return Difference(f"{should.name}.name", HARMLESS, sentence, statements)

    def _extra(self, thing: Thing) -> Difference:
        if thing.kind == "privilege":
            what = f"{_role(thing.sql['grantee'])} has {_and(thing.facts['privileges'])} on {thing.of}, and not"
            return Difference(thing.name, EXTRA, f"{what} in {self._revision}", tuple(self._ddl.drop(thing)))
        sentence = f"{_named(thing)} is not in {self._revision}{_summary(thing)}"
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
            severity = _severity(here.kind, fact, found, wanted)
            if severity is EXTRA and self._is_ignored(here):
                continue
            yield Difference(
                f"{should.name}.{_ASPECTS.get(fact, fact)}",
                severity,
                f"{_named(here)} {_said(here.kind, fact, found, wanted, self._revision)}",
                tuple(self._ddl.change(here, should, fact)),
                self._ddl.breaking(should, here, fact) if severity is RISKY and fact != "owner" else None,
            )

    def _values(self, here: Thing, should: Thing) -> Iterator[Difference]:
        assert isinstance(self._ddl, PostgresqlDdl)
        found, wanted = here.facts["values"], should.facts["values"]
        missing = [value for value in wanted if value not in found]
        extra = [value for value in found if value not in wanted]
        if missing:
            sentence = f"enum type {here.name} lacks {_and(missing)}"
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
        who = _role(here.sql["grantee"])
        if missing:
            sentence = f"{who} lacks {_and(missing)} on {here.of}"
            yield Difference(here.name, HARMLESS, sentence, tuple(self._ddl.grant(should, missing)))
        if extra and not self._is_ignored(here):
            sentence = f"{who} has {_and(extra)} on {here.of}, and not in {self._revision}"
            yield Difference(here.name, EXTRA, sentence, tuple(self._ddl.revoke(here, extra)))

    def _is_ignored(self, thing: Thing) -> bool:
        return _is_called(thing, self._ignored)


def _is_called(thing: Thing, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns is for a thing, or for what it belongs to, or for who was granted it."""
    names = {thing.name, thing.own_name, thing.of, thing.of.rpartition(".")[2], thing.name.rpartition(".")[2]}
    return _matches(names | {str(thing.sql.get("grantee", ""))}, patterns)


def _matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names if name for pattern in patterns)


_ENABLED = {"O": "enabled", "D": "disabled", "R": "enabled for replicas only", "A": "enabled always"}
_ASPECTS = {"not_null": "null", "valid": "validity"}


def _severity(kind: str, fact: str, found: object, wanted: object) -> Severity:
    if kind == "column" and fact == "default":
        return HARMLESS if found is None else EXTRA if wanted is None else RISKY
    return HARMLESS if kind == "comment" or (kind == "index" and fact == "valid") else RISKY


def _said(kind: str, fact: str, found: object, wanted: object, revision: str) -> str:  # noqa: C901 - a case per fact
    """How a fact is, and how it should be."""
    match fact:
        case "definition" if kind in ("view", "function", "trigger"):
            return f"has another definition than in {revision}"
        case "type":
            return f"is {found}, {revision} says {wanted}"
        case "not_null":
            return f"{_null(found)}, {revision} says it {_null(wanted)}"
        case "unique":
            return f"is {_not(found)}unique, {revision} says it is {_not(wanted)}unique"
        case "enabled":
            return f"is {_ENABLED[str(found)]}, {revision} says {_ENABLED[str(wanted)]}"
        case "default" | "collation" | "identity" | "generated":
            return f"has {_with(fact, found)}, {revision} says {_with(fact, wanted)}"
        case "definition":
            return f"is {_short(found)}, {revision} says {_short(wanted)}"
        case "valid":
            return f"is {_not(found)}valid, {revision} says it is {_not(wanted)}valid"
        case "owner":
            return f"is owned by {_role(str(found))}, {revision} says by {_role(str(wanted))}"
        case "text":
            return f"is {_short(found)}, {revision} says {_short(wanted)}"
        case _:
            return f"has {fact} {found}, {revision} says {wanted}"


def _null(not_null: object) -> str:
    return "is NOT NULL" if not_null else "allows NULL"


def _not(value: object) -> str:
    return "" if value else "not "


def _with(fact: str, value: object) -> str:
    word = {"generated": "expression"}.get(fact, fact)
    return f"{word} {value}" if value else f"no {word}"


def _named(thing: Thing) -> str:
    words = {"enum": "enum type", "comment": "comment on"}
    return f"{words.get(thing.kind, thing.kind)} {thing.name}"


def _summary(thing: Thing) -> str:
    """The most important fact, behind a colon."""
    facts = thing.facts
    match thing.kind:
        case "column":
            return f": {facts['type']}{' NOT NULL' if facts['not_null'] else ''}"
        case "constraint" | "index" if "definition" in facts:
            return f": {_short(facts['definition'])}"
        case "enum":
            return f": {', '.join(facts['values'])}"
        case "comment":
            return f": {_short(facts['text'])}"
    return ""


def _role(name: str) -> str:
    return {OWNER: "the owner", "PUBLIC": "everybody"}.get(name, name)


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:120]}…"


def number_of(count: int) -> str:
    """How many differences."""
    return "1 difference" if count == 1 else f"{count} differences"
