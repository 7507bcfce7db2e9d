"""Databases migrated side by side: what is seen of the processes that do it."""

import re
import signal
import time
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.runs import locks, started, until


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def asleep(few: Project) -> Project:
    """A checkout in which two databases have a statement that takes long."""
    for name in ("auth_db", "user_db"):
        few.add_revision(name, 2, 'op.execute("SELECT pg_sleep(60)")')
    return few


def test_a_worker_ends_with_its_coordinator_even_in_the_middle_of_a_statement(asleep: Project) -> None:
    with started(asleep, "-x", "jobs=2", "upgrade", "heads") as process:
        until(process, "Running upgrade")
        until(process, "Running upgrade")
        workers = children(process.pid)
        assert len(workers) == 2
        at = time.monotonic()
        process.send_signal(signal.SIGKILL)
        while any(is_alive(pid) for pid in workers):
            assert time.monotonic() - at < 5
            time.sleep(0.05)
    asleep_still = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    assert asleep.rows("auth_db", asleep_still) == []
    assert locks(asleep) == []


@pytest.mark.parametrize(("jobs", "busy"), [(1, 1), (2, 2), (9, 2)])
def test_jobs_is_how_many_databases_are_worked_on_at_the_same_time(asleep: Project, jobs: int, busy: int) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()"
    prefix = asleep.variables["AUTH_DB_URL"].rpartition("/")[2].removesuffix("auth_db")
    with started(asleep, "-x", f"jobs={jobs}", "upgrade", "heads") as process:
        for _ in range(busy):
            until(process, "Running upgrade")
        assert len(children(process.pid)) == 2
        time.sleep(0.3)  # in which another would begin
        assert asleep.rows("auth_db", f"{sleeping} AND starts_with(datname, '{prefix}')") == [(busy,)]
        process.terminate()


def test_log_lines_are_whole_and_name_their_database(few: Project) -> None:
    for name in few.names:
        shout = f"import logging; [logging.getLogger('alembic').info('{name} ' + 'x' * 20000) for _ in range(20)]"
        few.add_revision(name, 2, shout)
    said = few.done("-x", "jobs=4", "upgrade", "heads").err
    lines = [line for line in said.splitlines() if "xxx" in line]
    assert len(lines) == 20 * len(few.names)
    for line in lines:
        assert re.fullmatch(r"INFO  \[(\w+)\] \1 x{20000}", line), line[:100]


def test_what_a_revision_prints_is_not_lost(few: Project) -> None:
    for name in ("auth_db", "user_db"):
        few.add_revision(name, 2, f"print('hello from {name}')")
    said = few.done("-x", "jobs=2", "upgrade", "heads").out
    assert said.count("hello from auth_db") == said.count("hello from user_db") == 1


def test_raiseerr_shows_where_a_worker_failed(few: Project) -> None:
    few.add_revision("auth_db", 2, "1 / 0")
    few.add_revision("user_db", 2, "pass")
    result = few.alembic("--raiseerr", "upgrade", "heads")
    assert result.code == 1
    assert "ZeroDivisionError: division by zero" in result.err
    assert re.search(r'auth_0002_by_hand.py", line 13, in upgrade', result.err)


def test_a_finalizer_does_not_swallow_the_cancel_of_a_run(few: Project) -> None:
    """Python prints what is raised in one, and goes on."""
    few.add_revision("auth_db", 2, "import time; time.sleep(1); op.execute('SELECT none')")
    finalizer = "type('Slow', (), {'__del__': lambda self: [time.sleep(0.1) for _ in range(20)]})"
    few.add_revision("user_db", 2, f"import time; {finalizer}(); [time.sleep(0.1) for _ in range(200)]")
    at = time.monotonic()
    result = few.alembic("-x", "jobs=2", "upgrade", "heads")
    assert 'column "none" does not exist' in result.reason
    assert "ignored" not in result.err
    assert time.monotonic() - at < 10
    assert few.versions() == few.at(1)
