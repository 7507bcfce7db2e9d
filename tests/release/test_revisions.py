"""What a revision may not do, and what is said when it does."""

import signal
import time

import pytest

from tests.support.project import Project
from tests.support.runs import started, until


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ('op.execute("COMMIT")', "COMMIT in a revision would end the transaction of all databases: leave it out"),
        ('op.execute("-- done\\n  rollback")', "ROLLBACK in a revision would end the transaction"),
        ("op.get_bind().commit()", "a revision may not commit or roll back: all databases are committed together"),
        ("op.get_bind().rollback()", "a revision may not commit or roll back: all databases are committed together"),
    ],
)
@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
def test_a_revision_that_would_end_the_transaction_is_refused(
    migrated: Project, name: str, upgrade: str, expected: str
) -> None:
    migrated.add_revision("rating_db", 2, "pass")
    migrated.add_revision(name, 2, upgrade)
    error = migrated.alembic("upgrade", "heads").error
    assert error.startswith(f"error: {name}: ")
    assert expected in error
    versions = migrated.versions()
    assert versions["rating_db"] == ["rating_0001"]
    assert versions[name] == [f"{name.removesuffix('_db')}_0001"]


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ("raise SystemExit", "sys.exit() was called"),
        ("raise SystemExit(0)", "sys.exit() was called"),
        ("raise KeyError('x\\ny')", "KeyError: 'x\\ny'"),
        ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
        ("assert False", "AssertionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt was raised; no database was changed"),
    ],
)
def test_any_exception_of_a_revision_is_one_line(migrated: Project, upgrade: str, expected: str) -> None:
    migrated.add_revision("auth_db", 2, upgrade)
    migrated.add_revision("user_db", 2, "pass")
    before = migrated.versions()
    error = migrated.alembic("upgrade", "heads").error
    assert expected in error
    assert "Interrupt" in expected or error.startswith(
        "error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py:13: "
    )
    assert migrated.versions() == before


