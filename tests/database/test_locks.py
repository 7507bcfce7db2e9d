"""One run at a time, politely: who waits for whom, for how long, and what is said meanwhile."""

import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from multidb.database import locks
from tests.support.delayed import delayed
from tests.support.project import Postgres, Project, at_once
from tests.support.runs import MORE, started, table, until


@pytest.fixture
def busy(few: Project) -> Project:
    """A checkout in which one revision alters a table that others read."""
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("more", sa.Integer))')
    few.add_revision("user_db", 2, MORE)
    return few


@contextmanager
def session(project: Project, database: str, *statements: str) -> Iterator[Any]:
    """Another session, in a transaction that has run these statements."""
    with closing(psycopg2.connect(project.variables[f"{database.upper()}_URL"], application_name="somebody")) as other:
        for statement in statements:
            other.cursor().execute(statement)
        yield other


def test_a_second_run_waits_and_says_for_whom(busy: Project) -> None:
    with session(busy, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})") as other:
        with started(busy, "upgrade", "heads") as process:
            said, pid = until(process, "waiting for"), other.info.backend_pid
            other.close()
            _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
    assert f"[auth_db] waiting for pid {pid} (somebody) on 127.0.0.1, connected since " in said
    assert busy.versions()["auth_db"] == ["auth_0002"]


@pytest.mark.slow
def test_a_second_run_says_every_ten_seconds_that_it_still_waits(busy: Project) -> None:
    with session(busy, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})") as other:
        result = busy.alembic("-x", "lock_wait=21s", "upgrade", "heads")
        pid = other.info.backend_pid
    lines = [line for line in result.err.splitlines() if f"[auth_db] waiting for pid {pid} (somebody)" in line]
    ends = [re.sub(r"\b(1|2)[0-3] s of", r"\1X s of", line.partition("; ")[2]) for line in lines]
    assert ends in (["", "1X s of at most 21 s"], ["", "1X s of at most 21 s", "2X s of at most 21 s"])


def test_a_second_run_gives_up_after_lock_wait(busy: Project) -> None:
    with session(busy, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})"):
        error = busy.alembic("-x", "lock_wait=300ms", "upgrade", "heads").retry
    assert error.startswith("error: auth_db: locked by pid ")
    assert error.endswith("longer than lock_wait = 0.3 s: run again when it has ended, or with -x lock_wait=SECONDS")
    assert busy.versions() == busy.at(1)


def test_a_run_with_nothing_to_do_takes_no_lock_and_writes_nothing(migrated: Project) -> None:
    with session(migrated, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})"):
        assert "nothing to do" in migrated.done("-x", "lock_wait=0", "upgrade", "heads").err


