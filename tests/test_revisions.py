"""What a revision may not do, and what is said when it does."""

import pytest

from tests.project import Project


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ('op.execute("COMMIT")', "COMMIT in a revision would end the transaction of all databases: leave it out"),
        ('op.execute("-- done\\n  rollback")', "ROLLBACK in a revision would end the transaction"),
        ("op.get_bind().commit()", "a revision may not commit or roll back: all databases are committed together"),
        ("op.get_bind().rollback()", "a revision may not commit or roll back: all databases are committed together"),
    ],
)
@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
def test_a_revision_that_would_end_the_transaction_is_refused(
    migrated: Project, name: str, upgrade: str, expected: str
) -> None:
    migrated.add_revision("rating_db", 2, "pass")
    migrated.add_revision(name, 2, upgrade)
    error = migrated.alembic("upgrade", "heads").error
    assert error.startswith(f"error: {name}: ")
    assert expected in error
    versions = migrated.versions()
    assert versions["rating_db"] == ["rating_0001"]
    assert versions[name] == [f"{name.removesuffix('_db')}_0001"]


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ("raise SystemExit", "sys.exit() was called"),
        ("raise SystemExit(0)", "sys.exit() was called"),
        ("raise KeyError('x\\ny')", "KeyError: 'x\\ny'"),
        ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
        ("assert False", "AssertionError"),
        ("raise KeyboardInterrupt", "auth_db: KeyboardInterrupt was raised; no database was changed"),
    ],
)
def test_whatever_a_revision_raises_is_one_line(migrated: Project, upgrade: str, expected: str) -> None:
    migrated.add_revision("auth_db", 2, upgrade)
    migrated.add_revision("user_db", 2, "pass")
    before = migrated.versions()
    error = migrated.alembic("upgrade", "heads").error
    assert expected in error
    assert "Interrupt" in expected or error.startswith(
        "error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py:13: "
    )
    assert migrated.versions() == before


def test_a_revision_that_exits_when_it_is_imported(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass\nraise SystemExit(0)")
    assert "auth_0002_by_hand.py:14: sys.exit() was called" in migrated.alembic("upgrade", "heads").error


def test_a_hidden_commit_is_found_before_the_others_commit(migrated: Project) -> None:
    migrated.add_revision("rating_db", 2, "pass")
    migrated.add_revision("auth_db", 2, 'op.execute("SELECT 1; COMMIT")')
    error = migrated.alembic("upgrade", "heads").partly
    assert error.startswith("error: auth_db: a revision ended the transaction that all databases commit together: ")
    assert migrated.versions()["rating_db"] == ["rating_0001"]


@pytest.mark.parametrize(
    ("name", "upgrade", "first"),
    [
        ("auth_db", 'op.execute("SELECT 1; COMMIT; SELECT 1/0")', "division by zero"),
        ("investment_db", "op.get_bind().connection.dbapi_connection.commit(); 1 / 0", "ZeroDivisionError: division"),
    ],
)
def test_a_hidden_commit_before_a_failure_is_said(migrated: Project, name: str, upgrade: str, first: str) -> None:
    migrated.add_revision(name, 2, upgrade)
    error = migrated.alembic("upgrade", "heads").partly
    assert first in error
    assert f"error: {name}: migrations/versions/{name}/" in error
    assert error.endswith("may have been committed: take its commit or rollback out")


def test_a_commit_on_the_drivers_connection_commits_nothing(migrated: Project) -> None:
    commit = "op.get_bind().connection.dbapi_connection.commit()"
    migrated.add_revision("auth_db", 2, f'op.execute("CREATE TABLE half (x int)"); {commit}; 1 / 0')
    assert "ZeroDivisionError: division by zero" in migrated.alembic("upgrade", "heads").reason
    assert migrated.rows("auth_db", "SELECT to_regclass('half')") == [(None,)]
