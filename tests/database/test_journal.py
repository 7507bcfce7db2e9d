"""The journal: what a run writes into every database, and how it is read, verified, and reverted."""

import json
import signal
import subprocess
from typing import Any

import pytest

from tests.support import older
from tests.support.project import Postgres, Project
from tests.support.runs import MORE, interrupt, locks, prepared, started, until


def test_the_journal_tells_who_did_what_with_which_files(pair: Project) -> None:
    pair.done("-x", "release=2026.11", "upgrade", "heads")
    runs = json.loads(pair.multidb("log", "--json").out)
    newest = runs[0]
    assert (newest["release"], newest["command"], newest["state"]) == ("2026.11", "upgrade heads", "committed")
    assert {row["database"] for row in newest["databases"]} == {"auth_db", "user_db"}
    row = next(row for row in newest["databases"] if row["database"] == "auth_db")
    assert (row["before"], row["after"]) == (["auth_0001"], ["auth_0002"])
    file = pair.root / "migrations/versions/auth_db/auth_0002_by_hand.py"
    digest = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout.split()[0]
    assert row["revisions"] == [{"revision": "auth_0002", "sha256": digest, "upgrade": True}]
    assert set(newest["versions"]) == {"python", "alembic", "sqlalchemy", "psycopg2"}
    assert "`upgrade heads`" in pair.multidb("log").out.splitlines()[0]


def newest(project: Project, *names: str) -> dict[str, Any]:
    """The newest run of `log`."""
    return dict(json.loads(project.multidb("log", "--json", *names).out)[0])


def assert_failed(project: Project, error: str, result: str = "failed") -> None:
    """The newest run is logged as one that failed, with its error; `status` calls it that."""
    run = newest(project)
    assert run["state"] == result, run
    assert error in run["ended"]["error"]
    assert (run["ended"]["result"], run["ended"]["role"]) in ((result, "neighbor"), (result, None))
    assert run["started_at"] <= run["ended"]["at"]
    assert f"{result}\n" in project.multidb("log").out
    assert f": {error}"[:60] in project.multidb("log").out
    assert f") {result}: " in project.multidb("status").out


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_failed_run_is_in_the_log_with_its_end(pair: Project, jobs: str) -> None:
    pair.add_revision("auth_db", 3, "1 / 0")  # with one job, before the decider would migrate
    assert pair.alembic("-x", f"jobs={jobs}", "upgrade", "heads").reason
    assert_failed(pair, "auth_db: migrations/versions/auth_db/auth_0003_by_hand.py:13: ZeroDivisionError")
    [row] = newest(pair)["databases"]
    assert (row["database"], row["state"], row["revisions"]) == ("user_db", "not committed", [])


@pytest.mark.parametrize("two_phase", ["auto", "off"])
def test_a_failed_run_of_any_kind_is_in_the_log(pair: Project, two_phase: str) -> None:
    pair.add_revision("user_db", 3, "1 / 0")
    assert pair.alembic("-x", f"two_phase={two_phase}", "upgrade", "heads").reason
    assert_failed(pair, "user_db: migrations/versions/user_db/user_0003_by_hand.py:13: ZeroDivisionError")
    assert pair.alembic("-x", f"two_phase={two_phase}", "upgrade", "user_db@head").reason
    assert_failed(pair, "user_db: migrations/versions/user_db/user_0003_by_hand.py:13: ZeroDivisionError")
    pair.add_revision("investment_db", 2, "1 / 0")
    assert pair.alembic("upgrade", "investment_db@head").reason
    assert_failed(pair, "investment_db: migrations/versions/investment_db/investment_0002_by_hand.py:13: Zero")


def test_a_run_that_is_refused_under_its_locks_is_in_the_log(fragile: Project, another: Postgres) -> None:
    another.set(max_prepared_transactions="0")
    for name in ("auth_db", "user_db"):
        fragile.add_revision(name, 2, MORE)
    assert fragile.alembic("-x", "two_phase=required", "upgrade", "heads").error
    assert_failed(fragile, "two_phase is required, but the server 127.0.0.1:")


