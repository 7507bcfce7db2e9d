"""The table of what is known of SQLSTATEs, result codes and other states: the code of the cause, and the next step.

Nothing is decided by the text of a message: a server answers in the language of its `lc_messages`. Where one SQLSTATE
has several causes, the statement, the server's function that raised it, or the server's own catalogs tell them apart.
"""

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from multidb.advice import state
from multidb.advice.codes import Code

NO_DATABASE = "3D000"  # invalid_catalog_name: the database may be about to be created
NO_SLOT = "53300"  # too_many_connections
LOCKED = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected: a retry may succeed
EXISTS = frozenset({"42P07", "42710", "42P06", "42723"})
"""duplicate_table, duplicate_object, duplicate_schema, duplicate_function."""

SUCCESS = "00000"
BROKEN = "see the server's log, then run again"
REPLACED = "the file was replaced, or removed, while it was open: see what did that, then run again"


@dataclass(frozen=True)
class Known:
    """One cause of an error.

    Attributes:
        code: of the kind of error that this is.
        sqlstates: of the error.
        next_step: what to type or to correct.
        statement: matches the statement that failed.
        routine: the server's function that raised the error, where that tells causes apart; it has no language.
        asked: asks the server for the names to put into the next step; where it returns None, `next_step` is given.
        outside: whether the statement ran outside a transaction, where that tells causes apart.
    """

    code: Code
    sqlstates: frozenset[str]
    next_step: str | None
    statement: re.Pattern[str]
    routine: str | None
    asked: Callable[[psycopg2.Error], str | None] | None
    outside: bool | None

    def matches(self, sqlstate: str, statement: str, routine: str | None, *, outside: bool = False) -> bool:
        return (
            sqlstate in self.sqlstates
            and self.routine in (None, routine)
            and self.outside in (None, outside)
            and self.statement.search(statement) is not None
        )


def _known(
    code: Code,
    sqlstates: str,
    next_step: str | None = None,
    statement: str = "",
    routine: str | None = None,
    asked: Callable[[psycopg2.Error], str | None] | None = None,
    outside: bool | None = None,
) -> Known:
    states, pattern = frozenset(sqlstates.split()), re.compile(statement, re.IGNORECASE)
    return Known(code, states, next_step, pattern, routine, asked, outside)


