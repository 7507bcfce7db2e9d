"""What was approved is what runs: `plan --out FILE`, then `alembic -x plan=FILE upgrade heads`."""

import json
from pathlib import Path

import pytest

from tests.support.project import Postgres, Project

APPROVED = ("-x", "plan=plan.json", "upgrade", "heads")


@pytest.fixture
def approved(few: Project, postgres: Postgres) -> Project:
    """A checkout with a pending revision, and its approved plan."""
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, "op.execute('ALTER TABLE users ADD COLUMN nick text')")
    assert few.multidb("plan", "--out", "plan.json").code == 0
    return few


def test_an_approved_plan_is_carried_out_and_logged(approved: Project) -> None:
    digest = json.loads((approved.root / "plan.json").read_text())["digest"]
    approved.done(*APPROVED)
    [run] = [line for line in approved.multidb("log", "auth_db").out.splitlines() if f"  plan {digest[:12]}  " in line]
    assert run.endswith("committed")
    again = approved.done(*APPROVED)  # as a pipeline that is started again does
    assert "has been carried out" in again.err


def test_a_changed_plan_is_refused(approved: Project) -> None:
    approved.edit("plan.json", "auth_0002", "auth_0003")
    result = approved.alembic(*APPROVED)
    assert result.error == "error: plan.json was changed after it was written: plan again, and have that approved"
    approved.write("plan.json", "{}")
    assert "is no plan of `plan --out`" in approved.alembic(*APPROVED).error
    (approved.root / "plan.json").unlink()
    assert approved.alembic(*APPROVED).error == "error: plan.json can't be read: No such file or directory"


def test_a_changed_revision_is_refused(approved: Project) -> None:
    file = "migrations/versions/auth_db/auth_0002_by_hand.py"
    approved.edit(file, "nick", "nickname")
    assert approved.alembic(*APPROVED).error == (
        f"error: auth_db: {file} changed after plan.json was written: plan again"
    )


def test_a_changed_schema_is_refused_and_named(approved: Project) -> None:
    approved.rows("auth_db", "CREATE INDEX by_hand ON users (full_name)")
    assert approved.alembic(*APPROVED).error == (
        "error: auth_db: index users.by_hand changed in the database after plan.json was written: plan again"
    )


def test_a_database_that_has_moved_is_refused(approved: Project) -> None:
    approved.done("upgrade", "heads")
    approved.add_revision("auth_db", 3, "pass")
    approved.done("upgrade", "heads")
    assert approved.alembic(*APPROVED).error == (
        "error: auth_db: it has moved from auth_0001 to auth_0003 after plan.json was written: plan again"
    )


def test_work_that_the_plan_does_not_have_is_refused(approved: Project) -> None:
    approved.add_revision("user_db", 2, "pass")
    assert approved.alembic(*APPROVED).error == (
        "error: user_db: plan.json does not have its pending revisions: plan again"
    )
    approved.add_revision("auth_db", 3, "pass")
    assert "auth_db: plan.json has auth_0002, and this run auth_0002, auth_0003: plan again" in (
        approved.alembic(*APPROVED).error
    )
    assert approved.versions()["auth_db"] == ["auth_0001"]


def test_a_changed_policy_is_refused(approved: Project) -> None:
    text = (approved.root / "databases.yaml").read_text()
    approved.write("databases.yaml", f"policy: {{small: 5}}\n{text}")
    assert approved.alembic(*APPROVED).error == (
        "error: auth_db: its policy in databases.yaml changed after plan.json was written: plan again"
    )


def test_a_plan_of_a_database_that_failed_is_not_written(approved: Project) -> None:
    approved.variables["USER_DB_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/user_db"
    result = approved.multidb("plan", "--out", "other.json")
    assert result.error == "error: other.json is not written: user_db could not be planned"
    assert not Path(approved.root / "other.json").exists()


def test_a_file_that_cannot_be_written_is_one_line(approved: Project) -> None:
    result = approved.multidb("plan", "--out", "nowhere/plan.json")
    assert result.error == "error: nowhere/plan.json can't be written: No such file or directory"
