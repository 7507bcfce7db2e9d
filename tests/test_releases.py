"""A run as a release: what it promises, how it ends, and what it leaves in the journal."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from tests.project import NAMES, Postgres, Project, query
from tests.test_killed import interrupt, locks, prepared

MORE = 'op.create_table("more", sa.Column("x", sa.Integer))'


@pytest.fixture
def pair(few: Project) -> Project:
    """A checkout in which two databases on PostgreSQL have work."""
    for name in ("auth_db", "user_db"):
        few.add_revision(name, 2, MORE, 'op.drop_table("more")')
    return few


def table(out: str) -> dict[str, list[str]]:
    """The table at the end of a run: the words of each database's line."""
    lines = [line.split() for line in out.splitlines()]
    return {words[0]: words[1:] for words in lines if words and words[0] in NAMES}


def started(project: Project, *arguments: str) -> "subprocess.Popen[str]":
    """A run that goes on beside the test."""
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read what a run logs until it says something."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


# Which guarantee


def test_a_run_says_that_it_is_a_two_phase_commit_and_who_decides(pair: Project) -> None:
    pair.add_revision("investment_db", 2, "pass")
    said = pair.done("upgrade", "heads").err.splitlines()[0]
    assert said.endswith("two-phase commit of 3 databases, decided in investment_db: all or none, whatever happens")


def test_a_run_of_one_database_says_so_and_satisfies_required(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, MORE)
    said = migrated.done("-x", "two_phase=required", "upgrade", "heads").err
    assert "one database, in a transaction of its own" in said
    assert migrated.versions()["auth_db"] == ["auth_0002"]


def test_two_phase_off_commits_one_after_the_other(pair: Project) -> None:
    pair.edit("databases.yaml", "databases:", "two_phase: off\n\ndatabases:")
    said = pair.done("upgrade", "heads").err
    assert "2 databases, committed one after the other, because two_phase is off" in said
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0002"], "user_db": ["user_0002"]}


def test_a_server_without_prepared_transactions(fragile: Project, another: Postgres) -> None:
    another.set(max_prepared_transactions="0")
    for name in ("auth_db", "user_db"):
        fragile.add_revision(name, 2, MORE)
    refused = fragile.alembic("-x", "two_phase=required", "upgrade", "heads").error
    assert "two_phase is required, but the server 127.0.0.1:" in refused
    assert "0 slots free for prepared transactions and 1 are needed: set max_prepared_transactions there" in refused
    assert fragile.versions() == fragile.at(1)
    said = fragile.done("upgrade", "heads").err
    assert "committed one after the other, because the server 127.0.0.1:" in said
    assert fragile.versions()["user_db"] == ["user_0002"]


def test_slots_that_others_have_taken_do_not_count(fragile: Project, another: Postgres) -> None:
    another.set(max_prepared_transactions="1")
    for name in ("auth_db", "user_db"):
        fragile.add_revision(name, 2, MORE)
    query(another.url("postgres", admin=True), "BEGIN; CREATE TABLE theirs (x int); PREPARE TRANSACTION 'theirs'")
    assert "0 slots free" in fragile.alembic("-x", "two_phase=required", "upgrade", "heads").error
    another.as_admin("ROLLBACK PREPARED 'theirs'")
    fragile.done("-x", "two_phase=required", "upgrade", "heads")


def test_two_sqlite_files_cannot_be_two_phase(migrated: Project) -> None:
    migrated.variables["AUTH_DB_URL"] = "sqlite:///auth.db"
    migrated.add_revision("investment_db", 2, "pass")
    refused = migrated.alembic("-x", "two_phase=required", "upgrade", "heads").error
    assert "auth_db and investment_db are both on SQLite" in refused
    assert "committed one after the other" in migrated.done("upgrade", "heads").err


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("CREATE TEMP TABLE t (x int)", "cannot PREPARE a transaction that has operated on temporary objects"),
        ("NOTIFY somebody", "cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY"),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_cannot_be_prepared_is_named_and_all_is_rolled_back(
    pair: Project, statement: str, cause: str, jobs: str
) -> None:
    pair.add_revision("auth_db", 3, f'op.execute("{statement}")')
    error = pair.alembic("-x", f"jobs={jobs}", "upgrade", "heads").reason
    assert error.startswith(f"error: auth_db: {cause}: take that out of the revision")
    assert pair.versions() == pair.at(1)
    assert prepared(pair) == []
    pair.done("-x", "two_phase=off", "upgrade", "heads")


def test_a_role_that_a_revision_took_on_prepares_nothing(pair: Project, postgres: Postgres) -> None:
    postgres.as_admin("DO 'BEGIN CREATE ROLE other_owner; EXCEPTION WHEN duplicate_object THEN NULL; END'")
    postgres.as_admin("GRANT other_owner TO neighbor")
    pair.add_revision("auth_db", 3, 'op.execute("SET ROLE other_owner")')
    pair.rows("auth_db", "GRANT ALL ON ALL TABLES IN SCHEMA public TO other_owner")
    pair.rows("auth_db", "GRANT ALL ON SCHEMA public TO other_owner")
    pair.done("upgrade", "heads")
    assert pair.versions()["auth_db"] == ["auth_0003"]


