"""What a prepared transaction is resolved by: evidence of a live run, of a standby, of a decider that lost its commit.

Each test fails if one of them is taken for another.
"""

import json
import shutil
import signal
import sys

import pytest

from multidb.config import reader
from multidb.local.server import Server
from multidb.release import recovery
from tests.release.test_killed import DECIDER, assert_whole
from tests.release.test_servers import ITS_DECIDER, ON_ONE_SERVER, power_cut
from tests.support.project import Postgres, Project, Result
from tests.support.runs import interrupt, prepared, table

MULTIDB = f'"{sys.executable}" -m multidb'
# Until the standby has everything that its server has written.
CATCH_UP = """
lsn=$(psql -XAtqc "SELECT pg_current_wal_insert_lsn()" "{primary}")
until [ "$(psql -XAtqc "SELECT pg_last_wal_replay_lsn() >= '$lsn'" "{standby}")" = t ]; do sleep 0.05; done
"""
PAUSE = """
psql -XAtqc "SELECT pg_wal_replay_pause()" "{standby}"
until [ "$(psql -XAtqc "SELECT pg_get_wal_replay_pause_state()" "{standby}")" = paused ]; do sleep 0.05; done
"""
BEGUN = ["before", "prepare", "auth_db"]
DECIDED = ["SIGKILL:coordinator", "after", "commit", ITS_DECIDER]
COMMITTED_IN_ONE = ["SIGKILL:coordinator", "after", "commit_prepared", "auth_db"]


@pytest.fixture
def second(few: Project) -> Project:
    """A checkout of a few databases at head, and then a second revision for each database."""
    return with_second(few)


@pytest.fixture
def on_one(fragile: Project) -> Project:
    """The same on a server that may be stopped."""
    return with_second(fragile)


def with_second(project: Project) -> Project:
    for name in project.names:
        project.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    return project


def beside(project: Project, *commands: str) -> str:
    """A shell's action that runs commands, and keeps what they print and their exit codes in `said`."""
    there = f'cd "{project.root}"'
    return "; ".join([there, *(f"{MULTIDB} {command} >>said 2>&1; echo code=$? >>said" for command in commands)])


def said(project: Project) -> str:
    return (project.root / "said").read_text()


