"""A run as a release: what it promises, how it ends, and what it leaves in the journal."""

import signal
import sys
import time

import pytest

from tests.support.project import NAMES, Postgres, Project, query
from tests.support.runs import MORE, interrupt, locks, prepared, started, table, until

# Which guarantee


def test_a_run_says_that_it_is_a_two_phase_commit_and_who_decides(pair: Project) -> None:
    pair.add_revision("investment_db", 2, "pass")
    said = pair.done("upgrade", "heads").err.splitlines()[0]
    assert said.endswith(
        "two-phase commit of 3 databases, decided in investment_db: all or none, even if a process or a server fails"
    )


def test_a_run_of_one_database_says_so_and_satisfies_required(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, MORE)
    said = migrated.done("-x", "two_phase=required", "upgrade", "heads").err
    assert "one database, in a transaction of its own" in said
    assert migrated.versions()["auth_db"] == ["auth_0002"]


def test_two_phase_off_commits_one_after_the_other(pair: Project) -> None:
    pair.edit("databases.yaml", "databases:", "two_phase: off\n\ndatabases:")
    said = pair.done("upgrade", "heads").err
    assert said.startswith("INFO  [multidb] run ")
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
    assert said.startswith("WARNI [multidb] run ")
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
    (migrated.root / "auth.db").touch()
    migrated.add_revision("investment_db", 2, "pass")
    refused = migrated.alembic("-x", "two_phase=required", "upgrade", "heads").error
    assert "auth_db and investment_db are both on SQLite" in refused
    assert "committed one after the other" in migrated.done("upgrade", "heads").err


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        (
            "CREATE TEMP TABLE t (x int)",
            "cannot PREPARE a transaction that has operated on temporary objects: remove temporary tables",
        ),
        (
            "NOTIFY somebody",
            "cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY: NOTIFY can't be prepared",
        ),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_cannot_be_prepared_is_named_and_all_is_rolled_back(
    pair: Project, statement: str, cause: str, jobs: str
) -> None:
    pair.add_revision("auth_db", 3, f'op.execute("{statement}")')
    error = pair.alembic("-x", f"jobs={jobs}", "upgrade", "heads").reason
    assert error.startswith(f"error: auth_db: {cause}")
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


def test_a_role_that_a_revision_took_on_does_not_keep_others_from_resolving(pair: Project, postgres: Postgres) -> None:
    """Only the role that prepared a transaction may finish it."""
    postgres.as_admin("DO 'BEGIN CREATE ROLE other_owner; EXCEPTION WHEN duplicate_object THEN NULL; END'")
    postgres.as_admin("GRANT other_owner TO neighbor")
    pair.add_revision("auth_db", 3, 'op.execute("SET ROLE other_owner")')
    pair.rows("auth_db", "GRANT ALL ON ALL TABLES IN SCHEMA public TO other_owner")
    pair.rows("auth_db", "GRANT ALL ON SCHEMA public TO other_owner")
    how = ["SIGKILL:coordinator", "after", "commit", "user_db"]
    assert interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert len(prepared(pair)) == 1
    recovered = pair.multidb("recover")
    assert recovered.code == 0, recovered
    assert pair.versions()["auth_db"] == ["auth_0003"]


# Protected, and the report


@pytest.mark.quick
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


@pytest.mark.quick
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


def test_a_deferred_constraint_is_found_before_the_first_of_several_commits(pair: Project) -> None:
    pair.add_revision(
        "user_db", 3,
        'op.execute("CREATE TABLE a (x int PRIMARY KEY)"); op.execute("CREATE TABLE b (x int REFERENCES a DEFERRABLE '
        'INITIALLY DEFERRED)"); op.execute("INSERT INTO b VALUES (1)")',
    )  # fmt: skip
    error = pair.alembic("-x", "two_phase=off", "upgrade", "heads").reason
    assert 'user_db: insert or update on table "b" violates foreign key' in error
    assert pair.versions() == pair.at(1)


@pytest.mark.parametrize(
    "arguments", [["downgrade", "auth_db@base"], ["stamp", "auth_db@base"], ["stamp", "--purge", "auth_db@base"]]
)
def test_a_protected_database_goes_back_only_when_that_is_allowed(migrated: Project, arguments: list[str]) -> None:
    migrated.edit("databases.yaml", "{models: models.auth}", "{models: models.auth, protected: true}")
    refused = migrated.alembic(*arguments).error
    without = ", without 1 table (auth_db.users)" if arguments[0] == "downgrade" else ""
    assert refused == (
        f"error: auth_db: it is protected, and would go back from auth_0001 to <base>{without}: "
        "say -x allow=downgrade if that is meant"
    )
    assert migrated.versions() == migrated.at(1)
    migrated.done("-x", "allow=downgrade", *arguments)
    assert migrated.versions() == migrated.at(1) | {"auth_db": []}


def test_all_databases_can_be_protected(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.edit("databases.yaml", "databases:", "protected: ${PROTECTED:-false}\n\ndatabases:")
    few.edit("databases.yaml", "models.user}", "models.user, protected: false}")
    few.variables["PROTECTED"] = "true"
    assert few.alembic("downgrade", "-1").error == (
        "error: auth_db, content_db, investment_db are protected, and would go back, without 5 tables (auth_db.users, "
        "content_db.news_articles, content_db.system_settings, content_db.videos, investment_db.investments): say "
        "-x allow=downgrade if that is meant"
    )
    assert few.versions() == few.at(1)
    few.variables["PROTECTED"] = "false"
    few.done("downgrade", "-1")


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
    assert err.splitlines()[-1] == f"error: interrupted by {name}; no database was changed [MDB605]"
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
    assert err.splitlines()[-1] == "error: interrupted by SIGTERM; no database was changed [MDB605]"


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_signal_after_the_decision_lets_the_run_finish(pair: Project, jobs: str) -> None:
    how = ["SIGTERM:coordinator", "after", "commit", "user_db"]
    result = interrupt(pair, how, "alembic", "-x", f"jobs={jobs}", "upgrade", "heads")
    assert result.code == 0, result
    assert "SIGTERM came after the commit decision: the run was completed" in result.err
    assert pair.versions()["auth_db"] == ["auth_0002"]


# What is in the way of saying so


def test_a_closed_stdout_changes_nothing(pair: Project) -> None:
    closed = f'exec "{sys.executable}" -m alembic upgrade heads >&-'
    assert pair.run("sh", "-c", closed).code == 0
    assert pair.versions()["auth_db"] == ["auth_0002"]
    pair.add_revision("auth_db", 3, "1 / 0")
    result = pair.run("sh", "-c", closed)
    assert result.code == 1
    assert "auth_db: " in result.reason
    pair.add_revision("auth_db", 3, "pass")
    piped = f'("{sys.executable}" -m alembic upgrade heads; echo $? > code) | true'
    pair.run("sh", "-c", piped)
    assert (pair.root / "code").read_text() == "0\n"


def test_times_that_the_server_would_misunderstand(few: Project) -> None:
    show = "SELECT current_setting('lock_timeout')"
    few.add_revision("auth_db", 2, f'op.execute("CREATE TABLE seen AS {show}")')
    assert "-x lock_wait=: '1000h' is longer than 24 days" in few.alembic("-x", "lock_wait=1000h", "current").error
    few.done("-x", "lock_timeout=0.4ms", "upgrade", "heads")
    assert few.rows("auth_db", "SELECT * FROM seen") == [("1ms",)]
