"""The journal: the table beside `alembic_version`, in each database, that records the runs which changed it.

A row is written in the transaction that it describes, so that it is true. In the decider of a two-phase commit the row
is committed before that as `begun`, and its change to `committed` is the decision. Rows are never deleted, because
prepared transactions elsewhere may be resolved by them. The table is no migration, because it has to exist before the
first revision and after the last downgrade.
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import alembic
import psycopg2
import sqlalchemy
from sqlalchemy import Connection

from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.attempt import Attempt, Run
from multidb.errors import MigrationError, in_database
from multidb.threads import map_in_threads

NAME = "multidb_journal"
# In words that both dialects have. The ids come from no sequence: in a database made from a template, a sequence was
# seen to repeat a number after a crash, and only the holder of the database's lock writes here.
_CREATE = f"""CREATE TABLE IF NOT EXISTS {NAME} (
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
    started_at TEXT NOT NULL, -- ISO 8601, UTC: both dialects store and sort it alike
    seconds DOUBLE PRECISION,
    versions TEXT NOT NULL -- JSON
)"""
BEGUN, COMMITTED = "begun", "committed"


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

    @property
    def is_committed(self) -> bool:
        return self.state == COMMITTED

    @property
    def is_stamp(self) -> bool:
        """Whether the run only recorded revisions."""
        return all(each["sha256"] is None for each in self.revisions)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Journals = Mapping[str, list[JournalRow]]
"""The rows of each database, oldest first, by the databases' names."""


@dataclass(frozen=True)
class Change:
    """What one attempt does in one database.

    Args:
        before: the revisions that the database was at.
        after: the revisions that it is at afterwards.
        revisions: the applied ones in order, as `applied` describes them.
        seconds: how long it took.
    """

    before: tuple[str, ...]
    revisions: Sequence[Mapping[str, Any]]
    after: tuple[str, ...] = ()
    seconds: float = 0.0


def begin(connection: Connection, run: Run, attempt: Attempt, change: Change, *, exists: bool) -> None:
    """Write an attempt's row as `begun`, before the attempt has done anything. The caller commits it.

    Args:
        connection: in a transaction.
        change: what is about to be done.
        exists: whether the journal's table exists.
    """
    row = _columns(run, attempt, change) | {"state": BEGUN, "revisions": json.dumps(change.revisions)}
    _insert(connection, row, exists=exists)


def finish(
    connection: Connection, run: Run, attempt: Attempt, change: Change, *, exists: bool, has_begun: bool
) -> None:
    """Write an attempt's row as `committed`, in the transaction that the row describes.

    Args:
        connection: in that transaction.
        change: what was done.
        exists: whether the journal's table exists.
        has_begun: whether the attempt has a row `begun`, which is then updated.

    Raises:
        MigrationError: the row `begun` is missing.
    """
    done: dict[str, Any] = {
        "after": ",".join(sorted(change.after)),
        "revisions": json.dumps(change.revisions),
        "seconds": round(change.seconds, 3),
        "state": COMMITTED,
    }
    if not has_begun:
        _insert(connection, _columns(run, attempt, change) | done, exists=exists)
        return
    changes = ", ".join(f"{column} = {_placeholder(connection, column)}" for column in done)
    found = connection.exec_driver_sql(
        f"UPDATE {NAME} SET {changes} WHERE attempt = {_placeholder(connection, 'attempt')}",  # noqa: S608 - ours
        done | {"attempt": attempt.id},
    )
    if found.rowcount != 1:  # prepared transactions in other databases would be resolved by this row
        raise MigrationError(f"{NAME} has {found.rowcount} rows of {attempt.id}, where it should have one")


def rows(connection: Connection) -> list[JournalRow]:
    """All rows of a database, oldest first; none if it has no journal. Another session's lock is waited for 5 s."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    if not connection.dialect.has_table(connection, NAME):
        return []
    found = connection.exec_driver_sql(f"SELECT * FROM {NAME} ORDER BY id")  # noqa: S608 - ours
    return [_row(row._asdict()) for row in found]


def read_all(databases: Sequence[Database]) -> Journals:
    """The journals of several databases, read at the same time.

    Raises:
        MigrationError: one can't be read.
    """

    def read(database: Database) -> list[JournalRow]:
        with in_database(database.name), connections.connect(database.url) as connection:
            return rows(connection)

    found = map_in_threads(read, databases)
    return {database.name: each for database, each in zip(databases, found, strict=True)}


def applied(revision: str, path: Path | None, *, upgrade: bool) -> dict[str, Any]:
    """Describe an applied revision.

    Args:
        path: its file, or None where the revision is only stamped.
        upgrade: its direction.
    """
    return {"revision": revision, "sha256": digest(path) if path else None, "upgrade": upgrade}


def digest(path: Path) -> str:
    """The SHA-256 of a revision's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _insert(connection: Connection, row: Mapping[str, Any], *, exists: bool) -> None:
    if not exists:
        connection.exec_driver_sql(_CREATE)
    values = ", ".join(_placeholder(connection, column) for column in row)
    connection.exec_driver_sql(
        f"INSERT INTO {NAME} (id, {', '.join(row)}) "  # noqa: S608 - ours
        f"VALUES ((SELECT coalesce(max(id), 0) + 1 FROM {NAME}), {values})",
        dict(row),
    )


def _placeholder(connection: Connection, column: str) -> str:
    return f":{column}" if connection.dialect.name == "sqlite" else f"%({column})s"


def _columns(run: Run, attempt: Attempt, change: Change) -> dict[str, Any]:
    return {
        "attempt": attempt.id,
        "run": run.id,
        "release": run.release,
        "command": run.command,
        "before": ",".join(sorted(change.before)),
        "participants": json.dumps(attempt.databases),
        "who": run.who,
        "host": run.host,
        "started_at": attempt.started_at,
        "versions": _versions(),
    }


def _row(columns: Mapping[str, Any]) -> JournalRow:
    values = dict(columns)
    values["before"] = tuple(filter(None, columns["before"].split(",")))
    values["after"] = tuple(filter(None, (columns["after"] or "").split(",")))
    values["revisions"] = tuple(json.loads(columns["revisions"] or "[]"))
    values["participants"] = tuple(json.loads(columns["participants"]))
    values["versions"] = json.loads(columns["versions"])
    return JournalRow(**values)


@cache
def _versions() -> str:
    """The versions of Python and the libraries, as JSON."""
    psycopg2_version = str(vars(psycopg2)["__version__"]).partition(" ")[0]  # build options follow the version
    return json.dumps(
        {
            "python": platform.python_version(),
            "alembic": alembic.__version__,
            "sqlalchemy": sqlalchemy.__version__,
            "psycopg2": psycopg2_version,
        }
    )
