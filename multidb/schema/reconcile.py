"""Repair a database in the transaction in which `adopt` records it, and verify the result before the commit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg2
from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.config.configuration import DEFAULT_VERSION_TABLE, VersionTable
from multidb.errors import MigrationError
from multidb.schema import snapshot
from multidb.schema.dialect import Dialect, dialect_of
from multidb.schema.diff import differences, extras
from multidb.schema.difference import EXTRA, Difference
from multidb.schema.objects import Schema


def reconciler(
    wanted: Schema,
    revision: str,
    planned: Sequence[Difference],
    ignored: Sequence[str],
    version_table: VersionTable = DEFAULT_VERSION_TABLE,
) -> Callable[[Connection], None]:
    """The function that repairs a database, to be called in its transaction; without differences it only verifies.

    Args:
        wanted: the schema of the revision.
        planned: the differences that were found before; all that are not extra are repaired.
        ignored: patterns of names, as `differences` takes them.
    """

    def reconcile(connection: Connection) -> None:
        dialect = dialect_of(connection, version_table)
        dialect.lock(connection, wanted, sorted({each.table for each in planned if each.violations and each.table}))
        before = dialect.read(connection)
        if differences(wanted, before, revision, ignored) != [replace(each, rows=None) for each in planned]:
            raise MigrationError(Code.NOT_REPAIRED, "the schema changed after it was compared: run again")
        _repair(connection, dialect, [each for each in planned if each.severity is not EXTRA])
        after = dialect.read(connection)
        left = [each for each in differences(wanted, after, revision) if each.severity is not EXTRA]
        if left:
            raise MigrationError(
                Code.NOT_REPAIRED,
                f"the repair would leave a difference from {revision}: {left[0].sentence}: repair it by hand",
            )
        changed = _changed_extra(wanted, before, after, revision)
        if changed:
            raise MigrationError(
                Code.NOT_REPAIRED,
                f"the repair would change {changed}, which is not in {revision}: repair the database by hand",
            )

    return reconcile


def _repair(connection: Connection, dialect: Dialect, repaired: Sequence[Difference]) -> None:
    """Run the statements; before the first one of each difference, count the rows that violate it.

    Not all of them are counted first: a count may need an object that an earlier statement creates.
    """
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    uncounted = {each.name: each for each in repaired if each.violations}
    if dialect.rebuilds_tables:
        for each in uncounted.values():
            _check_rows(connection, each, must_count=False)
        uncounted = {}
    statements = sorted(((statement, each) for each in repaired for statement in each.statements), key=lambda it: it[0])
    done: set[str] = set()
    for statement, each in statements:
        if each.name in uncounted:
            _check_rows(connection, uncounted.pop(each.name), must_count=True)
        if statement.text in done:
            continue
        done.add(statement.text)
        try:
            cursor.execute(statement.text)
        except psycopg2.errors.UnsafeNewEnumValueUsage as error:
            raise MigrationError(
                Code.NOT_REPAIRED,
                "a value added to an enum can be used only after the commit: "
                "run its ALTER TYPE … ADD VALUE by hand, then run this again",
            ) from error


def _check_rows(connection: Connection, difference: Difference, *, must_count: bool) -> None:
    rows = snapshot.count_rows(connection, difference.violations)
    if rows is None and must_count:
        raise MigrationError(
            Code.NOT_REPAIRED,
            f"{difference.sentence}: the rows that the repair would break can't be counted: repair it by hand",
        )
    if rows:
        raise MigrationError(
            Code.NOT_REPAIRED, f"{difference.sentence}, and {rows} rows would break: correct them first"
        )


def _changed_extra(wanted: Schema, before: Schema, after: Schema, revision: str) -> str | None:
    """The name of an extra object, ignored or not, that the repair created, dropped or changed, if there is one."""
    old, new = extras(wanted, before), extras(wanted, after)
    for key in (*old, *new):
        if old.get(key) != new.get(key):
            return " ".join(key)
    sentences = [
        {each.sentence: each.name for each in differences(wanted, schema, revision) if each.severity is EXTRA}
        for schema in (before, after)
    ]
    names = sentences[0] | sentences[1]
    return next((names[each] for each in names if (each in sentences[0]) != (each in sentences[1])), None)
