"""What `adopt` does in the transaction that records a database: look again, mend what it may, and look once more."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg2
from sqlalchemy import Connection

from multidb.errors import MigrationError
from multidb.schema import postgresql, snapshot
from multidb.schema.diff import EXTRA, Difference, differences, extras
from multidb.schema.objects import Schema


def reconciled(
    wanted: Schema, revision: str, planned: Sequence[Difference], ignored: Sequence[str]
) -> Callable[[Connection], None]:
    """What is done in the transaction; where a database equals its revision, that is but to look again.

    Args:
        wanted: what the revision says.
        revision: its id.
        planned: the differences that were found; all but what is extra are mended.
        ignored: patterns of names, as `differences` takes them.
    """

    def first(connection: Connection) -> None:
        _hold(connection, wanted, planned)
        before = postgresql.read(connection)
        if differences(wanted, before, revision, ignored) != [replace(each, rows=None) for each in planned]:
            raise MigrationError("its schema has been changed since it was looked at: run again")
        _mend(connection, [each for each in planned if each.severity is not EXTRA])
        after = postgresql.read(connection)
        wrong = [each for each in differences(wanted, after, revision) if each.severity is not EXTRA]
        if wrong:
            raise MigrationError(
                f"after mending it would still not be {revision}: {wrong[0].sentence}: mend it by hand"
            )
        changed = _changed(wanted, before, after, revision)
        if changed:
            raise MigrationError(f"mending would change {changed}, which is not in {revision}: mend it by hand")

    return first


def _hold(connection: Connection, wanted: Schema, planned: Sequence[Difference]) -> None:
    """Let nobody alter the tables until the commit, nor write to those whose rows are counted."""
    if wanted.is_sqlite:  # whose transaction keeps everybody out
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        risky = {each.table for each in planned if each.breaking and each.table}
        for table in sorted(risky):
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        idents = [thing.sql["ident"] for thing in wanted.things.values() if thing.kind == "table"]
        cursor.execute("SELECT name FROM unnest(%s) AS name WHERE to_regclass(name) IS NOT NULL", [idents])
        there = [name for (name,) in cursor.fetchall()]
        if there:
            cursor.execute(f"LOCK TABLE {', '.join(there)} IN ACCESS SHARE MODE")


def _mend(connection: Connection, mended: Sequence[Difference]) -> None:
    """Run the statements; before the first of a difference's, count the rows that it would break.

    Not before all of them: what it takes to count them may be missing, too.
    """
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    left = {each.name: each for each in mended if each.breaking}
    if isinstance(driver, sqlite3.Connection):  # where one statement may mend several differences
        for each in left.values():
            _check_rows(connection, each)
        left = {}
    statements = sorted(((statement, each) for each in mended for statement in each.statements), key=lambda one: one[0])
    done: set[str] = set()
    for statement, each in statements:
        if each.name in left:
            _check_rows(connection, left.pop(each.name))
        if statement.text in done:
            continue
        done.add(statement.text)
        try:
            cursor.execute(statement.text)
        except psycopg2.errors.UnsafeNewEnumValueUsage as error:
            raise MigrationError(
                "a value that is added to an enum can be used when that is committed, and not before: run its "
                "ALTER TYPE … ADD VALUE by hand, and then this again"
            ) from error


def _check_rows(connection: Connection, difference: Difference) -> None:
    rows = snapshot.count(connection, difference.breaking)
    if rows is None and connection.dialect.name != "sqlite":
        raise MigrationError(
            f"{difference.sentence}: the rows that mending would break can't be counted: mend it by hand"
        )
    if rows:
        raise MigrationError(f"{difference.sentence}, and {rows} rows would break: correct them first")


def _changed(wanted: Schema, before: Schema, after: Schema, revision: str) -> str | None:
    """Something extra, whether ignored or not, that has come, gone, or become another."""
    was, now = extras(wanted, before), extras(wanted, after)
    for key in (*was, *now):
        if was.get(key) != now.get(key):
            return " ".join(key)
    said = [
        {each.sentence: each.name for each in differences(wanted, schema, revision) if each.severity is EXTRA}
        for schema in (before, after)
    ]
    return next(
        (name for sentence, name in (said[0] | said[1]).items() if (sentence in said[0]) != (sentence in said[1])), None
    )
