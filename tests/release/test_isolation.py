"""A revision's file changes nothing of the other databases' migrations, whatever its import does."""

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import started

# What files of real projects do when they are imported: register a compiler, patch a library, set up logging, print.
REACHING = """
import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.ext.compiler import compiles

revision = "auth_0002"
down_revision = "auth_0001"


@compiles(sa.ForeignKeyConstraint, "postgresql")
def without_a_name(element, compiler, **options):
    element.name = None
    return compiler.visit_foreign_key_constraint(element, **options)


@compiles(sa.Text, "sqlite")
def clob(element, compiler, **options):
    return "CLOB"


def refuse(*arguments):
    raise RuntimeError("patched")


sa.text = refuse
logging.basicConfig(level=logging.DEBUG, format="TAKEN OVER %(message)s", force=True)
print("imported auth_0002")


def upgrade():
    op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("a")
"""
KEY = """op.create_table("p", sa.Column("id", sa.Integer, primary_key=True))
    op.create_table("c", sa.Column("p", sa.Integer))
    op.create_foreign_key("my_own_name", "c", "p", ["p"], ["id"])
    op.execute(sa.text("SELECT 1"))"""
DROP = 'op.drop_table("c"); op.drop_table("p")'
NAME = "SELECT conname FROM pg_constraint WHERE conrelid = 'c'::regclass"


@pytest.fixture
def reaching(few: Project) -> Project:
    """A database whose revision reaches far, and others that come after it in every order."""
    few.write("migrations/versions/auth_db/auth_0002_reaching.py", REACHING)
    few.add_revision("user_db", 2, KEY, DROP)
    few.add_revision("investment_db", 2, 'op.create_table("t", sa.Column("x", sa.Text))', 'op.drop_table("t")')
    return few


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_what_the_import_of_a_revision_changes_stays_in_its_database(reaching: Project, jobs: str) -> None:
    result = reaching.done("-x", f"jobs={jobs}", "upgrade", "heads")
    assert result.out.count("imported auth_0002") == 1
    assert reaching.rows("user_db", NAME) == [("my_own_name",)]
    assert "TEXT" in reaching.rows("investment_db", "SELECT sql FROM sqlite_master WHERE name = 't'")[0][0]
    assert "INFO  [user_db] Running upgrade user_0001 -> user_0002, by hand" in result.err
    assert result.err.splitlines()[-1] == "INFO  [multidb] committed in 3 databases"
    result = reaching.multidb("-x", f"jobs={jobs}", "rollback", "--yes")
    assert result.code == 0, result
    assert reaching.versions() == reaching.at(1)


@pytest.mark.parametrize("command_line", ["upgrade heads", "current", "history", "stamp heads", "upgrade user_db@head"])
def test_a_branch_that_runs_nothing_is_not_imported(reaching: Project, command_line: str) -> None:
    reaching.done("upgrade", "heads")
    result = reaching.done(*command_line.split())
    assert "imported" not in result.out
    assert "TAKEN OVER" not in result.err


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_replays_are_apart_too(reaching: Project, postgres: Postgres, jobs: str) -> None:
    reaching.variables |= postgres.scratch
    reaching.done("upgrade", "heads")
    result = reaching.multidb("-x", f"jobs={jobs}", "drift")
    assert result.out.count("no drift") == 4, result
    assert reaching.multidb("drift", "user_db").out.count("no drift") == 1


def test_scripts_are_apart_too(reaching: Project) -> None:
    result = reaching.done("upgrade", "heads", "--sql")
    script = (reaching.root / "sql/user_db.sql").read_text()
    assert "ADD CONSTRAINT my_own_name FOREIGN KEY" in script
    assert "x TEXT" in (reaching.root / "sql/investment_db.sql").read_text()
    assert "INFO  [user_db] written to sql/user_db.sql" in result.err


def test_imports_that_fail_are_all_named_at_once_and_nothing_is_changed(few: Project) -> None:
    for name, number in (("auth_db", 2), ("auth_db", 3), ("user_db", 2)):
        few.add_revision(name, number, "pass\nimport nowhere")
    few.add_revision("content_db", 2, 'op.execute("CREATE TABLE t (x int)")')
    error = few.alembic("upgrade", "heads").error
    for place in ("auth_db/auth_0002_by_hand", "auth_db/auth_0003_by_hand", "user_db/user_0002_by_hand"):
        assert f"migrations/versions/{place}.py:14: ModuleNotFoundError: No module named 'nowhere'" in error
    assert few.versions() == few.at(1)
    assert few.rows("content_db", "SELECT to_regclass('t'), to_regclass('multidb_journal')") == [
        (None, "multidb_journal")
    ]


def test_an_import_that_hangs_can_be_interrupted(few: Project) -> None:
    marker = few.root / "importing"
    for name in ("auth_db", "user_db"):
        few.add_revision(name, 2, f"pass\nimport pathlib, time; pathlib.Path({str(marker)!r}).touch(); time.sleep(60)")
    with started(few, "upgrade", "heads") as process:
        while not marker.exists():
            assert process.poll() is None
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "error: interrupted by SIGTERM; no database was changed [MDB605]"
