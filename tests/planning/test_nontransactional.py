"""Revisions that run outside a transaction: they cut their branch, and can be run again after whatever happened."""

import json
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.support.project import Project
from tests.support.runs import MORE, interrupt, started, table, until

INDEX = 'op.create_index("ix_users_full_name", "users", ["full_name"], postgresql_concurrently=True)'
DROP = 'op.drop_index("ix_users_full_name", "users", postgresql_concurrently=True)'
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_users_full_name')"


def declared(path: Path) -> Path:
    """Say in a revision's file that it runs outside a transaction."""
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    return path


@pytest.fixture
def cut(few: Project) -> Project:
    """A branch with a revision outside a transaction in its middle, and another database with work."""
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    declared(few.add_revision("auth_db", 3, INDEX, DROP))
    few.add_revision("auth_db", 4, 'op.create_table("last", sa.Column("x", sa.Integer))', 'op.drop_table("last")')
    few.add_revision("user_db", 2, MORE, 'op.drop_table("more")')
    return few


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_it_cuts_its_branch_into_releases_up_and_down(cut: Project, jobs: str) -> None:
    result = cut.done("-x", f"jobs={jobs}", "upgrade", "heads")
    assert cut.versions() == cut.at(1) | {"auth_db": ["auth_0004"], "user_db": ["user_0002"]}
    assert cut.rows("auth_db", VALID) == [(True,)]
    assert table(result.out)["auth_db"][:3] == ["auth_0001", "auth_0004", "3"]
    rows = [row for row in json.loads(cut.multidb("log", "--json").out)[0]["databases"] if row["database"] == "auth_db"]
    assert [(row["before"], row["after"], row["state"]) for row in rows] == [
        (["auth_0001"], ["auth_0002"], "committed"),
        (["auth_0002"], ["auth_0003"], "committed"),
        (["auth_0003"], ["auth_0004"], "committed"),
    ]
    result = cut.multidb("rollback", "--yes")
    assert result.code == 0
    run = json.loads(cut.multidb("log", "--json").out)[1]["run"]
    assert re.search(
        rf"auth_db +auth_0004  ->  auth_0001  {run}$", result.out, re.MULTILINE
    )  # once, not for each stage
    assert cut.versions() == cut.at(1)
    assert cut.rows("auth_db", VALID) == []


def test_relative_steps_count_across_a_cut(cut: Project) -> None:
    cut.done("upgrade", "auth_db@+2")
    assert cut.versions() == cut.at(1) | {"auth_db": ["auth_0003"]}
    cut.done("downgrade", "auth_db@-2")
    assert cut.versions() == cut.at(1)


def test_a_failure_behind_a_cut_names_what_was_committed_before_it(cut: Project) -> None:
    cut.add_revision("auth_db", 5, "1 / 0")
    result = cut.alembic("upgrade", "heads")
    assert "ZeroDivisionError" in result.partly
    assert result.partly.endswith("committed in part, then failed: auth_db; committed: user_db")
    assert cut.versions() == cut.at(1) | {"auth_db": ["auth_0003"], "user_db": ["user_0002"]}


def test_an_invalid_index_that_a_failure_left_is_dropped_and_made_again(cut: Project) -> None:
    cut.rows("auth_db", "INSERT INTO users (user_id, email, password_hash, full_name) "
             "SELECT gen_random_uuid(), x, x, 'the same' FROM unnest(ARRAY['a', 'b']) x")  # fmt: skip
    file = cut.root / "migrations/versions/auth_db/auth_0003_by_hand.py"
    file.write_text(file.read_text().replace('["full_name"],', '["full_name"], unique=True,'))
    error = cut.alembic("upgrade", "heads").partly
    assert 'could not create unique index "ix_users_full_name"' in error
    assert cut.rows("auth_db", VALID) == [(False,)]
    cut.rows("auth_db", "DELETE FROM users WHERE email = 'b'")
    assert "dropping the index public.ix_users_full_name, which a failed run left" in cut.done("upgrade", "heads").err
    assert cut.rows("auth_db", VALID) == [(True,)]


INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"


