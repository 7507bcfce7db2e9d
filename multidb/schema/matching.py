"""Which thing of a live database is which of a revision's: by name, or else by being the same under another name."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from multidb.schema.objects import Key, Schema, Thing


@dataclass
class Pairs:
    """What there is to compare, with things that are only called otherwise put together.

    Args:
        live: the live schema, as it would be if all were called as they should be.
        missing: what the revision has, and the database not.
        extra: what the database has, and the revision not.
        both: what both have: here and as it should be.
        renamed: what is called otherwise: here and as it should be.
    """

    live: Schema
    missing: dict[Key, Thing]
    extra: dict[Key, Thing]
    both: list[tuple[Thing, Thing]]
    renamed: list[tuple[Thing, Thing]]


def paired(wanted: Schema, live: Schema) -> Pairs:
    """Put together what belongs together.

    Args:
        wanted: what the revision says.
        live: what is there.
    """
    renamed = list(_renamed_columns(wanted, live))
    live = _with_columns_renamed(live, renamed)
    renamed += _renamed_otherwise(wanted, live)
    for here, should in renamed:
        if here.kind != "column":
            live = replace(live, things=_moved(live.things, here, should))
    return Pairs(
        live,
        {key: thing for key, thing in wanted.things.items() if key not in live.things},
        {key: thing for key, thing in live.things.items() if key not in wanted.things},
        [(live.things[key], thing) for key, thing in wanted.things.items() if key in live.things],
        renamed,
    )


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
    """The live schema as it would be then: constraints, indexes and triggers follow a column's new name."""
    things = dict(live.things)
    for here, should in renamed:
        things = _moved(things, here, should)
        word = re.compile(rf"\b{re.escape(here.own_name)}\b")
        for key, thing in list(things.items()):
            if thing.of == here.of and "definition" in thing.facts:
                del things[key]
                moved = _reworded(thing, word, should.own_name)
                things[moved.key] = moved
    return replace(live, things=things)


def _reworded(thing: Thing, word: re.Pattern[str], name: str) -> Thing:
    """A thing whose definition has another name in it; SQLite's constraints are called by their definitions."""
    facts = {**thing.facts, "definition": word.sub(name, thing.facts["definition"])}
    sql = {key: word.sub(name, value) if key == "sql" else value for key, value in thing.sql.items()}
    by_definition = thing.kind == "constraint" and thing.own_name == thing.facts["definition"]
    return replace(thing, name=word.sub(name, thing.name) if by_definition else thing.name, facts=facts, sql=sql)


def _moved(things: Mapping[Key, Thing], here: Thing, should: Thing) -> dict[Key, Thing]:
    """Things with one under another name, and what belongs to it."""
    found = dict(things)
    del found[here.key]
    found[should.key] = replace(here, name=should.name, sql=should.sql if here.kind == "column" else here.sql)
    for key, thing in list(found.items()):
        if thing.of == here.key:
            del found[key]
            sql = dict(thing.sql)
            if thing.kind == "comment":
                sql["on"] = sql["on"].replace(here.sql["ident"], should.sql["ident"])
            moved = replace(thing, name=thing.name.replace(here.name, should.name, 1), of=should.key, sql=sql)
            found[moved.key] = moved
    return found


def _renamed_otherwise(wanted: Schema, live: Schema) -> list[tuple[Thing, Thing]]:
    """Constraints and indexes that are the same but for the name: here and as it should be."""
    there = {
        (here.kind, here.of, repr(sorted(here.facts.items()))): here
        for key, here in live.things.items()
        if key not in wanted.things and here.kind in ("constraint", "index")
    }
    found = []
    for key, should in wanted.things.items():
        if key not in live.things:
            here = there.pop((should.kind, should.of, repr(sorted(should.facts.items()))), None)
            if here is not None:
                found.append((here, should))
    return found
