"""`ready`: a service starts only once its databases are at the head that its files know."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from multidb.errors import ExitCode
from tests.database.test_locks import session
from tests.support.delayed import delayed
from tests.support.project import Postgres, Project, at_once
from tests.support.runs import begun, until


def waiting(project: Project, *arguments: str) -> "subprocess.Popen[str]":
    return begun(project, sys.executable, "-m", "multidb", *arguments)


@pytest.mark.quick
def test_at_head_it_ends_at_once_and_says_nothing(migrated: Project) -> None:
    result = migrated.multidb("ready")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_behind_head_it_waits_for_the_migration(pair: Project) -> None:
    waiting, migrating = at_once(
        lambda: pair.multidb("ready", "auth_db", "user_db"), lambda: pair.alembic("upgrade", "heads")
    )
    assert migrating.code == waiting.code == 0
    if waiting.err:  # it was the first
        assert waiting.err == (
            "INFO  [multidb] waiting for the migration, at most 300 s: "
            "auth_db is at auth_0001 and not at auth_0002: `alembic upgrade auth_db@head`; "
            "user_db is at user_0001 and not at user_0002: `alembic upgrade user_db@head`\n"
        )


def test_after_its_time_it_gives_up_and_says_what_to_do(pair: Project) -> None:
    result = pair.multidb("ready", "auth_db", "content_db", "--timeout", "100ms")
    assert result.error == (
        "error: timed out after 0.1 s: auth_db is at auth_0001 and not at auth_0002: `alembic upgrade auth_db@head`"
    )
    assert pair.versions()["auth_db"] == ["auth_0001"]


@pytest.mark.parametrize("revision", ["auth_0002", "auth_0017"])
def test_a_newer_database_will_do_only_if_that_is_allowed(few: Project, revision: str) -> None:
    few.rows("auth_db", f"UPDATE alembic_version SET version_num = '{revision}'")
    assert few.multidb("ready", "auth_db").error == (
        f"error: auth_db: it is at {revision}, newer than auth_0001, the head of these files: "
        "start a newer version, or accept newer revisions with --newer"
    )
    assert few.multidb("ready", "auth_db", "--newer").code == 0


@pytest.mark.parametrize("revision", ["0001", "user_0002", "auth_0001a", "auth_", "0abcdef12345"])
def test_a_revision_that_only_resembles_a_newer_one_is_not(few: Project, revision: str) -> None:
    few.rows("auth_db", f"UPDATE alembic_version SET version_num = '{revision}'")
    result = few.multidb("ready", "auth_db", "--newer", "--timeout", "0")
    assert f"auth_db is at {revision} and not at auth_0001: `alembic upgrade auth_db@head`" in result.error


def test_older_than_the_files_is_not_newer(pair: Project) -> None:
    assert "is at auth_0001 and not at auth_0002" in pair.multidb("ready", "auth_db", "--newer", "--timeout", "0").error


def test_an_empty_sqlite_file_is_at_base_and_a_missing_one_an_error(few: Project) -> None:
    (few.root / "investment.db").write_bytes(b"")
    error = few.multidb("ready", "investment_db", "--timeout", "0").error
    assert "investment_db is at <base> and not at investment_0001" in error
    (few.root / "investment.db").unlink()
    assert "there is no file " in few.multidb("ready", "investment_db", "--timeout", "0").error
    assert not (few.root / "investment.db").exists()


def test_in_doubt_is_not_ready(few: Project) -> None:
    prepare = "BEGIN; CREATE TABLE x (); PREPARE TRANSACTION 'multidb:20260101-000000-000000.0:nobody:auth_db'"
    few.rows("auth_db", prepare)
    try:
        error = few.multidb("ready", "auth_db", "--timeout", "0").error
    finally:
        few.rows("auth_db", "ROLLBACK PREPARED 'multidb:20260101-000000-000000.0:nobody:auth_db'")
    assert "auth_db is in doubt until a run, or `python -m multidb recover`, resolves it" in error


def test_a_wrong_password_is_not_waited_for(few: Project, postgres: Postgres) -> None:
    few.variables["AUTH_DB_URL"] = few.variables["AUTH_DB_URL"].replace(postgres.password, "wr0ng")
    result = few.multidb("-x", "wait=60s", "ready", "auth_db")
    assert "auth_db: " in result.error
    assert 'password authentication failed for user "neighbor"' in result.error
    assert "wr0ng" not in result.err


@pytest.mark.parametrize("arguments", [["--timeout", "soon"], ["nowhere_db"]])
def test_arguments_that_make_no_sense_are_refused(few: Project, arguments: list[str]) -> None:
    assert few.multidb("ready", *arguments).error.startswith("error: ")


def test_a_database_that_is_made_later_is_waited_for(few: Project, postgres: Postgres) -> None:
    name = f"later_{os.getpid()}"
    few.variables["AUTH_DB_URL"] = postgres.url(name)
    making = threading.Timer(1.5, postgres.clone, ["head_auth_db", name])
    making.start()
    try:
        result = few.multidb("-x", "wait=30s", "ready", "auth_db")
    finally:
        making.join()
        postgres.drop(name)
    assert result.code == 0, result
    assert "[auth_db] waiting for the server, at most 30 s: connection to server" in result.err
    assert f'database "{name}" does not exist' in result.err


def test_a_server_with_no_room_is_waited_for(fragile: Project, another: Postgres) -> None:
    another.set(max_connections="6", max_wal_senders="0", superuser_reserved_connections="2")
    try:
        with ExitStack() as others:
            for _ in range(4):
                others.enter_context(session(fragile, "user_db"))
            assert fragile.multidb("ready", "auth_db").code == ExitCode.RETRY
            process = waiting(fragile, "-x", "wait=60s", "ready", "auth_db")
            assert "remaining connection slots are reserved" in until(process, "waiting")
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
    finally:
        another.restart("max_connections", "max_wal_senders", "superuser_reserved_connections")


def test_a_server_that_does_not_answer_is_waited_for(few: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://neighbor@127.0.0.1:{silent.getsockname()[1]}/auth_db?connect_timeout=2"
        few.variables["AUTH_DB_URL"] = url
        result = few.multidb("-x", "wait=3s", "ready", "auth_db")
    assert "[auth_db] waiting for the server, at most 3 s: connection to server" in result.err
    assert "timeout expired: check for a firewall between here and the server" in result.error


def test_a_server_that_recovers_from_a_crash_is_waited_for(fragile: Project, another: Postgres) -> None:
    another.stop("immediate")
    process = waiting(fragile, "-x", "wait=60s", "ready", "auth_db")
    assert "waiting for the server, at most 60 s" in until(process, "waiting")
    another.start()
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_ctrl_c_ends_it(few: Project) -> None:
    few.rows("auth_db", "UPDATE alembic_version SET version_num = '0001'")
    process = waiting(few, "ready", "auth_db")
    assert "waiting for the migration" in until(process, "waiting")
    process.send_signal(2)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (1, "error: interrupted by SIGINT [MDB605]\n")


def test_closed_output_is_no_failure(few: Project) -> None:
    assert few.run("sh", "-c", f"{sys.executable} -m multidb ready >&-").code == 0


@pytest.mark.parametrize("command", [["multidb", "ready", "auth_db"], ["alembic", "upgrade", "auth_db@head"]])
def test_a_frozen_server_does_not_keep_it_from_being_stopped(few: Project, command: list[str]) -> None:
    with delayed(few.variables["AUTH_DB_URL"]) as server:
        few.variables["AUTH_DB_URL"] = server.url
        process = begun(few, sys.executable, "-m", *command)
        assert server.asked.wait(30)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=5)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("error: interrupted")