def with_one_name_twice(few: Project) -> None:
    few.rows("auth_db", "INSERT INTO users (user_id, email, password_hash, full_name) "
             "SELECT gen_random_uuid(), x, x, 'the same' FROM unnest(ARRAY['a', 'b']) x")  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "-- one name each\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ux ON users (full_name)",
        "/* one /* name */ each */ CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ux ON users (full_name)",
        "CREATE UNIQUE INDEX /* online */ CONCURRENTLY IF NOT EXISTS ux ON users (full_name)",
        "CREATE UNIQUE INDEX CONCURRENTLY ON users (full_name)",
    ],
)
def test_an_invalid_index_is_made_again_however_its_statement_is_written(few: Project, statement: str) -> None:
    with_one_name_twice(few)
    declared(few.add_revision("auth_db", 2, f"op.execute({statement!r})"))
    assert "could not create unique index" in few.alembic("upgrade", "heads").partly
    assert len(few.rows("auth_db", INVALID)) == 1
    few.rows("auth_db", "DELETE FROM users WHERE email = 'b'")
    few.done("upgrade", "heads")
    assert few.rows("auth_db", INVALID) == []
    [[found]] = few.rows("auth_db", "SELECT count(*) FROM pg_index WHERE indrelid = 'users'::regclass AND indisunique")
    assert found == 3  # with the primary key and the email


def test_an_invalid_index_that_was_there_before_the_first_run_is_left_alone(few: Project) -> None:
    with_one_name_twice(few)
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"])) as other:
        other.autocommit = True
        with pytest.raises(psycopg2.errors.UniqueViolation):
            other.cursor().execute("CREATE UNIQUE INDEX CONCURRENTLY theirs ON users (full_name)")
    path = declared(few.add_revision("auth_db", 2, 'op.execute("VACUUM users"); 1 / 0'))
    assert "ZeroDivisionError" in few.alembic("upgrade", "heads").partly
    path.write_text(path.read_text().replace("; 1 / 0", ""))
    few.done("upgrade", "heads")
    assert few.rows("auth_db", INVALID) == [("theirs",)]


def test_a_revision_that_hides_the_failure_of_its_index_is_not_recorded(few: Project) -> None:
    with_one_name_twice(few)
    statement = "CREATE UNIQUE INDEX CONCURRENTLY ux ON users (full_name)"
    body = f"try:\n        op.execute('{statement}')\n    except Exception:\n        pass"
    declared(few.add_revision("auth_db", 2, body))
    error = few.alembic("upgrade", "heads").partly
    assert "auth_db: the revision left an index invalid, and is not recorded: public.ux" in error
    assert few.versions()["auth_db"] == ["auth_0001"]


def test_an_index_that_is_meant_to_be_invalid_is_no_failure(few: Project) -> None:
    few.add_revision(
        "auth_db",
        2,
        'op.execute("CREATE TABLE parts (x int) PARTITION BY RANGE (x)")'
        '; op.execute("CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (9)")',
    )
    declared(few.add_revision("auth_db", 3, 'op.execute("CREATE INDEX parts_x ON ONLY parts (x)")'))
    few.done("upgrade", "heads")
    assert few.rows("auth_db", INVALID) == [("parts_x",)]


def test_an_index_that_another_session_is_building_is_no_failure(few: Project) -> None:
    declared(few.add_revision("auth_db", 2, 'op.execute("VACUUM users")'))
    url = few.variables["AUTH_DB_URL"]
    few.rows("auth_db", "CREATE TABLE theirs (x int)")
    build = ["psql", "-X", "-q", "-c", "CREATE INDEX CONCURRENTLY theirs_x ON theirs (x)", url]
    with closing(psycopg2.connect(url)) as writer:
        writer.cursor().execute("INSERT INTO theirs VALUES (1)")
        with subprocess.Popen(build) as building:
            while not few.rows("auth_db", INVALID):
                time.sleep(0.05)
            few.done("upgrade", "heads")
            writer.rollback()
            assert building.wait(timeout=30) == 0


def test_what_a_cancelled_reindex_leaves_is_dropped_by_the_next_attempt(few: Project) -> None:
    declared(few.add_revision("auth_db", 2, 'op.execute("REINDEX INDEX CONCURRENTLY users_email_key")'))
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"])) as writer:
        writer.cursor().execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")  # as one that has written
        with started(few, "-x", "lock_wait=300ms", "upgrade", "heads") as process:
            until(process, "attempt 2 of")
            writer.rollback()
            _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert few.rows("auth_db", INVALID) == []


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_run_killed_when_the_index_is_there_can_be_run_again(cut: Project, jobs: str) -> None:
    file = cut.root / "migrations/versions/auth_db/auth_0003_by_hand.py"
    whole = file.read_text()
    file.write_text(
        whole.replace(
            "concurrently=True)\n", "concurrently=True); import os, time; os.kill(os.getppid(), 9); time.sleep(9)\n", 1
        )
    )
    assert cut.alembic("-x", f"jobs={jobs}", "upgrade", "heads").code == -signal.SIGKILL
    file.write_text(whole)
    time.sleep(1.5)
    assert cut.rows("auth_db", VALID) == [(True,)]
    assert cut.versions()["auth_db"] == ["auth_0002"]
    assert "dropping the index" in cut.done("upgrade", "heads").err
    assert cut.versions()["auth_db"] == ["auth_0004"]
    assert cut.rows("auth_db", VALID) == [(True,)]