def test_a_run_that_failed_after_stages_outside_a_transaction_is_not_logged_as_committed(pair: Project) -> None:
    """All attempts that have a row were committed; the one that failed had not begun in its decider."""
    for name in ("auth_db", "user_db"):
        pair.add_revision(name, 3, "pass")
        file = f"migrations/versions/{name}/{name.removesuffix('_db')}_0003_by_hand.py"
        pair.edit(file, "depends_on = None", "depends_on = None\noutside_transaction = True")
        pair.add_revision(name, 4, "1 / 0")
    result = pair.alembic("-x", "jobs=1", "upgrade", "heads")
    assert "auth_db: migrations/versions/auth_db/auth_0004_by_hand.py:13: ZeroDivisionError" in result.partly
    assert_failed(pair, "auth_db: migrations/versions/auth_db/auth_0004_by_hand.py:13: Zero", "partly committed")
    assert newest(pair, "auth_db")["state"] == "partly committed"


@pytest.mark.parametrize("names", [[], ["user_db"], ["investment_db"]])
def test_a_running_run_and_a_killed_one_are_called_that(pair: Project, names: list[str]) -> None:
    decider = names[0] if names else "investment_db"
    pair.add_revision("investment_db", 2, "import time; time.sleep(60)")
    pair.add_revision("user_db", 3, "import time; time.sleep(60)")
    chosen = ["-x", f"db={','.join(names)}"] if names else []
    with started(pair, "-x", "jobs=1", *chosen, "upgrade", "heads") as process:
        until(process, f"{decider.removesuffix('_db')}_000" if names else "user_0003")
        assert newest(pair)["state"] == "running"
        assert ") running\n" in pair.multidb("status").out
        process.kill()
    assert locks(pair) == []
    assert newest(pair)["state"] == "killed"
    [line] = [line for line in pair.multidb("status").out.splitlines() if line.startswith(decider)]
    assert line.endswith(" killed")
    last = json.loads(pair.multidb("status", "--json", decider).out)[0]["last_run"]
    assert (last["state"], last["result"], last["ended"]) == ("begun", "killed", None)