def test_a_revision_that_exits_when_it_is_imported(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass\nraise SystemExit(0)")
    assert "auth_0002_by_hand.py:14: sys.exit() was called" in migrated.alembic("upgrade", "heads").error


def test_a_hidden_commit_is_found_before_the_others_commit(migrated: Project) -> None:
    migrated.add_revision("rating_db", 2, "pass")
    migrated.add_revision("auth_db", 2, 'op.execute("SELECT 1; COMMIT")')
    error = migrated.alembic("upgrade", "heads").partly
    assert error.startswith("error: auth_db: a revision ended the transaction that all databases commit together")
    assert migrated.versions()["rating_db"] == ["rating_0001"]


@pytest.mark.parametrize(
    ("name", "upgrade", "first"),
    [
        ("auth_db", 'op.execute("SELECT 1; COMMIT; SELECT 1/0")', "division by zero"),
        (
            "investment_db",
            "op.get_bind().connection.dbapi_connection.executescript('SELECT 1'); 1 / 0",
            "ZeroDivisionError",
        ),
    ],
)
def test_a_hidden_commit_before_a_failure_is_said(migrated: Project, name: str, upgrade: str, first: str) -> None:
    migrated.add_revision(name, 2, upgrade)
    error = migrated.alembic("upgrade", "heads").partly
    assert first in error
    assert f"error: {name}: migrations/versions/{name}/" in error
    assert error.endswith("may have been committed: remove its COMMIT or ROLLBACK")


@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
def test_a_commit_on_the_drivers_connection_commits_nothing(migrated: Project, name: str) -> None:
    commit = "op.get_bind().connection.dbapi_connection.commit()"
    migrated.add_revision(name, 2, f'op.execute("CREATE TABLE half (x int)"); {commit}; 1 / 0')
    assert "ZeroDivisionError: division by zero" in migrated.alembic("upgrade", "heads").reason
    migrated.rows(name, "CREATE TABLE half (x int)")  # it is not there


# Whatever a revision does, the run ends, and says how.


def test_an_exception_that_cannot_say_what_it_is(pair: Project) -> None:
    bad = "class Bad(Exception):\n        def __str__(self): raise Bad()\n    raise Bad()"
    pair.add_revision("user_db", 3, bad)
    for jobs in ("1", "2"):
        error = pair.alembic("-x", f"jobs={jobs}", "upgrade", "heads").reason
        assert error.endswith("Bad: the exception has no readable text")


def test_a_text_of_megabytes_is_cut(pair: Project) -> None:
    pair.add_revision("user_db", 3, 'raise Exception("y" * 5000000)')
    assert len(pair.alembic("upgrade", "heads").reason) < 1200


def test_a_password_in_what_it_raises(pair: Project) -> None:
    pair.add_revision("user_db", 3, """raise Exception('{"password": "geheim2"} x://u:geheim2@h password=geheim2')""")
    result = pair.alembic("upgrade", "heads")
    assert "geheim2" not in result.reason + result.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_last_line_does_not_change_the_exit_code(pair: Project, number: signal.Signals) -> None:
    revision = pair.add_revision("auth_db", 3, "pass")
    slowly = "import atexit, time\n\natexit.register(time.sleep, 1)  # ends the process slowly\n"
    revision.write_text(slowly + revision.read_text())
    with started(pair, "upgrade", "heads") as process:
        until(process, "committed in 2 databases")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("error", ["asyncio.CancelledError()", "GeneratorExit()", "KeyboardInterrupt()"])
def test_exceptions_that_are_no_errors(pair: Project, error: str, jobs: str) -> None:
    pair.add_revision("user_db", 3, f"import asyncio; raise {error}")
    said = pair.alembic("-x", f"jobs={jobs}", "upgrade", "heads").reason
    name = error.removeprefix("asyncio.").removesuffix("()")
    assert said == f"error: user_db: migrations/versions/user_db/user_0003_by_hand.py:13: {name} was raised"


def test_a_thread_that_it_leaves_behind(pair: Project) -> None:
    thread = "threading.Thread(target=time.sleep, args=[60]).start()"
    pair.add_revision("user_db", 3, f"import threading, time; {thread}")
    at = time.monotonic()
    pair.done("-x", "jobs=2", "upgrade", "heads")
    assert time.monotonic() - at < 20


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_statement_that_cannot_be_cancelled_ends_with_the_second_signal(pair: Project, jobs: str) -> None:
    url = pair.variables["AUTH_DB_URL"]
    pair.add_revision(
        "user_db", 3, f"import psycopg2; psycopg2.connect({url!r}).cursor().execute('SELECT pg_sleep(60)')"
    )
    with started(pair, "-x", f"jobs={jobs}", "upgrade", "heads") as process:
        until(process, "user_0003")
        time.sleep(1)
        process.terminate()
        time.sleep(1)
        process.terminate()
        _, err = process.communicate(timeout=8)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("error: interrupted ")
    assert pair.versions() == pair.at(1)


def test_a_journal_that_it_emptied_is_missed_before_anything_is_decided(pair: Project) -> None:
    pair.add_revision("user_db", 3, 'op.execute("TRUNCATE multidb_journal")')
    error = pair.alembic("upgrade", "heads").reason
    assert "user_db: multidb_journal has 0 rows of" in error
    assert pair.versions() == pair.at(1)


def test_a_search_path_that_it_set_does_not_lead_the_journal_astray(pair: Project) -> None:
    for name in ("auth_db", "user_db"):
        pair.add_revision(name, 3, 'op.execute("CREATE SCHEMA app; SET search_path TO app, public")')
    pair.done("upgrade", "heads")
    for name in ("auth_db", "user_db"):
        assert pair.rows(name, "SELECT to_regclass('app.multidb_journal')") == [(None,)]
    assert pair.multidb("rollback", "--yes").code == 0


def test_what_it_sets_for_the_session_ends_with_its_release(pair: Project) -> None:
    pair.add_revision("auth_db", 3, 'op.execute("SET default_transaction_read_only = on")')
    path = pair.add_revision("auth_db", 4, 'op.execute("VACUUM users")')
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    pair.done("upgrade", "heads")
    assert pair.versions()["auth_db"] == ["auth_0004"]