_CREATE_EXTENSION = r"\bCREATE\s+EXTENSION\b"
_JOURNAL = "multidb_journal"  # whose module imports this one
_PREPARE = r"^PREPARE TRANSACTION\b"
# https://www.postgresql.org/docs/current/errcodes-appendix.html; the first row that matches is taken.
_STATEMENTS = (
    _known(
        Code.NOT_PREPARABLE,
        "0A000",
        "NOTIFY can't be prepared: take it out of the revision, or set `two_phase: off` for this database",
        _PREPARE,
        "AtPrepare_Notify",
        state.notifying_triggers,
    ),
    _known(
        Code.NOT_PREPARABLE,
        "0A000",
        "remove temporary tables, exported snapshots and the like from the revision, or set `two_phase: off` for this "
        "database",
        _PREPARE,
    ),
    _known(
        Code.OUTSIDE_TRANSACTION, "25001 55P04", "execute each statement by an op.execute() of its own", outside=True
    ),
    _known(
        Code.STATEMENT_COMPLETED,
        " ".join(EXISTS),
        "an earlier attempt may have completed the statement: write IF NOT EXISTS, so that it can be repeated",
        outside=True,
    ),
    _known(Code.ENUM_VALUE, "55P04", "write `outside_transaction = True` in the revision that adds the value"),
    _known(
        Code.PENDING_TRIGGERS,
        "55006",
        'execute "SET CONSTRAINTS ALL IMMEDIATE" before, so that deferred constraints are checked, and close cursors; '
        "or change the rows in a revision of its own with `outside_transaction = True`",
        r"\b(ALTER|DROP|TRUNCATE|CREATE|REINDEX|CLUSTER)\b",
    ),
    _known(
        Code.OUTSIDE_TRANSACTION,
        "25001",
        "write `outside_transaction = True` under down_revision of a revision of its own",
    ),
    _known(Code.LOCK_TIMEOUT, "55P03", "run again later, or with a longer -x lock_timeout="),
    _known(Code.LOCK_TIMEOUT, "40P01", "run again"),
    # query_canceled: by statement_timeout, whose setting the run names, or by an administrator.
    _known(Code.CANCELLED, "57014"),
    # not_null_violation, foreign_key_violation, unique_violation, check_violation, exclusion_violation.
    _known(Code.ROWS, "23502 23503 23505 23514 23P01"),
    # invalid_transaction_termination: a procedure commits or rolls back.
    _known(
        Code.ENDS_TRANSACTION,
        "2D000",
        "take COMMIT and ROLLBACK out of the procedure, or write `outside_transaction = True` under down_revision of a "
        "revision of its own",
    ),
    _known(
        Code.READ_ONLY,
        "25006",
        "the transaction is read-only: take SET TRANSACTION READ ONLY out",
        asked=state.read_only,
    ),
    _known(
        Code.NO_SCHEMA,
        "3F000",
        "create the schema in the revision, or correct the search_path of the role or the database",
    ),
    # A missing control file is undefined_file before PostgreSQL 15, and feature_not_supported since.
    _known(
        Code.EXTENSION_MISSING,
        "0A000 58P01",
        "install PostGIS on the server (Debian: postgresql-NN-postgis-3)",
        rf'{_CREATE_EXTENSION}(\s+IF\s+NOT\s+EXISTS)?\s+"?postgis',
    ),
    _known(Code.EXTENSION_MISSING, "0A000 58P01", "install the extension on the server", _CREATE_EXTENSION),
    _known(
        Code.EXTENSION_PRIVILEGE,
        "42501",
        "a superuser must create it once: `python -m multidb create` with an admin URL",
        _CREATE_EXTENSION,
    ),
    _known(
        Code.CREATEROLE,
        "42501",
        "only a role with CREATEROLE may: let an administrator do that before the run",
        r"^\s*(CREATE|ALTER|DROP)\s+(ROLE|USER|GROUP)\b",
    ),
    _known(Code.PRIVILEGE, "42501", "only a superuser, or the owner of the object, may", asked=state.missing_privilege),
    _known(
        Code.INVALID_ID,
        "22001",
        "the id of a revision is longer than the version table can hold: give it a shorter one, or widen version_num "
        "in the revision before it",
        r"\bversion_num\b",
    ),
    _known(Code.DISK, "53100 58030", "make room on the server's disk, or check its health, then run again"),
    # undefined_table, undefined_column: the run's own statements, for it has made the tables.
    _known(
        Code.RECORD_CHANGED,
        "42P01 42703",
        "a revision has dropped, renamed or altered the table: leave it to Alembic and the run",
        rf"\bversion_num\b|\b{_JOURNAL}\b",
    ),
    # Sessions that the server ended: admin_shutdown, crash_shutdown, cannot_connect_now, and for being idle.
    _known(Code.CONNECTION_LOST, "57P01 57P02 57P03 57P05 25P03", BROKEN),
)
# Of refused connections. The routine is the server's function that counts, or where the password came from.
_CONNECTIONS = (
    _known(Code.SERVER_NOT_READY, SUCCESS, "the server accepts connections again: run again"),
    _known(
        Code.LOGIN_REFUSED,
        "28000",
        "allow this host, role and database in the server's pg_hba.conf, or create a role that is missing with "
        "`python -m multidb create`",
    ),
    _known(
        Code.PASSWORD,
        "28P01",
        "correct the user in the URL or the password in PGPASSWORD, or create a role that is missing with "
        "`python -m multidb create`",
        routine="PGPASSWORD",
    ),
    _known(
        Code.PASSWORD,
        "28P01",
        "correct the user in the URL or the password in the .pgpass file, or create a role that is missing with "
        "`python -m multidb create`",
        routine="PGPASSFILE",
    ),
    _known(
        Code.PASSWORD,
        "28P01",
        "correct the user or the password in the URL or its variables, or create a role that is missing with "
        "`python -m multidb create`",
    ),
    # invalid_parameter_value, syntax_error, invalid_name, undefined_object, cant_change_runtime_param: of `options` in
    # the URL, or of PGOPTIONS.
    _known(Code.CONNECTION_OPTION, "22023 42601 42602 42704 55P02", "correct the options in the URL, or PGOPTIONS"),
    _known(Code.NO_DATABASE, NO_DATABASE, "create it with `python -m multidb create`"),
    _known(Code.LOGIN_REFUSED, "42501", "grant the role CONNECT on the database"),
    _known(
        Code.CONNECTION_LIMIT,
        NO_SLOT,
        "run again later, or raise the limit of the role: `ALTER ROLE … CONNECTION LIMIT`",
        routine="InitializeSessionUserId",
    ),
    _known(
        Code.CONNECTION_LIMIT,
        NO_SLOT,
        "run again later, or raise the limit of the database: `ALTER DATABASE … CONNECTION LIMIT`",
        routine="CheckMyDatabase",
    ),
    _known(Code.CONNECTION_LIMIT, NO_SLOT, "run again later, close other connections, or raise max_connections"),
    _known(Code.SERVER_NOT_READY, "57P03", "wait until the server accepts connections, then run again"),
)


