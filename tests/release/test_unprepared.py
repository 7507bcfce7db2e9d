"""`two_phase: off` of one database, whose transactions can't be prepared: it decides, or is committed last."""

import signal

import pytest

from tests.release.test_killed import assert_whole
from tests.support.project import Project
from tests.support.runs import interrupt, prepared

UPGRADE = ["alembic", "-x", "jobs=1", "upgrade", "heads"]


def switch_off(project: Project, name: str) -> None:
    module = name.removesuffix("_db")
    project.edit("databases.yaml", f"models.{module}", f"models.{module}, two_phase: off")


@pytest.fixture
def second(few: Project) -> Project:
    """A few databases at head, with a second revision each; auth_db, the first by name, can't be prepared."""
    for name in few.names:
        few.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    switch_off(few, "auth_db")
    return few


@pytest.fixture
def on_servers(second: Project) -> Project:
    """The same, where no database on SQLite has work."""
    [path] = (second.root / "migrations/versions/investment_db").glob("investment_0002_*.py")
    path.unlink()
    return second


def test_without_sqlite_it_decides_and_nothing_is_lost(on_servers: Project) -> None:
    on_servers.add_revision("auth_db", 3, 'op.execute("NOTIFY somebody")')
    said = on_servers.done("-x", "two_phase=required", "upgrade", "heads").err.splitlines()[0]
    assert said.endswith(
        "two-phase commit of 3 databases, decided in auth_db: all or none, even if a process or a server fails"
    )


@pytest.mark.parametrize(
    ("point", "number"),
    [
        (("after", "prepare", "user_db"), 1),
        (("before", "commit", "auth_db"), 1),
        (("after", "commit", "auth_db"), 2),
        (("before", "commit_prepared", "user_db"), 2),
    ],
)
def test_a_run_that_it_decides_is_whole_through_a_crash(
    on_servers: Project, point: tuple[str, str, str], number: int
) -> None:
    assert interrupt(on_servers, ["SIGKILL:run", *point], *UPGRADE).code == -signal.SIGKILL
    assert on_servers.multidb("recover").code == 0
    after = {name: [f"{name.removesuffix('_db')}_000{number}"] for name in ("auth_db", "user_db", "content_db")}
    assert on_servers.versions() == on_servers.at(1) | after
    assert prepared(on_servers) == []


def test_beside_sqlite_it_is_committed_last_and_the_first_line_says_so(second: Project) -> None:
    result = second.done("upgrade", "heads")
    assert result.err.splitlines()[0].endswith(
        "two-phase commit of 4 databases, decided in investment_db: all or none, even if a process or a server fails; "
        "auth_db, where two_phase is off, is committed last: a crash before that leaves the others changed"
    )
    assert second.versions() == second.at(2)
    assert second.multidb("rollback", "--yes").code == 0
    assert second.versions() == second.at(1)


def test_required_refuses_what_would_be_committed_last(second: Project) -> None:
    assert second.alembic("-x", "two_phase=required", "upgrade", "heads").error == (
        "error: two_phase is required, but auth_db can't be prepared, because two_phase is off there"
    )
    assert second.versions() == second.at(1)


def test_a_failure_before_the_decision_rolls_it_back(second: Project) -> None:
    second.add_revision("user_db", 3, "1 / 0")
    assert "ZeroDivisionError" in second.alembic("upgrade", "heads").reason
    assert second.versions() == second.at(1)


@pytest.mark.parametrize(
    ("point", "others"),
    [
        (("before", "commit", "investment_db"), 1),
        (("after", "commit", "investment_db"), 2),
        (("before", "commit", "auth_db"), 2),
    ],
)
def test_after_a_crash_the_others_are_whole_and_the_next_run_goes_on(
    second: Project, point: tuple[str, str, str], others: int
) -> None:
    assert interrupt(second, ["SIGKILL:run", *point], *UPGRADE).code == -signal.SIGKILL
    assert second.multidb("recover").code == 0
    assert second.versions() == second.at(others) | {"auth_db": ["auth_0001"]}
    second.done("upgrade", "heads")
    assert assert_whole(second, 2) == 2


def test_a_commit_that_fails_at_the_end_is_partial_and_said(second: Project) -> None:
    pids = "pid <> pg_backend_pid() AND datname = current_database()"
    end = f"psql -qc 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {pids}' \"$AUTH_DB_URL\""
    how = [end, "before", "commit", "auth_db"]
    result = interrupt(second, how, *UPGRADE)
    assert result.code == 3
    assert "auth_db" in result.err.splitlines()[-1]
    assert second.versions() == second.at(2) | {"auth_db": ["auth_0001"]}
    second.done("upgrade", "heads")
    assert second.versions() == second.at(2)


def test_a_single_database_may_not_require_two_phases(few: Project) -> None:
    few.edit("databases.yaml", "models.auth", "models.auth, two_phase: required")
    error = few.alembic("current").error
    assert error.endswith("two_phase: required is for all databases: auth_db may say auto or off")
