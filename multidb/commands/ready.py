"""`ready`: may a service start? Its databases are at the head of these files, or newer where that is allowed.

It takes no lock and writes nothing: a hundred services may ask at the same moment.
"""

import sqlite3
import time
from collections.abc import Sequence

import psycopg2
from alembic.script import ScriptDirectory

from multidb.config.configuration import Database
from multidb.database.probe import Look, looked_at
from multidb.errors import MigrationError, explain
from multidb.logs import log
from multidb.planning.branches import Branch
from multidb.planning.plan import shown
from multidb.planning.selection import owner_of

_PAUSE = 1.0  # seconds between two looks
_ANSWER = 15.0  # seconds that a server may at least take to let us in and to answer


def wait_until_ready(
    script: ScriptDirectory, databases: Sequence[Database], *, wait: float, timeout: float, newer: bool
) -> None:
    """Wait until every database is at the head of its branch.

    Args:
        script: Alembic's script directory.
        databases: which.
        wait: seconds to wait for a server that can't be reached yet.
        timeout: seconds to wait, once the servers answer, for whoever migrates the databases.
        newer: whether a database may also be at a revision that came after these files.

    Raises:
        MigrationError: one is not at head in time, is newer and may not be, or can't be read.
    """
    branches = [Branch(script, database.name) for database in databases]
    until: float | None = None
    said: list[str] = []
    while True:
        answered = time.monotonic() + wait + max(timeout, _ANSWER)
        with looked_at(databases, wait) as looks:
            for look in looks:
                look.wait(max(0.0, answered - time.monotonic()))
            reasons = [_missing(look, branch, newer=newer) for look, branch in zip(looks, branches, strict=True)]
        missing = [reason for reason in reasons if reason]
        if not missing:
            return
        until = until or time.monotonic() + timeout
        if time.monotonic() >= until:
            raise MigrationError(f"{'; '.join(missing)}, and nobody has changed that within {timeout:g} s")
        if missing != said:
            said = missing
            log.info("waits to be migrated, at most %g s: %s", timeout, "; ".join(missing))
        time.sleep(_PAUSE)


def _missing(look: Look, branch: Branch, *, newer: bool) -> str | None:
    """Why a database isn't ready yet, or None if it is.

    Raises:
        MigrationError: it can't be read, or never becomes ready.
    """
    name = branch.database
    if not look.wait(0):
        raise MigrationError(f"{name}: its server does not answer: see whether it is frozen, then run again")
    try:
        heads = look.heads
    except Exception as error:
        text = f"{name}: {explain(error)}"
        if look.connection is not None and isinstance(error, (psycopg2.OperationalError, sqlite3.OperationalError)):
            return text  # somebody restarts its server, or is at work in it
        raise MigrationError(text) from error
    if look.in_doubt:
        return f"{name} is in doubt until a run, or `python -m multidb recover`, settles it"
    if set(heads) == set(branch.heads):
        return None
    if _are_newer(heads, branch):
        if newer:
            return None
        raise MigrationError(
            f"{name}: it is at {shown(heads)}, newer than {shown(branch.heads)}, which is what these files know: "
            "start a newer version, or allow this one with --newer"
        )
    way = f"`alembic upgrade {name}@head`"
    return f"{name} is at {shown(heads)} and not at {shown(branch.heads)}, where {way} brings it"


def _are_newer(heads: Sequence[str], branch: Branch) -> bool:
    """Whether all revisions that the files don't know have the branch's numbers, and later ones than theirs."""
    unknown = [head for head in heads if not branch.knows(head)]
    return bool(unknown) and all(
        owner_of(head, [branch.database]) and _number(head) >= _number(branch.next_id()) for head in unknown
    )


def _number(revision: str) -> int:
    return int(revision.rpartition("_")[2] or 0)
