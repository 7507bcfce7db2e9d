"""CREATE INDEX CONCURRENTLY and its like: their lock timeout, and the invalid indexes that a failure leaves.

https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

import math
import re
from collections.abc import Collection

from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.database.connections import Driver
from multidb.database.quoting import without_comments
from multidb.errors import MigrationError
from multidb.logs import log

_NAME = r'((?:"(?:[^"]|"")+"|\w+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|\w+))?)'
_CREATE_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+ON\s+(?:ONLY\s+)?{_NAME}",
    re.IGNORECASE,
)
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
# An index is in its table's schema. The names are passed as they were written, so that the server parses the quotes.
_LEFT_BEHIND = """
    SELECT format('%%I.%%I', n.nspname, c.relname), i.indisvalid FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = pg_catalog.to_regclass(%s)
      AND c.relname = (pg_catalog.parse_ident(%s))[pg_catalog.array_upper(pg_catalog.parse_ident(%s), 1)]
"""
# The index of a partitioned table (relkind I) is meant to be invalid until each partition has one. What another session
# is building is not finished; it holds a lock on the table meanwhile.
_INVALID = """
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND c.relkind = 'i' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = l.pid
        WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
          AND l.pid <> pg_catalog.pg_backend_pid()
    )
    ORDER BY 1
"""


class ConcurrentStatements:
    """Prepares the session for each statement of a revision that runs outside a transaction.

    Args:
        driver: the session, in autocommit.
        begun_before: whether an earlier attempt began this revision and did not finish it.
        invalid_before: the indexes that were invalid before the first attempt.
        lock_timeout: seconds that a statement waits for a lock.
        lock_wait: seconds that a CONCURRENTLY waits for older transactions; it blocks no session meanwhile.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        begun_before: bool,
        invalid_before: Collection[str],
        lock_timeout: float,
        lock_wait: float,
    ) -> None:
        self._driver = driver
        self._begun_before, self._invalid_before = begun_before, invalid_before
        self._timeouts = {False: lock_timeout, True: lock_wait}
        self._concurrently = False

    def clean_up(self) -> None:
        """Drop the invalid indexes that earlier attempts left, whatever statement made them.

        PostgreSQL recommends this for what CREATE INDEX and REINDEX leave, `_ccnew` and `_ccold` included.
        """
        left = self._new_invalid() if self._begun_before else []
        if left:
            self._limit_waits(concurrently=True)
            for name in left:
                self._drop(name)
            self._limit_waits(concurrently=False)

    def check(self) -> None:
        """Raise MigrationError if the revision has left an invalid index, which enforces and speeds up nothing."""
        left = self._new_invalid()
        if left:
            raise MigrationError(
                Code.INVALID_INDEX, f"the revision left an index invalid, and is not recorded: {', '.join(left)}"
            )

    def before_execute(self, _connection: Connection, _cursor: object, statement: str, *_parameters: object) -> None:
        """The listener for SQLAlchemy's `before_cursor_execute`."""
        statement = without_comments(statement)
        self._limit_waits(concurrently=bool(_CONCURRENTLY.search(statement)))
        match = _CREATE_INDEX.match(statement)
        if match:
            self._drop_left_behind(match[1], match[2])

    def _limit_waits(self, *, concurrently: bool) -> None:
        if concurrently is not self._concurrently:
            self._concurrently = concurrently
            with self._driver.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {math.ceil(self._timeouts[concurrently] * 1000)}")

    def _new_invalid(self) -> list[str]:
        return invalid_indexes(self._driver, self._invalid_before)

    def _drop_left_behind(self, index: str, table: str) -> None:
        """Drop the index that a failed run left: an invalid one, or one that no journal records as done."""
        with self._driver.cursor() as cursor:
            cursor.execute(_LEFT_BEHIND, [table, index, index])
            found = cursor.fetchall()
        for name, is_valid in found:
            if not is_valid or self._begun_before:
                self._drop(name)

    def _drop(self, index: str) -> None:
        log.info("dropping the index %s, which a failed run left", index)
        with self._driver.cursor() as cursor:
            cursor.execute(f"DROP INDEX CONCURRENTLY {index}")


def invalid_indexes(driver: Driver, before: Collection[str] = ()) -> list[str]:
    """The names, with their schemas, of the indexes that a failed CREATE INDEX or REINDEX CONCURRENTLY left.

    Args:
        before: those that were invalid before, and are left out.
    """
    with driver.cursor() as cursor:
        cursor.execute(_INVALID)
        return [name for (name,) in cursor.fetchall() if name not in before]
