"""What the live database weighs: sizes, rows that would make a revision fail, sessions in the way. It is only read."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from multidb.config.configuration import Database
from multidb.database.connections import Driver
from multidb.database.quoting import quoted
from multidb.replay.shape import without_kind
from multidb.schema.difference import Difference
from multidb.schema.snapshot import NotCountedError, count_rows, reading

# Bytes of a row at the least: its header and its pointer in the page. So a table of so many bytes has at most so many.
# https://www.postgresql.org/docs/current/storage-page-layout.html
_SMALLEST_ROW = 28
_COUNTING_TIME = 3.0  # seconds for each count of rows that would make a revision fail
_OLD = 60.0  # seconds after which a transaction is one that holds up a run

_SIZES = """
    SELECT s.nspname, c.relname, c.relkind, c.reltuples::bigint,
           CASE c.relkind WHEN 'p' THEN (
               SELECT coalesce(sum(pg_catalog.pg_relation_size(p.relid)), 0)::bigint
               FROM pg_catalog.pg_partition_tree(c.oid) p WHERE p.isleaf
           ) ELSE pg_catalog.pg_relation_size(c.oid) END,
           (SELECT t.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
            WHERE i.indexrelid = c.oid),
           (SELECT i.indisvalid FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE s.nspname !~ '^pg_' AND s.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'm', 'i', 'I')
"""
# Of another role's sessions the server hides the query, and without pg_read_all_stats the age, too.
_SESSIONS = """
    SELECT a.pid, a.usename, coalesce(a.application_name, ''), a.state,
           extract(epoch FROM pg_catalog.now() - a.xact_start)::float8, a.backend_type,
           ARRAY(SELECT DISTINCT c.relname::text FROM pg_catalog.pg_locks l
                 JOIN pg_catalog.pg_class c ON c.oid = l.relation
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE l.pid = a.pid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND c.relkind <> 'i'),
           a.query LIKE '%to prevent wraparound%'
    FROM pg_catalog.pg_stat_activity a
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
      AND a.xact_start IS NOT NULL
    UNION ALL
    SELECT NULL, p.owner, p.gid, 'prepared', extract(epoch FROM pg_catalog.now() - p.prepared)::float8, 'prepared',
           '{}'::text[], false
    FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()
