"""Log lines that name the database they are about."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from logging.config import fileConfig

from alembic.config import Config

from multidb.errors import is_command_line

log = logging.getLogger("alembic.multidb")

_database: ContextVar[str | None] = ContextVar("database", default=None)
# Alembic logs these once for each database, and they say nothing about it.
_NOISE = ("Context impl ", "Will assume ", "Generating static SQL")


class DatabaseFormatter(logging.Formatter):
    """Gives `%(database)s`: the current database, else the logger's name."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(with_database(record))


def with_database(record: logging.LogRecord) -> logging.LogRecord:
    """Add the current database to a record; a record from a worker process has its own already."""
    if not hasattr(record, "database"):
        record.database = _database.get() or record.name.removeprefix("alembic.")
    return record


def configure(config: Config) -> None:
    """Set logging up as alembic.ini says, with `-q` for errors only; a program that calls Alembic has its own."""
    if not is_command_line(config):
        return
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    logging.getLogger("alembic.runtime.migration").addFilter(_is_no_noise)
    if getattr(config.cmd_opts, "quiet", False):
        for name in (None, "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def for_database(name: str) -> Iterator[None]:
    """Name this database in every line logged inside."""
    token = _database.set(name)
    try:
        yield
    finally:
        _database.reset(token)


@contextmanager
def silent() -> Iterator[None]:
    """Don't log the migrations run inside, nor show what they print: a replay in a scratch database is no news."""
    alembic, migrations = logging.getLogger("alembic"), logging.getLogger("alembic.runtime.migration")
    level, migrations.disabled = alembic.level, True
    alembic.setLevel(logging.WARNING)  # also of what Alembic finds when it compares
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        migrations.disabled = False
        alembic.setLevel(level)


def _is_no_noise(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOISE)