# Protected, and the report


def test_the_table_says_what_became_of_each_database(pair: Project) -> None:
    found = table(pair.done("upgrade", "heads").out)
    assert found["auth_db"][:3] == ["auth_0001", "auth_0002", "1"]
    assert found["auth_db"][-1] == "committed"
    assert found["content_db"] == ["content_0001", "content_0001", "-", "-", "untouched"]


def test_a_failure_in_the_seventh_of_ten_changes_none(migrated: Project) -> None:
    for name in NAMES:
        migrated.add_revision(name, 2, MORE)
    migrated.add_revision("request_db", 3, 'op.execute("SELECT 1/0")')
    result = migrated.alembic("-x", "jobs=1", "upgrade", "heads")
    assert "request_db: migrations/versions/request_db/request_0003_by_hand.py:13: division by zero" in result.reason
    assert migrated.versions() == migrated.at(1)
    found = table(result.out)
    assert found["request_db"][4] == "failed:"
    assert found["auth_db"][-2:] == ["rolled", "back"]


def test_a_failure_in_sqlite_changes_none(pair: Project) -> None:
    pair.add_revision("investment_db", 2, 'op.execute("CREATE TABLE x (y)"); op.execute("SELECT nothing")')
    assert "investment_db: " in pair.alembic("upgrade", "heads").reason
    assert pair.versions() == pair.at(1)


def test_a_deferred_constraint_changes_none(pair: Project) -> None:
    pair.add_revision(
        "auth_db", 3,
        'op.execute("CREATE TABLE a (x int PRIMARY KEY)"); op.execute("CREATE TABLE b (x int REFERENCES a DEFERRABLE '
        'INITIALLY DEFERRED)"); op.execute("INSERT INTO b VALUES (1)")',
    )  # fmt: skip
    assert 'auth_db: insert or update on table "b" violates foreign key' in pair.alembic("upgrade", "heads").reason
    assert pair.versions() == pair.at(1)


@pytest.mark.parametrize(
    "arguments", [["downgrade", "auth_db@base"], ["stamp", "auth_db@base"], ["stamp", "--purge", "auth_db@base"]]
)
def test_a_protected_database_goes_back_only_when_that_is_allowed(migrated: Project, arguments: list[str]) -> None:
    migrated.edit("databases.yaml", "{models: models.auth}", "{models: models.auth, protected: true}")
    refused = migrated.alembic(*arguments).error
    assert refused == (
        "error: auth_db: it is protected, and would go back from auth_0001 to base: "
        "say -x allow=downgrade if that is meant"
    )
    assert migrated.versions() == migrated.at(1)
    migrated.done("-x", "allow=downgrade", *arguments)
    assert migrated.versions() == migrated.at(1) | {"auth_db": []}


def test_a_protected_database_goes_forward_as_any_other(pair: Project) -> None:
    pair.edit("databases.yaml", "{models: models.auth}", "{models: models.auth, protected: true}")
    pair.done("upgrade", "heads")
    pair.done("downgrade", "user_db@-1")
    pair.done("stamp", "auth_db@head")
    assert "protected" in pair.alembic("stamp", "auth_db@auth_0001").error


# Signals


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_before_the_decision_cancels_the_statement_and_changes_nothing(
    pair: Project, name: str, jobs: str
) -> None:
    pair.add_revision("user_db", 3, 'op.execute("SELECT pg_sleep(60)")')
    with started(pair, "-x", f"jobs={jobs}", "upgrade", "heads") as process:
        until(process, "user_0003")
        time.sleep(0.3)
        at = time.monotonic()
        process.send_signal(signal.Signals[name])
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - at < 5
    assert process.returncode == 1
    assert err.splitlines()[-1] == f"error: interrupted by {name}; no database was changed"
    assert table(out)["auth_db"][-2:] == ["rolled", "back"]
    assert pair.versions() == pair.at(1)
    asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    assert pair.rows("user_db", asleep) == []
    assert locks(pair) == []


def test_a_signal_stops_python_code_of_a_revision_too(pair: Project) -> None:
    pair.add_revision("user_db", 3, "import time; time.sleep(60)")
    with started(pair, "upgrade", "heads") as process:
        until(process, "user_0003")
        time.sleep(0.3)
        process.terminate()
        _, err = process.communicate(timeout=10)
    assert err.splitlines()[-1] == "error: interrupted by SIGTERM; no database was changed"


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_signal_after_the_decision_lets_the_run_finish(pair: Project, jobs: str) -> None:
    how = ["SIGTERM:coordinator", "after", "commit", "user_db"]
    result = interrupt(pair, how, "alembic", "-x", f"jobs={jobs}", "upgrade", "heads")
    assert result.code == 0, result
    assert "SIGTERM came after the decision: the run went on to its end" in result.err
    assert pair.versions()["auth_db"] == ["auth_0002"]


# The journal


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


