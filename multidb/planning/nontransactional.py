"""Revisions that PostgreSQL can't run in a transaction, such as CREATE INDEX CONCURRENTLY.

A revision says so with `outside_transaction = True`, and is then a release by itself: what it did before it failed
stays, so it has to be safe to run again.
"""

import ast
import math
import re
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Connection

from multidb.database.connections import Driver
from multidb.errors import MigrationError
from multidb.logs import log
from multidb.planning.plan import Work

DECLARATION = "outside_transaction"
_BLOCK = "autocommit_block"
_NAME = r'((?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))?)'
_CREATE_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+ON\s+(?:ONLY\s+)?{_NAME}",
    re.IGNORECASE,
)
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
# An index is in its table's schema. Asked by the names as they were written, so that quotes mean what they mean.
_LEFT_BEHIND = """
    SELECT i.indexrelid::regclass::text, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass(%s)
      AND c.relname = (parse_ident(%s))[array_upper(parse_ident(%s), 1)]
"""


def is_declared(script: Script) -> bool:
    """Whether a revision says that it runs outside a transaction.

    Raises:
        MigrationError: it says something else.
    """
    found = getattr(script.module, DECLARATION, False)
    if not isinstance(found, bool):
        raise MigrationError(f"{_short(script)}: {DECLARATION} = {found!r}: should be True, or left out")
    return found


def check_undeclared(script: Script) -> None:
    """Refuse an `autocommit_block()` in a revision that doesn't say that it runs outside a transaction.

    Raises:
        MigrationError: there is one; says in which line.
    """
    text = Path(script.path).read_bytes()
    if _BLOCK.encode() not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr == _BLOCK:
            raise MigrationError(
                f"{_short(script)}:{node.lineno}: {_BLOCK}() would commit this database before the others have "
                f"migrated: write `{DECLARATION} = True` under down_revision, and leave nothing else in the revision"
            )


def around(work: Work, before: Callable[[], None], after: Callable[[], None]) -> Work:
    """Alembic's work with something done in front of each revision that runs outside a transaction, and behind it.

    Args:
        work: Alembic's.
        before: called before the revision.
        after: called when it is done, and not yet recorded in `alembic_version`.
    """

    def steps(heads: tuple[str, ...], context: MigrationContext) -> list[Any]:
        return [_wrapped(step, before, after) for step in work(heads, context)]

    return steps


def _wrapped(step: Any, before: Callable[[], None], after: Callable[[], None]) -> Any:
    script = getattr(step, "revision", None)
    if script is None or not is_declared(script):
        return step
    run, wrapped = step.migration_fn, copy(step)

    def migrate(**options: Any) -> None:
        before()
        run(**options)
        after()

    wrapped.migration_fn = migrate
    return wrapped


class Outside:
    """What a statement of such a revision needs, seen before it is sent.

    Args:
        driver: the session, which commits each statement by itself.
        begun_before: whether an earlier run began this revision and did not come to its end.
        lock_timeout: seconds that any other statement waits for a lock.
        wait: seconds that a CONCURRENTLY may wait for older transactions; it blocks nobody meanwhile.
    """

    def __init__(self, driver: Driver, *, begun_before: bool, lock_timeout: float, wait: float) -> None:
        self._driver = driver
        self._begun_before = begun_before
        self._timeouts = {False: lock_timeout, True: wait}
        self._concurrently = False

    def before(
        self, _connection: Connection, _cursor: object, statement: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        """SQLAlchemy's `before_cursor_execute`."""
        match = _CREATE_INDEX.match(statement)
        if match:
            self._drop_left_behind(match[1], match[2])
        concurrently = bool(_CONCURRENTLY.search(statement))
        if concurrently is not self._concurrently:
            self._concurrently = concurrently
            with self._driver.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {math.ceil(self._timeouts[concurrently] * 1000)}")

    def _drop_left_behind(self, index: str, table: str) -> None:
        """Drop what an earlier try left of the index: one that is invalid, or that nobody recorded as done."""
        with self._driver.cursor() as cursor:
            cursor.execute(_LEFT_BEHIND, [table, index, index])
            for name, is_valid in cursor.fetchall():
                if not is_valid or self._begun_before:
                    log.info("drops the index %s, which a run that failed has left", name)
                    cursor.execute(f"DROP INDEX CONCURRENTLY {name}")


def _short(script: Script) -> str:
    path = Path(script.path)
    return f"migrations/versions/{path.parent.name}/{path.name}"
