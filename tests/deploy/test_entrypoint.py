"""The images' entrypoint, run as a container would run it: what it does first, and that it becomes the program."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from multidb.database import locks
from tests.database.test_locks import session
from tests.support.cage import caged
from tests.support.project import Postgres, Project, Result, query
from tests.support.runs import MORE, begun, until

ENTRYPOINT = "deploy/docker-entrypoint.sh"
LOCKS = """
    SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE locktype = 'advisory' AND datname = current_database()
"""
SLEEPS = 'op.execute("SELECT pg_sleep(61)")'
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to make namespaces: run bin/test as root")


@pytest.fixture
def image(few: Project) -> Project:
    """What an image holds: the checkout, and the virtual environment in it."""
    few.lend_venv()
    few.variables["MIGRATE"] = "upgrade"  # as the image says
    return few


@pytest.fixture
def behind(image: Project, pair: Project) -> Project:
    """The same, with work for two databases."""
    assert image is pair
    return pair


def start(image: Project, *program: str, **variables: str) -> Result:
    """Run it to its end, from a folder that is not the project's."""
    told = replace(image, variables=image.variables | variables)
    return told.run(image.root / ENTRYPOINT, *program, cwd=Path("/"))


def starting(image: Project, *program: str, **variables: str) -> "subprocess.Popen[str]":
    """Begin to run it."""
    told = replace(image, variables=image.variables | variables)
    return begun(told, image.root / ENTRYPOINT, *program, cwd=Path("/"))


def until_asleep(image: Project, database: str = "auth_db") -> None:
    asleep = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    deadline = time.monotonic() + 30
    while not query(image.variables[f"{database.upper()}_URL"], asleep):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sessions_on(image: Project, database: str) -> int:
    others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return len(query(image.variables[f"{database.upper()}_URL"], others))


def test_upgrade_brings_all_databases_to_head_and_then_starts_the_program(behind: Project) -> None:
    result = start(behind, "echo", "started")
    assert (result.code, result.out.splitlines()[-1]) == (0, "started")
    assert {name: found for name, found in behind.versions().items() if found != behind.at(1)[name]} == {
        "auth_db": ["auth_0002"],
        "user_db": ["user_0002"],
    }


def test_upgrade_may_name_some_databases_and_the_release(behind: Project) -> None:
    assert start(behind, MIGRATE="upgrade", MIGRATE_DATABASES="user_db,content_db", MIGRATE_RELEASE="2026.12").code == 0
    assert behind.versions() == behind.at(1) | {"user_db": ["user_0002"]}
    assert "  2026.12  `upgrade heads`" in behind.multidb("log", "user_db").out


def test_without_its_variable_it_never_migrates_before_a_program(behind: Project) -> None:
    del behind.variables["MIGRATE"]
    result = start(behind, "echo", "started", MIGRATE_CHECK_WAIT="0")
    assert "auth_db is at auth_0001 and not at auth_0002" in result.error
    assert behind.versions() == behind.at(1)
    assert start(behind).code == 0
    assert behind.versions()["auth_db"] == ["auth_0002"]


def test_without_a_program_it_ends_when_the_databases_are_migrated(behind: Project) -> None:
    assert start(behind).code == 0
    assert behind.versions()["auth_db"] == ["auth_0002"]


@pytest.mark.parametrize("mode", ["upgrade", "check", "skip"])
def test_the_program_takes_its_place(image: Project, mode: str) -> None:
    process = starting(image, "sh", "-c", "echo $$ $PPID; exit 7", MIGRATE=mode)
    out, _ = process.communicate(timeout=30)
    assert out.split()[-2:] == [str(process.pid), str(os.getpid())]
    assert process.returncode == 7


def test_a_signal_goes_to_the_program_itself(image: Project) -> None:
    with starting(image, "sleep", "60", MIGRATE="skip") as process:
        while Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[0] != "sleep":
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM


def test_arguments_come_through_as_they_are(image: Project) -> None:
    awkward = ["a b", "", "*", "$HOME", "'", '"', "\n"]
    program = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    assert start(image, *program, *awkward, MIGRATE="check").out == f"{awkward}\n"


