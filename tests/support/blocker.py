"""A session that holds a lock which a run needs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2


@contextmanager
def locked(url: str, table: str) -> Iterator[int]:
    """Lock a table in another session; gives that session's process number."""
    with closing(psycopg2.connect(url, application_name="report of the night")) as connection:
        connection.cursor().execute(f"LOCK TABLE {table}")
        yield connection.info.backend_pid
