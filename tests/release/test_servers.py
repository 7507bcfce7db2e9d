"""Servers that stop, connections that are cut, in the middle of a release: it is whole again afterwards."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.release.test_killed import DECIDER, POINTS, assert_whole
from tests.support.project import FEW, ROOT, Postgres, Project
from tests.support.runs import begun, interrupt, prepared, table

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


@contextmanager
def waiting_for_a_standby(
    project: Project, server: Postgres, operation: str, database: str, jobs: str = "1"
) -> Iterator["subprocess.Popen[str]"]:
    """A run whose server's synchronous standby goes away before an operation; the operation waits for the standby."""
    settings = {"synchronous_standby_names": "nobody", "synchronous_commit": "on"}
    statements = [f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()]
    sent = " ".join(f'-c "{each}"' for each in [*statements, "SELECT pg_reload_conf()"])
    action = f'psql -X -q {sent} "{server.admin_url}" && sleep 0.5'
    command = ["alembic", "-x", f"jobs={jobs}", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads"]
    program = ROOT / "tests/support/interrupted.py"
    how = [action, "before", operation, database]
    with begun(project, sys.executable, program, *how, *command, group=True) as process:
        for _ in range(200):
            if server.as_admin("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
                break
            time.sleep(0.1)
        yield process


def let_standbys_be(server: Postgres) -> None:
    for name in ("synchronous_standby_names", "synchronous_commit"):
        server.as_admin(f"ALTER SYSTEM RESET {name}")
    server.as_admin("SELECT pg_reload_conf()")


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_signal_during_a_prepare_that_waits_for_a_standby_changes_nothing(
    second: Project, another: Postgres, jobs: str
) -> None:
    with waiting_for_a_standby(second, another, "prepare", "content_db", jobs) as process:
        process.terminate()
        _, err = process.communicate(timeout=15)
    assert process.returncode == 1, err
    assert err.splitlines()[-1] == "error: interrupted by SIGTERM; no database was changed [MDB605]"
    assert prepared(second) == []
    assert second.versions() == second.at(1)


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_signal_during_a_decision_that_waits_for_a_standby_leaves_it_in_doubt(
    second: Project, another: Postgres, jobs: str
) -> None:
    with waiting_for_a_standby(second, another, "commit", ITS_DECIDER, jobs) as process:
        process.terminate()
        _, err = process.communicate(timeout=25)
    assert process.returncode == 3, err
    assert f"{ITS_DECIDER}: gave up waiting for the server's answer; " in err.splitlines()[-1]
    assert "whose commit waits for a synchronous standby" in err.splitlines()[-1]
    assert f"in doubt: auth_db, {ITS_DECIDER}, content_db; " in err.splitlines()[-1]
    assert len(prepared(second)) == len(FEW) - 2
    let_standbys_be(another)
    assert second.multidb("recover").code == 0
    assert second.versions() == second.at(2) | {DECIDER: second.at(1)[DECIDER]}
    assert prepared(second) == []


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_signals_after_the_decision_do_not_wait_for_a_standby(second: Project, another: Postgres, jobs: str) -> None:
    with waiting_for_a_standby(second, another, "commit_prepared", "auth_db", jobs) as process:
        process.terminate()
        time.sleep(0.5)
        process.terminate()
        _, err = process.communicate(timeout=25)
    assert process.returncode == 3, err
    assert f"; committed: {ITS_DECIDER}; " in err.splitlines()[-1] or f"committed: {ITS_DECIDER}" in err
    assert "in doubt: auth_db" in err.splitlines()[-1]
    let_standbys_be(another)
    assert second.multidb("recover").code == 0
    assert second.versions() == second.at(2) | {DECIDER: second.at(1)[DECIDER]}
    assert prepared(second) == []


def test_a_kill_inside_the_deciders_slow_commit(second: Project, another: Postgres) -> None:
    """A commit that waits for a standby has happened, and holds its lock, though its client is gone."""
    with waiting_for_a_standby(second, another, "commit", ITS_DECIDER) as process:
        os.killpg(process.pid, signal.SIGKILL)  # with its worker, which would cancel the wait
    assert process.returncode == -signal.SIGKILL
    assert len(prepared(second)) == len(FEW) - 2
    left = second.run(sys.executable, "-m", "multidb", "-x", "lock_wait=1", "recover")
    assert left.code == 75
    assert "is in progress: run again when it has ended" in left.out  # undecided, as far as anybody can know
    let_standbys_be(another)
    assert second.multidb("recover").code == 0
    assert second.versions() == second.at(2) | {DECIDER: second.at(1)[DECIDER]}
    assert prepared(second) == []


def test_recover_waits_for_another_session_that_commits_the_same_transaction(
    second: Project, another: Postgres
) -> None:
    with waiting_for_a_standby(second, another, "commit_prepared", "auth_db") as process:
        os.killpg(process.pid, signal.SIGKILL)  # its server goes on to wait for the standby
    standby_is_back = threading.Timer(2.0, let_standbys_be, [another])
    standby_is_back.start()
    recovered = second.multidb("recover")
    standby_is_back.join()
    assert recovered.code == 0, recovered
    assert second.versions() == second.at(2) | {DECIDER: second.at(1)[DECIDER]}
    assert prepared(second) == []
