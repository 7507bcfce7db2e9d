"""Probe databases: which revision is each at, is it in doubt, and what can its server do? Nothing is changed.

All databases are asked at the same time: a run with nothing to do takes as long as the slowest database, not as long
as all of them together.
"""

import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

import psycopg2

from multidb.advice.codes import Code
from multidb.config import urls
from multidb.config.configuration import Database, variable
from multidb.config.settings import BUSY_WAIT
from multidb.database import places
from multidb.database.attempt import Prepared
from multidb.database.connections import Driver, open_to_read, retry_pauses, shut_down
from multidb.database.places import Place, place_of
from multidb.database.quoting import quoted, version_table
from multidb.database.refusal import ConnectionFailedError
from multidb.errors import MigrationError, reason_of
from multidb.logs import for_database, log

POOLED = (
    "a pooling proxy such as PgBouncer stands before the server, and locks don't hold through it: "
    "use the server's own port in the URL"
)
# These never block, unlike alembic_version, which a prepared transaction may have locked. A server is known by its
# start time, and a database by its oid.
_POSTGRESQL = f"""
    {places.OWN_PATH};
    WITH {places.FOUND}
    SELECT {places.COLUMNS},
           pg_backend_pid(),
           (version(), current_setting('multidb.schemas'), current_setting('standard_conforming_strings'),
            current_setting('transaction_isolation'))::text,
           pg_postmaster_start_time(),
           oid,
           current_user::text,
           (SELECT min(pg_get_userbyid(c.relowner)::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relname = %(version_table)s AND c.relkind = 'r' AND pg_get_userbyid(c.relowner) <> current_user
              AND n.nspname IN (SELECT schema FROM path)),
           CASE WHEN pg_is_in_recovery() THEN 'standby'
                WHEN current_setting('default_transaction_read_only')::boolean THEN 'setting' END,
           current_setting('max_prepared_transactions')::int - (SELECT count(*)::int FROM pg_prepared_xacts),
           ARRAY(
               SELECT gid || chr(10) || owner FROM pg_prepared_xacts
               WHERE database = current_database() AND starts_with(gid, 'multidb:') ORDER BY gid
           )
    FROM pg_database WHERE datname = current_database()
"""  # noqa: S608 - ours
_SQLITE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_SQLITE_JOURNAL = "SELECT name FROM pragma_table_info('multidb_journal')"
_CLOSE_TIMEOUT = 1.0  # seconds for an interrupted probe to end


@dataclass(frozen=True)
class ProbeResult:
    database: Database
    # What distinguishes the database from every other; None for one in memory.
    identity: tuple[object, ...] | None = None
    place: Place | None = None  # of what runs record; None on SQLite
    journal_columns: tuple[str, ...] = ()  # of the journal's table; none if it does not exist
    in_doubt: tuple[Prepared, ...] = ()  # the prepared transactions that runs of this project left
    foreign: tuple[str, ...] = ()  # of prepared transactions that only look like those, what to say
    # Whether a proxy stands between: the server process number that libpq gets from it is invented.
    is_pooled: bool = False
    free_slots: int = 0  # for prepared transactions, on the server
    dialect_cache_key: Hashable | None = None  # databases with equal keys share an initialised dialect of SQLAlchemy
    # The revisions in `alembic_version`, or the error that reading them raised.
    recorded: tuple[str, ...] | Exception = ()
    role: str = ""  # of the session
    owner: str | None = None  # of the version table, if that is another role
    read_only: str | None = None  # why sessions can't write: `standby` or `setting`

    @property
    def heads(self) -> tuple[str, ...]:
        """The revisions that the database is at.

        Raises:
            MigrationError: where they are recorded is not known.
            psycopg2.Error, sqlite3.Error: they can't be read.
        """
        if isinstance(self.recorded, Exception):
            raise self.recorded
        return self.recorded

    @property
    def journal_table(self) -> str:
        """The name of the journal's table as SQL writes it."""
        schema = self.place.journal_schema if self.place else None
        return f"{quoted(schema)}.{places.JOURNAL}" if schema else places.JOURNAL

    @property
    def server(self) -> object:
        """What distinguishes the PostgreSQL server from every other."""
        return self.identity[0] if self.identity else None

    def check_writable(self) -> None:
        """Raise a MigrationError if no session can write there."""
        if self.read_only == "standby":
            raise MigrationError(
                Code.READ_ONLY,
                f"{urls.server_text(self.database.url)} is a standby, which takes no writes: use the URL of the "
                "primary, or name all hosts, with target_session_attrs=read-write",
                self.database.name,
            )
        if self.read_only:
            raise MigrationError(
                Code.READ_ONLY,
                f"default_transaction_read_only is on for {self.role} in this database: reset it (ALTER DATABASE, "
                "ALTER ROLE, PGOPTIONS), or use another role",
                self.database.name,
            )

    def check_direct(self) -> None:
        """Raise a MigrationError if a pooling proxy stands between."""
        if self.is_pooled:
            raise MigrationError(Code.POOLED, POOLED, self.database.name)