def test_the_program_starts_where_the_container_does(image: Project) -> None:
    assert start(image, "pwd", MIGRATE="check").out == "/\n"


def test_a_link_to_it_will_do(image: Project, tmp_path: Path) -> None:
    (tmp_path / "entry").symlink_to(image.root / ENTRYPOINT)
    assert image.run(tmp_path / "entry", "echo", "started", cwd=tmp_path).out == "started\n"


def test_check_starts_the_program_at_head(image: Project) -> None:
    result = start(image, "echo", "started", MIGRATE="check", MIGRATE_DATABASES="auth_db,user_db")
    assert (result.code, result.out, result.err) == (0, "started\n", "")


def test_check_asks_only_the_databases_that_it_is_told(image: Project) -> None:
    image.variables["USER_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/user_db"
    assert start(image, "echo", "started", MIGRATE="check", MIGRATE_DATABASES="auth_db").out == "started\n"


def test_check_waits_for_the_migrator(behind: Project) -> None:
    service = starting(behind, "echo", "started", MIGRATE="check", MIGRATE_DATABASES="auth_db")
    said = until(service, "waiting")
    assert "waiting for the migration, at most 300 s: auth_db is at auth_0001 and not at auth_0002" in said
    assert start(behind).code == 0
    out, err = service.communicate(timeout=30)
    assert (service.returncode, out, err) == (0, "started\n", "")


def test_check_gives_up_after_its_time_and_starts_nothing(behind: Project) -> None:
    result = start(behind, "echo", "started", MIGRATE="check", MIGRATE_DATABASES="auth_db", MIGRATE_CHECK_WAIT="500ms")
    assert result.error.startswith("error: timed out after 0.5 s: auth_db is at auth_0001 and not at auth_0002: ")
    assert result.out == ""
    assert behind.versions() == behind.at(1)


def test_check_starts_beside_a_newer_database_only_if_that_is_allowed(image: Project) -> None:
    image.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0002'")
    image.variables |= {"MIGRATE": "check", "MIGRATE_DATABASES": "auth_db"}
    assert "newer than auth_0001" in start(image, "echo", "started").error
    assert start(image, "echo", "started", MIGRATE_NEWER="true").out == "started\n"
    assert start(image, "echo", "started", MIGRATE_NEWER="perhaps").error == (
        "error: MIGRATE_NEWER: 'perhaps' should be true or false"
    )


@pytest.mark.parametrize("mode", ["upgrade", "check"])
@pytest.mark.parametrize(
    "names", [",", " , ", "*", "nowhere_db", "--help", "auth_db,-h", "--newer", "user_db\\c,auth_db"]
)
def test_what_names_no_database_starts_nothing(image: Project, names: str, mode: str) -> None:
    image.variables["AUTH_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/auth_db"
    result = start(image, "echo", "started", MIGRATE=mode, MIGRATE_DATABASES=names, MIGRATE_WAIT="0")
    assert re.search(r"names no database|there is no database '", result.error)
    assert result.out == ""


@pytest.mark.parametrize("variable", ["MIGRATE_WAIT", "MIGRATE_CHECK_WAIT"])
@pytest.mark.parametrize("text", ["soon", "--help", "-x", "-1"])
def test_a_time_that_is_none_is_said_in_a_line(image: Project, variable: str, text: str) -> None:
    result = start(image, "echo", "started", MIGRATE="check", **{variable: text})
    assert f"{text!r} should be a time such as 5s, 500ms or 10min" in result.error
    assert result.out == ""


def test_names_may_be_told_apart_by_spaces(behind: Project) -> None:
    assert start(behind, "true", MIGRATE_DATABASES=" user_db, content_db\n").code == 0
    assert behind.versions() == behind.at(1) | {"user_db": ["user_0002"]}


def test_skip_asks_no_database(image: Project) -> None:
    image.variables["AUTH_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/auth_db"
    assert start(image, "echo", "started", MIGRATE="skip").out == "started\n"


def test_any_other_word_starts_nothing(image: Project) -> None:
    result = start(image, "echo", "started", MIGRATE="create_all")
    assert (result.error, result.out) == ("error: MIGRATE: 'create_all' should be upgrade, check or skip", "")


def test_an_image_without_the_packages_is_told_so(image: Project) -> None:
    shutil.rmtree(image.root / ".venv")
    result = start(image, "echo", "started")
    assert result.error.startswith(f"error: {image.root}/.venv/bin has no Python that runs here: ")
    assert result.out == ""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["upgrade", "check"])
def test_a_server_that_comes_ten_seconds_late_is_waited_for(fragile: Project, another: Postgres, mode: str) -> None:
    fragile.lend_venv()
    another.stop("fast")
    late = threading.Timer(10, another.start)
    late.start()
    result = start(fragile, "echo", "started", MIGRATE=mode)
    late.join()
    assert (result.code, result.out.splitlines()[-1]) == (0, "started"), result
    assert "waiting for the server, at most 60 s: connection to server" in result.err


@pytest.mark.parametrize("mode", ["upgrade", "check"])
def test_after_migrate_wait_it_gives_up(image: Project, mode: str) -> None:
    image.variables["AUTH_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/auth_db"
    started = time.monotonic()
    result = start(image, "echo", "started", MIGRATE=mode, MIGRATE_WAIT="2")
    assert 2 < time.monotonic() - started < 20
    assert result.out == ""
    assert "Connection refused" in result.error


@pytest.mark.parametrize("mode", ["upgrade", "check"])
def test_a_wrong_password_is_said_at_once_and_nothing_starts(image: Project, postgres: Postgres, mode: str) -> None:
    image.variables["AUTH_DB_URL"] = image.variables["AUTH_DB_URL"].replace(postgres.password, "wr0ng")
    result = start(image, "echo", "started", MIGRATE=mode)
    assert "password authentication failed" in result.error
    assert "correct the user or the password in the URL" in result.error
    assert "wr0ng" not in result.err
    assert result.out == ""


def test_a_migration_that_fails_starts_nothing_and_changes_nothing(behind: Project) -> None:
    behind.add_revision("user_db", 3, 'op.execute("SELECT 1 / 0")')
    result = start(behind, "echo", "started")
    assert "user_0003_by_hand.py:13: division by zero" in result.error
    assert "started" not in result.out
    assert behind.versions() == behind.at(1)


def test_the_tools_exit_code_is_its_own(behind: Project) -> None:
    gid = "multidb:20260101-000000-000000.0:nowhere_db:auth_db"
    behind.rows("auth_db", f"BEGIN; CREATE TABLE x (); PREPARE TRANSACTION '{gid}'")
    try:
        result = start(behind, "echo", "started")
    finally:
        behind.rows("auth_db", f"ROLLBACK PREPARED '{gid}'")
    assert "in doubt" in result.partly  # exit code 3
    assert "started" not in result.out


def test_what_may_succeed_later_has_an_exit_code_of_its_own(behind: Project) -> None:
    behind.edit("databases.yaml", "databases:", "lock_wait: 300ms\n\ndatabases:")
    with session(behind, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})"):
        assert "longer than lock_wait" in start(behind, "echo", "started").retry  # exit code 75
    behind.add_revision("user_db", 3, 'op.execute("INSERT INTO more VALUES (1); ALTER TABLE more ADD y int NOT NULL")')
    assert "user_0003_by_hand.py" in start(behind, "echo", "started").error  # exit code 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["upgrade", "check"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_while_it_waits_for_the_server(image: Project, mode: str, number: signal.Signals) -> None:
    image.variables["AUTH_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/auth_db"
    process = starting(image, "echo", "started", MIGRATE=mode)
    assert "waiting for the server" in until(process, "waiting")
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: interrupted")


def test_check_can_be_stopped_while_it_waits_for_the_migrator(behind: Project) -> None:
    process = starting(behind, "echo", "started", MIGRATE="check")
    assert "waiting for the migration" in until(process, "waiting")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == ("", "error: interrupted by SIGTERM [MDB605]\n")
    assert process.returncode == 1


def test_stopped_while_it_migrates_it_leaves_nothing_behind(behind: Project) -> None:
    behind.add_revision("auth_db", 3, SLEEPS)
    process = starting(behind, "echo", "started")
    until_asleep(behind)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert "started" not in out
    assert err.splitlines()[-1] == "error: interrupted by SIGTERM; no database was changed [MDB605]"
    assert behind.versions() == behind.at(1)
    assert sessions_on(behind, "auth_db") == 0


@pytest.mark.parametrize("mode", ["upgrade", "check"])
def test_no_signal_is_lost_whenever_it_comes(image: Project, mode: str) -> None:
    ends = set()
    for tenths in range(10):
        process = starting(image, "sleep", "60", MIGRATE=mode)
        time.sleep(tenths / 15)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        ends.add(process.returncode)
    assert ends <= {1, 143, -signal.SIGTERM}


@as_root
def test_as_process_1_it_hears_signals_and_its_program_is_process_1(behind: Project) -> None:
    behind.add_revision("auth_db", 3, SLEEPS)
    as_init = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with begun(behind, *as_init, ENTRYPOINT, "echo", "started") as process:
        until_asleep(behind)
        [init] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(init), signal.SIGTERM)
        out, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert "started" not in out
    assert err.splitlines()[-1] == "error: interrupted by SIGTERM; no database was changed [MDB605]"
    (behind.root / "migrations/versions/auth_db/auth_0003_by_hand.py").unlink()
    done = behind.run(*as_init, behind.root / ENTRYPOINT, "sh", "-c", "echo $$")
    assert (done.code, done.out.splitlines()[-1]) == (0, "1")


def test_two_at_once_migrate_once(behind: Project) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = [each.result() for each in [pool.submit(start, behind, "echo", "started") for _ in range(2)]]
    assert [(result.code, result.out.splitlines()[-1]) for result in results] == [(0, "started")] * 2
    assert behind.rows("auth_db", "SELECT count(*) FROM multidb_journal WHERE after = 'auth_0002'") == [(1,)]


@as_root
def test_as_the_images_user_it_needs_nothing_writable_but_the_volume(behind: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (behind.root / "investment.db").rename(volume / "investment.db")
    behind.variables["INVESTMENT_DB_URL"] = f"sqlite:///{volume}/investment.db"
    behind.add_revision("investment_db", 2, MORE, 'op.drop_table("more")')
    result = caged(behind, volume, ENTRYPOINT, "sh", "-c", "id -u; grep CapBnd /proc/$$/status")
    assert (result.code, result.out.splitlines()[-2:]) == (0, ["10001", "CapBnd:\t0000000000000000"]), result
    assert behind.rows("auth_db", "SELECT version_num FROM alembic_version") == [("auth_0002",)]
    assert "by 10001 on" in behind.multidb("log", "auth_db").out


def test_many_services_that_start_at_once_take_no_lock_and_write_nothing(image: Project) -> None:
    url = image.variables["AUTH_DB_URL"]
    image.variables |= {"MIGRATE": "check", "MIGRATE_DATABASES": "auth_db", "MIGRATE_CHECK_WAIT": "0"}
    image.variables["PGOPTIONS"] = "-c default_transaction_read_only=on"
    before = query(url, "SELECT xmin, version_num FROM alembic_version")
    held = set()
    # Another session holds the lock that a run would wait for.
    with session(image, "auth_db", f"SELECT pg_advisory_lock({locks.KEY})"), ThreadPoolExecutor(20) as pool:
        starts = [pool.submit(start, image, "echo", "started") for _ in range(20)]
        while not all(each.done() for each in starts):
            held |= set(query(url, LOCKS))
    assert {(each.result().code, each.result().out, each.result().err) for each in starts} == {(0, "started\n", "")}
    assert held == {(1,)}
    assert query(url, "SELECT xmin, version_num FROM alembic_version") == before
