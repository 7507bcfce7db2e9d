"""The settings of a session that migrates: one function sets all of them, whatever a revision has changed.

It is called at connection, before each revision, before the revision is recorded, and after a retry or a cut. So two
revisions make the same schema in one run as in two, and a baseline that was written by `pg_dump`, which empties the
search path, is recorded where the others are.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from multidb.config.settings import Limits
from multidb.database.connections import Driver
from multidb.database.quoting import quoted

# Detect dead clients, also during a statement (PostgreSQL 14+), and disable idle timeouts; settings that the server
# does not have are skipped. A client whose machine has vanished closes no connection: its session, and the lock with
# it, ends when probes of the connection (in seconds) or data (in milliseconds) stay unacknowledged for 30 s.
LOCK_HOLDER = """
    SELECT pg_catalog.set_config(name, value, false) FROM (VALUES
        ('client_connection_check_interval', '2s'),
        ('tcp_keepalives_idle', '15'),
        ('tcp_keepalives_interval', '5'),
        ('tcp_keepalives_count', '3'),
        ('tcp_user_timeout', '30000'),
        ('idle_in_transaction_session_timeout', '0'),
        ('idle_session_timeout', '0'),
        ('transaction_timeout', '0')
    ) AS wanted (name, value) WHERE pg_catalog.current_setting(name, true) IS NOT NULL
"""
# What DISCARD ALL does, which a transaction can't, but for the advisory locks, which the session keeps. RESET ALL
# leaves the role, and RESET ROLE restores the one of the connection, which RESET SESSION AUTHORIZATION would drop.
# RESET ALL also undoes the date style, which the driver needs to read dates.
_DISCARD = """
    CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DEALLOCATE ALL; DISCARD SEQUENCES; DISCARD TEMP;
    SET datestyle = 'ISO'
"""
# Extensions may be in a schema of their own, as on hosted platforms, and revisions name their types without it.
_WITH_EXTENSIONS = """
    SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(
        ', ', pg_catalog.current_setting('search_path'),
        pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(n.nspname), ', ')
    ), false)
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = ANY (%s) AND n.nspname <> ALL (pg_catalog.current_schemas(true))
      AND pg_catalog.current_schema() IS NOT NULL  -- tables would be created there
    HAVING pg_catalog.count(*) > 0
"""
# Of SQLite, each with the statement's form; inside a transaction the last two can't be changed, not by a revision
# either. https://sqlite.org/pragma.html
_PRAGMAS = (
    "automatic_index", "busy_timeout", "defer_foreign_keys", "ignore_check_constraints", "legacy_alter_table",
    "query_only", "read_uncommitted", "recursive_triggers", "reverse_unordered_selects", "secure_delete",
    "trusted_schema", "writable_schema", "foreign_keys", "synchronous",
)  # fmt: skip
_TEMPORARY = "SELECT type, name FROM sqlite_temp_master WHERE type IN ('table', 'view') ORDER BY type DESC"
_OUTSIDE_TRANSACTIONS = ("foreign_keys", "synchronous")


def restore(driver: Driver, limits: Limits, extensions: Sequence[str]) -> None:
    """Give a PostgreSQL session the settings that it had at first, and the limits of the run.

    The role's and the database's own settings are kept, and those of the connection; the schemas of the extensions are
    last in the search path, if they are not there already. Temporary tables, cursors and prepared statements are
    dropped: where each revision has a session of its own, the next one does not find them.

    Raises:
        psycopg2.Error: the transaction has failed, or the session is broken.
    """
    with driver.cursor() as cursor:
        cursor.execute("; ".join([_DISCARD, LOCK_HOLDER, *limits.statements]))
        if extensions:
            cursor.execute(_WITH_EXTENSIONS, [list(extensions)])


def pragmas_of(driver: sqlite3.Connection) -> dict[str, int]:
    """The settings of an SQLite connection that a revision may change, for `restore_pragmas`."""
    found = {name: driver.execute(f"PRAGMA {name}").fetchone() for name in _PRAGMAS}
    return {name: row[0] for name, row in found.items() if row is not None}  # none where SQLite lacks one


def restore_pragmas(driver: sqlite3.Connection, wanted: Mapping[str, int]) -> None:
    """Give an SQLite connection these settings, and drop its temporary tables.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    driver.execute("PRAGMA case_sensitive_like = 0")  # which can't be asked for
    for name, value in wanted.items():
        if name not in _OUTSIDE_TRANSACTIONS or not driver.in_transaction:
            driver.execute(f"PRAGMA {name} = {value}")
    for kind, name in driver.execute(_TEMPORARY).fetchall():
        driver.execute(f"DROP {kind} IF EXISTS temp.{quoted(name)}")