class Probe:
    """The session that probes one database, in a thread; the session stays open until `close`.

    Args:
        wait: seconds to retry while the server is unreachable, or has no such database.
        run: the id of the run that the session belongs to, if to one.
        busy_wait: seconds to retry while the server starts or has no room.
        keeps_session: whether the session stays open until `close`; without, it ends with the answer, and leaves its
            place to another probe: a login may have fewer connections than there are databases.
    """

    def __init__(
        self,
        database: Database,
        wait: float = 0,
        run: str = "",
        busy_wait: float = BUSY_WAIT,
        *,
        keeps_session: bool = True,
    ) -> None:
        self.database = database
        self.connection: Driver = None
        self._wait, self._run, self._busy_wait, self._keeps_session = wait, run, busy_wait, keeps_session
        self._closing = Event()
        # An event beside the thread: a `join` that a signal interrupts takes the thread for ended (Python 3.11).
        self._answered = Event()
        self._outcome: ProbeResult | Exception | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Ask, or ask again over the same session. The answer comes with `result`."""
        if self._thread is not None:
            self.wait()
        self._answered.clear()
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the answer, at most so many seconds. Returns whether it has come."""
        if not self._answered.wait(seconds):
            return False
        assert self._thread is not None
        self._thread.join()  # it has nothing left to do, and a process with threads can't be forked
        return True

    def result(self) -> ProbeResult:
        """The answer, once it has come.

        Raises:
            ConnectionFailedError: the server can't be reached, or refuses the connection.
            psycopg2.Error, sqlite3.Error: the database can't be asked.
        """
        self.wait()
        if isinstance(self._outcome, ProbeResult):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome

    @property
    def has_answered(self) -> bool:
        """Whether `result` has an answer, rather than an error."""
        return isinstance(self._outcome, ProbeResult)

    @property
    def failure(self) -> Exception | None:
        """Why there is no answer, once that is known."""
        self.wait()
        return self._outcome if isinstance(self._outcome, Exception) else None

    def release(self) -> None:
        """Give the session up, and keep the answer; `start` opens another."""
        self.wait()
        connection = self.take_connection()
        if connection is not None:
            connection.close()

    def take_connection(self) -> Driver:
        """Hand the session over: the caller closes it, and `close` no longer does."""
        connection, self.connection = self.connection, None
        return connection

    def close(self) -> None:
        """End the probe, even if the server never answers."""
        self._closing.set()  # ends the retries
        if not self._answered.is_set() and self.connection is not None and not self.database.is_sqlite:
            shut_down(self.connection)
        # An attempt to connect can't be ended from here; its daemon thread does not keep the process alive.
        if self._thread is None or self.wait(_CLOSE_TIMEOUT):
            connection = self.take_connection()
            if connection is not None:
                connection.close()

    def _ask(self) -> None:
        try:
            if self.connection is None:
                self.connection = self._connected()
                if self._closing.is_set():
                    self.connection.close()
                    return
            ask = self._ask_sqlite if self.database.is_sqlite else self._ask_postgresql
            self._outcome = ask(self.connection.cursor())
        except Exception as error:  # raised again by result()
            self._outcome = error
        finally:
            connection = None if self._keeps_session else self.take_connection()
            if connection is not None:
                connection.close()
            self._answered.set()

    def _ask_sqlite(self, cursor: Driver) -> ProbeResult:
        has_version_table = cursor.execute(_SQLITE, [self.database.version_table.name]).fetchone() is not None
        rows = cursor.execute(_versions(self.database)).fetchall() if has_version_table else []
        columns = tuple(name for (name,) in cursor.execute(_SQLITE_JOURNAL))
        identity = file_identity(self.database.url.database or "")
        recorded = tuple(row[0] for row in rows)
        return ProbeResult(self.database, identity, journal_columns=columns, recorded=recorded)

    def _ask_postgresql(self, cursor: Driver) -> ProbeResult:
        table = self.database.version_table
        cursor.execute(_POSTGRESQL, {"version_table": table.name})
        *found, backend, session, started, oid, role, owner, read_only, free_slots, gids = cursor.fetchone()
        place = place_of(table, found)
        database = replace(self.database, version_table=place.version_table)
        prepared = {line: Prepared.parse(*line.split("\n", 1)) for line in gids}
        in_doubt = tuple(each for each in prepared.values() if each is not None)
        foreign = tuple(_foreign_text(*line.split("\n", 1)) for line, each in prepared.items() if each is None)
        recorded: tuple[str, ...] | Exception = MigrationError(Code.PLACE, place.problem) if place.problem else ()
        if place.has_versions:
            recorded = _recorded(cursor, _versions(database), is_in_doubt=bool(in_doubt))
        is_pooled = self.connection.info.backend_pid != backend
        cache_key = session, started
        return ProbeResult(
            database,
            (started, oid),
            place,
            place.journal_columns,
            in_doubt,
            foreign,
            is_pooled,
            free_slots,
            cache_key,
            recorded,
            role,
            owner,
            read_only,
        )

    def _connected(self) -> Driver:
        """Connect, with retries while waiting may help."""
        began, pauses, has_logged = time.monotonic(), retry_pauses(), False
        while True:
            at = time.monotonic()
            try:
                return open_to_read(self.database.url, self._run, busy_wait=0)
            except ConnectionFailedError as error:
                limit = self._busy_wait if error.refusal.is_busy else self._wait
                if at >= began + limit or self._closing.is_set() or not error.refusal.is_transient:
                    raise
                if not has_logged:
                    has_logged = True
                    with for_database(self.database.name):
                        log_wait_for_server(limit, error)
            self._closing.wait(next(pauses))