def leave(project: Project, *how: str) -> None:
    """Leave an upgrade of the databases on one server in doubt."""
    result = interrupt(project, how, "alembic", "-x", "jobs=1", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads")
    assert result.code == -signal.SIGKILL, result


def move(project: Project, database: str, to: Postgres) -> None:
    """Let a database's URL lead to the same database on another server."""
    variable = f"{database.upper()}_URL"
    project.variables[variable] = to.url(project.variables[variable].rpartition("/")[2])


def assert_no_sql(project: Project, *names: str) -> Result:
    """`status` exits with 3 and prints no SQL, also for programs."""
    status = project.multidb("status", *names)
    assert status.code == 3, status
    assert "PREPARED '" not in status.out
    for each in json.loads(project.multidb("status", "--json", *names).out):
        for found in each["in_doubt"] or ():
            assert (found["sql"], found["choice"], found["decided"]) == (None, None, None)
    return status


# A live run


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("decider", [ITS_DECIDER, DECIDER])
@pytest.mark.parametrize("unlock", [False, True])
def test_a_run_between_prepare_and_commit_is_in_progress(
    second: Project, decider: str, unlock: bool, jobs: str
) -> None:
    if unlock:  # a revision that lets go of the lock
        second.add_revision("user_db", 3, "op.execute('SELECT pg_advisory_unlock_all()')")
    names = ON_ONE_SERVER if decider == ITS_DECIDER else ",".join(second.names)
    action = beside(second, "status", "status --json auth_db", "-x lock_wait=500ms recover auth_db")
    result = interrupt(
        second, [action, "before", "commit", decider],
        "alembic", "-x", f"jobs={jobs}", "-x", f"db={names}", "upgrade", "heads",
    )  # fmt: skip
    assert result.code == 0, result
    status, found, recovered, _ = said(second).split("code=")
    assert status.splitlines()[1].split()[3:5] == ["in", "progress"]
    assert "auth_db waits for run " in status
    assert "(`upgrade heads`) by " in status
    assert "which is in progress" in status
    assert "PREPARED '" not in status + found
    assert found.startswith("2\n")
    [in_doubt] = json.loads(found[2:])[0]["in_doubt"]
    assert (in_doubt["in_progress"], in_doubt["sql"], in_doubt["choice"]) == (True, None, None)
    assert "\nauth_db: run " in recovered
    assert "is in progress: run again when it has ended" in recovered
    assert said(second).endswith("code=75\n")
    assert second.versions()["auth_db"] == ["auth_0002"]
    assert prepared(second) == []


def test_an_upgrade_beside_a_run_that_let_go_of_its_locks_waits_for_it(second: Project) -> None:
    for name in ("auth_db", "user_db"):
        second.add_revision(name, 3, "op.execute('SELECT pg_advisory_unlock_all()')")
    alembic = f'"{sys.executable}" -m alembic -x lock_wait=500ms upgrade auth_db@head'
    action = f'cd "{second.root}"; {alembic} >said 2>&1; echo code=$? >>said'
    result = interrupt(second, [action, "before", "commit", DECIDER], "alembic", "-x", "jobs=1", "upgrade", "heads")
    assert result.code == 0, result
    assert ": run again when it has ended, or with -x lock_wait=SECONDS" in said(second)
    assert said(second).endswith("code=75\n")
    assert prepared(second) == []


# A standby


def test_a_decider_read_on_a_standby_that_lags_is_no_evidence(
    on_one: Project, another: Postgres, standby: Postgres
) -> None:
    urls = {"primary": another.admin_url, "standby": standby.admin_url}
    leave(on_one, (CATCH_UP + PAUSE).format(**urls), *BEGUN, "and", *DECIDED)
    primary = dict(on_one.variables)
    move(on_one, ITS_DECIDER, standby)
    assert on_one.rows(ITS_DECIDER, "SELECT state FROM multidb_journal ORDER BY id DESC LIMIT 1") == [("begun",)]
    left = prepared(on_one)
    assert len(left) == 2
    for command in (["recover"], ["recover", "auth_db"]):
        recovered = on_one.multidb(*command)
        assert recovered.code == 3, recovered
        assert "as a standby does not" in recovered.out
        assert "use the URL of the primary" in recovered.out
    assert prepared(on_one) == left
    assert_no_sql(on_one)
    on_one.variables |= primary
    assert on_one.multidb("recover").code == 0
    assert on_one.versions() == on_one.at(2) | {DECIDER: on_one.at(1)[DECIDER]}


def test_a_participant_read_on_a_standby_that_lags_is_no_evidence_for_a_rollback(
    on_one: Project, standby: Postgres
) -> None:
    leave(on_one, "SIGKILL:run", "before", "commit", ITS_DECIDER)
    left, primary = prepared(on_one), dict(on_one.variables)
    move(on_one, "content_db", standby)
    recovered = on_one.multidb("recover", "auth_db")
    assert recovered.code == 3, recovered
    assert "content_db: it takes no writes, as a standby does not" in recovered.out
    assert prepared(on_one) == left
    on_one.variables |= primary
    assert_whole(on_one, 1)


# A decider that lost its last commit


def assert_contradicted(project: Project, decider: str) -> None:
    """Nothing is rolled back, and a person learns what happened, and what each database did."""
    left = prepared(project)
    recovered = project.multidb("recover")
    assert recovered.code == 3, recovered
    assert (
        f"the journal of {decider} says that the run was not committed, and that of auth_db says that it was: "
        f"{decider} has lost its last commit" in recovered.out
    )
    assert "has lost its last commit" in project.alembic("upgrade", "heads").partly
    assert prepared(project) == left
    status = project.multidb("status", "content_db")
    assert status.code == 3
    [(gid,)] = [each for each in left if each[0].endswith(":content_db")]
    assert f"COMMIT PREPARED '{gid}'; or ROLLBACK PREPARED '{gid}';" in status.out
    assert "auth_db: committed; " in status.out
    assert f"{decider}: not committed" in status.out


def test_a_file_that_was_restored_is_contradicted_by_the_others(second: Project) -> None:
    file = second.root / "investment.db"
    kept = second.root / "kept.db"
    how = [f'cp "{file}" "{kept}"', "after", "_write_begun", DECIDER, "and", *COMMITTED_IN_ONE]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    shutil.copy(file, second.root / "whole.db")
    shutil.copy(kept, file)
    assert_contradicted(second, DECIDER)
    shutil.copy(second.root / "whole.db", file)
    assert_whole(second, 2)


def test_a_failover_to_a_standby_that_lagged_is_contradicted_by_the_others(
    on_one: Project, another: Postgres, standby: Postgres
) -> None:
    urls = {"primary": another.admin_url, "standby": standby.admin_url}
    stop = power_cut(standby, again=False)
    leave(on_one, CATCH_UP.format(**urls) + stop, *BEGUN, "and", *COMMITTED_IN_ONE)
    primary = dict(on_one.variables)
    standby.promote()
    move(on_one, ITS_DECIDER, Postgres(standby.folder, *Server(standby.folder).variables.values()))
    assert_contradicted(on_one, ITS_DECIDER)
    on_one.variables |= primary
    assert on_one.multidb("recover").code == 0
    assert on_one.versions() == on_one.at(2) | {DECIDER: on_one.at(1)[DECIDER]}


def test_a_rollback_needs_the_journals_of_all_participants(second: Project) -> None:
    how = ["SIGKILL:run", "before", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    left, kept = prepared(second), dict(second.variables)
    second.variables["CONTENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/content_db"
    recovered = second.multidb("recover", "auth_db")
    assert recovered.code == 3, recovered
    assert "before anything is rolled back all its databases are asked; content_db: connection to server" in (
        recovered.out
    )
    assert_no_sql(second, "auth_db", "user_db")
    second.variables |= kept
    assert prepared(second) == left
    entry = "  content_db:      {models: models.content}\n"
    second.edit("databases.yaml", entry, "")
    (second.root / "migrations/versions/content_db").rename(second.root / "kept")
    assert "databases.yaml does not have content_db" in second.multidb("recover", "auth_db").out
    assert prepared(second) == left
    (second.root / "kept").rename(second.root / "migrations/versions/content_db")
    second.edit("databases.yaml", "databases:\n", f"databases:\n{entry}")
    assert_whole(second, 1)


def test_a_commit_needs_no_other_database_than_the_decider(second: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    kept = dict(second.variables)
    second.variables["CONTENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/content_db"
    assert second.multidb("recover", "auth_db").code == 0
    assert second.rows("auth_db", "SELECT version_num FROM alembic_version") == [("auth_0002",)]
    second.variables |= kept
    assert_whole(second, 2)


def test_a_state_that_is_not_known_is_no_evidence(second: Project) -> None:
    how = ["SIGKILL:run", "before", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    left = prepared(second)
    second.rows(DECIDER, "UPDATE multidb_journal SET state = 'paused' WHERE state = 'begun'")
    recovered = second.multidb("recover")
    assert recovered.code == 3, recovered
    assert "the journal of investment_db says 'paused' of it, which is neither begun nor committed" in recovered.out
    assert prepared(second) == left
    assert_no_sql(second)
    second.rows(DECIDER, "UPDATE multidb_journal SET state = 'begun' WHERE state = 'paused'")
    assert_whole(second, 1)


# A prepared transaction that is gone


def test_a_prepared_transaction_that_was_rolled_back_by_hand_fails_the_run(second: Project) -> None:
    url = second.variables["CONTENT_DB_URL"]
    gids = "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database()"
    action = f'printf "%s" "{gids} \\\\gexec" | psql -X -q "{url}"'
    result = interrupt(
        second, [action, "before", "commit_prepared", "content_db"], "alembic", "-x", "jobs=1", "upgrade", "heads"
    )
    assert result.code == 3, result
    assert "content_db: its prepared transaction is gone, and its journal has no row of the run" in result.partly
    assert "; committed: auth_db, user_db, investment_db; failed: content_db" in result.partly
    found = table(result.out)
    assert found["content_db"][4] == "failed:"
    assert found["auth_db"][-1] == "committed"
    assert second.versions() == second.at(2) | {"content_db": second.at(1)["content_db"]}
    second.done("upgrade", "heads")
    assert second.versions() == second.at(2)


def test_a_prepared_transaction_that_another_session_finished_is_known_by_its_row(second: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    gids = {gid.rpartition(":")[2]: gid for (gid,) in prepared(second)}
    second.rows("auth_db", f"COMMIT PREPARED '{gids['auth_db']}'")
    second.rows("content_db", f"ROLLBACK PREPARED '{gids['content_db']}'")
    configuration = reader.load(second.root / "databases.yaml")
    urls = {f"{name.upper()}_URL": second.variables[f"{name.upper()}_URL"] for name in gids}
    found = type(configuration)(configuration.path, None, configuration.entries, urls)
    auth, content = (found.databases([name])[0] for name in ("auth_db", "content_db"))
    recovery.finish(auth, gids["auth_db"], commit=True)
    with pytest.raises(recovery.GoneError, match="its prepared transaction was committed"):
        recovery.finish(auth, gids["auth_db"], commit=False)
    with pytest.raises(recovery.GoneError, match="is gone, and its journal has no row of the run"):
        recovery.finish(content, gids["content_db"], commit=True)
    recovery.finish(content, gids["content_db"], commit=False)
    recovered = second.multidb("recover", "user_db")
    assert recovered.code == 3, recovered
    assert f"committed {gids['user_db']}, as investment_db had decided\n" in recovered.out
    assert f"content_db: not committed: {gids['content_db']}: its prepared transaction is gone" in recovered.out
    assert "auth_db" not in recovered.out
    second.done("upgrade", "heads")
    assert second.versions() == second.at(2)


# What a person is told to type


def test_no_sql_while_the_decider_may_come_back(second: Project) -> None:
    how = ["SIGKILL:run", "before", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    second.variables["INVESTMENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/nowhere"
    assert "its decider investment_db can't be asked: connection to server" in assert_no_sql(second).out
    second.variables["INVESTMENT_DB_URL"] = "sqlite:///elsewhere/not-mounted.db"
    assert "the file of investment_db does not exist" in assert_no_sql(second, "auth_db").out
    del second.variables["INVESTMENT_DB_URL"]
    status = second.multidb("status", "auth_db")
    assert "ROLLBACK PREPARED '" in status.out
    assert "COMMIT PREPARED '" not in status.out
    assert_whole(second, 1)


def test_both_statements_where_the_decider_is_lost(second: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit_prepared", "auth_db"]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    (second.root / "investment.db").rename(second.root / "whole.db")
    shutil.copy(second.root / "whole.db", second.root / "investment.db")
    second.rows("investment_db", "DELETE FROM multidb_journal")
    status = second.multidb("status", "content_db")
    assert status.code == 3, status
    [gid] = [gid for (gid,) in prepared(second) if gid.endswith(":content_db")]
    assert f"either COMMIT PREPARED '{gid}'; or ROLLBACK PREPARED '{gid}';" in status.out
    assert "auth_db: committed; user_db: in doubt; investment_db: not committed" in status.out
    [found] = json.loads(second.multidb("status", "--json", "content_db").out)[0]["in_doubt"]
    assert found["sql"] is None
    assert found["choice"] == {
        "commit": f"COMMIT PREPARED '{gid}';",
        "rollback": f"ROLLBACK PREPARED '{gid}';",
        "databases": {"auth_db": "committed", "user_db": "in doubt", "investment_db": "not committed"},
    }
    second.rows("content_db", found["choice"]["commit"])
    second.rows("user_db", found["choice"]["commit"].replace(":content_db", ":user_db"))
    assert second.versions() == second.at(2)
