"""The sessions and prepared transactions that would hold a run up: they hold locks on tables, or wait for one."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from multidb.config.configuration import Database
from multidb.database import connections

# A prepared transaction has no process: its locks have a virtual transaction of the backend -1. The text of a statement
# is left out: it may have a password in it.
_HOLDERS = """
    WITH held AS (
        SELECT pid, virtualtransaction AS id, array_agg(DISTINCT mode ORDER BY mode) AS modes,
               array_agg(DISTINCT relation::regclass::text ORDER BY relation::regclass::text) AS tables
        FROM pg_locks JOIN pg_class c ON c.oid = relation
        WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND relkind IN ('r', 'p', 'm') AND c.oid >= 16384
        GROUP BY pid, virtualtransaction
    )
    SELECT 'pid ' || a.pid, coalesce(a.usename, ''), a.application_name,
           coalesce(a.client_hostname, host(a.client_addr), 'the server itself'),
           coalesce(a.state, 'hidden from this role'),
           extract(epoch FROM clock_timestamp() - a.xact_start)::float, held.tables, held.modes,
           array(SELECT 'pid ' || each FROM unnest(pg_blocking_pids(a.pid)) each ORDER BY each)
    FROM held JOIN pg_stat_activity a USING (pid) WHERE a.pid <> pg_backend_pid()
    UNION ALL
    SELECT p.gid, p.owner::text, '', '', 'prepared',
           extract(epoch FROM clock_timestamp() - p.prepared)::float, held.tables, held.modes, '{}'
    FROM pg_prepared_xacts p JOIN pg_locks x ON x.locktype = 'transactionid'
                                            AND x.transactionid = p.transaction AND x.granted
    JOIN held ON held.id = x.virtualtransaction AND held.pid IS NULL
    WHERE p.database = current_database()
    ORDER BY 6 DESC NULLS LAST, 1
"""


@dataclass(frozen=True)
class Holder:
    """A session, or a prepared transaction.

    Attributes:
        name: `pid 4711`, or the transaction's name.
        seconds: since its transaction began; None where the role may not see it.
        tables: the tables that it has locked, or is about to lock; `modes`: in which modes.
        blockers: the sessions that it waits for.
    """

    name: str
    role: str
    application: str
    client: str
    state: str
    seconds: float | None
    tables: Sequence[str]
    modes: Sequence[str]
    blockers: Sequence[str]


def holders(database: Database) -> list[Holder]:
    """Who holds locks on tables of a database, the oldest transaction first; none on SQLite, which does not tell.

    Raises:
        MigrationError, psycopg2.Error: the database can't be read.
    """
    if database.is_sqlite:
        return []
    with closing(connections.open_to_read(database.url)) as driver, driver.cursor() as cursor:
        cursor.execute(_HOLDERS)
        return [Holder(*row) for row in cursor.fetchall()]