def log_wait_for_server(seconds: float, error: ConnectionFailedError) -> None:
    log.info("waiting for the server, at most %g s: %s", seconds, reason_of(error))


def start_probes(
    databases: Iterable[Database],
    wait: float = 0,
    run: str = "",
    busy_wait: float = BUSY_WAIT,
    *,
    keeps_sessions: bool = True,
) -> list[Probe]:
    """Ask all databases at the same time; the arguments are those of Probe. The caller closes the probes."""
    probes = [Probe(database, wait, run, busy_wait, keeps_session=keeps_sessions) for database in databases]
    for probe in probes:
        probe.start()
    return probes


@contextmanager
def probing(
    databases: Iterable[Database],
    wait: float = 0,
    run: str = "",
    busy_wait: float = BUSY_WAIT,
    *,
    keeps_sessions: bool = True,
) -> Iterator[list[Probe]]:
    """As `start_probes`; the probes are closed at the end of the block."""
    with ExitStack() as opened:
        probes = start_probes(databases, wait, run, busy_wait, keeps_sessions=keeps_sessions)
        for probe in probes:
            opened.callback(probe.close)
        yield probes


def check_distinct(results: Iterable[ProbeResult]) -> None:
    """Refuse two entries whose different URLs lead to one database.

    Raises:
        MigrationError: there are two; each branch would take the other's tables for its own.
    """
    for problem in shared_databases(results).values():
        raise MigrationError(Code.SAME_DATABASE, problem)


def shared_databases(results: Iterable[ProbeResult]) -> dict[str, str]:
    """The entries whose different URLs lead to one database: by their names, the problem."""
    owners: dict[tuple[object, ...], str] = {}
    found: dict[str, str] = {}
    for result in results:
        name = result.database.name
        other = owners.setdefault(result.identity, name) if result.identity else name
        if other != name:
            problem = (
                f"{other} and {name} lead to the same database, {result.database.public_url}: "
                f"correct {variable(other)} or {variable(name)}, or the entries in databases.yaml"
            )
            found |= {other: problem, name: problem}
    return found


def _foreign_text(gid: str, owner: str) -> str:
    return f"the prepared transaction {gid!r} of the role {owner} is not of this project: its owner has to finish it"


def _versions(database: Database) -> str:
    return f"SELECT version_num FROM {version_table(database.version_table)}"  # noqa: S608 - quoted


def _recorded(cursor: Driver, versions: str, *, is_in_doubt: bool) -> tuple[str, ...] | Exception:
    try:
        # The setting holds for these two statements, which are one transaction: a pool hands the session on.
        cursor.execute(f"{places.OWN_PATH}; SET LOCAL lock_timeout = '5s'; {versions}")
        return tuple(row[0] for row in cursor.fetchall())
    except psycopg2.Error as error:
        # A prepared transaction keeps its lock on the table until it is resolved.
        return () if is_in_doubt and isinstance(error, psycopg2.errors.LockNotAvailable) else error


def file_identity(path: str) -> tuple[object, ...] | None:
    """The identity of an SQLite file, which may have several names; None if it does not exist."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