# Where there is no SQLSTATE, or none that a row has.
_REFUSED = _known(Code.CONNECTION_FAILED, "")
_FAILED = _known(Code.STATEMENT_FAILED, "")
_LOST = _known(Code.CONNECTION_LOST, "", BROKEN)
# https://sqlite.org/rescode.html
_SQLITE = {
    sqlite3.SQLITE_READONLY_DBMOVED: _known(Code.FILE_REPLACED, "", REPLACED),
    sqlite3.SQLITE_IOERR_DELETE_NOENT: _known(Code.FILE_REPLACED, "", REPLACED),
    sqlite3.SQLITE_CANTOPEN: _known(Code.FILE_NOT_OPENED, "", "see that the directory exists and may be written to"),
    sqlite3.SQLITE_NOTADB: _known(Code.NOT_SQLITE, "", "the URL names a file that SQLite did not write"),
    sqlite3.SQLITE_CORRUPT: _known(Code.FILE_DAMAGED, "", "restore the file from a backup"),
    sqlite3.SQLITE_READONLY: _known(Code.FILE_READ_ONLY, "", "make the file and its directory writable"),
    sqlite3.SQLITE_FULL: _known(Code.DISK, "", "make room on the disk, then run again"),
    sqlite3.SQLITE_IOERR: _known(Code.DISK, "", "make room on the disk, or check its health, then run again"),
    sqlite3.SQLITE_BUSY: _known(Code.FILE_BUSY, "", "another process writes to the file: run again when it is done"),
    sqlite3.SQLITE_CONSTRAINT: _known(Code.ROWS, ""),
}


class Obstacle(Enum):
    """What keeps a client from a server that gives no SQLSTATE."""

    PASSWORD = Code.PASSWORD, "put a password into the URL, into PGPASSWORD or into a .pgpass file"
    CLIENT = Code.CONNECTION_OPTION, "correct the sslmode and the certificates in the URL"
    HOST = Code.HOST, "correct the host in the URL"
    PORT = Code.NOT_LISTENING, "start the server, or correct host and port in the URL; bin/up starts a private one"
    SOCKET = Code.NOT_LISTENING, "start the server, or give a host in the URL"
    CLOSED = (
        Code.NOT_LISTENING,
        "see whether a PostgreSQL server is behind that port: the connection was closed without an answer",
    )
    NETWORK = Code.NO_ANSWER, "check the network and the firewalls between here and the server, then run again"
    OVERLOAD = Code.NO_ANSWER, "the server is overloaded: run again later"
    SILENCE = (
        Code.NO_ANSWER,
        "check for a firewall between here and the server, and whether the server is frozen, then run again",
    )

    def __init__(self, code: Code, next_step: str) -> None:
        self.code, self.next_step = code, next_step


def code_of(error: psycopg2.Error | sqlite3.Error) -> Code:
    """The code of a driver's error."""
    return _cause(error).code


def next_step(error: psycopg2.Error | sqlite3.Error) -> str | None:
    """The next step after a driver's error, or None if there is none to name."""
    cause = _cause(error)
    asked = cause.asked(error) if cause.asked and isinstance(error, psycopg2.Error) else None
    return asked or cause.next_step


def of_refusal(sqlstate: str, detail: str | None) -> Known:
    """What is known of a connection that a server has refused.

    Args:
        sqlstate: which the server gave.
        detail: the server's function that refused, or the variable that the password came from; None if not known.
    """
    return next((row for row in _CONNECTIONS if row.matches(sqlstate, "", detail)), _REFUSED)


def _cause(error: psycopg2.Error | sqlite3.Error) -> Known:
    if isinstance(error, sqlite3.Error):
        result = getattr(error, "sqlite_errorcode", 0)
        return _SQLITE.get(result) or _SQLITE.get(result & 0xFF, _FAILED)
    if error.pgcode is None:
        # libpq gives none for a connection that broke; a misuse of the driver is a ProgrammingError, without one, too.
        return _LOST if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) else _FAILED
    statement, routine = state.statement_of(error), error.diag.source_function
    outside = error.cursor is not None and error.cursor.connection.info.transaction_status == TRANSACTION_STATUS_IDLE
    rows = (row for row in _STATEMENTS if row.matches(error.pgcode, statement, routine, outside=outside))
    return next(rows, _FAILED)