def test_a_run_that_failed_is_in_the_log_as_one_that_did_not_happen(pair: Project) -> None:
    pair.add_revision("user_db", 3, "1 / 0")
    assert pair.alembic("upgrade", "heads").reason
    assert json.loads(pair.multidb("log", "--json").out)[0]["state"] == "not committed"


def test_verify_finds_changed_files_and_missing_ones(pair: Project) -> None:
    pair.done("upgrade", "heads")
    assert pair.multidb("verify").code == 0
    pair.edit("migrations/versions/auth_db/auth_0002_by_hand.py", "by hand", "by another hand")
    result = pair.multidb("verify")
    assert result.code == 1
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
    assert asked.err == "error: nothing was done; say yes, or --yes where nobody can be asked\n"
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
    assert "no journal tells of a release 'four': there are one, three, two" in unknown
    result = pair.multidb("rollback", "--to", "one", "--yes")
    assert result.code == 0, result
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0002"], "user_db": ["user_0002"]}
    assert "there is nothing to take back" in pair.multidb("rollback", "--to", "one", "--yes").error


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


# Status


def test_status_says_where_every_database_is_and_exits_by_it(pair: Project) -> None:
    pending = pair.multidb("status")
    assert pending.code == 2
    assert pending.out.splitlines()[1].split()[:4] == ["auth_db", "auth_0001", "auth_0002", "1"]
    pair.done("-x", "release=2026.11", "upgrade", "heads")
    there = pair.multidb("status")
    assert there.code == 0
    assert "2026.11 (upgrade heads)" in there.out.splitlines()[1]
    found = json.loads(pair.multidb("status", "--json").out)
    assert [each["database"] for each in found] == list(pair.names)
    assert found[0]["last_run"]["release"] == "2026.11"
    pair.variables["CONTENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/content_db"
    broken = pair.multidb("status")
    assert broken.code == 1
    assert "FAILED: " in broken.out
    assert pair.multidb("status", "auth_db").code == 0


def in_doubt(pair: Project) -> Sequence[tuple[str, ...]]:
    """Leave a run in doubt in auth_db: user_db has decided."""
    how = ["SIGKILL:coordinator", "after", "commit", "user_db"]
    assert interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    left = prepared(pair)
    assert len(left) == 1
    return left


def test_status_prints_what_an_operator_could_do_by_hand(pair: Project) -> None:
    gid = in_doubt(pair)[0][0]
    status = pair.multidb("status")
    assert status.code == 3
    name = pair.variables["AUTH_DB_URL"].rpartition("/")[2]
    assert f"as the role neighbor or a superuser, in the database {name}: COMMIT PREPARED '{gid}';" in status.out
    assert json.loads(pair.multidb("status", "--json").out)[0]["in_doubt"][0]["decided"] == "committed"
    assert "in doubt" in pair.done("current").out
    pair.rows("auth_db", status.out.splitlines()[-1].rpartition(": ")[2])
    assert pair.multidb("status").code == 0


def test_recover_says_what_it_did(pair: Project) -> None:
    gid = in_doubt(pair)[0][0]
    result = pair.multidb("recover")
    assert (result.out, result.code) == (f"committed {gid}, as user_db had decided\n", 0)
    again = pair.multidb("recover")
    assert (again.out, again.code) == ("nothing in doubt\n", 0)


def test_a_setting_that_is_not_known_is_refused(few: Project) -> None:
    error = few.multidb("-x", "lock_wiat=1", "recover").error
    assert error == "error: -x lock_wiat= is not known; did you mean lock_wait?"


def test_recover_says_when_a_database_cannot_be_read(pair: Project) -> None:
    pair.variables["CONTENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/content_db"
    result = pair.multidb("recover")
    assert result.code == 1
    assert "content_db: FAILED: " in result.out


def test_only_the_role_that_prepared_may_finish(pair: Project, postgres: Postgres) -> None:
    in_doubt(pair)
    create = "CREATE ROLE somebody LOGIN PASSWORD ''x''"
    postgres.as_admin(f"DO 'BEGIN {create}; EXCEPTION WHEN duplicate_object THEN NULL; END'")
    kept = dict(pair.variables)
    place = pair.variables["AUTH_DB_URL"].partition("@")[2]
    pair.variables["AUTH_DB_URL"] = f"postgresql://somebody:x@{place}"
    result = pair.multidb("recover", "auth_db")
    assert result.code == 3
    assert "permission denied to finish prepared transaction" in result.out
    assert pair.alembic("upgrade", "heads").partly.startswith("error: auth_db: in doubt: ")
    pair.variables.update(kept)
    pair.done("upgrade", "heads")


def test_what_others_have_prepared_is_never_touched(pair: Project) -> None:
    own = pair.variables["AUTH_DB_URL"].rpartition("/")[2]
    pair.rows("auth_db", f"BEGIN; CREATE TABLE theirs (x int); PREPARE TRANSACTION 'theirs:{own}'")
    assert pair.multidb("recover").out == "nothing in doubt\n"
    pair.done("upgrade", "heads")
    assert prepared(pair) == [(f"theirs:{own}",)]
    pair.rows("auth_db", f"ROLLBACK PREPARED 'theirs:{own}'")
