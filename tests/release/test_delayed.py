"""Statements of the commit that reach the server late, or that the server does not execute."""

import signal
import sys
import time
from contextlib import closing

import psycopg2
import pytest

from multidb.database.locks import KEY
from tests.support.delayed import delayed
from tests.support.project import Project
from tests.support.runs import MORE, begun, interrupt, locks, prepared, started, until

PREPARE = "PREPARE TRANSACTION"
# A revision after which a statement fails in the session of its database, just before that is prepared.
ABORT = """import contextlib
    from multidb.release.session import Session
    end = Session.end

    def aborted(self, statement, tag=None):
        if tag == "PREPARE TRANSACTION":
            with contextlib.suppress(Exception):
                self.driver.cursor().execute("SELECT 1/0")
        end(self, statement, tag)

    Session.end = aborted"""


def test_a_prepare_that_arrives_after_its_session_broke_is_waited_for_and_rolled_back(pair: Project) -> None:
    with delayed(pair.variables["AUTH_DB_URL"], PREPARE) as server:
        pair.variables["AUTH_DB_URL"] = server.url
        with started(pair, "-x", "jobs=1", "upgrade", "heads") as process:
            assert server.asked.wait(30)
            server.cut()
            until(process, "waiting for pid")  # the lock that the session still holds
            server.go_on.set()
            _, err = process.communicate(timeout=30)
        assert process.returncode == 1, err
        assert "error: auth_db: server closed the connection unexpectedly" in err
        assert prepared(pair) == []
        assert pair.versions() == pair.at(1)


def test_a_transaction_that_was_aborted_before_it_is_prepared_fails_the_run(pair: Project) -> None:
    """PREPARE TRANSACTION of an aborted transaction answers ROLLBACK, and no error."""
    pair.add_revision("auth_db", 3, ABORT)
    error = pair.alembic("-x", "jobs=1", "upgrade", "heads").reason
    assert error.startswith("error: auth_db: ")
    assert error.endswith("the server answered ROLLBACK to PREPARE TRANSACTION: its log has the reason")
    assert prepared(pair) == []
    assert pair.versions() == pair.at(1)


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_two_signals_during_a_prepare_that_is_not_answered_leave_it_in_doubt(few: Project, jobs: str) -> None:
    for name in few.names:
        few.add_revision(name, 2, MORE)
    with delayed(few.variables["USER_DB_URL"], PREPARE) as server:
        few.variables["USER_DB_URL"] = server.url
        with started(few, "-x", f"jobs={jobs}", "upgrade", "heads") as process:
            assert server.asked.wait(30)
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            _, err = process.communicate(timeout=20)
        assert process.returncode == 3, err
        last = err.splitlines()[-1]
        assert last.startswith("error: interrupted by SIGTERM; ")
        assert "; in doubt: user_db; `python -m multidb recover` resolves" in last
        assert "rolled back: auth_db, content_db, investment_db" in last
        server.go_on.set()  # and the server prepares
        assert locks(few) == []
        assert len(prepared(few)) == 1
        assert few.multidb("recover").code == 0
        assert prepared(few) == []
        assert few.versions() == few.at(1)


def test_a_second_signal_in_a_later_stage_does_not_hide_that_an_earlier_one_is_committed(pair: Project) -> None:
    """A statement of the revision's own connection can't be cancelled, so that the second signal ends the process.

    With several databases, it would end the worker.
    """
    url = pair.variables["AUTH_DB_URL"]
    path = pair.add_revision("auth_db", 3, 'op.execute("VACUUM users")')
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    sleep = f"psycopg2.connect({url!r}).cursor().execute('SELECT pg_sleep(60)')"
    pair.add_revision("auth_db", 4, f"import psycopg2; {sleep}")
    with started(pair, "upgrade", "auth_db@head") as process:
        until(process, "auth_0004")
        for _ in range(2):
            time.sleep(1)
            process.terminate()
        _, err = process.communicate(timeout=8)
    assert process.returncode == 3, err
    assert err.splitlines()[-1].startswith("error: interrupted twice; ")
    assert "auth_db" in err.splitlines()[-1]


@pytest.mark.parametrize("first", ["auth_db", "content_db"])  # nothing is prepared yet, or something is
def test_recover_looks_again_while_a_session_of_the_killed_run_lives(few: Project, first: str) -> None:
    for name in ("auth_db", "content_db", "user_db"):
        few.add_revision(name, 2, MORE)
    variable = f"{first.upper()}_URL"
    with delayed(few.variables[variable], PREPARE) as server:
        few.variables[variable] = server.url
        with started(few, "-x", "jobs=1", "upgrade", "heads") as process:
            assert server.asked.wait(30)
            process.kill()
        with begun(few, sys.executable, "-m", "multidb", "recover") as recover:
            until(recover, "waiting for pid")
            server.go_on.set()
            out, err = recover.communicate(timeout=30)
        assert recover.returncode == 0, err
        assert out.count("rolled back multidb:") == (1 if first == "auth_db" else 2)
        assert prepared(few) == []
        assert few.versions() == few.at(1)


def test_recover_commits_at_once_though_another_run_holds_the_deciders_lock(few: Project) -> None:
    """The lock is needed only for a rollback: what the decider has committed stays so."""
    for name in ("auth_db", "content_db", "user_db"):
        few.add_revision(name, 2, MORE)
    how = ["SIGKILL:coordinator", "after", "commit", "user_db"]
    assert interrupt(few, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    with closing(psycopg2.connect(few.variables["USER_DB_URL"])) as another_run:
        another_run.cursor().execute("SELECT pg_advisory_lock(%s)", [KEY])
        recovered = few.multidb("-x", "lock_wait=1", "recover")
    assert recovered.code == 0
    assert recovered.out.count("committed multidb:") == 2
    assert "user_db: pid " in recovered.out
    assert "may still be at work: run again when it has ended" in recovered.out
    assert prepared(few) == []
    assert few.versions()["auth_db"] == ["auth_0002"]
