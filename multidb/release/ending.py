"""How a run ended, reported in its decider's journal: in a transaction of its own, as far as that is possible."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from multidb.config.configuration import Database
from multidb.database import connections, journal
from multidb.database.attempt import Attempt, Run
from multidb.database.threads import map_in_threads
from multidb.errors import ExitCode, PartialError, exit_code_of, explain, with_code
from multidb.logs import log
from multidb.planning.plan import Plan

# A report does not wait for a standby, nor long for anything else.
_PATIENCE = "SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = '5s'"
_LONGEST = 1000  # characters of an error's line


@contextmanager
def reported(run: Run, plans: Sequence[Plan], attempts: Iterator[int]) -> Iterator[None]:
    """Report how the block ends.

    Args:
        plans: of the databases that the run has locked, in the order of their locks: the last one decides.
        attempts: gives the number of an attempt, for a row where the run has none yet.
    """
    try:
        yield
    except BaseException as error:
        # Where some databases are committed and others not, each with a row of the run tells.
        concerned = plans if exit_code_of(error) == ExitCode.PARTIAL else plans[-1:]
        _report(run, plans, concerned, next(attempts), result_of(error), with_code(explain(error)[:_LONGEST], error))
        raise
    _report(run, plans, plans[-1:], next(attempts), journal.COMMITTED, None)


def result_of(error: BaseException) -> str:
    """The journal's word for a run that ended with an error."""
    if exit_code_of(error) != ExitCode.PARTIAL:
        return journal.FAILED
    is_in_doubt = isinstance(error, PartialError) and error.is_in_doubt
    return journal.IN_DOUBT if is_in_doubt else journal.PARTLY_COMMITTED


def _report(
    run: Run, plans: Sequence[Plan], concerned: Sequence[Plan], number: int, result: str, error: str | None
) -> None:
    names = tuple(plan.database.name for plan in plans)
    attempt = Attempt(run.id, number, names, names[-1], two_phase=False, stages={})
    ended = {"result": result, "error": error}

    def report(plan: Plan) -> None:
        name = plan.database.name
        try:
            row = journal.row_of(run, attempt, name, plan.before)
            _write(plan.database, ended, row, inserts=attempt.decides(name))
        except Exception as failure:  # the run has ended as it has
            log.info("how the run ended is not recorded in %s: %s", name, explain(failure))

    map_in_threads(report, concerned)


def _write(database: Database, ended: dict[str, Any], row: dict[str, Any], *, inserts: bool) -> None:
    with connections.connect(database.url) as connection, connection.begin():
        if not database.is_sqlite:
            connection.exec_driver_sql(_PATIENCE)
        journal.end(connection, database, {**ended, "role": _role(connection)}, row, inserts=inserts)


def _role(connection: Connection) -> str | None:
    """The role that the server knows the session by; SQLite has none."""
    if connection.dialect.name == "sqlite":
        return None
    return str(connection.exec_driver_sql("SELECT session_user").scalar())
