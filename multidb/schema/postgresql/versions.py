"""Compare schemas of two servers of different major versions.

Versions write one definition in several ways: before 16, `SELECT t.a FROM t` is what later ones write as
`SELECT a FROM t`. Whether two definitions differ is found out by making that of a live database in the scratch
database, and reading it back there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg2
from sqlalchemy import Connection

from multidb.schema.objects import Key, Schema, SchemaObject, Sides
from multidb.schema.postgresql.privilege import Privilege

_WRITTEN = ("definition", "default", "generated")

_PRIVILEGES = {"MAINTAIN": 17}
"""Privileges that only newer servers have, and the first major version with each."""

_Texts = Mapping[tuple[str, Key | None, str, str], str]
"""The texts of the live server, by kind, parent, attribute and the text that the scratch server writes for each."""


def as_written_for(live: Schema, scratch: Schema, connection: Connection, read: Callable[[], Schema]) -> Schema:
    """The schema of a scratch database in the words of a live database's server.

    Privileges that only one of the servers knows are as in the live database.

    Args:
        live: the schema of the live database.
        scratch: the schema of the connection's database.
        connection: in a transaction, which it leaves as it was.
        read: reads the schema of the connection's database.
    """
    if live.dialect != scratch.dialect or _major(live) == _major(scratch):
        return scratch
    texts = _texts(live, scratch, connection, read)
    restated = [_restated(each, live, scratch, texts) for each in scratch.objects.values()]
    return replace(scratch, objects={each.key: each for each in restated})


def _major(schema: Schema) -> int:
    return schema.version // 10000


def _texts(live: Schema, scratch: Schema, connection: Connection, read: Callable[[], Schema]) -> _Texts:
    driver: Any = connection.connection.driver_connection
    made: list[tuple[SchemaObject, str]] = []
    with driver.cursor() as cursor:
        cursor.execute("SAVEPOINT multidb_versions; SET LOCAL check_function_bodies = off")
        for each in live.objects.values():
            for attribute, statements in _making(each, scratch.objects.get(each.key), Sides(live, scratch, "")):
                if _succeeds(cursor, statements):
                    made.append((each, attribute))
        found = read().objects if made else {}
        cursor.execute("ROLLBACK TO SAVEPOINT multidb_versions; RELEASE SAVEPOINT multidb_versions")
    return {
        (each.kind, each.parent, attribute, getattr(found[each.key], attribute)): getattr(each, attribute)
        for each, attribute in made
        if each.key in found
    }


def _making(theirs: SchemaObject, ours: SchemaObject | None, sides: Sides) -> Iterator[tuple[str, Sequence[str]]]:
    """The statements that give an object of the scratch database a text of the live one, for each text that differs."""
    if ours is None:
        if theirs.is_renamable and theirs.parent in sides.live.objects:  # it may have another name there
            yield "definition", theirs.creation(sides)
        return
    for attribute, text in _written(theirs).items():
        if text != getattr(ours, attribute):
            in_place = theirs.alteration(ours, attribute)
            replaced = [*(statement.text for statement in ours.drop(sides)), *theirs.creation(sides)]
            yield attribute, replaced if in_place is None else in_place


def _succeeds(cursor: Any, statements: Sequence[str]) -> bool:
    cursor.execute("SAVEPOINT multidb_version")
    try:
        for statement in statements:
            cursor.execute(statement)
    except psycopg2.Error:  # what this version can't have, or what another object depends on
        cursor.execute("ROLLBACK TO SAVEPOINT multidb_version")
        return False
    return True


def _restated(ours: SchemaObject, live: Schema, scratch: Schema, texts: _Texts) -> SchemaObject:
    if isinstance(ours, Privilege):
        theirs = live.objects.get(ours.key)
        found = theirs.privileges if isinstance(theirs, Privilege) else ()
        known = [each for each in ours.privileges if not _is_foreign(each, live, scratch)]
        return replace(ours, privileges=tuple(sorted({*known, *(p for p in found if _is_foreign(p, live, scratch))})))
    restated: dict[str, Any] = {
        attribute: texts.get((ours.kind, ours.parent, attribute, text), text)
        for attribute, text in _written(ours).items()
    }
    return replace(ours, **restated)


def _written(each: SchemaObject) -> dict[str, str]:
    """The attributes that the server writes in its own words."""
    return {name: text for name, text in each.attributes.items() if name in _WRITTEN and text is not None}


def _is_foreign(privilege: str, *schemas: Schema) -> bool:
    """Whether only one of two servers has a privilege."""
    since = _PRIVILEGES.get(privilege.partition(" ")[0], 0)
    return len({_major(schema) >= since for schema in schemas}) > 1
