"""Failures as data, their codes, and the one line that a person reads: the problem, the place, the next step."""

import re
import sqlite3
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import overload

import psycopg2
from alembic.config import Config
from alembic.script.revision import CycleDetected, MultipleHeads, RangeNotAncestorError, ResolutionError, RevisionError
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from multidb.advice import known, said
from multidb.advice.codes import Code


class ExitCode(IntEnum):
    """What a command's exit code says; docs/commands.md has the table."""

    OK = 0  # nothing is wrong, or there was nothing to do
    FAILED = 1  # the command could not be carried out, and nothing was changed
    FOUND = 2  # the command found something: pending revisions, drift, a difference, a changed file
    PARTIAL = 3  # some databases were changed and others not, or a transaction is in doubt
    RETRY = 75
    """A later try may succeed: a lock, no free connection slot, a server that starts. EX_TEMPFAIL of sysexits.h."""

    @classmethod
    def most_severe(cls, codes: Iterable["ExitCode"]) -> "ExitCode":
        """The one exit code for several databases. RETRY yields to FAILED: a retry would not help all of them."""
        order = (cls.PARTIAL, cls.FAILED, cls.RETRY, cls.FOUND, cls.OK)
        return min(codes, key=order.index, default=cls.OK)


class MigrationError(CommandError):
    """A failure as data: its code, one line with the problem and the next step, and the database where it happened.

    The text is composed in one place, `__str__`.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, code: Code, reason: str, database: str | None = None) -> None:
        super().__init__(code, reason)
        self.code, self.reason, self.database = code, reason, database

    def __str__(self) -> str:
        return f"{self.database}: {self.reason}" if self.database else self.reason


class ConfigError(MigrationError):
    """A mistake in databases.yaml, or in a variable that overrides it."""


class RetryError(MigrationError):
    """A failure that may not happen again later: another run's lock, a server that starts."""

    exit_code = ExitCode.RETRY


class PartialError(MigrationError):
    """Some databases were changed and others not, or a transaction is in doubt."""

    exit_code = ExitCode.PARTIAL
    is_in_doubt = False


def joined(errors: Sequence[MigrationError]) -> MigrationError:
    """Several failures as one, so that all of them can be corrected before the next run.

    Where their codes differ, each has its own in the text, except for the last, whose code is that of the whole.
    """
    if len(errors) == 1:
        return errors[0]
    *others, last = errors
    is_one_kind = all(error.code is last.code for error in others)
    texts = [str(error) if is_one_kind else with_code(str(error), error) for error in others]
    found = MigrationError(last.code, "; ".join([*texts, str(last)]))
    found.exit_code = ExitCode.most_severe(error.exit_code for error in errors)
    return found


# Both are tried at every position of a text of any length, so their backtracking is bounded.
_URL_PASSWORD = re.compile(r"\b(\w{1,30}://[^\s:/@]{0,200}):[^\s@]*@")
_OPTION_PASSWORD = re.compile(r"""(password["']?[=:] ?["']?)(?!\*{3})[^\s&'"]+""", re.IGNORECASE)
_LONGEST = 1000  # characters of a line
_MAY_PASS = (Code.LOCK_TIMEOUT, Code.FILE_BUSY)  # a lock of another session, or of another process
_OF_JSON = ("error", "error_code")
# What Alembic says of the ids in a command or in the files; the first that matches is taken.
_OF_REVISIONS: tuple[tuple[type[RevisionError], Code], ...] = (
    (ResolutionError, Code.REVISION_NAME),
    (RangeNotAncestorError, Code.REVISION_NAME),
    (MultipleHeads, Code.SEVERAL_HEADS),
    (CycleDetected, Code.BRANCH),
)
_BIND_WITHOUT_VALUE = "cd3x"  # https://docs.sqlalchemy.org/en/21/errors.html#error-cd3x


def is_command_line(config: Config) -> bool:
    """Whether a command was typed, rather than called from Python, where options such as `x` may be set as well."""
    return hasattr(config.cmd_opts, "raiseerr")


@contextmanager
def reported(config: Config) -> Iterator[None]:
    """Report every failure inside as one line on stderr and an exit code.

    Raises:
        SystemExit: the failure, on a command line; with `alembic --raiseerr` the failure itself, with its traceback.
        CommandError: the failure, called from Python.
    """
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:
        if not is_command_line(config):
            if not isinstance(error, Exception):
                raise
            if isinstance(error, CommandError):
                raise
            raise MigrationError(code_of(error), explain(error)) from error
        assert config.cmd_opts is not None
        if config.cmd_opts.raiseerr:
            raise
        raise exit_for(error) from error


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code of a failure of any kind."""
    own = getattr(error, "exit_code", None)
    if own is None:
        return ExitCode.RETRY if code_of(error) in _MAY_PASS else ExitCode.FAILED
    return ExitCode(own)


def code_of(error: BaseException) -> Code:
    """The code of a failure of any kind, which its section in docs/troubleshooting.md has."""
    error = _own(error)
    own = getattr(error, "code", None)  # some errors of SQLAlchemy have a code of its documentation
    if isinstance(own, Code):
        return own
    if own == _BIND_WITHOUT_VALUE:
        return Code.COLON
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(driver_error, (psycopg2.Error, sqlite3.Error)):
        return known.code_of(driver_error)
    if isinstance(error, KeyboardInterrupt):
        return Code.INTERRUPTED
    if isinstance(error, SyntaxError):
        return Code.NOT_IMPORTED
    if revision_line(error):
        return Code.REVISION_RAISED
    return _of_alembic(error) or (Code.ALEMBIC if isinstance(error, CommandError) else Code.UNEXPECTED)


def _own(error: BaseException) -> BaseException:
    """The failure of ours that SQLAlchemy keeps in a StatementError, or the error itself."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, MigrationError) else error


