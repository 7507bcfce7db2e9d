"""As many connections as a role may have."""

import json
from collections.abc import Iterator

import pytest

from tests.support.project import ON_POSTGRESQL, Postgres, Project
from tests.support.runs import MORE


@pytest.fixture
def limited(migrated: Project, postgres: Postgres) -> Iterator[Project]:
    """A checkout whose ten databases have work, and whose login may have five connections."""
    login = migrated.variables["AUTH_DB_URL"].rpartition("/")[2] + "_limited"
    postgres.as_admin(f"CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE neighbor CONNECTION LIMIT 5")
    migrated.edit("databases.yaml", "databases:", "role: neighbor\n\ndatabases:")
    for name in ON_POSTGRESQL:
        key = f"{name.upper()}_URL"
        migrated.variables[key] = f"postgresql://{login}:x@{migrated.variables[key].rpartition('@')[2]}"
        migrated.add_revision(name, 2, MORE, 'op.drop_table("more")')
    yield migrated
    postgres.as_admin(f"DROP ROLE {login}")


def test_a_run_that_needs_more_says_how_many(limited: Project) -> None:
    login = limited.variables["AUTH_DB_URL"].partition("://")[2].partition(":")[0]
    for jobs in ("1", "3"):
        result = limited.alembic("-x", f"jobs={jobs}", "upgrade", "heads")
        assert result.error.startswith(f"error: {login} may have 5 connections on localhost:"), result
        assert result.error.endswith(
            ", and this run needs 9, one for each database with work: raise the limit of the role or the server, or "
            "name fewer databases with -x db="
        )
    assert limited.versions() == limited.at(1)


def test_a_run_with_less_work_works_and_commands_read_in_turn(limited: Project) -> None:
    result = limited.done("-x", "db=auth_db,user_db,rating_db", "upgrade", "heads")
    assert "not known whether" not in result.err
    limited.done("current")
    limited.done("-x", "sql_dir=sql", "upgrade", "live:heads", "--sql")
    status = limited.multidb("status", "--json")
    assert [each["error"] for each in json.loads(status.out)] == [None] * 10
    assert limited.multidb("rollback", "--yes").code == 0
    assert limited.versions() == limited.at(1)
