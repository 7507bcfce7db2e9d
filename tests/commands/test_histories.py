"""Histories of other projects: here, they make what plain Alembic makes of the same files."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.histories import written
from tests.histories.flow import FLOW
from tests.histories.network import NETWORK
from tests.histories.pocket import POCKET
from tests.histories.shop import SHOP
from tests.histories.tracking import TRACKING
from tests.support.plain import moved_to, plain_alembic
from tests.support.project import Postgres, Project, unique

ON_POSTGRESQL = {"shop": SHOP, "flow": FLOW, "network": NETWORK, "tracking": TRACKING}
# From where a history can be written as a script: the revision is the last that reads its database.
READS = {"shop": "a1d0c6e83f02", "flow": "f16", "network": "", "tracking": "t15"}
ON_SQLITE = {"tracking": TRACKING, "pocket": POCKET}
# What batch mode of plain Alembic loses of an SQLite file, or changes, and this project keeps.
LOST = {
    "tracking": {"trigger kept", "index ix_low", "index ix_runs_status"},
    "pocket": {"trigger t", "index ix_title", "table books", "table words"},
}
pytestmark = pytest.mark.slow


@pytest.fixture
def other(postgres: Postgres) -> Iterator[str]:
    """The URL of another empty database."""
    name = unique()
    postgres.clone("template_empty", name)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def single_file(tmp_path: Path) -> Project:
    """A checkout whose only database is an SQLite file, without revisions."""
    project = Project.copied(tmp_path / "checkout", {}, ["investment_db"])
    for path in (project.root / "migrations/versions/investment_db").glob("*.py"):
        path.unlink()
    return project


def imported(project: Project, versions: Path, database: str = "auth_db") -> None:
    result = project.multidb("import", database, str(versions))
    assert result.code == 0, result


def dump(project: Project, url: str) -> list[str]:
    """The schema and the rows of a database, but for what Alembic and this project record."""
    options = ["--no-owner", "--inserts", "-T", "alembic_version", "-T", "multidb_journal"]
    dumped = project.run("pg_dump", *options, url)
    assert dumped.code == 0, dumped
    return [line for line in dumped.out.splitlines() if line and not line.startswith(("--", "\\"))]


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_a_history_makes_what_plain_alembic_makes(unwritten: Project, other: str, tmp_path: Path, name: str) -> None:
    versions = written(ON_POSTGRESQL[name], tmp_path / "other/versions")
    plain, url = plain_alembic(versions, other), unwritten.variables["AUTH_DB_URL"]
    moved_to(plain, "heads")
    imported(unwritten, versions)
    unwritten.done("upgrade", "heads")
    assert dump(unwritten, url) == dump(unwritten, other)
    assert "no drift" in unwritten.multidb("drift").out
    moved_to(plain, "base")
    unwritten.done("downgrade", "base")
    assert dump(unwritten, url) == dump(unwritten, other)
    unwritten.done("upgrade", "heads")


@pytest.mark.parametrize("name", ["shop", "flow", "tracking"])
def test_what_plain_alembic_made_is_taken_over_at_every_tenth_revision(
    unwritten: Project, postgres: Postgres, other: str, tmp_path: Path, name: str
) -> None:
    history = ON_POSTGRESQL[name]
    versions = written(history, tmp_path / "other/versions")
    plain = plain_alembic(versions, other)
    imported(unwritten, versions)
    for each in history[9::10]:
        moved_to(plain, each.id)
        with_rows = f"{unique()}_{each.id}"
        postgres.clone(other.rpartition("/")[2], with_rows)
        try:
            unwritten.variables["AUTH_DB_URL"] = postgres.url(with_rows)
            assert "no drift" in unwritten.multidb("drift").out  # as it is, by its own row
            unwritten.rows("auth_db", "DROP TABLE alembic_version")
            adopted = unwritten.multidb("adopt", "--at", f"auth_db@{each.id}")
            assert adopted.code == 0, adopted
            unwritten.done("upgrade", "heads")
            left = dump(unwritten, postgres.url(with_rows))
        finally:
            postgres.drop(with_rows)
        if each is history[9]:
            first = left
        assert left == first


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_the_script_of_a_history_makes_what_the_run_makes(
    unwritten: Project, postgres: Postgres, tmp_path: Path, name: str
) -> None:
    start, url = READS[name], unwritten.variables["AUTH_DB_URL"]
    imported(unwritten, written(ON_POSTGRESQL[name], tmp_path / "other/versions"))
    if start:
        error = unwritten.alembic("upgrade", "heads", "--sql").error
        assert "migrations/versions/auth_db/" in error
        unwritten.done("upgrade", start)
    scripted = unique()
    postgres.clone(url.rpartition("/")[2], scripted)
    try:
        script = unwritten.done("upgrade", f"{start or 'base'}:heads", "--sql").out
        ran = unwritten.run("psql", "-qX", "-v", "ON_ERROR_STOP=1", postgres.url(scripted), stdin=script)
        assert ran.code == 0, ran
        unwritten.done("upgrade", "heads")
        assert dump(unwritten, postgres.url(scripted)) == dump(unwritten, url)
    finally:
        postgres.drop(scripted)


# Batch mode of plain Alembic warns of what it loses.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection", "ignore:Unnamed CHECK constraint")
@pytest.mark.parametrize("name", ON_SQLITE)
def test_a_history_makes_what_plain_alembic_makes_on_sqlite(single_file: Project, tmp_path: Path, name: str) -> None:
    versions = written(ON_SQLITE[name], tmp_path / "other/versions")
    plain_file, own_file = tmp_path / "other.db", single_file.root / "investment.db"
    plain = plain_alembic(versions, f"sqlite:///{plain_file}")
    moved_to(plain, "heads")
    imported(single_file, versions, "investment_db")
    single_file.done("upgrade", "heads")
    compare(plain_file, own_file, LOST[name])
    assert "no drift" in single_file.multidb("drift").out
    single_file.done("downgrade", "base")
    assert objects(own_file) == {}
    single_file.done("upgrade", "heads")
    compare(plain_file, own_file, LOST[name])


def objects(file: Path) -> dict[str, str]:
    """What is in an SQLite file, but for what Alembic and this project record."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT type || ' ' || name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        recorded = ("alembic_version", "multidb_journal", "sqlite_sequence")
        return {name: sql for name, table, sql in found if table not in recorded}


def shape(file: Path) -> dict[str, object]:
    """The same, with the columns and foreign keys of a table in place of its text, in which their order differs."""
    found: dict[str, object] = dict(objects(file))
    with closing(sqlite3.connect(file)) as connection:
        for name in tables(file):
            columns = connection.execute(f'SELECT * FROM pragma_table_xinfo("{name}")').fetchall()
            keys = connection.execute(f'SELECT * FROM pragma_foreign_key_list("{name}")').fetchall()
            found[f"table {name}"] = columns, keys
    return found


def rows(file: Path) -> dict[str, list[object]]:
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for name in tables(file)}


def tables(file: Path) -> list[str]:
    return [name.removeprefix("table ") for name in objects(file) if name.startswith("table ")]


def compare(plain: Path, own: Path, lost: set[str]) -> None:
    """The rows are equal, and so is the schema, but for what batch mode of plain Alembic loses."""
    assert rows(own) == rows(plain)
    there, here = shape(plain), shape(own)
    assert {name for name in {**there, **here} if there.get(name) != here.get(name)} == lost
    assert not there.keys() - here.keys()