def _of_alembic(error: BaseException) -> Code | None:
    """The code of what Alembic says of the ids in a command or in the files; None of any other failure."""
    if type(error) is RevisionError:
        return Code.INVALID_ID  # which the constructor of Alembic's Revision does not take
    cause = error.__cause__ if isinstance(error, CommandError) else error
    return next((code for kind, code in _OF_REVISIONS if isinstance(cause, kind)), None)


def with_code(text: str, error: BaseException) -> str:
    """What is said of a failure, with its code at the end."""
    return f"{text} [{code_of(error)}]"


@overload
def said_of(failure: BaseException) -> str: ...


@overload
def said_of(failure: None) -> None: ...


def said_of(failure: BaseException | None) -> str | None:
    """Why something failed, with the code, for a line that names the database itself; None without a failure."""
    return with_code(reason_of(failure), failure) if failure else None


def failure_as_json(failure: BaseException | None) -> dict[str, str | None]:
    """The two properties that `--json` has for a failure; both are None without one."""
    return {"error": reason_of(failure), "error_code": code_of(failure)} if failure else dict.fromkeys(_OF_JSON)


def exit_for(error: BaseException) -> SystemExit:
    """The end of a process that failed: one line on stderr, and the exit code."""
    line, code = f"error: {with_code(explain(error), error)}", exit_code_of(error)
    if code == ExitCode.FAILED:
        return SystemExit(line)  # which Python prints, even to a stderr that is closed
    print(line, file=sys.stderr)
    return SystemExit(int(code))


@contextmanager
def in_database(name: str) -> Iterator[None]:
    """Attribute every failure inside to a database.

    Raises:
        MigrationError: the failure, with the database's name, and with the line of the revision file if it has one.
    """
    try:
        yield
    except MigrationError as error:
        place = revision_line(error)
        if place and place not in error.reason:
            error.reason = f"{place}: {error.reason}"
        error.database = error.database or name
        raise
    except SystemExit as error:
        # Passed on, a revision's sys.exit() would end the run as a success with nothing done.
        raise MigrationError(Code.REVISION_RAISED, f"{_place(error)}sys.exit() was called", name) from error
    except Exception as error:
        kind = RetryError if exit_code_of(error) is ExitCode.RETRY else MigrationError
        raise kind(code_of(error), explain(error), name) from error


def reason_of(error: BaseException) -> str:
    """The failure in one line, as `explain` gives it, without the name of the database."""
    return redacted(error.reason) if isinstance(error, MigrationError) else explain(error)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes; SQLAlchemy keeps the driver's error beside its own."""
    while error is not None:
        yield error
        original = getattr(error, "orig", None)
        if isinstance(original, psycopg2.Error):
            yield original
        error = error.__cause__


def explain(error: BaseException) -> str:
    """Describe a failure in one line: the database, the line of the revision file, the reason, the next step.

    The code is not in it: the line may become a part of another failure's.
    """
    if isinstance(error, MigrationError):
        return redacted(str(error))
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {error}" if str(error) else "interrupted"
    own = _own(error)
    if own is not error:
        return redacted(_place(error) + str(own))
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    remarks: list[str] = []
    advice: str | None = None
    if isinstance(driver_error, (psycopg2.Error, sqlite3.Error)):
        text, remarks = said.message(driver_error), said.remarks(driver_error)
        advice = known.next_step(driver_error)
    elif isinstance(error, SyntaxError):
        return f"{_relative(error.filename)}:{error.lineno}: {error.msg}" if error.filename else error.msg
    elif isinstance(error, CommandError):
        text = " ".join(_text(error).split())
    else:
        reason = " ".join(_text(error).split()) or "no reason given; --raiseerr shows where"
        text = f"{type(error).__name__}: {reason}"
    if code_of(error) is Code.COLON:
        advice = r"write \: for each colon that begins no parameter"
    text = redacted(f"{text} ({'; '.join(remarks)})" if remarks else text)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    return redacted(_place(error) + text + (f": {advice}" if advice else ""))


def nearest(word: str, known: Iterable[str]) -> str:
    """The suggestion for an unknown word, `; did you mean X?`, or an empty text."""
    from difflib import get_close_matches  # only a failure pays for the import

    close = get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def revision_line(error: BaseException) -> str | None:
    """The line of a revision file that raised an error: `migrations/versions/auth_db/auth_0002_x.py:17`."""
    return _line_of(traceback.extract_tb(error.__traceback__))


def current_revision_line() -> str | None:
    """The line of a revision file that is running."""
    return _line_of(traceback.extract_stack())


def _line_of(frames: traceback.StackSummary) -> str | None:
    found = [frame for frame in frames if Path(frame.filename).parts[-3:-2] == ("versions",)]
    return f"{_relative(found[-1].filename)}:{found[-1].lineno}" if found else None


def _place(error: BaseException) -> str:
    place = revision_line(error)
    return f"{place}: " if place else ""


def redacted(text: str) -> str:
    """The text with the passwords of URLs and connection options replaced by `***`."""
    return _OPTION_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", text))


def _relative(filename: str) -> str:
    """A path from `migrations` on."""
    parts = Path(filename).parts
    start = parts.index("migrations") if "migrations" in parts else 0
    return str(Path(*parts[start:]))


def _text(error: BaseException) -> str:
    """The error's text; a revision may raise an exception whose `__str__` fails."""
    try:
        return str(error)
    except Exception:
        return "the exception has no readable text"
