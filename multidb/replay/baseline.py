"""A baseline: the SQL that makes the schema and the rows of a scratch database, as `pg_dump` or SQLite writes it."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from psycopg2.extensions import make_dsn
from sqlalchemy.engine import URL

from multidb.advice.codes import Code
from multidb.advice.said import first_line
from multidb.config.configuration import Database
from multidb.database import connections
from multidb.database.connections import Driver
from multidb.errors import MigrationError
from multidb.local.installations import installations

# The comment in front of each object of a dump.
_HEADER = re.compile(r"^--\n-- (?:Data for )?Name: .*; Type: [A-Z ]+;.*\n--\n", re.MULTILINE)
_EXTENSION = re.compile(r"--\n-- Name: .*; Type: EXTENSION;")
_COMMENT_ON_EXTENSION = re.compile(r"--\n-- Name: EXTENSION .*; Type: COMMENT;")
# What only psql understands; since 2025 pg_dump writes it around each dump.
_COMMAND = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)
# The run has its own, and an older server than the dumped one does not know each.
_TIMEOUT = re.compile(r"^SET \w+_timeout = 0;\n", re.MULTILINE)
_SETTING = re.compile(r"^SET default_\w+ = .*;\n\n?", re.MULTILINE)
_END = "\n-- PostgreSQL database dump complete"
_JOURNAL = "multidb_journal"


def postgresql_schema(url: URL, database: Database) -> str:
    """The objects that `postgresql_dump` writes, without rows, settings, and what only names the programs' versions."""
    dump = postgresql_dump(url, database, "--schema-only")
    objects = "".join(_SETTING.sub("", part) for part in _parts(dump)[1:] if not _EXTENSION.match(part))
    return objects.rpartition(_END)[0].rstrip("-\n") + "\n" if objects else ""


def postgresql_dump(url: URL, database: Database, *more: str) -> str:
    """What `pg_dump` writes of a scratch database, without owners, the version table and the journal.

    Args:
        more: options of `pg_dump`.

    Raises:
        MigrationError: there is no `pg_dump` for the server, or it fails.
    """
    with closing(connections.open_to_read(url)) as driver:
        program = _pg_dump(driver)
        # The driver's own library may have parameters that the program's does not know.
        given = {"host", "port", "user", "dbname", *url.query}
        parameters = {key: each for key, each in driver.info.dsn_parameters.items() if key in given}
        dsn, password = make_dsn(**parameters), driver.info.password
    table = database.version_table
    versions = f'"{table.schema}"."{table.name}"' if table.schema else f'"{table.name}"'
    options = [
        "--no-owner",
        "--inserts",
        "--rows-per-insert=100",
        "-T",
        versions,
        "-T",
        _JOURNAL,
        "--encoding=UTF8",
        *more,
    ]
    # Not on the command line, which every user of the machine can read.
    environment = os.environ | {"PGPASSWORD": password or "", "LC_ALL": "C"}
    command = [program, *options, "-d", dsn]
    said = subprocess.run(command, capture_output=True, env=environment, check=False)  # noqa: S603 - ours
    if said.returncode:
        raise MigrationError(
            Code.PG_DUMP, f"{program} failed: {first_line(said.stderr.decode(errors='replace'))}", database.name
        )
    return _without_comments_on_extensions(_TIMEOUT.sub("", _COMMAND.sub("", said.stdout.decode())))


def sqlite_statements(path: Path, database: Database, *, rows: bool = True) -> Iterator[str]:
    """The statements that make an SQLite file, with its rows or without, without the version table and the journal."""
    left_out = {database.version_table.name, _JOURNAL}
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
        kept = [(kind, table, sql) for kind, table, sql in found if table not in left_out]
        tables = [(table, sql) for kind, table, sql in kept if kind == "table" and not table.startswith("sqlite_")]
        yield from (sql for _, sql in tables)
        if rows:
            inserts = (line.rstrip(";") for line in connection.iterdump() if line.startswith("INSERT INTO "))
            names = tuple(f'INSERT INTO "{table}"' for table, _ in tables)
            yield from (line for line in inserts if line.startswith(names))
        yield from (sql for kind, _, sql in kept if kind != "table")


def _pg_dump(driver: Driver) -> str:
    """The program of the server's major version, or of a newer one, which reads older servers."""
    major = driver.info.server_version // 10000
    own = [each for each in installations() if each.major >= major and (each.binaries / "pg_dump").exists()]
    program = str(own[-1].binaries / "pg_dump") if own else shutil.which("pg_dump")
    if program is None:
        raise MigrationError(
            Code.PG_DUMP,
            f"there is no pg_dump here for PostgreSQL {major}: run `bin/packages postgresql`, or install its client",
        )
    return program


def _without_comments_on_extensions(dump: str) -> str:
    """A dump without what only the owner of an extension may run; to create one that is there needs no privilege."""
    return "".join(part for part in _parts(dump) if not _COMMENT_ON_EXTENSION.match(part))


def _parts(dump: str) -> list[str]:
    """What is in front of the first object, and each object with its comment."""
    places = [*(match.start() for match in _HEADER.finditer(dump)), len(dump)]
    return [dump[: places[0]], *(dump[start:end] for start, end in pairwise(places))]
