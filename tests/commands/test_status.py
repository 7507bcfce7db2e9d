"""`status` and `recover`: where every database is, and what an interrupted run left in doubt."""

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import closing

import psycopg2
import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import interrupt, prepared


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


def test_a_reader_that_closes_the_pipe_gets_no_error(few: Project) -> None:
    result = few.run("sh", "-c", f"{sys.executable} -m multidb status --json | true")
    assert (result.out, result.err) == ("", "")


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


@pytest.mark.quick
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
    assert "only the role neighbor, which prepared it, or a superuser, may finish it" in result.out
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


@pytest.mark.slow
def test_a_locked_journal_delays_status_by_its_timeout_only(pair: Project) -> None:
    with closing(psycopg2.connect(pair.variables["AUTH_DB_URL"])) as other:
        other.cursor().execute("LOCK TABLE multidb_journal")
        status = pair.multidb("status")
        assert status.code == 75
        assert status.out.splitlines()[1].split()[:2] == ["auth_db", "?"]
        assert "canceling statement due to lock timeout" in status.out
        assert "auth_db: canceling statement due to lock timeout" in pair.multidb("log").retry
