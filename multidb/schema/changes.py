"""All that leads from one schema to another, by object: what a revision has to do.

`differences` says how a database deviates from what is wanted, and keeps what only the database has. Here, that goes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from multidb.schema.declared import declared
from multidb.schema.difference import LAST_OID, Stage, Statement
from multidb.schema.kinds import Column, Constraint, Defined, Index, Trigger, View
from multidb.schema.matching import match_objects
from multidb.schema.objects import Key, Schema, SchemaObject, Sides, is_ignored

# What goes before anything else is changed, because nothing uses it but what goes, too.
_USERS = (View, Trigger, Constraint, Index)
# The order in which the rest goes, when everything else has been changed.
_DROPPED = ("column", "table", "function", "sequence", "domain", "enum", "schema")


@dataclass(frozen=True)
class Change:
    """An object that differs, and what has to be done to it."""

    key: Key
    old: SchemaObject | None  # None: it is created
    new: SchemaObject | None  # None: it is dropped
    attributes: Sequence[str]  # that differ
    statements: Sequence[Statement]
    sentences: Sequence[str] = ()  # none where another change says it

    @property
    def is_rename(self) -> bool:
        return self.old is not None and self.new is not None and self.old.key != self.new.key

    @property
    def table(self) -> Key | None:
        """The table that the object is, or is part of."""
        each = self.new or self.old
        return None if each is None else each.key if each.kind == "table" else each.parent

    @property
    def drops_values(self) -> bool:
        """Whether values in rows are lost."""
        return self.new is None and self.old is not None and self.old.kind in ("table", "column")


def comparable(schema: Schema) -> Schema:
    """A schema without owners, and without what every object has."""
    kept = {key: each.as_declared() for key, each in schema.objects.items() if not each.is_default}
    return replace(schema, objects=kept)


def with_others_kept(models: Schema, other: Schema, ignored: Sequence[str] = ()) -> tuple[Schema, Schema]:
    """Both schemas, with what is none of the models' in both, so that no change drops it, and each makes it again.

    Args:
        models: the schema that models make.
        other: the schema that is to become like it.
        ignored: patterns; what only the other schema has is kept if they match its name.
    """
    other = comparable(other)
    wanted, declarable = declared(models, other)
    kept = {
        key: each
        for key, each in other.objects.items()
        if key not in declarable.objects or (key not in wanted.objects and is_ignored(each.aliases, ignored))
    }
    return replace(wanted, objects=kept | dict(wanted.objects)), other


def with_texts_of(wanted: Schema, made: Schema, others: Collection[Key]) -> Schema:
    """A schema, in which objects that are none of the models' have the definitions that are wanted.

    Around a column that gets another type, they are made again by the same text; the server writes it with other casts.
    """
    texts: dict[Key, SchemaObject] = {}
    for key in others:
        one, other = wanted.objects.get(key), made.objects.get(key)
        if isinstance(one, Defined) and isinstance(other, Defined):
            texts[key] = replace(other, definition=one.definition)
    return replace(made, objects=dict(made.objects) | texts)


def changes(wanted: Schema, live: Schema, replaced: Collection[Key] = ()) -> list[Change]:
    """The changes that make a live schema the wanted one.

    The ranks of their statements are an order for the statements of all changes.

    Args:
        replaced: types that are to be replaced, although they could be altered: PostgreSQL can't use a value that is
            added to an enum in the same transaction.
    """
    # SQLite renames no index: one is dropped before its table is rebuilt, and the other created afterwards.
    match = match_objects(wanted, live, pairs_columns=False, pairs_others=live.dialect != "sqlite")
    gone = [each for each in match.extra.values() if not _is_part(each, match.extra)]
    first = [each for each in gone if _goes_first(each, live)]
    left = _without(match.live, first)
    sides = Sides(wanted, left, "the model", keeps_extra=False, replaced=replaced)
    found = [_dropped(each, each.drop_first(sides), sides) for each in first]
    found += _created(match.missing, sides)
    for old, new in match.renamed:
        sentence = f"{old.label} is called {new.own_name} in the model"
        found.append(Change(new.key, old, new, (), new.rename(old, sides), [sentence]))
    for old, new in match.both:
        attributes = [name for name, value in new.attributes.items() if getattr(old, name) != value]
        sentences = [each.sentence for name in attributes for each in new.as_changed(old, name, sides)]
        if sentences:
            statements = new.transition(old, attributes, sides)
            found.append(Change(new.key, old, new, attributes, statements, sentences))
    found += _rest(gone, match.extra, sides)
    return found


def _is_part(each: SchemaObject, others: Mapping[Key, SchemaObject]) -> bool:
    """Whether an object is created and dropped with one of these; those in a schema are changes of their own."""
    return each.parent is not None and each.parent[0] != "schema" and each.parent in others


def _without(schema: Schema, objects: Iterable[SchemaObject]) -> Schema:
    gone = {key for each in objects for key in (each.key, *(inner.key for inner in schema.dependents(each.key)))}
    return replace(schema, objects={key: each for key, each in schema.objects.items() if key not in gone})


def _dropped(each: SchemaObject, statements: Sequence[Statement], sides: Sides) -> Change:
    return Change(each.key, each, None, (), statements, [each.as_extra(sides).sentence])


def _created(missing: Mapping[Key, SchemaObject], sides: Sides) -> Iterator[Change]:
    """What is created; an index is a change of its own, also that of a new table."""
    for each in missing.values():
        if _is_part(each, missing) and not isinstance(each, Index):
            continue
        indexes = [inner for inner in sides.wanted.dependents(each.key) if isinstance(inner, Index)]
        without_indexes = replace(sides, wanted=_without(sides.wanted, indexes))
        sentences = [] if _is_part(each, missing) else [each.as_missing(sides).sentence]
        statements = each.create_alone(sides) if each.kind == "schema" else each.create(without_indexes)
        yield Change(each.key, None, each, (), statements, sentences)


def _goes_first(each: SchemaObject, live: Schema) -> bool:
    """Whether an object goes before anything else is changed: what it uses may be recreated, and it must not be."""
    if isinstance(each, Column):
        return live.dialect != "sqlite" and each.generated is not None
    return isinstance(each, _USERS) and not each.is_inline


def _rest(gone: Sequence[SchemaObject], extra: Mapping[Key, SchemaObject], sides: Sides) -> Iterator[Change]:
    """What is dropped after everything else, each kind before those that it uses."""
    for each in gone:
        if _goes_first(each, sides.live):
            continue
        if sides.live.dialect == "sqlite" and each.is_inline:  # goes when its table is rebuilt
            yield _dropped(each, each.drop(sides), sides)
            continue
        column = _owning_column(each, sides)
        if column is not None:
            if column.key not in extra:
                alter = f"ALTER TABLE {column.table} ALTER COLUMN {column.identifier} DROP DEFAULT"
                texts = [alter, *(statement.text for statement in each.drop(sides))]
                yield _dropped(each, [Statement((Stage.DETACH, 0), text) for text in texts], sides)
            continue
        place = _DROPPED.index(each.kind) if each.kind in _DROPPED else len(_DROPPED)
        texts = [statement.text for statement in each.drop(sides)]
        if each.kind == "schema":
            texts = texts[-1:]  # what is in it is dropped by itself
        ranked = [Statement((Stage.DROP, place * LAST_OID - each.oid), text) for text in texts]
        for key in _keys_before(each, gone, sides):
            yield Change(key.key, key, None, (), key.drop_first(sides))
        yield _dropped(each, ranked, sides)


def _owning_column(sequence: SchemaObject, sides: Sides) -> SchemaObject | None:
    """The column that owns a sequence."""
    owner = getattr(sequence, "owned_by", None)
    columns = sides.live.of_kind(Column)
    return next((each for each in columns if f"{each.table}.{each.identifier}" == owner), None) if owner else None


def _keys_before(table: SchemaObject, gone: Sequence[SchemaObject], sides: Sides) -> list[Constraint]:
    """The foreign keys by which a table that is dropped later refers to one that is dropped before it."""
    before = {each.identifier for each in gone if each.kind == "table" and each.oid > table.oid}
    keys = [each for each in sides.live.of_kind(Constraint, table.key) if not each.is_inline]
    return [each for each in keys if getattr(each, "referenced_table", None) in before]
