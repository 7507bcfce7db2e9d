"""The journal: the table beside `alembic_version`, in each database, that says which run made it what it is.

A row is written in the transaction that it tells of, so that it is true. In one database of a two-phase commit, the
decider, the row is committed before that as `begun`, and its turning to `committed` is the decision; rows are never
deleted, because others may be settled by them. A table of its own, and no migration, because it has to be there before
the first revision and after the last downgrade.
"""

import getpass
import hashlib
import json
import os
import platform
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import alembic
import psycopg2
import sqlalchemy
from sqlalchemy import Connection

from multidb.errors import MigrationError

NAME = "multidb_journal"
# In words that both dialects have. No sequence numbers the rows: that of a database made from a template was seen to
# repeat itself after a crash, and whoever writes here has the database's lock.
_CREATE = f"""CREATE TABLE IF NOT EXISTS {NAME} (
    id INTEGER PRIMARY KEY,
    attempt TEXT NOT NULL UNIQUE, -- of the run: one more for each retry and each release
    run TEXT NOT NULL,
    state TEXT NOT NULL,
    release TEXT,
    command TEXT NOT NULL,
    before TEXT NOT NULL, -- revisions, with a comma between several; empty at base
    after TEXT,
    revisions TEXT, -- JSON: the applied ones in order, each with the SHA-256 of its file
    participants TEXT NOT NULL, -- JSON: the databases of the attempt
    who TEXT NOT NULL,
    host TEXT NOT NULL,
    started_at TEXT NOT NULL, -- ISO 8601, UTC: both dialects keep and sort it alike
    seconds DOUBLE PRECISION,
    versions TEXT NOT NULL -- JSON
)"""
BEGUN, COMMITTED = "begun", "committed"
_GID = "multidb:"


@dataclass(frozen=True)
class Prepared:
    """A prepared transaction that a run of ours left."""

    gid: str
    owner: str
    attempt: str
    decider: str
    database: str

    @classmethod
    def read(cls, gid: str, owner: str) -> "Prepared":
        """Take its id apart; what is missing of a strange one is empty, and no decider is called so."""
        parts = (*gid.removeprefix(_GID).split(":"), "", "", "")
        return cls(gid, owner, *parts[:3])


@dataclass(frozen=True)
class Attempt:
    """One try to bring one release to its databases.

    Args:
        run: the run's id.
        number: which try of the run.
        databases: those that take part, in the order in which they were locked; the last one decides.
        two_phase: whether it is a two-phase commit.
        parts: which part of its plan each database gets: there are several, if it has a revision outside a transaction.
        outside: whether it is one revision outside a transaction, in one database.
        started_at: when, in UTC.
    """

    run: str
    number: int
    databases: tuple[str, ...]
    two_phase: bool
    parts: Mapping[str, int]
    outside: bool = False
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    @property
    def id(self) -> str:
        return f"{self.run}.{self.number}"

    @property
    def decider(self) -> str:
        return self.databases[-1]

    def gid(self, database: str) -> str:
        """The name of a database's prepared transaction, at most 200 bytes."""
        return f"{_GID}{self.id}:{self.decider}:{database}"


@dataclass(frozen=True)
class Run:
    """What is said of a run in each of its databases."""

    command: str
    release: str | None = None
    id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
    who: str = field(default_factory=lambda: _user())
    host: str = field(default_factory=socket.gethostname)


@dataclass(frozen=True)
class Entry:
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

    def as_json(self) -> dict[str, Any]:
        """All that the row holds, for `--json`."""
        return asdict(self)


def begin(
    connection: Connection,
    run: Run,
    attempt: Attempt,
    before: Iterable[str],
    revisions: Sequence[Mapping[str, Any]],
    *,
    there: bool,
) -> None:
    """Write the row of an attempt before it has done anything. The caller commits it.

    Args:
        connection: in a transaction.
        run: the run.
        attempt: the attempt.
        before: the revisions that the database is at.
        revisions: those to be applied, as `applied` describes them.
        there: whether the table is there.
    """
    row = _facts(run, attempt, before) | {"state": BEGUN, "revisions": json.dumps(revisions)}
    _insert(connection, row, there=there)


