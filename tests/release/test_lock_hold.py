"""How long altered tables may stay locked because another database is slow, and what the report says of it."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from tests.support.delayed import delayed
from tests.support.project import Project
from tests.support.runs import MORE, locks, prepared, started, table

COLUMN = 'op.add_column("users", sa.Column("nickname", sa.Text))'
SLEEP = 'op.execute("SELECT pg_sleep(60)")'
LOCKED = re.compile(r"altered tables were locked for at most ([\d.]+) s \((.*)\)")


class Reader:
    """A session that reads a table again and again, beside a run; the longest time that it had to wait."""

    def __init__(self, url: str, table: str) -> None:
        self.longest = 0.0
        self._url, self._table, self._ended = url, table, threading.Event()

    @contextmanager
    def reading(self) -> Iterator["Reader"]:
        thread = threading.Thread(target=self._read)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _read(self) -> None:
        with closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            while not self._ended.wait(0.05):
                at = time.monotonic()
                connection.cursor().execute(f"SELECT count(*) FROM {self._table}")
                self.longest = max(self.longest, time.monotonic() - at)


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("slow", [SLEEP, "import time; time.sleep(60)"])
def test_a_slow_database_does_not_keep_the_tables_of_others_locked(few: Project, slow: str, jobs: str) -> None:
    few.add_revision("auth_db", 2, COLUMN)
    few.add_revision("user_db", 2, slow)
    with Reader(few.variables["AUTH_DB_URL"], "users").reading() as reader:
        result = few.alembic("-x", f"jobs={jobs}", "-x", "lock_hold=2s", "upgrade", "heads")
    assert result.reason == (
        "error: user_db: users of auth_db would stay locked for longer than lock_hold = 2 s while user_db is not ready "
        "to commit: make the slow revision faster, or run with a longer -x lock_hold="
    )
    assert "attempt 2" not in result.err
    assert 0.5 < reader.longest < 6
    assert table(result.out)["auth_db"][-2:] == ["rolled", "back"]
    assert few.versions() == few.at(1)
    assert locks(few) == []


def test_a_statement_that_keeps_its_own_table_locked_is_stopped(few: Project) -> None:
    few.add_revision("auth_db", 2, """op.execute("LOCK TABLE users; SELECT pg_sleep(60)")""")
    for jobs in ("1", "2"):
        few.add_revision("user_db", 2, "pass")
        result = few.alembic("-x", f"jobs={jobs}", "-x", "lock_hold=2s", "upgrade", "heads")
        assert "auth_db: users of auth_db would stay locked for longer than lock_hold = 2 s" in result.reason


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_prepare_that_is_slow_does_not_keep_tables_locked(few: Project, jobs: str) -> None:
    few.add_revision("auth_db", 2, COLUMN)
    few.add_revision("user_db", 2, "pass")
    with delayed(few.variables["AUTH_DB_URL"], "PREPARE TRANSACTION") as server:
        few.variables["AUTH_DB_URL"] = server.url
        with started(few, "-x", f"jobs={jobs}", "-x", "lock_hold=2s", "upgrade", "heads") as process:
            _, err = process.communicate(timeout=50)
        assert "auth_db: users of auth_db would stay locked for longer" in err
        assert process.returncode == 3  # the server may still prepare
        server.go_on.set()
        assert locks(few) == []
        assert few.multidb("recover").code == 0
        assert prepared(few) == []
        assert few.versions() == few.at(1)


def test_tables_that_nobody_waits_for_may_stay_locked(few: Project) -> None:
    """A table that the release creates, and rows that it changes, are not locked against readers."""
    few.add_revision("auth_db", 2, f'{MORE}; op.execute("UPDATE users SET email = email")')
    few.add_revision("user_db", 2, 'op.execute("SELECT pg_sleep(3)")')
    result = few.done("-x", "lock_hold=1s", "upgrade", "heads")
    assert "locked for" not in result.out


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_the_report_counts_what_was_altered_by_database_and_table(few: Project, jobs: str) -> None:
    few.add_revision("auth_db", 2, COLUMN)
    few.add_revision("user_db", 2, 'op.execute("SELECT pg_sleep(2)"); op.drop_table("user_profiles")')
    few.add_revision("content_db", 2, MORE)
    few.add_revision("investment_db", 2, 'op.execute("ALTER TABLE investments ADD COLUMN note TEXT")')
    with Reader(few.variables["AUTH_DB_URL"], "users").reading() as reader:
        result = few.done("-x", f"jobs={jobs}", "upgrade", "heads")
    match = LOCKED.search(result.out)
    assert match, result
    longest, found = float(match[1]), dict(each.split(": ") for each in match[2].split("; "))
    assert set(found) == {"auth_db", "user_db", "investment_db"}
    seconds = {database: float(each.split()[1]) for database, each in found.items()}
    assert longest == max(seconds.values()) < 6
    assert reader.longest <= seconds["auth_db"]
    assert found["user_db"].startswith("user_profiles ")
    assert seconds["user_db"] < 2
    assert found["investment_db"].startswith("investments ")
