"""Compare a live database with a revision: every difference with its severity, its sentence and its repair."""

from collections.abc import Iterator, Mapping, Sequence

from multidb.schema.difference import EXTRA, HARMLESS, RISKY, Difference
from multidb.schema.kinds import Column
from multidb.schema.matching import Match, match_objects
from multidb.schema.objects import Key, Schema, SchemaObject, Sides


def differences(wanted: Schema, live: Schema, revision: str, ignored: Sequence[str] = ()) -> list[Difference]:
    """Compare a live schema with that of a revision.

    Args:
        wanted: the schema of the revision.
        live: the schema of the database.
        revision: its id, for the sentences.
        ignored: patterns; extra objects whose names match them are left out.

    Returns:
        The differences in an order in which their statements work.
    """
    match = match_objects(wanted, live)
    return sorted(_differences(match, Sides(wanted, match.live, revision, ignored)), key=_order)


def extras(wanted: Schema, live: Schema) -> Mapping[Key, SchemaObject]:
    """The objects that only the live database has, whether ignored or not."""
    return match_objects(wanted, live).extra


def distance(wanted: Schema, live: Schema, ignored: Sequence[str] = ()) -> int:
    """The number of missing, renamed and extra objects and of attributes that differ: 0 for equal schemas."""
    match = match_objects(wanted, live)
    sides = Sides(wanted, match.live, "", ignored)
    changed = sum(len(_unequal(old, new)) for old, new in match.both)
    extra = sum(not sides.ignores(each.aliases) for each in match.extra.values())
    return len(match.missing) + len(match.renamed) + changed + extra


def _differences(match: Match, sides: Sides) -> Iterator[Difference]:
    # An object that is created or dropped with its parent is no difference of its own.
    for each in match.missing.values():
        if each.parent not in match.missing:
            yield each.as_missing(sides)
    for old, new in match.renamed:
        yield _renamed(old, new, sides)
    for old, new in match.both:
        for attribute in _unequal(old, new):
            yield from new.as_changed(old, attribute, sides)
    for each in match.extra.values():
        if each.parent not in match.extra and not sides.ignores(each.aliases):
            yield each.as_extra(sides)


def _renamed(old: SchemaObject, new: SchemaObject, sides: Sides) -> Difference:
    if isinstance(old, Column):
        severity, sentence = RISKY, f"looks like a rename of {new.own_name} (same position and definition)"
    else:
        severity, sentence = HARMLESS, f"is called {new.own_name} in {sides.revision}"
    statements = tuple(new.rename(old, sides))
    return Difference(f"{new.name}.name", severity, f"{old.label} {sentence}", statements)


def _unequal(old: SchemaObject, new: SchemaObject) -> list[str]:
    return [name for name, value in new.attributes.items() if getattr(old, name) != value]


def _order(difference: Difference) -> tuple[bool, tuple[int, int]]:
    """By the first statement; extra objects last, and in the opposite order of their creation."""
    ranks = [statement.rank for statement in difference.statements] or [(0, 0)]
    if difference.severity is EXTRA:
        stage, oid = max(ranks, key=lambda rank: (rank[1], rank[0]))
        return True, (-oid, -stage)
    return False, min(ranks)