def test_sessions_carry_the_run_and_the_host_and_have_no_idle_limit(few: Project) -> None:
    keep = "CREATE TABLE seen AS SELECT "
    settings = ("application_name", "client_connection_check_interval", "idle_in_transaction_session_timeout",
                "idle_session_timeout", "lock_timeout", "statement_timeout", "tcp_keepalives_idle")  # fmt: skip
    wanted = ", ".join(f"current_setting('{name}') AS {name}" for name in settings)
    few.add_revision("auth_db", 2, f'op.execute("{keep}{wanted}")')
    name = few.variables["AUTH_DB_URL"].rpartition("/")[2]
    few.rows("auth_db", f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET idle_session_timeout = '7s'")
    err = few.done("-x", "lock_timeout=7s", "-x", "statement_timeout=2min", "upgrade", "heads").err
    run = err.partition("run ")[2].partition(" on ")[0]
    assert few.rows("auth_db", "SELECT * FROM seen")[0] == (
        f"multidb:{run}@{socket.gethostname()}"[:63], "2s", "0", "0", "7s", "2min", "15",
    )  # fmt: skip


def test_limits_of_one_database_and_of_one_run(busy: Project) -> None:
    keep = "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS l, current_setting('statement_timeout') AS s"
    for name in ("auth_db", "user_db"):
        busy.add_revision(name, 3, f'op.execute("{keep}")')
    busy.edit("databases.yaml", "databases:", "lock_timeout: 3s\n\ndatabases:")
    own = "{models: models.auth, lock_timeout: 4s, statement_timeout: 9s}"
    busy.edit("databases.yaml", "{models: models.auth}", own)
    busy.done("upgrade", "heads")
    assert busy.rows("auth_db", "SELECT * FROM seen") == [("4s", "9s")]
    assert busy.rows("user_db", "SELECT * FROM seen") == [("3s", "0")]


def test_a_statement_timeout_names_itself(busy: Project) -> None:
    busy.add_revision("user_db", 3, 'op.execute("SELECT pg_sleep(9)")')
    error = busy.alembic("-x", "statement_timeout=300ms", "upgrade", "heads").reason
    assert error.endswith("canceling statement due to statement timeout: run with a longer -x statement_timeout=")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_traffic_waits_no_longer_than_lock_timeout_and_the_release_succeeds_when_the_reader_ends(
    busy: Project, jobs: str
) -> None:
    waited: list[float] = []
    with (
        session(busy, "auth_db", "SELECT * FROM users") as reader,
        session(busy, "auth_db") as traffic,
        started(busy, "-x", "lock_timeout=1s", "-x", f"jobs={jobs}", "upgrade", "heads") as process,
    ):
        until(process, "Running upgrade auth_0001")
        time.sleep(0.3)
        for _ in range(3):  # a reader that comes while the ALTER waits for the first one
            at = time.monotonic()
            traffic.cursor().execute("SELECT * FROM users")
            traffic.rollback()
            waited.append(time.monotonic() - at)
            time.sleep(0.2)
        said = until(process, "all rolled back, attempt 2 of 6")
        reader.rollback()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert max(waited) < 1.5
    assert max(waited) > 0.2  # it did stand in the queue
    assert "blocked by pid" in said
    assert "(somebody) on 127.0.0.1, idle in transaction since" in said
    assert table(out)["auth_db"][-1] == "committed"


def test_a_release_gives_up_cleanly_when_the_reader_does_not_end(busy: Project) -> None:
    with session(busy, "auth_db", "SELECT * FROM users"):
        result = busy.alembic("-x", "lock_timeout=400ms", "-x", "lock_retries=1", "upgrade", "heads")
    assert "canceling statement due to lock timeout" in result.retry
    assert "blocked by pid" in result.retry
    assert result.retry.endswith("; no database was changed")
    assert "attempt 2 of 2" in result.err
    assert busy.versions() == busy.at(1)


@pytest.mark.parametrize("statement", ["SELECT 1 FROM users", "LOCK TABLE users IN SHARE MODE"])
def test_a_prepared_transaction_that_holds_a_lock_is_named(busy: Project, statement: str) -> None:
    gid = f"anothers {busy.variables['AUTH_DB_URL'].rpartition('/')[2]}"
    with session(busy, "auth_db", statement, f"PREPARE TRANSACTION '{gid}'") as other:
        result = busy.alembic("-x", "lock_timeout=1s", "-x", "lock_retries=0", "upgrade", "heads")
        other.rollback()
        other.autocommit = True
        other.cursor().execute(f"ROLLBACK PREPARED '{gid}'")
    named = f"the prepared transaction '{gid}' of the role neighbor, since "
    assert f"[auth_db] waiting for a lock of {named}" in result.err
    assert f"blocked by {named}" in result.retry
    assert busy.versions() == busy.at(1)


def test_twelve_runs_at_once_on_empty_databases(project: Project) -> None:
    results = at_once(*[lambda: project.done("upgrade", "heads")] * 12)
    assert sorted(result.err.count("Running upgrade") for result in results) == [0] * 11 + [10]
    assert project.versions() == project.at(1)


def test_more_runs_at_once_than_the_server_has_room_for(fragile: Project, another: Postgres) -> None:
    for name in fragile.names:
        fragile.add_revision(name, 2, MORE)
    # Three are reserved for superusers: there is room for 11 sessions of 20 runs, each of which opens three.
    another.set(max_connections="14", max_wal_senders="0")
    try:
        results = at_once(*[lambda: fragile.alembic("upgrade", "heads")] * 20)
    finally:
        another.restart("max_connections", "max_wal_senders")
    assert [result.code for result in results] == [0] * 20, results
    assert sorted(result.err.count("Running upgrade") for result in results) == [0] * 19 + [len(fragile.names)]
    assert any("waiting for the server" in result.err for result in results)
    assert fragile.versions() == fragile.at(2)


def test_a_run_that_waits_holds_no_session_and_looks_again(busy: Project) -> None:
    own = [url.rpartition("/")[2] for url in busy.variables.values()]
    sessions = f"pg_stat_activity WHERE application_name LIKE 'multidb:%' AND datname = ANY (ARRAY{own})"
    with (
        session(busy, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})"),
        started(busy, "upgrade", "heads") as process,
    ):
        until(process, "waiting for pid")
        seen = []
        for _ in range(40):
            seen.append(busy.rows("auth_db", f"SELECT count(*) FROM {sessions}")[0][0])
            time.sleep(0.05)
        assert min(seen) == 0
        assert max(seen) <= 1
        # Another program brings the databases to head: the lock is still held, and there is nothing left to wait for.
        busy.rows("user_db", "UPDATE alembic_version SET version_num = 'user_0002'")
        busy.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0002'")
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "INFO  [multidb] nothing to do in 4 databases\n")


