"""What a person reads when something goes wrong: one line with what, where, and what to do next."""

import re
import sqlite3
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError


class MigrationError(CommandError):
    """A failure whose message is already what a person should read."""

    exit_code = 1
    """1: nothing was changed; 3: some databases were changed and others not, or are in doubt."""


class ConfigError(MigrationError):
    """Something in databases.yaml, or in a variable that overrides it, is wrong."""


# What a driver says, and what to do about it; the first that matches is taken. Of a connection that was not had:
_CONNECTING: tuple[tuple[str, str], ...] = (
    (r"password authentication failed", "correct the user or the password in the URL"),
    (r"no password supplied", "put a password into the URL, or use a .pgpass file"),
    (r'(database|role) "[^"]*" does not exist', "create it with `python -m multidb create`"),
    (r"could not translate host name", "correct the host in the URL"),
    (r"Connection refused", "start the server, or correct host and port in the URL; bin/up starts a private one"),
    (r"No such file or directory", "start the server, or give a host in the URL"),
    (r"starting up|shutting down|in recovery mode", "wait until the server accepts connections, then run again"),
    (r"timeout expired|timed out", "see whether a firewall is in the way, then run again"),
    (r"too many (clients|connections)|connection slots", "let other clients go, or raise max_connections"),
    (r"no pg_hba\.conf entry", "let this host in through the server's pg_hba.conf"),
    (r"SSL|certificate", "correct the sslmode and the certificates in the URL"),
)
_BROKE = r"terminat|closed the connection|connection already closed"
# Of a statement, or of an SQLite file:
_WORKING: tuple[tuple[str, str], ...] = (
    (r"cannot PREPARE a transaction that has", "take that out of the revision, or run with -x two_phase=off"),
    (r"unsafe use of new value", "write `outside_transaction = True` in the revision that adds the value"),
    (r"due to lock timeout", "run again when it is done, or with a longer -x lock_timeout="),
    (r"due to statement timeout", "run with a longer -x statement_timeout="),
    (r"read-only transaction", "the server takes no writes, as a standby does not: use the URL of the primary"),
    (r"postgis.*(is not available|\.control)", "install PostGIS on the server (Debian: postgresql-NN-postgis-3)"),
    (r'extension "[^"]*" is not available|\.control"', "install the extension on the server"),
    (
        r"permission denied to create extension",
        "a superuser must create it once: `python -m multidb create` with an admin URL",
    ),
    (r"permission denied|must be owner", "grant the role the privilege, or make it the owner of the database"),
    (_BROKE, "see the server's log, then run again"),
    (r"unable to open database file", "see that the directory exists and may be written to"),
    (r"file is not a database", "the URL names a file that SQLite did not write"),
    (r"readonly database", "make the file and its directory writable"),
    (r"disk is full|disk I/O error", "make room on the disk, then run again"),
    (r"database is locked", "another process writes to the file: run again when it is done"),
)
# Both are tried at every place of a text that a revision may make as long as it likes: neither goes back far.
_URL_PASSWORD = re.compile(r"\b(\w{1,30}://[^\s:/@]{0,200}):[^\s@]*@")
_OPTION_PASSWORD = re.compile(r"""(password["']?[=:] ?["']?)(?!\*{3})[^\s&'"]+""", re.IGNORECASE)
_LONGEST = 1000  # characters of a line that somebody should read


@contextmanager
def reported(config: Config) -> Iterator[None]:
    """Turn whatever is raised inside into one line on stderr and exit code 1, or 3 where some databases have changed.

    `alembic --raiseerr` lets the exception through, traceback and all. Called from Python, where there is no
    command line, the line becomes a CommandError.

    Raises:
        SystemExit: the command line's form of the failure.
        CommandError: the caller's.
    """
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:
        if config.cmd_opts is None:
            if not isinstance(error, Exception):
                raise
            raise error if isinstance(error, CommandError) else MigrationError(explain(error)) from error
        if config.cmd_opts.raiseerr:
            raise
        raise exit_for(error) from error


def exit_for(error: BaseException) -> SystemExit:
    """The end of a process that failed: one line on stderr, and the exit code."""
    line, code = f"error: {explain(error)}", getattr(error, "exit_code", 1)
    if code == 1:
        return SystemExit(line)
    print(line, file=sys.stderr)
    return SystemExit(code)


@contextmanager
def named(database: str) -> Iterator[None]:
    """Put a database's name in front of whatever is raised inside.

    Raises:
        MigrationError: the failure, in one line that begins with the name.
    """
    try:
        yield
    except MigrationError as error:
        text = str(error).removeprefix(f"{database}: ")
        place = revision_line(error)
        if place and place not in text:
            text = f"{place}: {text}"
        raise MigrationError(f"{database}: {text}") from error
    except SystemExit as error:
        # Passed on, a revision's sys.exit() would end the run as a success with nothing done.
        place = revision_line(error)
        raise MigrationError(f"{database}: {f'{place}: ' if place else ''}sys.exit() was called") from error
    except Exception as error:
        raise MigrationError(f"{database}: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """One line that says what went wrong, in which revision file if in one, and what to do.

    Args:
        error: what was raised.
    """
    if isinstance(error, MigrationError):
        return redacted(str(error))
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(driver_error, (psycopg2.Error, sqlite3.Error)):
        whole = _text(driver_error)
        said = _first_line(whole)
    elif isinstance(error, SyntaxError):
        return f"{_short(error.filename or '?')}:{error.lineno}: {error.msg}"
    elif isinstance(error, CommandError):
        whole = said = _one_line(_text(error))
    else:
        text = _one_line(_text(error)) or "no reason given; --raiseerr shows where"
        whole = said = f"{type(error).__name__}: {text}"
    place = revision_line(error)
    advice = _advice(driver_error, whole)
    said = redacted(said)
    if len(said) > _LONGEST:
        said = f"{said[:_LONGEST]}…"
    return redacted((f"{place}: " if place else "") + said + (f": {advice}" if advice else ""))


def _advice(error: BaseException | None, said: str) -> str | None:
    """What to do about what a driver said."""
    if not isinstance(error, (psycopg2.Error, sqlite3.Error)):
        return None
    # A failed connection comes from libpq and has no SQLSTATE, and neither has one that broke, which says so.
    connecting = isinstance(error, psycopg2.OperationalError) and error.pgcode is None and not re.search(_BROKE, said)
    known = _CONNECTING if connecting else _WORKING
    return next((text for pattern, text in known if re.search(pattern, said)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """What to add to a message about an unknown word: the known one that is nearest, or nothing.

    Args:
        word: what was written.
        known: what could have been.
    """
    from difflib import get_close_matches  # only a failure has to wait for it

    close = get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def revision_line(error: BaseException) -> str | None:
    """The line of a revision file in which it happened: `migrations/versions/auth_db/auth_0002_x.py:17`."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [frame for frame in frames if Path(frame.filename).parts[-3:-2] == ("versions",)]
    return f"{_short(found[-1].filename)}:{found[-1].lineno}" if found else None


def redacted(text: str) -> str:
    """The text without what looks like a password in a URL or a connection option."""
    return _OPTION_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", text))


def _short(filename: str) -> str:
    """A path from `migrations` on, as it is written in the project."""
    parts = Path(filename).parts
    start = parts.index("migrations") if "migrations" in parts else 0
    return str(Path(*parts[start:]))


def _text(error: BaseException) -> str:
    """What it says, if it can say it: a revision may raise exceptions of its own."""
    try:
        return str(error)
    except Exception:
        return "its text can't be had"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].strip() if text.strip() else "no message"


def _one_line(text: str) -> str:
    return " ".join(text.split())
