"""Log lines that say which database they are about."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging.config import fileConfig

from alembic.config import Config

log = logging.getLogger("alembic.multidb")

_database: ContextVar[str | None] = ContextVar("database", default=None)
# Alembic says these once for each database, and they tell a reader nothing about it.
_NOISE = ("Context impl ", "Will assume ", "Generating static SQL")


class DatabaseFormatter(logging.Formatter):
    """Gives `%(database)s`: the database that is being worked on, else who speaks."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(named_record(record))


def named_record(record: logging.LogRecord) -> logging.LogRecord:
    """The record with its database's name; one that comes from a worker process has it already."""
    if not hasattr(record, "database"):
        record.database = _database.get() or record.name.removeprefix("alembic.")
    return record


def configure(config: Config) -> None:
    """Set logging up as alembic.ini says."""
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    logging.getLogger("alembic.runtime.migration").addFilter(_says_something)


@contextmanager
def naming(database: str) -> Iterator[None]:
    """Name this database in every line logged inside."""
    token = _database.set(database)
    try:
        yield
    finally:
        _database.reset(token)


@contextmanager
def silent() -> Iterator[None]:
    """Say nothing of the migrations run inside: they are no news."""
    migrations = logging.getLogger("alembic.runtime.migration")
    migrations.disabled = True
    try:
        yield
    finally:
        migrations.disabled = False


def _says_something(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOISE)
