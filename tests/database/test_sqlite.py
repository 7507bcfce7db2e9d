"""investment_db on SQLite is migrated as carefully as the others."""

import sqlite3
import sys
import threading
from contextlib import closing

import pytest

from multidb.config import reader
from multidb.database import connections
from tests.support.project import Project
from tests.support.runs import MORE

CHILDREN = (
    'op.execute("CREATE TABLE notes (id integer PRIMARY KEY, of_id varchar(36) NOT NULL '
    'REFERENCES investments (investment_id) ON DELETE CASCADE)"); '
    "op.execute(\"INSERT INTO investments VALUES ('a', 't', 's', 'i', 'e', 1, 'p', 'c')\"); "
    "op.execute(\"INSERT INTO notes VALUES (1, 'a')\")"
)
REBUILD = """with op.batch_alter_table("investments", recreate="always") as batch:
        batch.alter_column("partner", type_=sa.String(99))"""


def test_a_revision_that_fails_half_way_leaves_nothing(migrated: Project) -> None:
    migrated.add_revision("investment_db", 2, 'op.execute("CREATE TABLE half (id int)"); op.execute("NONSENSE")')
    error = migrated.alembic("upgrade", "heads").error
    assert error.startswith(
        "error: investment_db: migrations/versions/investment_db/investment_0002_by_hand.py:13: near"
    )
    assert migrated.rows("investment_db", "SELECT name FROM sqlite_master WHERE name = 'half'") == []
    assert migrated.versions()["investment_db"] == ["investment_0001"]


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(migrated: Project) -> None:
    migrated.add_revision("investment_db", 2, CHILDREN)
    migrated.add_revision("investment_db", 3, REBUILD)
    migrated.done("upgrade", "investment_0002")
    migrated.done("upgrade", "investment_0003")
    assert migrated.rows("investment_db", "SELECT * FROM notes") == [(1, "a")]
    assert (
        "VARCHAR(99)"
        in migrated.rows("investment_db", "SELECT sql FROM sqlite_master WHERE name = 'investments'")[0][0]
    )


def test_rows_that_would_refer_to_nothing_are_found_before_the_commit(migrated: Project) -> None:
    migrated.add_revision("investment_db", 2, CHILDREN)
    migrated.add_revision("investment_db", 3, 'op.execute("DELETE FROM investments")')
    assert migrated.alembic("upgrade", "heads").reason == (
        "error: investment_db: 1 rows would violate a foreign key, such as row 1 of notes, which refers to "
        "investments: correct the revision, or the data"
    )
    assert migrated.versions()["investment_db"] == ["investment_0001"]
    assert migrated.rows("investment_db", "SELECT name FROM sqlite_master WHERE name = 'notes'") == []


@pytest.mark.parametrize(("migrating", "expected"), [(True, 0), (False, 1)])
def test_foreign_keys_are_off_while_migrating_and_on_otherwise(
    migrated: Project, migrating: bool, expected: int
) -> None:
    database = reader.load(migrated.root / "databases.yaml").databases(["investment_db"])[0]
    file = database.url.database or ""
    with closing(connections.open_to_migrate(file) if migrating else connections.open_to_read(database.url)) as driver:
        assert driver.execute("PRAGMA foreign_keys").fetchone() == (expected,)


def test_the_journal_file_of_a_crash_is_rolled_back_by_the_next_connection(migrated: Project) -> None:
    crash = (
        "import os, sqlite3; c = sqlite3.connect('investment.db', isolation_level=None); "
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN'); c.execute('CREATE TABLE half (x)'); "
        "c.executemany('INSERT INTO half VALUES (?)', [('x' * 4000,)] * 100); os.kill(os.getpid(), 9)"
    )
    assert migrated.run(sys.executable, "-c", crash).code == -9
    assert (migrated.root / "investment.db-journal").exists()
    assert "investment_db    investment_0001 (head)" in migrated.done("current").out
    assert migrated.rows("investment_db", "SELECT name FROM sqlite_master WHERE name = 'half'") == []


def test_a_writer_that_holds_the_file_is_named(migrated: Project) -> None:
    migrated.add_revision("investment_db", 2, "pass")
    with closing(sqlite3.connect(migrated.root / "investment.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        error = migrated.alembic("-x", "lock_wait=500ms", "upgrade", "heads").retry
    assert error.startswith(
        "error: investment_db: locked by another process that writes to the file, longer than lock_wait = 0.5 s: "
    )
    assert error.endswith("; no database was changed")


def test_a_file_that_is_replaced_while_it_is_open_is_no_full_disk(migrated: Project) -> None:
    file = migrated.root / "investment.db"
    for name in ("auth_db", "investment_db"):
        migrated.add_revision(name, 2, MORE)
    replace = f"import pathlib, shutil; shutil.copy({str(file)!r}, 'copy'); pathlib.Path('copy').replace({str(file)!r})"
    revision = migrated.add_revision("investment_db", 2, f"{MORE}; exec({replace!r})")
    error = migrated.alembic("upgrade", "heads").reason
    assert "the file was replaced, or removed, while it was open" in error
    assert migrated.versions() == migrated.at(1)
    # Before SQLite has written, it notices by itself.
    revision.write_text(revision.read_text().replace(f"{MORE}; exec({replace!r})", f"exec({replace!r}); {MORE}"))
    assert "the file was replaced, or removed, while it was open" in migrated.alembic("upgrade", "heads").reason
    assert migrated.versions() == migrated.at(1)


def test_a_relative_path_is_relative_to_the_file_not_to_where_the_command_was_typed(migrated: Project) -> None:
    result = migrated.run(
        sys.executable, "-m", "alembic", "-c", str(migrated.root / "alembic.ini"), "current", cwd=migrated.root.parent
    )
    assert "investment_db    investment_0001 (head)" in result.out
    assert not (migrated.root.parent / "investment.db").exists()


def test_a_reader_at_the_moment_of_the_commit_is_waited_for(migrated: Project) -> None:
    migrated.add_revision("investment_db", 2, 'op.create_table("more", sa.Column("x", sa.Integer))')
    migrated.add_revision("auth_db", 2, "pass")
    with closing(sqlite3.connect(migrated.root / "investment.db", check_same_thread=False)) as reader:
        cursor = reader.execute("SELECT * FROM sqlite_master")
        cursor.fetchone()
        ending = threading.Timer(2, cursor.close)
        ending.start()
        migrated.done("upgrade", "heads")
        ending.join()
    assert migrated.versions()["investment_db"] == ["investment_0002"]
