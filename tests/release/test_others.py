"""Prepared transactions and sessions of others: they are named, and not taken for this project's."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from multidb.database import locks
from tests.support.project import Postgres, Project, query, unique
from tests.support.runs import prepared


@pytest.mark.parametrize("gid", ["multidb:nightly-import", "multidb:20260101-000000-000000.1:user_db:auth_db:again"])
def test_a_prepared_transaction_that_only_looks_like_ours_stops_nothing(pair: Project, gid: str) -> None:
    pair.rows("auth_db", f"BEGIN; CREATE TABLE theirs (); PREPARE TRANSACTION '{gid}'")
    said = f"the prepared transaction '{gid}' of the role neighbor is not of this project: its owner has to finish it"
    try:
        assert f"[auth_db] {said}" in pair.done("upgrade", "heads").err
        assert pair.versions()["auth_db"] == ["auth_0002"]
        status, recovered = pair.multidb("status"), pair.multidb("recover")
        assert (status.code, recovered.code) == (0, 0)
        assert f"auth_db: {said}" in status.out
        assert recovered.out == f"auth_db: {said}\nnothing in doubt\n"
        assert prepared(pair) == [(gid,)]
    finally:
        pair.rows("auth_db", f"ROLLBACK PREPARED '{gid}'")


@pytest.fixture
def stranger(postgres: Postgres) -> Iterator[str]:
    """A role without rights, whose password is its name."""
    name = f"{unique()}_stranger"
    postgres.as_admin(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    yield name
    postgres.as_admin(f"DROP ROLE {name}")


def as_role(project: Project, database: str, role: str) -> str:
    url = make_url(project.variables[f"{database.upper()}_URL"]).set(username=role, password=role)
    return url.render_as_string(hide_password=False)


def test_a_session_of_another_role_says_what_would_show_its_state(
    few: Project, postgres: Postgres, stranger: str
) -> None:
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("more", sa.Integer))')
    few.rows("auth_db", f"GRANT SELECT ON users TO {stranger}")
    hidden = "), whose state is hidden from this role: GRANT pg_read_all_stats shows it"
    with closing(psycopg2.connect(as_role(few, "auth_db", stranger))) as other:
        other.cursor().execute("SELECT * FROM users")
        error = few.alembic("-x", "lock_timeout=600ms", "-x", "lock_retries=0", "upgrade", "heads").retry
        assert f"blocked by pid {other.info.backend_pid} (" in error
        assert hidden in error
        assert "None" not in error
        other.rollback()
        other.cursor().execute(f"SELECT pg_advisory_lock({locks.KEY})")
        error = few.alembic("-x", "lock_wait=300ms", "upgrade", "heads").retry
        assert f"locked by pid {other.info.backend_pid} (" in error
        assert hidden in error
        postgres.as_admin("GRANT pg_read_all_stats TO neighbor")
        try:
            assert ") on 127.0.0.1, connected since" in few.alembic("-x", "lock_wait=0", "upgrade", "heads").retry
        finally:
            postgres.as_admin("REVOKE pg_read_all_stats FROM neighbor")
    few.rows("auth_db", f"REVOKE ALL ON users FROM {stranger}")


def test_a_transaction_that_another_role_prepared_names_that_role(pair: Project, postgres: Postgres) -> None:
    gid = "multidb:20260101-000000-000000.1:user_db:auth_db"
    pair.done("upgrade", "user_db@head")
    pair.rows("user_db", "UPDATE multidb_journal SET attempt = '20260101-000000-000000.1' WHERE id = 2")
    name = pair.variables["AUTH_DB_URL"].rpartition("/")[2]
    query(postgres.url(name, admin=True), f"BEGIN; CREATE TABLE theirs (); PREPARE TRANSACTION '{gid}'")
    try:
        result = pair.multidb("recover")
        assert result.code == 3
        assert "only the role postgres, which prepared it, or a superuser, may finish it" in result.out
    finally:
        query(postgres.url(name, admin=True), f"ROLLBACK PREPARED '{gid}'")
