"""Servers that stop, connections that are cut, in the middle of a release: it is whole again afterwards."""

import signal
import subprocess
import sys
import time

import pytest

from tests.release.test_killed import DECIDER, POINTS, assert_whole
from tests.support.project import FEW, ROOT, Postgres, Project
from tests.support.runs import interrupt, prepared, table

# Without the one on SQLite, the last by name decides, by a commit of PostgreSQL's.
ON_ONE_SERVER = ",".join(FEW[:-1])
ITS_DECIDER = "user_db"


@pytest.fixture
def second(fragile: Project) -> Project:
    """A checkout at head on a server that may be stopped, and then a second revision for each database."""
    for name in fragile.names:
        fragile.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    return fragile


def power_cut(server: Postgres, *, again: bool = True) -> str:
    """What a shell does to stop a server as if its machine had lost its power, and to start it again."""
    start = "server.start()" if again else "pass"
    return (
        f'"{sys.executable}" -c \'import sys; sys.path.insert(0, "{ROOT}"); from pathlib import Path; '
        f'from multidb.local.server import Server; server = Server(Path("{server.folder}")); '
        f'server._control("stop", "-m", "immediate", "-w"); {start}\''
    )


def cut(project: Project, server: Postgres, database: str) -> str:
    """What a shell does to cut all connections of one database."""
    name = project.variables[f"{database.upper()}_URL"].rpartition("/")[2]
    ask = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    return f'psql -X -q -c "{ask}" "{server.admin_url}" && sleep 0.2'


@pytest.mark.parametrize("point", POINTS)
def test_the_server_loses_its_power_and_starts_again(second: Project, another: Postgres, point: str) -> None:
    when, operation, database, _ = POINTS[point]
    result = interrupt(
        second, [power_cut(another), when, operation, database], "alembic", "-x", "jobs=1", "upgrade", "heads"
    )
    assert result.code in (0, 1), result
    found = assert_whole(second, 1 if result.code else 2)
    assert (found == 2) is (operation in ("commit", "commit_prepared")), result


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("point", POINTS)
def test_the_connections_of_one_database_are_cut(second: Project, another: Postgres, point: str, jobs: str) -> None:
    when, operation, database, _ = POINTS[point]
    action = cut(second, another, "content_db")
    result = interrupt(second, [action, when, operation, database], "alembic", "-x", f"jobs={jobs}", "upgrade", "heads")
    assert result.code in (0, 1), result
    assert second.versions() == second.at(1 if result.code else 2)
    assert_whole(second, 1 if result.code else 2)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_deciders_connection_is_cut_and_recover_runs_beside_it(
    second: Project, another: Postgres, when: str
) -> None:
    recover = f'cd "{second.root}" && "{sys.executable}" -m multidb recover'
    action = f"{cut(second, another, ITS_DECIDER)} && {recover}"
    result = interrupt(
        second, [action, when, "prepare", "auth_db"],
        "alembic", "-x", "jobs=1", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads",
    )  # fmt: skip
    assert result.reason
    assert_whole(second, 1)


def test_the_deciders_connection_is_cut_before_its_commit(second: Project, another: Postgres) -> None:
    recover = f'cd "{second.root}" && "{sys.executable}" -m multidb recover'
    action = f"{cut(second, another, ITS_DECIDER)} && {recover}"
    result = interrupt(
        second, [action, "before", "commit", ITS_DECIDER],
        "alembic", "-x", "jobs=1", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads",
    )  # fmt: skip
    assert "the commit failed: user_db: " in result.reason
    assert second.versions() == second.at(1)
    assert table(result.out)["auth_db"][-2:] == ["rolled", "back"]
    assert_whole(second, 1)


def test_a_restart_between_prepare_and_commit_drops_the_locks_and_nothing_else(
    second: Project, another: Postgres
) -> None:
    recover = f'cd "{second.root}" && "{sys.executable}" -m multidb recover'
    result = interrupt(
        second, [f"{power_cut(another)} && {recover}", "before", "commit", ITS_DECIDER],
        "alembic", "-x", "jobs=1", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads",
    )  # fmt: skip
    assert result.reason
    assert second.versions() == second.at(1)
    assert_whole(second, 1)


def test_one_of_two_servers_is_down_at_the_commit(second: Project, another: Postgres, postgres: Postgres) -> None:
    postgres.clone("head_content_db", "elsewhere_content_db")
    try:
        second.variables["CONTENT_DB_URL"] = postgres.url("elsewhere_content_db")
        action = [power_cut(another, again=False), "after", "commit", DECIDER]
        result = interrupt(second, action, "alembic", "-x", "jobs=1", "upgrade", "heads")
        assert "Connection refused" in result.partly
        assert "; committed: content_db, investment_db; " in result.partly
        assert "in doubt: auth_db, user_db; " in result.partly
        assert table(result.out)["auth_db"][4:6] == ["in", "doubt:"]
        another.start()
        assert second.multidb("status").code == 3
        assert_whole(second, 2)
    finally:
        postgres.drop("elsewhere_content_db")


def test_a_kill_inside_the_deciders_slow_commit(second: Project, another: Postgres) -> None:
    """A commit that waits for a standby has happened, and holds its lock, though its client is gone."""
    wait = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
    action = f'psql -X -q -c "{wait}" -c "SELECT pg_reload_conf()" "{another.admin_url}" && sleep 0.5'
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/support/interrupted.py", action, "before", "commit", ITS_DECIDER,
         "alembic", "-x", "jobs=1", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads"],
        cwd=second.root, env=second.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        for _ in range(200):
            if another.as_admin(waiting):
                break
            time.sleep(0.1)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert len(prepared(second)) == len(FEW) - 2
    left = second.run(sys.executable, "-m", "multidb", "-x", "lock_wait=1", "recover")
    assert left.code == 75
    assert "is in progress: run again when it has ended" in left.out  # undecided, as far as anybody can know
    another.as_admin("ALTER SYSTEM RESET synchronous_standby_names")
    another.as_admin("SELECT pg_reload_conf()")
    assert second.multidb("recover").code == 0
    assert second.versions() == second.at(2) | {DECIDER: second.at(1)[DECIDER]}
    assert prepared(second) == []
