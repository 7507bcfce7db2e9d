"""The journal: the table beside `alembic_version`, in each database, that records the runs which changed it.

A row is written in the transaction that it describes, so that it is true. In the decider of a two-phase commit the row
is committed before that as `begun`, and its change to `committed` is the decision. Rows are never deleted, because
prepared transactions elsewhere may be resolved by them. The table is no migration, because it has to exist before the
first revision and after the last downgrade.

Older and newer checkouts share the table. A column is for what decides; what is only reported goes into `details`, so
that reporting more takes no new column. A reader names the columns that it knows, and reads those that a table lacks as
None; a run adds them while it holds the lock. No column is ever removed, renamed, or added without allowing NULL.
"""

import hashlib
import json
import platform
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import alembic
import psycopg2
import sqlalchemy
from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database import connections, places
from multidb.database.attempt import Attempt, Run
from multidb.database.connections import Driver
from multidb.database.places import Place
from multidb.database.quoting import quoted
from multidb.database.threads import map_in_threads
from multidb.errors import MigrationError, in_database

NAME = places.JOURNAL
# In words that both dialects have. The ids come from no sequence: in a database made from a template, a sequence was
# seen to repeat a number after a crash, and only the holder of the database's lock writes here.
CREATE = f"""CREATE TABLE IF NOT EXISTS {NAME} (
    id INTEGER PRIMARY KEY,
    attempt TEXT NOT NULL UNIQUE, -- of the run: one more for each retry and each stage
    run TEXT NOT NULL,
    state TEXT NOT NULL,
    release TEXT,
    command TEXT NOT NULL,
    before TEXT NOT NULL, -- revisions, comma-separated; empty at base
    after TEXT,
    revisions TEXT, -- JSON: the applied ones in order, each with the SHA-256 of its file
    participants TEXT NOT NULL, -- JSON: the databases of the attempt
    who TEXT NOT NULL,
    host TEXT NOT NULL,
    started_at TEXT NOT NULL, -- ISO 8601, UTC: both dialects store and sort it alike; by the server's clock
    seconds DOUBLE PRECISION,
    versions TEXT NOT NULL, -- JSON
    two_phase BOOLEAN, -- of the attempt; NULL in a row of an older checkout
    details TEXT -- JSON: all that is only reported
)"""
ADDED = {"two_phase": "BOOLEAN", "details": "TEXT"}
"""The columns that the table did not have at first."""
_TIME = """
    SELECT pg_catalog.to_char(
               (pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(ago)s)) AT TIME ZONE 'UTC',
               'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
           ),
           pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
"""
_CLOCK = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
_SQLITE_TIME = "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', :ago)"
BEGUN, COMMITTED = "begun", "committed"
# How a run ended, beside COMMITTED.
FAILED, PARTLY_COMMITTED, IN_DOUBT = "failed", "partly committed", "in doubt"
RUNNING, KILLED, NOT_COMMITTED = "running", "killed", "not committed"


@dataclass(frozen=True)
class JournalRow:
    """A row, as `log`, `verify` and `rollback` read it."""

    id: int
    attempt: str
    run: str
    state: str
    release: str | None
    command: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    revisions: tuple[Mapping[str, Any], ...]
    participants: tuple[str, ...]
    who: str
    host: str
    started_at: str
    seconds: float | None
    versions: Mapping[str, str]
    two_phase: bool | None  # None in a row of an older checkout, which does not say
    details: Mapping[str, Any]
    is_running: bool = False  # whether the run is in progress; see release/running.py

    @property
    def ended(self) -> Mapping[str, Any] | None:
        """How the run ended: `result`, `at` (ISO 8601, UTC), the database `role`, the `error`; None if not known."""
        return self.details.get("ended")

    @property
    def clock(self) -> str | None:
        """The PostgreSQL server that told the time; None on SQLite, or in a row of an older checkout."""
        return self.details.get("clock")

    @property
    def is_open(self) -> bool:
        """Whether it is neither committed nor known how the run ended."""
        return not self.is_committed and self.ended is None

    @property
    def result(self) -> str:
        """How the run ended, as far as this row tells: a word for people."""
        if self.ended is not None and self.ended["result"] != IN_DOUBT:  # which may have been resolved since
            return str(self.ended["result"])
        if self.is_committed:
            return COMMITTED
        if self.is_running:
            return RUNNING
        # An older checkout does not report how a run ended.
        return NOT_COMMITTED if self.ended is not None or self.two_phase is None else KILLED

    @property
    def is_committed(self) -> bool:
        return self.state == COMMITTED

    @property
    def may_be_two_phase(self) -> bool:
        return may_be_two_phase(self.two_phase, self.participants)

    @property
    def is_stamp(self) -> bool:
        """Whether the run only recorded revisions."""
        return _is_stamp(self.revisions)


