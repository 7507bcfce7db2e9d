"""Whether a first revision failed because its database has a schema that was made otherwise: `adopt` records that."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress

import psycopg2

from multidb.advice import known
from multidb.advice.state import was_there
from multidb.config.configuration import Database
from multidb.database.connections import open_to_read
from multidb.errors import MigrationError

# The name of what a statement creates on SQLite, whose error for one that exists has no code of its own.
_CREATED = re.compile(r'\s*CREATE\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|VIEW|TRIGGER)\s+("[^"]+"|\w+)', re.IGNORECASE)


def is_preexisting(database: Database, causes: Iterable[BaseException]) -> bool:
    """Whether what a statement could not create was there before its transaction, as another session sees it.

    Args:
        causes: an error and its causes.
    """
    if not database.is_sqlite:
        return any(isinstance(each, psycopg2.Error) and _exists(each) and was_there(each) for each in causes)
    created = {match[1].strip('"').lower() for each in causes if (match := _CREATED.match(_statement(each)))}
    with suppress(MigrationError, sqlite3.Error), closing(open_to_read(database.url)) as reader:
        return bool(created & {name.lower() for (name,) in reader.execute("SELECT name FROM sqlite_master")})
    return False


def _exists(error: psycopg2.Error) -> bool:
    return error.pgcode in known.EXISTS


def _statement(error: BaseException) -> str:
    return str(getattr(error, "statement", None) or "")