"""


@dataclass(frozen=True)
class Size:
    """What a table weighs.

    Attributes:
        rows: as the server estimates; None if the table was never analyzed.
        bytes: of the table; with `index_bytes`, of its indexes.
    """

    rows: int | None
    bytes: int
    index_bytes: int = 0

    @property
    def most_rows(self) -> int:
        """The number of rows that the table can have at most, where the server has no estimate."""
        return self.rows if self.rows is not None else self.bytes // _SMALLEST_ROW

    @property
    def text(self) -> str:
        rows = (
            f"about {self.rows:,} {'row' if self.rows == 1 else 'rows'}"
            if self.rows is not None
            else "a number of rows that was never estimated"
        )
        return f"{rows}, {bytes_text(self.bytes)}"


@dataclass(frozen=True)
class Session:
    """A session, or a prepared transaction, that would hold up a run."""

    pid: int | None
    user: str
    name: str  # of the application; of a prepared transaction, its own
    state: str
    seconds: float  # since its transaction began
    kind: str
    tables: Sequence[str]  # that it has locked

    @property
    def text(self) -> str:
        who = f"pid {self.pid} of {self.user}" if self.pid is not None else f"the prepared transaction {self.name}"
        named = f" ({self.name})" if self.pid is not None and self.name else ""
        return f"{who}{named}, {self.state or self.kind}, in its transaction for {self.seconds:.0f} s"


@dataclass(frozen=True)
class Failing:
    """Rows of the live database that a revision would fail on."""

    sentence: str
    table: str
    rows: int


@dataclass(frozen=True)
class Weights:
    """A live database, as far as it decides what a revision costs there."""

    sizes: Mapping[str, Size] = field(default_factory=dict)  # by table, as `Statement.name` names it
    invalid_indexes: frozenset[str] = frozenset()
    sessions: Sequence[Session] = ()
    failing: Sequence[Failing] = ()
    not_counted: Sequence[str] = ()  # the sentences of rows that were not counted, and why
    without_kind: frozenset[tuple[str, str]] = frozenset()


def weigh(database: Database, driver: Driver, default_schema: str, pending: Sequence[Difference]) -> Weights:
    """Read the weights of a live database, in a read-only transaction.

    Args:
        pending: the differences between the live schema and that after the pending revisions.

    Raises:
        psycopg2.Error, sqlite3.Error: the session is broken.
    """
    if isinstance(driver, sqlite3.Connection):
        return _of_sqlite(database, driver, pending)
    sizes: dict[str, Size] = {}
    invalid: set[str] = set()
    of_tables: dict[str, int] = {}
    with driver.cursor() as cursor:
        cursor.execute(_SIZES)
        for schema, name, kind, rows, size, table, is_valid in cursor.fetchall():
            prefix = "" if schema == default_schema else f"{schema}."
            if kind in ("i", "I"):
                of_tables[f"{prefix}{table}"] = of_tables.get(f"{prefix}{table}", 0) + size
                if not is_valid and kind == "i":
                    invalid.add(f"{prefix}{name}")
            else:
                sizes[f"{prefix}{name}"] = Size(rows if rows >= 0 else None, size)
        cursor.execute(_SESSIONS)
        sessions = [Session(*own) for *own, is_urgent in cursor.fetchall() if is_urgent or (own[4] or 0) >= _OLD]
    found = {name: Size(each.rows, each.bytes, of_tables.get(name, 0)) for name, each in sizes.items()}
    failing, not_counted = _failing(database, driver, pending, list(found))
    return Weights(found, frozenset(invalid), sessions, failing, not_counted, without_kind(driver))


def _failing(
    database: Database, driver: Driver, pending: Sequence[Difference], tables: Sequence[str]
) -> tuple[list[Failing], list[str]]:
    """Count the rows that violate what the revisions add, each within a bounded time."""
    found: list[Failing] = []
    missed: list[str] = []
    with reading(database, driver) as connection:
        for each in pending:
            try:
                rows = count_rows(connection, each.violations, _COUNTING_TIME)
            except NotCountedError as error:
                missed.append(f"{each.sentence} ({error})")
                continue
            if rows:
                # A difference is named `users.email.type`, and a table may have dots, too.
                own = [table for table in tables if f"{each.name}.".startswith(f"{table}.")]
                found.append(Failing(each.sentence, max(own, key=len, default=""), rows))
    return found, missed


def _of_sqlite(database: Database, driver: sqlite3.Connection, pending: Sequence[Difference]) -> Weights:
    """SQLite counts the rows itself; a large file would take long, and its size in bytes says as much."""
    tables = [row[0] for row in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    whole = Path(database.url.database or "").stat().st_size
    sizes: dict[str, Size] = {}
    for table in tables:
        last = _last_row_number(driver, table)
        sizes[table] = Size(last, whole if last is None else min(whole, last * _SMALLEST_ROW))
    failing, not_counted = _failing(database, driver, pending, tables)
    return Weights(sizes, failing=failing, not_counted=not_counted)


def _last_row_number(driver: sqlite3.Connection, table: str) -> int | None:
    """The largest row number of a table, which is found at once; None for a table without row numbers."""
    try:
        row = driver.execute(f"SELECT coalesce(max(rowid), 0) FROM {quoted(table)}").fetchone()  # noqa: S608 - quoted
    except sqlite3.OperationalError:
        return None
    return int(row[0])


def bytes_text(number: int) -> str:
    """A size as a person reads it: `31 MB`."""
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.0f} {unit}"
        size /= 1024
    raise AssertionError
