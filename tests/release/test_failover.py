"""The primary fails over to its synchronous standby during a run, whose URLs name both servers.

None of these leaves the databases mixed, and what was decided before the failover is done by the run itself.
"""

import pytest
from sqlalchemy.engine import make_url

from tests.release.test_killed import DECIDER, POINTS, assert_whole
from tests.release.test_servers import ITS_DECIDER, ON_ONE_SERVER, power_cut
from tests.support.project import Postgres, Project
from tests.support.runs import interrupt, prepared

pytestmark = pytest.mark.slow


@pytest.fixture
def second(fragile: Project, another: Postgres, standby: Postgres) -> Project:
    """A checkout with a second revision for each database, on a server whose commits wait for its standby."""
    for name in fragile.names:
        fragile.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    for key, value in {"synchronous_standby_names": "*", "synchronous_commit": "on"}.items():
        another.as_admin(f"ALTER SYSTEM SET {key} = '{value}'")
    another.as_admin("SELECT pg_reload_conf()")
    another.as_admin("CREATE TABLE waits_for_the_standby ()")
    another.as_admin("DROP TABLE waits_for_the_standby")
    assert another.as_admin("SELECT sync_state FROM pg_stat_replication") == [("sync",)]
    hosts = ",".join(["127.0.0.1"] * 2)
    ports = ",".join(str(make_url(server.admin_url).port) for server in (another, standby))
    for key, url in fragile.variables.items():
        login, name = url.rpartition("@")[0], url.rpartition("/")[2]
        fragile.variables[key] = f"{login}@/{name}?host={hosts}&port={ports}&target_session_attrs=read-write"
    return fragile


def failover(primary: Postgres, standby: Postgres) -> str:
    """What a shell does to stop the primary as if its machine had lost its power, and to promote the standby."""
    return f'{power_cut(primary, again=False)} && psql -Xqc "SELECT pg_promote()" "{standby.admin_url}"'


@pytest.mark.parametrize(
    "point", ["when it has begun", "before the first prepare", "between prepares", "all prepared", "between commits"]
)
def test_a_run_is_rolled_back_or_goes_on(second: Project, another: Postgres, standby: Postgres, point: str) -> None:
    when, operation, database, _ = POINTS[point]
    action = failover(another, standby)
    result = interrupt(second, [action, when, operation, database], "alembic", "-x", "jobs=1", "upgrade", "heads")
    if operation == "prepare" or point == "when it has begun":
        assert result.reason
        assert second.versions() == second.at(1)
    else:
        assert result.code == 0, result
        assert second.versions() == second.at(2)
    assert_whole(second, 1 if result.code else 2)


@pytest.mark.parametrize(("when", "code"), [("before", 1), ("after", 0)])
def test_so_it_is_where_the_decider_fails_over(
    second: Project, another: Postgres, standby: Postgres, when: str, code: int
) -> None:
    result = interrupt(
        second, [failover(another, standby), when, "commit", ITS_DECIDER],
        "alembic", "-x", "jobs=1", "-x", f"db={ON_ONE_SERVER}", "upgrade", "heads",
    )  # fmt: skip
    assert result.code == code, result
    assert {second.versions()[name][0][-1] for name in ON_ONE_SERVER.split(",")} == {"1" if code else "2"}
    second.done("upgrade", "heads")
    assert second.versions() == second.at(2)
    assert prepared(second) == []


def test_a_promotion_after_the_end_of_the_run_leaves_it_in_doubt_until_then(
    second: Project, another: Postgres, standby: Postgres
) -> None:
    action = [power_cut(another, again=False), "after", "commit", DECIDER]
    result = interrupt(second, action, "alembic", "-x", "jobs=1", "upgrade", "heads")
    assert "in doubt: auth_db, user_db, content_db" in result.partly
    standby.as_admin("SELECT pg_promote()")
    assert second.multidb("status").code == 3
    assert second.multidb("recover").code == 0
    assert second.versions() == second.at(2)
    assert_whole(second, 2)


def test_a_standby_is_named_with_all_hosts_of_the_url(second: Project, another: Postgres, standby: Postgres) -> None:
    ports = [make_url(server.admin_url).port for server in (standby, another)]
    name = second.variables["AUTH_DB_URL"].partition("?")[0]
    second.variables["AUTH_DB_URL"] = f"{name}?host=127.0.0.1,127.0.0.1&port={ports[0]},{ports[1]}"
    error = second.alembic("upgrade", "heads").error
    assert error.startswith(f"error: auth_db: 127.0.0.1:{ports[0]}, 127.0.0.1:{ports[1]} is a standby, ")
