"""A database does not move alone while others of its last run are in doubt, and a run is taken back as a whole."""

import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import closing

import psycopg2
import pytest

from multidb.database import locks
from tests.release.test_killed import DECIDER, assert_whole
from tests.support import older
from tests.support.project import Project
from tests.support.runs import begun, interrupt, prepared, until

ROLLBACK = ["rollback", "--yes"]


@pytest.fixture
def second(few: Project) -> Project:
    """A checkout of a few databases at head, and then a second revision for each database."""
    for name in few.names:
        few.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    return few


def leave_decided(project: Project) -> None:
    """Kill an upgrade behind its decision: all but the decider are in doubt."""
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(project, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert len(prepared(project)) == len(project.names) - 1


def test_rollback_takes_back_a_run_that_was_killed_behind_its_decision(second: Project) -> None:
    leave_decided(second)
    result = second.multidb(*ROLLBACK)
    assert result.code == 0, result
    assert result.err.count("committed multidb:") == len(second.names) - 1
    assert second.versions() == second.at(1)
    assert_whole(second, 1)


def test_a_second_person_takes_a_live_run_back(second: Project) -> None:
    """Between the decision and the COMMIT PREPAREDs."""
    rollback = f'cd "{second.root}"; "{sys.executable}" -m multidb -x lock_wait=20s rollback --yes >said 2>&1 &'
    wait = f'until grep -q "waiting for pid\\|database " "{second.root}/said"; do sleep 0.05; done'
    how = [f"{rollback} {wait}", "after", "commit", DECIDER]
    result = interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads")
    assert result.code == 0, result
    said = second.root / "said"
    for _ in range(200):
        if "INFO  [multidb] committed in 4 databases" in said.read_text():
            break
        second.run("sleep", "0.1")
    assert second.versions() == second.at(1), said.read_text()
    assert prepared(second) == []


def test_the_plan_of_a_rollback_is_compared_with_the_journals_under_the_locks(second: Project) -> None:
    """Two runs that leave a database where it was, while a rollback waits for its locks."""
    second.done("upgrade", "heads")
    second.add_revision("content_db", 3, "pass")
    with closing(psycopg2.connect(second.variables["AUTH_DB_URL"])) as other:
        other.cursor().execute(f"SELECT pg_advisory_lock({locks.KEY})")
        with begun(second, sys.executable, "-m", "multidb", *ROLLBACK) as process:
            until(process, "waiting for pid")
            second.done("upgrade", "content_db@head")
            second.done("downgrade", "content_db@-1")
            other.close()
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "error: another run has changed these databases since the plan was printed: run again [MDB607]"
    )
    assert second.versions() == second.at(2)


@pytest.mark.parametrize(
    "command",
    [
        ["downgrade", f"{DECIDER}@-1"],
        ["stamp", f"{DECIDER}@investment_0001"],
        ["upgrade", f"{DECIDER}@head"],
    ],
)
def test_a_decider_that_moves_alone_takes_the_others_out_of_doubt_first(
    second: Project, command: Sequence[str]
) -> None:
    leave_decided(second)
    second.add_revision(DECIDER, 3, "pass")
    result = second.done(*command)
    assert result.err.count("committed multidb:") == len(second.names) - 1
    assert prepared(second) == []
    assert {name: second.versions()[name] for name in second.names[:-1]} == {
        name: second.at(2)[name] for name in second.names[:-1]
    }


def test_a_participant_that_moves_alone_takes_the_others_out_of_doubt_first(second: Project) -> None:
    leave_decided(second)
    assert second.multidb("recover", "auth_db").code == 0
    assert len(prepared(second)) == len(second.names) - 2
    second.done("downgrade", "auth_db@-1")
    assert prepared(second) == []
    assert second.versions() == second.at(2) | {"auth_db": ["auth_0001"]}


def test_a_database_goes_back_alone_only_if_the_others_can_be_asked(second: Project) -> None:
    second.done("upgrade", "heads")
    second.add_revision("auth_db", 3, "pass")
    kept = dict(second.variables)
    second.variables["CONTENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/content_db"
    error = second.alembic("downgrade", "auth_db@-1").error
    assert error.startswith(
        "error: auth_db: it would go back, and content_db, which its last run changed too, can't be asked"
    )
    second.variables["CONTENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1"  # no URL at all
    forward = second.done("upgrade", "auth_db@head")
    assert "not known whether content_db is in doubt" in forward.err
    second.done("downgrade", "auth_db@-1")  # its last run was one of its own
    second.variables |= kept


def test_rollback_refuses_half_a_run(second: Project) -> None:
    shutil.copy(second.root / "investment.db", second.root / "before.db")
    second.done("upgrade", "heads")
    shutil.copy(second.root / "investment.db", second.root / "after.db")
    shutil.copy(second.root / "before.db", second.root / "investment.db")  # a restored decider
    error = second.multidb(*ROLLBACK).error
    assert "also changed investment_db, whose journal has no row of that, as after a restore" in error
    assert error.endswith("`python -m multidb -x db=auth_db,content_db,user_db rollback`")
    assert second.versions()["auth_db"] == ["auth_0002"]
    again = second.multidb("-x", "db=auth_db", "-x", "db=content_db,user_db", *ROLLBACK)
    assert again.code == 0, again
    assert second.versions() == second.at(1)


def test_only_the_named_databases_are_reverted(second: Project) -> None:
    second.done("upgrade", "heads")
    second.done("downgrade", "user_db@-1")
    assert second.multidb("-x", "db=auth_db,user_db", *ROLLBACK).code == 0  # the last run was of user_db alone
    assert second.versions() == second.at(2)


def test_rollback_names_a_database_that_is_no_longer_listed(second: Project) -> None:
    second.done("upgrade", "heads")
    second.edit(
        "databases.yaml", '  investment_db:   {models: models.investment, url: "sqlite:///investment.db"}\n', ""
    )
    (second.root / "migrations/versions/investment_db").rename(second.root / "kept")
    error = second.multidb(*ROLLBACK).error
    assert "also changed investment_db, which databases.yaml does not have: to revert the others alone" in error
    assert second.multidb("-x", "db=auth_db,content_db,user_db", *ROLLBACK).code == 0
    assert second.rows("user_db", "SELECT version_num FROM alembic_version") == [("user_0001",)]


def test_rollback_refuses_half_a_run_of_an_older_checkout(second: Project) -> None:
    second.done("upgrade", "heads")
    older.make_older(second)
    second.rows("content_db", "DELETE FROM multidb_journal WHERE after = 'content_0002'")
    assert "also changed content_db" in second.multidb(*ROLLBACK).error


def test_a_run_without_two_phases_is_taken_back_where_it_was_committed(second: Project) -> None:
    second.done("-x", "two_phase=off", "upgrade", "heads")
    second.rows("content_db", "DELETE FROM multidb_journal WHERE after = 'content_0002'")
    assert second.multidb(*ROLLBACK).code == 0
    assert second.versions() == second.at(1) | {"content_db": ["content_0002"]}


def test_only_rollback_takes_the_names_by_x(few: Project) -> None:
    assert "-x db= is not known" in few.multidb("-x", "db=auth_db", "status").error
