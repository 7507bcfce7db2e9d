"""The part of a schema that models declare: views, functions, triggers, grants and owners are left to `drift`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from multidb.schema.objects import Key, Schema, SchemaObject

_PUBLIC = ("schema", "public")


def declared(models: Schema, live: Schema) -> tuple[Schema, Schema]:
    """Both schemas without what models can't declare, unless a DDL event of the models makes it.

    Args:
        models: the schema that the models make.
        live: the schema of a database, of which schemas that the models don't name are left out.
    """
    made = [each for each in models.objects.values() if not each.is_default and not _is_of_every_database(each, models)]
    wanted = {each.key: each.as_declared() for each in made}
    kept = {each.key: each.as_declared() for each in _kept(live, wanted)}
    return replace(models, objects=wanted), replace(live, objects=kept)


def _is_of_every_database(each: SchemaObject, models: Schema) -> bool:
    """Whether an object is the schema `public`, unless the models use it, or is its comment or privileges."""
    inside = (each for each in models.objects.values() if each.parent == _PUBLIC and not each.is_annotation)
    return each.parent == _PUBLIC if each.is_annotation else each.key == _PUBLIC and not any(inside)


def _kept(live: Schema, wanted: Mapping[Key, SchemaObject]) -> Iterator[SchemaObject]:
    for key, each in live.objects.items():
        if key in wanted or (each.can_be_declared and _is_declarable(live, each.parent, wanted)):
            yield each


def _is_declarable(live: Schema, key: Key | None, wanted: Mapping[Key, SchemaObject]) -> bool:
    """Whether the models have a parent of an object, or could have it."""
    if key is None or key in wanted:
        return True
    parent = live.objects.get(key)
    return parent is not None and parent.can_be_declared and _is_declarable(live, parent.parent, wanted)
