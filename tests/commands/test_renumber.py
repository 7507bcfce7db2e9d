"""`renumber`: of two people who have taken the same number, the later one gets the next."""

import pytest

from tests.support.project import Project
from tests.support.runs import MORE

FOLDER = "migrations/versions/auth_db"
TEXT = '''"""add phone

Revision ID: auth_0002
Revises: auth_0001
Create Date: 2026-11-26
"""

import sqlalchemy as sa
from alembic import op

revision = "auth_0002"
down_revision = "auth_0001"  # the first one
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("phone", sa.Text))


def downgrade() -> None:
    op.drop_column("users", "phone")
'''


@pytest.fixture
def merged(few: Project) -> Project:
    """A branch into which two people's work was merged."""
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    few.write(f"{FOLDER}/auth_0002_add_phone.py", TEXT)
    return few


def test_the_later_file_gets_the_next_number_and_follows_the_other(merged: Project) -> None:
    error = merged.alembic("upgrade", "heads").error
    assert error.endswith("give the later one the next number: `python -m multidb renumber FILE`")
    result = merged.multidb("renumber", f"{FOLDER}/auth_0002_add_phone.py")
    assert result.code == 0, result
    assert result.out == (
        "migrations/versions/auth_db/auth_0002_add_phone.py is "
        "migrations/versions/auth_db/auth_0003_add_phone.py now, and follows auth_0002\n"
    )
    text = TEXT.replace('"auth_0002"', '"auth_0003"').replace('"auth_0001"  #', '"auth_0002"  #')
    text = text.replace("Revision ID: auth_0002\nRevises: auth_0001", "Revision ID: auth_0003\nRevises: auth_0002")
    assert (merged.root / FOLDER / "auth_0003_add_phone.py").read_text() == text
    assert not (merged.root / FOLDER / "auth_0002_add_phone.py").exists()
    merged.done("upgrade", "heads")
    assert merged.versions()["auth_db"] == ["auth_0003"]


def test_a_file_that_has_run_is_taken_back_first(merged: Project) -> None:
    other = merged.root / FOLDER / "auth_0002_by_hand.py"
    kept = other.read_text()
    other.unlink()
    merged.done("upgrade", "heads")
    other.write_text(kept)
    error = merged.multidb("renumber", f"{FOLDER}/auth_0002_add_phone.py").error
    assert error == (
        "error: auth_db: it has run migrations/versions/auth_db/auth_0002_add_phone.py: "
        "`alembic downgrade auth_db@auth_0001` first"
    )
    assert merged.multidb("renumber", f"{FOLDER}/auth_0002_by_hand.py").code == 0  # the other one has not
    merged.done("upgrade", "heads")
    assert merged.versions()["auth_db"] == ["auth_0003"]


def test_what_the_database_has_run_need_not_be_known(merged: Project) -> None:
    merged.variables["AUTH_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/auth_db"
    result = merged.multidb("renumber", f"{FOLDER}/auth_0002_add_phone.py")
    assert result.code == 0
    assert (merged.root / FOLDER / "auth_0003_add_phone.py").exists()


def test_a_file_that_others_follow_is_refused(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    few.add_revision("auth_db", 3, "pass")
    error = few.multidb("renumber", f"{FOLDER}/auth_0002_by_hand.py").error
    assert "auth_0003_by_hand.py follows migrations/versions/auth_db/auth_0002_by_hand.py: renumber the last" in error


def test_a_file_that_is_none(few: Project) -> None:
    for file in ("nowhere.py", "alembic.ini", "migrations/versions/auth_db/none.py"):
        assert few.multidb("renumber", file).error == f"error: {file} is no file of migrations/versions/DATABASE/"


def test_ids_that_are_computed_are_left_alone(merged: Project) -> None:
    computed = TEXT.replace('revision = "auth_0002"', 'revision = "auth_" + "0002"', 1)
    path = merged.write(f"{FOLDER}/auth_0002_add_phone.py", computed)
    error = merged.multidb("renumber", str(path)).error
    assert "auth_0002_add_phone.py computes its ids: write `revision = …`" in error
    assert path.read_text() == computed
    assert sorted(each.name for each in path.parent.glob("auth_0003*")) == []