@dataclass(frozen=True)
class Movement:
    """What a committed run did to the revisions of a database: ran these, or stamped the database."""

    revisions: tuple[Mapping[str, Any], ...]
    after: tuple[str, ...]
    row: int  # the id of the last row of a run that did it

    @property
    def is_stamp(self) -> bool:
        return _is_stamp(self.revisions)


def _is_stamp(revisions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether no revision's file was run."""
    return all(each["sha256"] is None for each in revisions)


_COLUMNS = tuple(field.name for field in fields(JournalRow) if field.name != "is_running")
Read = TypeVar("Read")
Journals = Mapping[str, list[JournalRow]]
"""The rows of each database, oldest first, by the databases' names."""


def row_of(run: Run, attempt: Attempt, database: str, before: Iterable[str]) -> dict[str, Any]:
    """The columns of an attempt's row as `begun` in a database."""
    together = attempt.committed_with(database)
    return {
        "attempt": attempt.id,
        "run": run.id,
        "state": BEGUN,
        "release": run.release,
        "command": run.command,
        "before": joined(before),
        "participants": json.dumps(together),
        "who": run.who,
        "host": run.host,
        "versions": versions(),
        "two_phase": attempt.two_phase and database not in attempt.unprepared,
        "details": json.dumps(run.details),
    }


def committed(after: Iterable[str], seconds: float) -> dict[str, Any]:
    """The columns that a row gets in the transaction that it describes, beside those of `applying`."""
    return {"state": COMMITTED, "after": joined(after), "seconds": round(seconds, 3)}


def applying(revisions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The column with the revisions; `applied` describes each."""
    return {"revisions": json.dumps(revisions)}


def missing_columns(there: Collection[str]) -> list[str]:
    """The columns that a table lacks which has these; none where there is no table."""
    return [column for column in ADDED if column not in there] if there else []


def add_columns(connection: Connection, database: Database, missing: Iterable[str]) -> None:
    """Add columns to the journal's table.

    The caller commits before anything is prepared: a prepared transaction would keep the table locked for readers.
    """
    _enter(connection, database)
    for column in missing:
        connection.exec_driver_sql(f"ALTER TABLE {NAME} ADD COLUMN {column} {ADDED[column]}")


def insert(connection: Connection, database: Database, row: Mapping[str, Any], *, exists: bool) -> None:
    """Insert a row with its time by the server's clock, and create the journal's table unless it exists."""
    place = _enter(connection, database)
    if not exists:
        schema = place.journal_schema if place is not None else None
        connection.exec_driver_sql(CREATE.replace(NAME, f"{quoted(schema)}.{NAME}", 1) if schema else CREATE)
    at, clock = time_of(connection, row.get("seconds", 0))
    details = json.loads(row.get("details", "{}")) | {"clock": clock}
    row = {"started_at": at, **row, "details": json.dumps(details)}
    values = ", ".join(_placeholder(connection, column) for column in row)
    connection.exec_driver_sql(
        f"INSERT INTO {NAME} (id, {', '.join(row)}) "  # noqa: S608 - ours
        f"VALUES ((SELECT coalesce(max(id), 0) + 1 FROM {NAME}), {values})",
        dict(row),
    )


def update(connection: Connection, database: Database, attempt: str, changes: Mapping[str, Any]) -> None:
    """Update the row of an attempt, or raise MigrationError if the row is missing."""
    _enter(connection, database)
    assignments = ", ".join(f"{column} = {_placeholder(connection, column)}" for column in changes)
    found = connection.exec_driver_sql(
        f"UPDATE {NAME} SET {assignments} WHERE attempt = {_placeholder(connection, 'attempt')}",  # noqa: S608 - ours
        {**changes, "attempt": attempt},
    )
    if found.rowcount != 1:  # prepared transactions in other databases would be resolved by this row
        raise MigrationError(Code.JOURNAL, f"{NAME} has {found.rowcount} rows of {attempt}, where it should have one")


def end(
    connection: Connection, database: Database, ended: Mapping[str, Any], row: Mapping[str, Any], *, inserts: bool
) -> None:
    """Report in the details of a run's newest row how the run ended.

    Args:
        connection: in a transaction. Another session's lock is waited for 5 s.
        ended: what is reported, beside the time.
        row: of the run, as `row_of` gives it.
        inserts: whether that row is inserted if the database has none of the run.
    """
    ended = {**ended, "at": time_of(connection)[0]}
    there = _columns(connection, database)
    missing = missing_columns(there)
    if missing and inserts:
        add_columns(connection, database, missing)
    found = None
    if there and (inserts or not missing):
        found = connection.exec_driver_sql(
            f"SELECT attempt, details FROM {NAME} WHERE run = {_placeholder(connection, 'run')} "  # noqa: S608 - ours
            "ORDER BY id DESC LIMIT 1",
            {"run": row["run"]},
        ).fetchone()
    if found is not None:
        details = json.loads(found.details or "{}") | {"ended": ended}
        update(connection, database, found.attempt, {"details": json.dumps(details)})
    elif inserts:
        details = json.loads(row.get("details", "{}")) | {"ended": ended}
        row = {**row, "started_at": ended["at"], "details": json.dumps(details)}
        insert(connection, database, row, exists=bool(there))


def rows(
    connection: Connection, database: Database, *, newest: int | None = None, runs: Collection[str] | None = None
) -> list[JournalRow]:
    """Rows of a database, oldest first; none if it has no journal. Another session's lock is waited for 5 s.

    In the connection's transaction, names are resolved in pg_catalog from then on.

    Args:
        newest: how many at most, the newest ones. Without it, all.
        runs: the ids of the runs whose rows are read. Without it, those of all runs.
    """
    there = _columns(connection, database)
    if not there:
        return []
    known = ", ".join(name for name in _COLUMNS if name in there)
    parameters = {f"run{number}": run for number, run in enumerate(runs or ())}
    chosen = ", ".join(_placeholder(connection, name) for name in parameters) or "NULL"
    where = "" if runs is None else f" WHERE run IN ({chosen})"
    limit = "" if newest is None else f" LIMIT {newest}"
    found = connection.exec_driver_sql(
        f"SELECT {known} FROM {NAME}{where} ORDER BY id DESC{limit}",  # noqa: S608 - ours
        parameters,
    )
    return [_row(dict.fromkeys(_COLUMNS) | row._asdict()) for row in found][::-1]


def movements(connection: Connection, database: Database) -> list[Movement]:
    """What the committed runs of a database did to its revisions, each thing once, in the order of the last times.

    An earlier row that did the same changes nothing about what follows from all of them. So what is read of a journal
    is as long as its revisions are many, and not as its runs are.
    """
    if not _columns(connection, database):
        return []
    found = connection.exec_driver_sql(
        f"SELECT revisions, after, max(id) FROM {NAME} WHERE state = '{COMMITTED}' "  # noqa: S608 - ours
        "GROUP BY revisions, after ORDER BY max(id)"
    )
    return [Movement(tuple(json.loads(revisions or "[]")), _split(after), row) for revisions, after, row in found]


def details_with(connection: Connection, database: Database, key: str) -> dict[int, dict[str, Any]]:
    """The details that have a key, by the ids of their rows."""
    if "details" not in _columns(connection, database):
        return {}
    found = connection.exec_driver_sql(
        f"SELECT id, details FROM {NAME} WHERE details <> replace(details, '\"{key}\"', '')"  # noqa: S608 - ours
    )
    read = {row: json.loads(text) for row, text in found}
    return {row: details for row, details in read.items() if key in details}


def add_details(connection: Connection, database: Database, row: int, key: str, found: Mapping[str, Any]) -> None:
    """Add to what the details of a row have under a key; MigrationError if the table has no details yet."""
    if "details" not in _columns(connection, database):
        raise MigrationError(
            Code.JOURNAL, f"{NAME} is of an older version, and has no column details: the next run adds it"
        )
    number = {"row": row}
    where = f"WHERE id = {_placeholder(connection, 'row')}"
    [[text]] = connection.exec_driver_sql(f"SELECT details FROM {NAME} {where}", number)  # noqa: S608 - ours
    details = json.loads(text or "{}")
    details[key] = {**details.get(key, {}), **found}
    connection.exec_driver_sql(
        f"UPDATE {NAME} SET details = {_placeholder(connection, 'details')} {where}",  # noqa: S608 - ours
        {"details": json.dumps(details), **number},
    )


def _enter(connection: Connection, database: Database) -> Place | None:
    """Let the journal be named without its schema in the transaction; None on SQLite."""
    return None if database.is_sqlite else places.enter(connection, database.version_table)


def _columns(connection: Connection, database: Database) -> Collection[str]:
    """The columns of the journal's table; none if it does not exist."""
    place = _enter(connection, database)
    if place is not None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        return place.journal_columns
    if not connection.dialect.has_table(connection, NAME):
        return ()
    return connection.exec_driver_sql(f"SELECT * FROM {NAME} LIMIT 0").keys()  # noqa: S608 - ours


def may_be_two_phase(recorded: bool | None, participants: Collection[str]) -> bool:
    """Whether an attempt was committed in two phases; None, of an older checkout's row, counts as yes."""
    return len(participants) > 1 if recorded is None else recorded


def last_committed(driver: Driver, columns: Collection[str], table: str) -> tuple[str, tuple[str, ...]] | None:
    """The last attempt that a database has committed together with others in two phases, and its participants.

    Args:
        driver: a session that is in no transaction. Another session's lock is waited for 5 s.
        columns: those of the journal's table.
        table: its name as SQL writes it.

    Returns:
        None if there is no such attempt, or a later one was committed by itself.

    Raises:
        psycopg2.Error, sqlite3.Error: the journal can't be read.
    """
    if not columns:
        return None
    two_phase = "two_phase" if "two_phase" in columns else "NULL"
    cursor = driver.cursor()
    if not isinstance(driver, sqlite3.Connection):
        cursor.execute("SET lock_timeout = '5s'")
    cursor.execute(
        f"SELECT attempt, {two_phase}, participants FROM {table} WHERE state = '{COMMITTED}' "  # noqa: S608 - ours
        "ORDER BY id DESC LIMIT 1"
    )
    found = cursor.fetchone()
    if found is None:
        return None
    attempt, recorded, participants = found[0], found[1], tuple(json.loads(found[2]))
    is_two_phase = may_be_two_phase(None if recorded is None else bool(recorded), participants)
    return (attempt, participants) if is_two_phase else None


def read_of_all(databases: Sequence[Database], read: Callable[[Connection, Database], Read]) -> Mapping[str, Read]:
    """What `read` reads of the journals of several databases, at the same time. MigrationError if one can't be read."""

    def in_session(database: Database) -> Read:
        with in_database(database.name), connections.connect(database.url) as connection:
            return read(connection, database)

    found = map_in_threads(in_session, databases)
    return {database.name: each for database, each in zip(databases, found, strict=True)}


def read_all(databases: Sequence[Database]) -> Journals:
    """The journals of several databases, with all their rows. MigrationError if one can't be read."""
    return read_of_all(databases, rows)


def left_at(rows: Sequence[JournalRow], heads: Iterable[str]) -> bool:
    """Whether the last committed run of a database, by its rows, ran revisions and left it at these."""
    committed = [row for row in rows if row.is_committed]
    return bool(committed) and not committed[-1].is_stamp and set(committed[-1].after) == set(heads)


def applied(revision: str, path: Path | None, *, upgrade: bool) -> dict[str, Any]:
    """Describe an applied revision; one that is only stamped has no file."""
    return {"revision": revision, "sha256": digest(path) if path else None, "upgrade": upgrade}


def digest(path: Path) -> str:
    """The SHA-256 of a revision's file, and of the SQL file of the same name that it may run.

    Lines end with LF there, whatever they end with in this checkout.
    """
    dump = path.with_suffix(".sql")
    text = path.read_bytes() + (dump.read_bytes() if dump.is_file() else b"")
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


def time_of(connection: Connection, seconds_ago: float = 0) -> tuple[str, str | None]:
    """The time, ISO 8601 in UTC, and the PostgreSQL server whose clock told it, if that may be known."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_SQLITE_TIME, {"ago": f"-{seconds_ago} seconds"})
        return str(found.scalar()), None
    at, is_allowed = connection.exec_driver_sql(_TIME, {"ago": seconds_ago}).one()
    return at, connection.exec_driver_sql(_CLOCK).scalar() if is_allowed else None


def joined(revisions: Iterable[str]) -> str:
    """Revisions, comma-separated; a comma in an id is written as in a URL."""
    return ",".join(each.replace("%", "%25").replace(",", "%2C") for each in sorted(revisions))


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(each.replace("%2C", ",").replace("%25", "%") for each in (text or "").split(",") if each)


def _placeholder(connection: Connection, column: str) -> str:
    return f":{column}" if connection.dialect.name == "sqlite" else f"%({column})s"


def _row(columns: dict[str, Any]) -> JournalRow:
    columns |= {name: _split(columns[name]) for name in ("before", "after")}
    columns |= {name: tuple(json.loads(columns[name] or "[]")) for name in ("revisions", "participants")}
    columns |= {name: json.loads(columns[name] or "{}") for name in ("versions", "details")}
    two_phase = columns["two_phase"]
    return JournalRow(**columns | {"two_phase": None if two_phase is None else bool(two_phase)})


@cache
def versions() -> str:
    modules = {module.__name__: vars(module)["__version__"] for module in (alembic, sqlalchemy, psycopg2)}
    modules["psycopg2"] = modules["psycopg2"].partition(" ")[0]  # build options follow the version
    return json.dumps({"python": platform.python_version()} | modules)