def test_runs_up_and_down_at_once_end_in_a_whole_release(migrated: Project) -> None:
    up, down = (lambda: migrated.alembic("upgrade", "heads")), (lambda: migrated.alembic("downgrade", "base"))
    for result in at_once(*[up, down] * 4):
        assert result.code == 0, result
    assert migrated.versions() in (migrated.at(1), migrated.at(0))


def test_a_release_that_is_seen_in_one_database_and_not_yet_in_another_is_seen_again(few: Project) -> None:
    direct = dict(few.variables)
    with delayed(direct["AUTH_DB_URL"]) as server:
        few.variables["AUTH_DB_URL"] = server.url
        late = started(few, "upgrade", "heads")
        time.sleep(1.5)  # all but auth_db have said that they are at head
        few.variables = direct
        few.done("downgrade", "base")
        server.go_on.set()
        _, err = late.communicate(timeout=30)
    assert late.returncode == 0, err
    assert few.versions() == few.at(1)


# Waiting for a server


def test_wait_is_for_servers_that_are_about_to_start(fragile: Project, another: Postgres) -> None:
    fragile.add_revision("auth_db", 2, MORE)
    another.stop("fast")
    assert "Connection refused" in fragile.alembic("upgrade", "heads").error
    starting = threading.Timer(1.5, another.start)
    starting.start()
    result = fragile.alembic("-x", "wait=60", "upgrade", "heads")
    starting.join()
    assert result.code == 0, result
    assert "[auth_db] waiting for the server, at most 60 s" in result.err


def test_all_servers_are_waited_for_at_the_same_time_and_not_for_longer(checkout: Project) -> None:
    at = time.monotonic()
    assert "Connection refused" in checkout.alembic("-x", "wait=1", "upgrade", "heads").error
    assert time.monotonic() - at < 6


def test_a_wrong_password_is_not_waited_for(few: Project, postgres: Postgres) -> None:
    url = few.variables["AUTH_DB_URL"]
    few.variables["AUTH_DB_URL"] = url.replace(postgres.password, "wrong")
    at = time.monotonic()
    assert "password authentication failed" in few.alembic("-x", "wait=60", "upgrade", "heads").error
    assert time.monotonic() - at < 10


# Behind a pool


@pytest.fixture(params=["transaction", "session"])
def pool(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[int]:
    """The port of a PgBouncer in front of the server."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="neighbor-pool-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # it refuses to run as root, too
        (folder / "users").write_text(f'"neighbor" "{postgres.password}"\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={make_url(postgres.role_url).port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {folder}/users\npool_mode = {request.param}\n"
        )
        user = ["-u", "postgres"] if os.geteuid() == 0 else []
        with subprocess.Popen(["pgbouncer", "-q", *user, folder / "ini"], stderr=subprocess.DEVNULL) as process:
            for _ in range(100):
                with closing(socket.socket()) as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
            process.terminate()


def test_a_run_behind_a_pool_is_refused_when_it_has_work(few: Project, pool: int) -> None:
    url = make_url(few.variables["AUTH_DB_URL"]).set(port=pool)
    few.variables["AUTH_DB_URL"] = url.render_as_string(hide_password=False)
    assert "nothing to do" in few.done("upgrade", "heads").err
    few.add_revision("auth_db", 2, MORE)
    error = few.alembic("upgrade", "heads").error
    assert error.startswith("error: auth_db: a pooling proxy such as PgBouncer stands before the server")
    assert "use the server's own port in the URL" in error
    # Not even looked through, where locks would decide.
    assert few.rows("auth_db", "SELECT version_num FROM alembic_version") == [("auth_0001",)]
