"""Match schema objects of a live database and a revision, by name or, for renamed ones, by equal definition."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from multidb.schema.kinds import Column
from multidb.schema.objects import Key, Schema, SchemaObject

Objects = Mapping[Key, SchemaObject]
Pair = tuple[SchemaObject, SchemaObject]
"""A live object and that of the revision."""


@dataclass(frozen=True)
class Match:
    live: Schema  # with renamed objects under their names in the revision
    missing: Objects  # only the revision has them
    extra: Objects  # only the database has them
    both: list[Pair]
    renamed: list[Pair]


def match_objects(wanted: Schema, live: Schema, *, pairs_columns: bool = True, pairs_others: bool = True) -> Match:
    """Match by name, and what is left by equal definition: columns, and constraints, indexes and others."""
    renamed = list(_renamed_columns(wanted, live)) if pairs_columns else []
    objects = live.objects
    for old, new in renamed:
        objects = _with_column_renamed(objects, old, new)
    others = list(_renamed_others(wanted, objects)) if pairs_others else []
    for old, new in others:
        objects = _with_renamed(objects, old, new)
    return Match(
        replace(live, objects=objects),
        {key: each for key, each in wanted.objects.items() if key not in objects},
        {key: each for key, each in objects.items() if key not in wanted.objects},
        [(objects[key], each) for key, each in wanted.objects.items() if key in objects],
        renamed + others,
    )


def _renamed_columns(wanted: Schema, live: Schema) -> Iterator[Pair]:
    """Columns that are equal but for the name, at the same position of one table."""
    missing = {(each.parent, each.position): each for each in wanted.of_kind(Column) if each.key not in live.objects}
    for old in live.objects.values():
        if isinstance(old, Column) and old.key not in wanted.objects:
            new = missing.get((old.parent, old.position))
            if new == old:
                yield old, new


def _with_column_renamed(objects: Objects, old: SchemaObject, new: SchemaObject) -> Objects:
    """The objects after the rename of a column, which constraints, indexes and triggers of its table follow."""
    word = re.compile(rf"\b{re.escape(old.own_name)}\b")
    moved = {}
    for each in _with_renamed(objects, old, new).values():
        follows = each.with_column_renamed(word, new.own_name) if each.parent == old.parent else each
        moved[follows.key] = follows
    return moved


def _with_renamed(objects: Objects, old: SchemaObject, new: SchemaObject) -> Objects:
    """The objects after the rename of one, with its children under their new parent."""
    children = [each.with_parent_renamed(old, new) for each in objects.values() if each.parent == old.key]
    moved = {key: each for key, each in objects.items() if key != old.key and each.parent != old.key}
    return moved | {each.key: each for each in (new, *children)}


def _renamed_others(wanted: Schema, live: Objects) -> Iterator[Pair]:
    extra = {old: old for key, old in live.items() if old.is_renamable and key not in wanted.objects}
    for key, new in wanted.objects.items():
        if new.is_renamable and key not in live and new in extra:
            yield extra.pop(new), new
