"""`schema`: what the revisions make, as SQL that a reviewer reads and an empty database can run."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE


@pytest.fixture
def down(few: Project, postgres: Postgres) -> Project:
    """A checkout with a scratch server, whose databases can't be reached."""
    few.variables |= postgres.scratch
    for name in few.names:
        if few.variables.get(f"{name.upper()}_URL"):
            few.variables[f"{name.upper()}_URL"] = f"postgresql://neighbor@127.0.0.1:1/{name}"
    return few


def test_the_schema_of_a_database_is_what_its_revisions_make(down: Project, postgres: Postgres, spare: str) -> None:
    result = down.multidb("schema", "auth_db")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("-- auth_db at auth_0001: what its revisions make\n\n--\n-- Name: ")
    assert "CREATE TABLE public.users (" in result.out
    for word in ("alembic_version", "multidb_journal", "SET ", "Dumped", "dump complete", "restrict"):
        assert word not in result.out
    down.variables["AUTH_DB_URL"] = postgres.url(spare)
    down.rows("auth_db", f"{result.out} SELECT 1")
    assert "is at" not in (found := down.multidb("adopt", "--dry-run", "auth_db").out)
    assert "auth_db          equals auth_0001" in found


def test_the_schema_of_a_file_is_what_its_revisions_make(down: Project, tmp_path: Path) -> None:
    sql = down.multidb("schema", "investment_db").out
    assert "INSERT INTO" not in sql
    with closing(sqlite3.connect(tmp_path / "made.db")) as connection:
        connection.executescript(sql)
    down.variables["INVESTMENT_DB_URL"] = f"sqlite:///{tmp_path / 'made.db'}"
    assert "equals investment_0001" in down.multidb("adopt", "--dry-run", "investment_db").out


def test_a_directory_has_a_file_for_each_database_and_a_check_says_which_are_not_current(down: Project) -> None:
    assert down.multidb("schema", "--out", "schema").code == 0
    assert {path.stem for path in (down.root / "schema").iterdir()} == set(down.names)
    check = ["schema", "--out", "schema", "--check"]
    assert (down.multidb(*check).code, down.multidb(*check).out) == (0, "")
    down.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    (down.root / "schema/user_db.sql").unlink()
    down.write("schema/old_db.sql", "")
    result = down.multidb(*check)
    assert (result.code, result.out.splitlines()) == (2, [
        "auth_db: schema/auth_db.sql is not what the revisions make",
        "user_db: schema/user_db.sql is missing",
        "schema/old_db.sql: there is no database old_db: delete the file",
        "`python -m multidb schema --out schema` writes them",
    ])  # fmt: skip
    (down.root / "schema/old_db.sql").unlink()
    assert down.multidb("schema", "--out", "schema", "auth_db", "user_db").code == 0
    assert down.multidb(*check).code == 0
    assert "CREATE TABLE public.more (" in (down.root / "schema/auth_db.sql").read_text()


def test_no_file_is_written_if_a_branch_can_not_be_replayed(down: Project) -> None:
    down.add_revision("user_db", 2, "1 / 0")
    assert "user_0002_by_hand.py:13: ZeroDivisionError" in down.multidb("schema", "--out", "schema").error
    assert not (down.root / "schema").exists()
    assert down.multidb("schema", "--check").error == "error: --check is for --out: name the directory of the files"
