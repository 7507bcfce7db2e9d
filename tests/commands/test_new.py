"""`new` and `retire`: a database comes into the checkout, and leaves it."""

import sqlite3
from contextlib import closing

import pytest

from tests.support.project import EXAMPLE, Postgres, Project
from tests.support.runs import interrupt

MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class Pet(Base):
    __tablename__ = "pets"

    pet_id: Mapped[int] = mapped_column(primary_key=True)
"""
MANIFEST = "deploy/k8s/base/databases.yaml"


@pytest.fixture
def checkout_of_few(few: Project, postgres: Postgres) -> Project:
    few.variables |= postgres.scratch
    few.write(MANIFEST, (EXAMPLE / MANIFEST).read_text())
    few.write(".gitignore", "/investment.db*\n")
    return few


def files(project: Project) -> dict[str, bytes]:
    """All files of the checkout but bytecode and the engine's."""
    return {
        str(path.relative_to(project.root)): path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "multidb" not in path.relative_to(project.root).parts
    }


def test_a_new_database_is_made_in_one_step_and_its_tables_come_next(
    checkout_of_few: Project, postgres: Postgres, spare: str
) -> None:
    project = checkout_of_few
    project.variables["PET_DB_URL"] = postgres.url(spare)
    result = project.multidb("new", "pet_db")
    assert (result.code, result.out.splitlines()[-4:]) == (0, [
        "databases.yaml: pet_db",
        "models/pet.py: write its tables there, then `alembic -x db=pet_db revision --autogenerate`",
        f"{MANIFEST}: its object",
        "next: `python -m multidb create pet_db`, then `alembic -x db=pet_db upgrade heads`",
    ]), result  # fmt: skip
    assert "  pet_db:          {models: models.pet}\n" in (project.root / "databases.yaml").read_text()
    assert "  name: pet_db\n  owner: neighbor\n" in (project.root / MANIFEST).read_text()
    assert project.revisions("pet_db") == ["pet_0001_initial.py"]
    project.done("upgrade", "heads")
    project.write("models/pet.py", MODELS)
    assert "pet_0002: upgrade makes what the models say" in project.done("revision", "--autogenerate", "-m", "pets").out
    project.done("upgrade", "heads")
    assert project.multidb("check", "pet_db").out == "pet_db           is like its models\n"


def test_models_that_are_there_already_make_the_first_revision(checkout_of_few: Project) -> None:
    checkout_of_few.write("models/pet.py", MODELS)
    result = checkout_of_few.multidb("new", "--sqlite", "pet_db")
    assert result.code == 0, result
    assert "pet_0001: upgrade makes what the models say, downgrade leads back" in result.out
    assert (checkout_of_few.root / "models/pet.py").read_text() == MODELS
    assert "pet_db" not in (checkout_of_few.root / MANIFEST).read_text()
    assert (checkout_of_few.root / ".gitignore").read_text() == "/investment.db*\n/pet.db*\n"
    assert checkout_of_few.multidb("create", "pet_db").code == 0
    checkout_of_few.done("-x", "db=pet_db", "upgrade", "heads")
    with closing(sqlite3.connect(checkout_of_few.root / "pet.db")) as connection:
        assert list(connection.execute("SELECT * FROM pets")) == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("auth_db", "auth_db: databases.yaml:"),
        ("Pet_db", "databases.yaml:"),
        ("../pet_db", "databases.yaml:"),
        ("broken_db", "models.broken can't be imported"),
    ],
)
def test_a_database_that_can_not_be_added_leaves_every_file_as_it_was(
    checkout_of_few: Project, name: str, error: str
) -> None:
    checkout_of_few.write("models/broken.py", "import nothing_of_this_name\n")
    before = files(checkout_of_few)
    result = checkout_of_few.multidb("new", name)
    assert error in result.error
    assert files(checkout_of_few) == before
    assert not (checkout_of_few.root / "migrations/versions/broken_db").exists()


def test_what_was_added_is_gone_without_a_trace_when_it_is_retired(
    checkout_of_few: Project, postgres: Postgres, spare: str
) -> None:
    project = checkout_of_few
    before = files(project)
    assert project.multidb("new", "pet_db").code == 0
    project.variables["PET_DB_URL"] = postgres.url(spare)
    result = project.multidb("retire", "pet_db")
    assert (result.code, result.out) == (
        0,
        "pet_db: its entry, revisions and models are gone from the checkout; the database stays on its server\n",
    ), result
    assert files(project) == before
    project.done("upgrade", "heads")


def test_a_retired_database_keeps_its_tables_and_what_still_names_it_is_listed(checkout_of_few: Project) -> None:
    project = checkout_of_few
    project.write("deploy/compose.yaml", "x: 1\nUSER_DB_URL: y\n")
    project.multidb("schema", "--out", "schema")
    result = project.multidb("retire", "user_db")
    assert result.code == 0, result
    assert result.out.splitlines()[1:] == ["    still names it: deploy/compose.yaml:2"]
    assert not (project.root / "models/user.py").exists()
    assert not (project.root / "schema/user_db.sql").exists()
    assert "user_db" not in (project.root / MANIFEST).read_text()
    assert project.rows("user_db", "SELECT count(*) FROM user_profiles") == [(0,)]
    project.done("upgrade", "heads")


def test_a_database_is_not_retired_while_it_decides_what_is_in_doubt(pair: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", "user_db"]
    interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads")
    before = files(pair)
    assert "is in doubt: `python -m multidb recover` first" in pair.multidb("retire", "user_db").error
    assert files(pair) == before
    assert pair.multidb("recover").code == 0
    assert pair.multidb("retire", "user_db").code == 0


def test_rollback_says_which_retired_database_it_leaves_as_it_is(pair: Project) -> None:
    pair.done("-x", "two_phase=off", "upgrade", "heads")
    assert pair.multidb("retire", "user_db").code == 0
    result = pair.multidb("rollback", "--yes")
    assert result.code == 0, result
    assert "also changed user_db, which databases.yaml does not have: left as it is\n" in result.out
