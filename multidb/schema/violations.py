"""How many rows of a PostgreSQL table a change would break, asked before it is made."""

from collections.abc import Sequence
from typing import Any

from multidb.schema.objects import Thing


def counting(thing: Thing, here: Thing | None, fact: str) -> tuple[str, ...]:
    """The SQL of which the last statement counts the rows that a change would break; none where none would.

    Args:
        thing: as it should be.
        here: as it is, or None if it is missing.
        fact: what differs.
    """
    sql = thing.sql
    if thing.kind == "column":
        return _rows_of_column(thing, here, fact)
    if thing.kind == "index":
        return (_twice(sql["table"], sql["keys"], sql["predicate"]),) if thing.facts["unique"] else ()
    if thing.kind != "constraint":
        return ()
    match sql["type"]:
        case "c":
            count = f"SELECT count(*) FROM {sql['table']} WHERE NOT ({sql['condition']})"
        case "f":
            count = _without_parent(thing)
        case "p":
            empty = " OR ".join(f"{key} IS NULL" for key in sql["keys"])
            nulls = f"(SELECT count(*) FROM {sql['table']} WHERE {empty})"
            count = f"SELECT ({_twice(sql['table'], sql['keys'])}) + {nulls}"
        case "u":
            count = _twice(sql["table"], sql["keys"])
        case _:
            return ()
    return (count,)


def _rows_of_column(thing: Thing, here: Thing | None, fact: str) -> tuple[str, ...]:
    table, facts = thing.sql["table"], thing.facts
    if here is None:
        given = facts["default"] or facts["generated"] or facts["identity"] or not facts["not_null"]
        return () if given else (f"SELECT count(*) FROM {table}",)
    if fact == "not_null" and facts["not_null"]:
        return (f"SELECT count(*) FROM {table} WHERE {here.sql['ident']} IS NULL",)
    if fact == "generated" and facts["generated"]:
        return (f"SELECT count(*) FROM {table} WHERE {here.sql['ident']} IS DISTINCT FROM ({facts['generated']})",)
    if fact != "type":
        return ()
    # What can't be turned into the other type and back. A function would be needed to catch what a cast raises, and a
    # transaction that may only read can't make one; a block without a name does the same, and says it by a setting.
    column, new, old = here.sql["ident"], facts["type"], here.facts["type"]
    loop = f"""
        DO $multidb$ DECLARE broken bigint := 0; value record; BEGIN
            PERFORM NULL::{new}; -- else a type that is not there would break each row
            FOR value IN SELECT {column}::text AS here FROM {table} WHERE {column} IS NOT NULL LOOP
                BEGIN
                    broken := broken + (value.here::{new}::text::{old}::text IS DISTINCT FROM value.here)::int;
                EXCEPTION WHEN others THEN broken := broken + 1;
                END;
            END LOOP;
            PERFORM set_config('multidb.broken', broken::text, true);
        END $multidb$
    """
    return loop, "SELECT current_setting('multidb.broken')::bigint"


def _twice(table: str, keys: Sequence[str], predicate: str | None = None) -> str:
    """How many rows have the same keys as another one."""
    known = " AND ".join([*(f"{key} IS NOT NULL" for key in keys), *([f"({predicate})"] if predicate else [])])
    groups = f"SELECT count(*) AS number FROM {table} WHERE {known} GROUP BY {', '.join(keys)} HAVING count(*) > 1"
    return f"SELECT coalesce(sum(number - 1), 0)::bigint FROM ({groups}) AS twice"


def _without_parent(thing: Thing) -> str:
    sql: Any = thing.sql
    known = " AND ".join(f"child.{key} IS NOT NULL" for key in sql["keys"])
    same = " AND ".join(
        f"parent.{theirs} = child.{key}" for key, theirs in zip(sql["keys"], sql["parents"], strict=True)
    )
    parent = f"SELECT FROM {sql['parent']} AS parent WHERE {same}"
    return f"SELECT count(*) FROM {sql['table']} AS child WHERE {known} AND NOT EXISTS ({parent})"