def finish(
    connection: Connection,
    run: Run,
    attempt: Attempt,
    *,
    before: Iterable[str],
    after: Iterable[str],
    revisions: Sequence[Mapping[str, Any]],
    seconds: float,
    there: bool,
    begun: bool,
) -> None:
    """Write, in the migration's transaction, what it did.

    Args:
        connection: in that transaction.
        run: the run.
        attempt: the attempt.
        before: the revisions that the database was at.
        after: those that it is at now.
        revisions: those applied, in order, as `applied` describes them.
        seconds: how long it took.
        there: whether the table is there.
        begun: whether the attempt has its row, as `begun`.

    Raises:
        MigrationError: that row is not there.
    """
    done: dict[str, Any] = {
        "after": ",".join(sorted(after)),
        "revisions": json.dumps(revisions),
        "seconds": round(seconds, 3),
    }
    done["state"] = COMMITTED
    if begun:
        changes = ", ".join(f"{column} = {_mark(connection, column)}" for column in done)
        found = connection.exec_driver_sql(
            f"UPDATE {NAME} SET {changes} WHERE attempt = {_mark(connection, 'attempt')}",  # noqa: S608 - ours
            done | {"attempt": attempt.id},
        )
        if found.rowcount != 1:  # by it the others would be settled
            raise MigrationError(f"{NAME} has {found.rowcount} rows of {attempt.id}, where it should have one")
        return
    _insert(connection, _facts(run, attempt, before) | done, there=there)


def entries(connection: Connection) -> list[Entry]:
    """All rows of a database, oldest first; none if it has no journal. Nobody's lock is waited for long."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    if not connection.dialect.has_table(connection, NAME):
        return []
    return [_entry(row._asdict()) for row in connection.exec_driver_sql(f"SELECT * FROM {NAME} ORDER BY id")]  # noqa: S608 - ours


def applied(revision: str, path: Path | None, *, upgrade: bool) -> dict[str, Any]:
    """How a revision stands in the journal.

    Args:
        revision: its id.
        path: its file, or None where it is only stamped.
        upgrade: its direction.
    """
    return {"revision": revision, "sha256": digest(path) if path else None, "upgrade": upgrade}


def digest(path: Path) -> str:
    """The SHA-256 of a revision's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _insert(connection: Connection, row: Mapping[str, Any], *, there: bool) -> None:
    if not there:
        connection.exec_driver_sql(_CREATE)
    values = ", ".join(_mark(connection, column) for column in row)
    connection.exec_driver_sql(
        f"INSERT INTO {NAME} (id, {', '.join(row)}) "  # noqa: S608 - ours
        f"VALUES ((SELECT coalesce(max(id), 0) + 1 FROM {NAME}), {values})",
        dict(row),
    )


def _mark(connection: Connection, column: str) -> str:
    """Where a value goes, as the driver writes it."""
    return f":{column}" if connection.dialect.name == "sqlite" else f"%({column})s"


def _facts(run: Run, attempt: Attempt, before: Iterable[str]) -> dict[str, Any]:
    return {
        "attempt": attempt.id,
        "run": run.id,
        "release": run.release,
        "command": run.command,
        "before": ",".join(sorted(before)),
        "participants": json.dumps(attempt.databases),
        "who": run.who,
        "host": run.host,
        "started_at": attempt.started_at,
        "versions": _versions(),
    }


def _entry(row: Mapping[str, Any]) -> Entry:
    values = dict(row)
    values["before"] = tuple(filter(None, row["before"].split(",")))
    values["after"] = tuple(filter(None, (row["after"] or "").split(",")))
    values["revisions"] = tuple(json.loads(row["revisions"] or "[]"))
    values["participants"] = tuple(json.loads(row["participants"]))
    values["versions"] = json.loads(row["versions"])
    return Entry(**values)


@cache
def _versions() -> str:
    """Of Python and the tools, as JSON."""
    psycopg2_version = str(vars(psycopg2)["__version__"]).partition(" ")[0]  # then come the options it was built with
    return json.dumps(
        {
            "python": platform.python_version(),
            "alembic": alembic.__version__,
            "sqlalchemy": sqlalchemy.__version__,
            "psycopg2": psycopg2_version,
        }
    )


def _user() -> str:
    """Who runs this, as the machine calls him; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