def test_an_index_of_that_name_that_another_session_made_is_kept(cut: Project) -> None:
    cut.rows("auth_db", "CREATE INDEX ix_users_full_name ON users (email)")
    assert 'relation "ix_users_full_name" already exists' in cut.alembic("upgrade", "heads").partly
    assert cut.rows("auth_db", "SELECT pg_get_indexdef('ix_users_full_name'::regclass)")[0][0].endswith("(email)")


def test_create_index_concurrently_waits_longer_than_lock_timeout(cut: Project) -> None:
    url = cut.variables["AUTH_DB_URL"]
    with closing(psycopg2.connect(url)) as old:
        old.cursor().execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")  # as one that has written
        with started(cut, "-x", "lock_timeout=300ms", "upgrade", "heads") as process:
            until(process, "auth_0003")
            time.sleep(1)
            assert process.poll() is None
            old.rollback()
            _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


def test_an_autocommit_block_that_is_not_declared_is_refused_before_anything_runs(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE)
    few.add_revision("content_db", 2, "pass\n    with op.get_context().autocommit_block():\n        pass")
    error = few.alembic("upgrade", "heads").error
    assert error.startswith(
        "error: content_db: migrations/versions/content_db/content_0002_by_hand.py:14: "
        "autocommit_block() would commit this database before the others have migrated: "
        "write `outside_transaction = True` under down_revision"
    )
    assert few.versions() == few.at(1)


