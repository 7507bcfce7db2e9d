"""CREATE INDEX CONCURRENTLY and its like: their lock timeout, and what an earlier failure left behind."""

import math
import re

from sqlalchemy import Connection

from multidb.database.connections import Driver
from multidb.logs import log

_NAME = r'((?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))?)'
_CREATE_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+ON\s+(?:ONLY\s+)?{_NAME}",
    re.IGNORECASE,
)
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
# An index is in its table's schema. The names are passed as they were written, so that the server parses the quotes.
_LEFT_BEHIND = """
    SELECT i.indexrelid::regclass::text, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass(%s)
      AND c.relname = (parse_ident(%s))[array_upper(parse_ident(%s), 1)]
"""


class ConcurrentStatements:
    """Prepares the session for each statement of a revision that runs outside a transaction.

    Args:
        driver: the session, in autocommit.
        begun_before: whether an earlier run began this revision and did not finish it.
        lock_timeout: seconds that a statement waits for a lock.
        lock_wait: seconds that a CONCURRENTLY waits for older transactions; it blocks no session meanwhile.
    """

    def __init__(self, driver: Driver, *, begun_before: bool, lock_timeout: float, lock_wait: float) -> None:
        self._driver = driver
        self._begun_before = begun_before
        self._timeouts = {False: lock_timeout, True: lock_wait}
        self._concurrently = False

    def before_execute(self, _connection: Connection, _cursor: object, statement: str, *_parameters: object) -> None:
        """The listener for SQLAlchemy's `before_cursor_execute`."""
        match = _CREATE_INDEX.match(statement)
        if match:
            self._drop_left_behind(match[1], match[2])
        concurrently = bool(_CONCURRENTLY.search(statement))
        if concurrently is not self._concurrently:
            self._concurrently = concurrently
            with self._driver.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {math.ceil(self._timeouts[concurrently] * 1000)}")

    def _drop_left_behind(self, index: str, table: str) -> None:
        """Drop the index that a failed run left: an invalid one, or one that no journal records as done."""
        with self._driver.cursor() as cursor:
            cursor.execute(_LEFT_BEHIND, [table, index, index])
            for name, is_valid in cursor.fetchall():
                if not is_valid or self._begun_before:
                    log.info("dropping the index %s, which a failed run left", name)
                    cursor.execute(f"DROP INDEX CONCURRENTLY {name}")
