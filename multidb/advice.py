"""The next step after an error of a driver, by its code: a server answers in the language of its `lc_messages`."""

import re
import sqlite3
from dataclasses import dataclass

import psycopg2


@dataclass(frozen=True)
class _Rule:
    """The next step after some SQLSTATEs, where the statement matches."""

    sqlstates: frozenset[str]
    next_step: str
    statement: re.Pattern[str] = re.compile("")


def _rule(sqlstates: str, next_step: str, statement: str = "") -> _Rule:
    return _Rule(frozenset(sqlstates.split()), next_step, re.compile(statement, re.IGNORECASE))


_CREATE_EXTENSION = r"\bCREATE\s+EXTENSION\b"
_BROKEN = "see the server's log, then run again"
# https://www.postgresql.org/docs/current/errcodes-appendix.html; the first rule that matches is taken.
_POSTGRESQL = (
    _rule("0A000", "remove that from the revision, or run with -x two_phase=off", r"^PREPARE TRANSACTION\b"),
    _rule("55P04", "write `outside_transaction = True` in the revision that adds the value"),
    _rule(
        "55006",
        'execute "SET CONSTRAINTS ALL IMMEDIATE" before, so that deferred constraints are checked; close its cursors',
        r"\b(ALTER|DROP|TRUNCATE|CREATE|REINDEX|CLUSTER)\b",
    ),
    _rule("25001", "write `outside_transaction = True` under down_revision of a revision of its own"),
    _rule("55P03", "run again later, or with a longer -x lock_timeout="),
    _rule("25006", "the server takes no writes, as a standby does not: use the URL of the primary"),
    # A missing control file is undefined_file before PostgreSQL 15, and feature_not_supported since.
    _rule(
        "0A000 58P01",
        "install PostGIS on the server (Debian: postgresql-NN-postgis-3)",
        rf'{_CREATE_EXTENSION}(\s+IF\s+NOT\s+EXISTS)?\s+"?postgis',
    ),
    _rule("0A000 58P01", "install the extension on the server", _CREATE_EXTENSION),
    _rule("42501", "a superuser must create it once: `python -m multidb create` with an admin URL", _CREATE_EXTENSION),
    _rule("42501", "grant the role the privilege, or make it the owner of the database"),
    _rule(
        "22001",
        "the id of a revision is longer than the version table can hold: give it a shorter one, or widen version_num "
        "in the revision before it",
        r"\bversion_num\b",
    ),
    # Sessions that the server ended: admin_shutdown, crash_shutdown, cannot_connect_now, and for being idle.
    _rule("57P01 57P02 57P03 57P05 25P03", _BROKEN),
)
# https://sqlite.org/rescode.html
REPLACED = "the file was replaced, or removed, while it was open: see what did that, then run again"
_SQLITE = {
    sqlite3.SQLITE_READONLY_DBMOVED: REPLACED,
    sqlite3.SQLITE_IOERR_DELETE_NOENT: REPLACED,
    sqlite3.SQLITE_CANTOPEN: "see that the directory exists and may be written to",
    sqlite3.SQLITE_NOTADB: "the URL names a file that SQLite did not write",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable",
    sqlite3.SQLITE_FULL: "make room on the disk, then run again",
    sqlite3.SQLITE_IOERR: "make room on the disk, or check its health, then run again",
    sqlite3.SQLITE_BUSY: "another process writes to the file: run again when it is done",
}


def next_step(error: BaseException | None) -> str | None:
    """The next step after a driver's error, or None if there is none to name."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        return _SQLITE.get(code, _SQLITE.get(code & 0xFF))
    if not isinstance(error, psycopg2.Error):
        return None
    if error.pgcode is None:
        # libpq gives none for a connection that broke; a misuse of the driver is a ProgrammingError, without one, too.
        return _BROKEN if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) else None
    statement = _statement(error)
    found = (rule for rule in _POSTGRESQL if error.pgcode in rule.sqlstates and rule.statement.search(statement))
    return next((rule.next_step for rule in found), None)


def _statement(error: psycopg2.Error) -> str:
    """The statement that failed, as it was sent."""
    sent = getattr(error.cursor, "query", None)
    return sent.decode("utf-8", "replace") if isinstance(sent, bytes) else ""