def test_a_run_in_doubt_that_was_resolved_is_logged_as_it_was_resolved(pair: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", "user_db"]
    assert interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert newest(pair)["state"] == "partly committed"
    assert pair.multidb("recover").code == 0
    assert newest(pair)["state"] == "committed"


def test_a_committed_run_says_when_and_by_which_role(pair: Project) -> None:
    pair.done("upgrade", "heads")
    run = newest(pair)
    assert (run["state"], run["ended"]["result"], run["ended"]["role"]) == ("committed", "committed", "neighbor")
    assert run["ended"]["error"] is None
    assert run["started_at"] <= run["ended"]["at"]


def test_verify_finds_changed_files_and_missing_ones(pair: Project) -> None:
    pair.done("upgrade", "heads")
    assert pair.multidb("verify").code == 0
    pair.edit("migrations/versions/auth_db/auth_0002_by_hand.py", "by hand", "by another hand")
    result = pair.multidb("verify")
    assert result.code == 2
    assert result.out == (
        "auth_db: auth_0002: applied, and its file has changed since: "
        "migrations/versions/auth_db/auth_0002_by_hand.py\n"
    )
    (pair.root / "migrations/versions/user_db/user_0002_by_hand.py").unlink()
    assert "user_db: user_0002: applied, and has no file\n" in pair.multidb("verify").out
    pair.add_revision("user_db", 2, MORE, 'op.drop_table("more")')
    pair.done("downgrade", "auth_db@-1")
    assert pair.multidb("verify").code == 0


# Going back


def test_rollback_takes_back_the_last_run_and_nothing_else(pair: Project) -> None:
    pair.done("upgrade", "heads")
    asked = pair.multidb("rollback")
    assert asked.code == 1
    assert asked.err == "error: nothing was done: there is no terminal to answer on: add --yes [MDB913]\n"
    assert "auth_db   auth_0002  ->  auth_0001" in asked.out
    assert pair.multidb("rollback", "--yes").code == 0
    assert pair.versions() == pair.at(1)
    assert json.loads(pair.multidb("log", "--json").out)[0]["command"] == "rollback"


def test_rollback_to_a_release_goes_back_through_several(pair: Project) -> None:
    pair.done("-x", "release=one", "upgrade", "heads")
    pair.add_revision("auth_db", 3, "pass")
    pair.add_revision("content_db", 2, "pass")
    pair.done("-x", "release=two", "upgrade", "heads")
    pair.add_revision("auth_db", 4, "pass")
    pair.done("-x", "release=three", "upgrade", "heads")
    unknown = pair.multidb("rollback", "--to", "four").error
    assert "the journals record no release 'four': there are one, three, two" in unknown
    result = pair.multidb("rollback", "--to", "one", "--yes")
    assert result.code == 0, result
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0002"], "user_db": ["user_0002"]}
    assert "there is nothing to revert" in pair.multidb("rollback", "--to", "one", "--yes").error


def test_rollback_of_a_downgrade_goes_up_again(pair: Project) -> None:
    pair.done("upgrade", "heads")
    pair.done("downgrade", "-1")
    assert pair.multidb("rollback", "--yes").code == 0
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0002"], "user_db": ["user_0002"]}


def test_rollback_of_a_stamp_stamps(pair: Project) -> None:
    pair.done("stamp", "auth_db@head")
    assert pair.multidb("rollback", "--yes").code == 0
    assert pair.versions() == pair.at(1)
    assert pair.rows("auth_db", "SELECT to_regclass('more')") == [(None,)]


def test_rollback_refuses_a_database_that_has_moved_since(pair: Project) -> None:
    pair.done("upgrade", "heads")
    pair.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0001'")
    error = pair.multidb("rollback", "--yes").error
    assert error.startswith("error: auth_db: it is at auth_0001, and the last run left it at auth_0002: ")
    pair.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0002'")
    assert pair.versions()["user_db"] == ["user_0002"]


def test_rollback_needs_permission_for_a_protected_database(pair: Project) -> None:
    pair.edit("databases.yaml", "{models: models.auth}", "{models: models.auth, protected: true}")
    pair.done("upgrade", "heads")
    assert "auth_db: it is protected, and would go back" in pair.multidb("rollback", "--yes").error
    assert pair.multidb("-x", "allow=downgrade", "rollback", "--yes").code == 0
    assert pair.versions() == pair.at(1)


def test_verify_believes_a_stamp(pair: Project) -> None:
    pair.done("upgrade", "heads")
    pair.edit("migrations/versions/auth_db/auth_0002_by_hand.py", "by hand", "by another hand")
    pair.done("stamp", "auth_db@auth_0001")
    assert pair.multidb("verify").code == 0


def test_rollback_to_a_release_goes_by_the_order_of_the_rows_not_by_clocks(pair: Project) -> None:
    pair.done("-x", "release=one", "-x", "db=auth_db", "upgrade", "heads")
    pair.add_revision("auth_db", 3, "pass")
    pair.done("-x", "db=auth_db", "upgrade", "heads")  # by a host whose clock is behind
    pair.rows("auth_db", "UPDATE multidb_journal SET started_at = '2001-01-01' WHERE after = 'auth_0003'")
    pair.add_revision("auth_db", 4, "pass")
    pair.done("-x", "db=auth_db", "upgrade", "heads")
    assert pair.multidb("rollback", "--to", "one", "--yes").code == 0
    assert pair.versions()["auth_db"] == ["auth_0002"]


# Older and newer checkouts, side by side


def read_by_all(project: Project) -> None:
    """Every command that reads a journal succeeds."""
    assert project.multidb("status").code in (0, 2)
    for command in (["log"], ["log", "--json"], ["verify"]):
        result = project.multidb(*command)
        assert (result.code, result.err) == (0, ""), result


def test_an_older_journal_is_read_and_gets_the_missing_columns_with_the_next_run(pair: Project) -> None:
    pair.done("upgrade", "heads")
    older.make_older(pair)
    read_by_all(pair)
    found = json.loads(pair.multidb("log", "--json", "auth_db").out)[0]["databases"][0]
    assert (found["two_phase"], found["details"]) == (None, {})
    assert "two_phase" not in older.columns(pair, "auth_db")  # reading adds nothing
    pair.add_revision("investment_db", 2, "pass")
    pair.add_revision("auth_db", 3, "pass")
    pair.done("upgrade", "heads")
    for name in ("auth_db", "investment_db"):
        assert older.columns(pair, name)[-2:] == ["two_phase", "details"]
    assert "two_phase" not in older.columns(pair, "user_db")  # had nothing to do
    assert pair.rows("auth_db", "SELECT two_phase FROM multidb_journal ORDER BY id DESC LIMIT 1") == [(True,)]
    assert pair.multidb("rollback", "--yes").code == 0
    assert pair.versions()["auth_db"] == ["auth_0002"]


def test_a_run_of_an_older_checkout_is_reverted(pair: Project) -> None:
    pair.done("upgrade", "heads")
    older.make_older(pair)
    assert pair.multidb("rollback", "--yes").code == 0
    assert pair.versions() == pair.at(1)


def test_columns_and_details_of_a_newer_checkout_are_ignored(pair: Project) -> None:
    pair.done("upgrade", "heads")
    for name in pair.names:
        pair.rows(name, "ALTER TABLE multidb_journal ADD COLUMN plan TEXT")
        pair.rows(name, """UPDATE multidb_journal SET plan = 'sha256', details = '{"approved": {"by": "ann"}}'""")
    read_by_all(pair)
    found = json.loads(pair.multidb("log", "--json", "auth_db").out)[0]["databases"][0]
    assert found["details"]["approved"] == {"by": "ann"}
    pair.add_revision("auth_db", 3, "pass")
    pair.done("upgrade", "heads")
    assert pair.multidb("rollback", "--yes").code == 0
    assert pair.versions()["auth_db"] == ["auth_0002"]


def test_the_columns_of_an_older_journal_are_added_before_anything_is_prepared(pair: Project) -> None:
    """Otherwise the prepared transaction would keep its journal locked for those who look for evidence."""
    older.make_older(pair)
    how = ["SIGKILL:run", "before", "commit", "user_db"]
    interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads")
    assert len(prepared(pair)) == 1
    status = pair.multidb("status", "auth_db")
    assert status.code == 3, status
    assert "canceling statement" not in status.out
    assert pair.multidb("recover").code == 0
    assert pair.versions() == pair.at(1)


@pytest.mark.parametrize("decided", [True, False])
def test_recover_resolves_what_a_run_of_an_older_checkout_left(pair: Project, decided: bool) -> None:
    older.make_older(pair)
    gid = older.leave_in_doubt(pair, decided=decided)
    result = pair.multidb("recover")
    done = "committed" if decided else "rolled back"
    assert (result.out, result.code) == (f"{done} {gid}, as user_db had decided\n", 0)
    assert pair.versions()["auth_db"] == ["auth_0002" if decided else "auth_0001"]
    pair.done("upgrade", "heads")


@pytest.mark.parametrize(("when", "number"), [("before", 1), ("after", 2)])
def test_an_older_checkout_resolves_what_a_run_left(pair: Project, when: str, number: int) -> None:
    how = ["SIGKILL:run", when, "commit", "user_db"]
    assert interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    [(gid,)] = prepared(pair)
    older.recover(pair, gid)
    assert prepared(pair) == []
    assert pair.versions() == pair.at(1) | {"auth_db": [f"auth_000{number}"], "user_db": [f"user_000{number}"]}
    read_by_all(pair)
