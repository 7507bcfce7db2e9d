"""`replaces`: a revision stands for those of former files, also where a database has their ids recorded."""

import json

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE

FOLDER = "migrations/versions/auth_db"
FIRST = "auth_0001_create_users_table.py"
MULTIPLY = 'op.execute("UPDATE numbers SET n = n * 100")'


def renamed(project: Project, ids: str = '("auth_0001",)') -> None:
    """The first revision gets another id, and stands for the former one."""
    path = project.root / FOLDER / FIRST
    text = path.read_text()
    path.unlink()
    new = text.replace('revision = "auth_0001"', 'revision = "auth_first"\nreplaces = ' + ids)
    assert new != text
    project.write(f"{FOLDER}/auth_first_initial.py", new)


@pytest.fixture
def moved(few: Project, postgres: Postgres) -> Project:
    """A checkout in which a file got another id after it had run."""
    few.variables |= postgres.scratch
    renamed(few)
    return few


def test_a_database_at_a_former_id_is_at_the_revision_that_replaces_it(moved: Project) -> None:
    assert moved.done("-x", "db=auth_db", "current").out.split() == ["auth_db", "auth_first", "(head)"]
    [status] = [each for each in json.loads(moved.multidb("status", "--json").out) if each["database"] == "auth_db"]
    assert (status["revision"], status["pending"], status["error"]) == (["auth_first"], 0, None)
    assert moved.multidb("ready").code == 0
    assert "no drift" in moved.multidb("drift", "auth_db").out
    assert moved.multidb("verify").out == "the file of every applied revision is unchanged\n"
    assert moved.versions() == moved.at(1)


def test_an_upgrade_records_the_new_id_together_with_what_is_pending(moved: Project) -> None:
    moved.add_revision("auth_db", 2, MORE, 'op.drop_table("more")', down="auth_first")
    line = moved.done("upgrade", "heads").out.splitlines()[1].split()
    assert line[:4] == ["auth_db", "auth_0001", "auth_0002", "2"]  # one is recorded by its new id, one runs
    assert moved.versions()["auth_db"] == ["auth_0002"]
    moved.done("downgrade", "auth_db@-1")
    assert moved.versions()["auth_db"] == ["auth_first"]


def test_an_upgrade_without_anything_pending_records_the_new_id(moved: Project) -> None:
    moved.done("upgrade", "heads")
    assert moved.versions() == moved.at(1) | {"auth_db": ["auth_first"]}
    assert moved.multidb("verify").code == 0
    assert moved.multidb("rollback", "--yes").code == 0
    assert moved.versions() == moved.at(1)
    moved.done("upgrade", "heads")


def test_a_run_from_before_is_rolled_back_to_the_new_id(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    few.done("upgrade", "heads")
    renamed(few)
    few.edit(f"{FOLDER}/auth_0002_by_hand.py", 'down_revision = "auth_0001"', 'down_revision = "auth_first"')
    assert few.multidb("rollback", "--yes").code == 0
    assert few.versions()["auth_db"] == ["auth_first"]


def test_a_downgrade_begins_at_the_revision_that_replaces_the_recorded_one(moved: Project) -> None:
    moved.edit("databases.yaml", "models.auth}", "models.auth, protected: true}")
    assert (
        "it is protected, and would go back from auth_0001 to <base>"
        in moved.alembic("downgrade", "auth_db@base").error
    )
    moved.done("-x", "allow=downgrade", "downgrade", "auth_db@base")
    assert moved.versions()["auth_db"] == []


def test_a_range_stands_for_its_last_id_only(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    few.add_revision("auth_db", 3, 'op.add_column("more", sa.Column("y", sa.Integer))')
    few.done("upgrade", "auth_db@auth_0002")
    for path in (few.root / FOLDER).glob("auth_000[23]*.py"):
        path.unlink()
    few.edit(
        f"{FOLDER}/{FIRST}",
        'revision = "auth_0001"',
        'revision = "auth_squashed"\nreplaces = ("auth_0001", "auth_0002", "auth_0003")',
    )
    error = (
        "error: auth_db: alembic_version holds 'auth_0002', which "
        f"{FOLDER}/{FIRST} replaces, but only after 'auth_0003': upgrade the database to that with the "
        "former files, or run `python -m multidb adopt auth_db`, which finds the revision by the schema"
    )
    assert few.alembic("upgrade", "heads").error == error
    few.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0003'")
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_squashed"]


def test_adopt_records_the_revision_that_the_row_names(old: Project) -> None:
    """The schemas of two revisions are equal; the former project's row says which of them has run."""
    [recorded] = old.versions()["auth_db"]
    old.add_revision("auth_db", 2, 'op.create_table("numbers", sa.Column("n", sa.Integer))')
    old.add_revision("auth_db", 3, MULTIPLY)
    old.edit(
        f"{FOLDER}/auth_0002_by_hand.py", 'revision = "auth_0002"', f'revision = "auth_0002"\nreplaces = "{recorded}"'
    )
    old.rows("auth_db", "CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (5)")
    result = old.multidb("adopt", "auth_db")
    assert (result.code, old.versions()["auth_db"]) == (0, ["auth_0002"]), result
    old.done("upgrade", "auth_db@head")
    assert old.rows("auth_db", "SELECT n FROM numbers") == [(500,)]


def test_an_id_that_stands_for_two_revisions_is_an_error(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE)
    path = f"{FOLDER}/auth_0002_by_hand.py"
    few.edit(path, 'revision = "auth_0002"', 'revision = "auth_0002"\nreplaces = "auth_0001"')
    error = "error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py: it replaces 'auth_0001', which "
    assert few.alembic("upgrade", "heads").error == f"{error}migrations/versions/auth_db/{FIRST} is: delete one"
    few.edit(path, 'replaces = "auth_0001"', 'replaces = ("a", "b")')
    few.edit(f"{FOLDER}/{FIRST}", 'revision = "auth_0001"', 'revision = "auth_0001"\nreplaces = "a"')
    error = "error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py: it replaces 'a', as "
    assert few.alembic("upgrade", "heads").error == f"{error}migrations/versions/auth_db/{FIRST} does: only one can"
    few.edit(path, 'replaces = ("a", "b")', "replaces = 7")
    assert f"{path}: " in few.alembic("upgrade", "heads").error