def test_an_autocommit_block_in_a_comment_is_none(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass  # not autocommit_block()")
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_0002"]


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_an_autocommit_block_that_is_declared_works(few: Project, jobs: str) -> None:
    block = f"pass\n    with op.get_context().autocommit_block():\n        {INDEX}\n    {MORE}"
    declared(few.add_revision("auth_db", 2, block))
    few.add_revision("auth_db", 3, "pass")
    few.done("-x", f"jobs={jobs}", "upgrade", "heads")
    assert few.rows("auth_db", VALID) == [(True,)]
    assert few.versions()["auth_db"] == ["auth_0003"]


def test_an_enum_value_is_added_in_one_release_and_used_in_the_next(few: Project) -> None:
    few.add_revision("content_db", 2, "op.execute(\"CREATE TYPE mood AS ENUM ('good')\")")
    path = few.add_revision("content_db", 3, "op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'bad'\")")
    few.add_revision("content_db", 4, "op.execute(\"CREATE TABLE m AS SELECT 'bad'::mood AS x\")")
    few.done("upgrade", "content_db@+1")
    error = few.alembic("upgrade", "heads").reason
    assert "unsafe use of new value" in error
    assert "write `outside_transaction = True` in the revision that adds the value" in error
    declared(path)
    few.done("upgrade", "heads")
    assert few.rows("content_db", "SELECT x FROM m") == [("bad",)]


def test_sqlite_has_revisions_outside_a_transaction_too(few: Project) -> None:
    declared(few.add_revision("investment_db", 2, 'op.execute("VACUUM")'))
    few.add_revision("investment_db", 3, "pass")
    few.done("upgrade", "heads")
    assert few.versions()["investment_db"] == ["investment_0003"]


def test_a_declaration_that_is_no_truth_value(few: Project) -> None:
    path = declared(few.add_revision("auth_db", 2, "pass"))
    path.write_text(path.read_text().replace("outside_transaction = True", 'outside_transaction = "yes"'))
    error = few.alembic("upgrade", "heads").error
    assert "auth_0002_by_hand.py: outside_transaction = 'yes': should be True, or left out" in error


def test_the_sql_script_of_a_cut_branch_commits_around_it(cut: Project) -> None:
    text = cut.done("upgrade", "auth_0001:auth_0004", "--sql").out
    assert re.search(r"COMMIT;\s+(--[^\n]*\s+)?CREATE INDEX CONCURRENTLY", text)
    script = cut.write("script.sql", text)
    done = subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, cut.variables["AUTH_DB_URL"]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert cut.rows("auth_db", VALID) == [(True,)]
    assert cut.versions()["auth_db"] == ["auth_0004"]


def test_a_kill_in_the_second_stage_leaves_the_first(cut: Project) -> None:
    how = ["SIGKILL:coordinator", "before", "commit", "auth_db"]
    assert interrupt(cut, how, "alembic", "-x", "jobs=1", "-x", "db=auth_db", "upgrade", "heads").code == -9
    assert cut.versions() == cut.at(1)
    cut.done("upgrade", "heads")


def test_the_sql_script_of_sqlite_commits_around_it_too(few: Project) -> None:
    declared(few.add_revision("investment_db", 2, 'op.execute("VACUUM")'))
    text = few.done("upgrade", "investment_0001:investment_0002", "--sql").out
    assert re.search(r"COMMIT;\s+VACUUM;\s+BEGIN;", text)
    script = few.write("script.sql", text)
    few.run("sqlite3", "-bail", "investment.db", f".read {script}")
    assert few.versions()["investment_db"] == ["investment_0002"]


def test_a_failure_in_the_first_part_says_that_the_database_may_have_changed(few: Project) -> None:
    declared(few.add_revision("auth_db", 2, 'op.execute("CREATE TABLE half (x int)"); op.execute("SELECT 1/0")'))
    error = few.alembic("upgrade", "heads").partly
    assert "auth_0002_by_hand.py:14: division by zero" in error
    assert "; the revision ran outside a transaction, and `CREATE TABLE half (x int)` stays: correct the cause" in error
    assert few.rows("auth_db", "SELECT to_regclass('half')") == [("half",)]
    assert few.versions() == few.at(1)


def test_a_failure_of_sqlite_outside_a_transaction_says_the_same(few: Project) -> None:
    declared(few.add_revision("investment_db", 2, 'op.execute("VACUUM"); op.execute("SELECT nothing")'))
    error = few.alembic("upgrade", "heads").partly
    assert "syntax error; the revision ran outside a transaction" in error


def test_a_file_that_stays_busy_was_not_changed(few: Project) -> None:
    declared(few.add_revision("investment_db", 2, 'op.execute("VACUUM")'))
    with closing(sqlite3.connect(few.root / "investment.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        error = few.alembic("-x", "lock_wait=300ms", "upgrade", "heads").retry
    assert error.endswith("; no database was changed")


def test_an_advisory_lock_that_a_revision_released_is_taken_again(cut: Project) -> None:
    file = cut.root / "migrations/versions/auth_db/auth_0003_by_hand.py"
    count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    file.write_text(file.read_text().replace(INDEX, 'op.execute("DISCARD ALL")'))
    cut.add_revision("auth_db", 5, f'op.execute("CREATE TABLE held AS {count}")')
    cut.done("upgrade", "heads")
    assert cut.rows("auth_db", "SELECT * FROM held") == [(1,)]


def test_a_signal_between_two_stages_reports_the_revision_of_each_database(cut: Project) -> None:
    how = ["SIGTERM:coordinator", "after", "commit", "user_db"]
    result = interrupt(cut, how, "alembic", "-x", "jobs=1", "upgrade", "heads")
    assert result.partly == "error: interrupted by SIGTERM; committed in part: auth_db; committed: user_db"
    assert cut.versions() == cut.at(1) | {"auth_db": ["auth_0002"], "user_db": ["user_0002"]}


def test_a_signal_between_two_attempts_does_not_claim_that_nothing_was_changed(few: Project) -> None:
    statements = 'op.execute("CREATE TABLE IF NOT EXISTS half (x int)"); op.execute("VACUUM users")'
    declared(few.add_revision("auth_db", 2, statements))
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"])) as old:
        old.cursor().execute("LOCK TABLE users")
        with started(few, "-x", "lock_timeout=300ms", "upgrade", "heads") as process:
            until(process, "attempt 2 of")
            process.terminate()
            _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "interrupted by SIGTERM; the revision ran outside a transaction" in err.splitlines()[-1]
    assert few.rows("auth_db", "SELECT to_regclass('half')") == [("half",)]


def test_a_lock_timeout_outside_a_transaction_is_not_retried_for_ever(cut: Project) -> None:
    cut.done("upgrade", "auth_db@+1")
    with closing(psycopg2.connect(cut.variables["AUTH_DB_URL"])) as old:
        old.cursor().execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        error = cut.alembic("-x", "lock_wait=300ms", "-x", "lock_retries=1", "upgrade", "auth_db@+1").partly
    assert "canceling statement due to lock timeout" in error
    assert "the revision ran outside a transaction" in error
