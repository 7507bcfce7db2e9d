"""`python -m multidb create`: the role, the databases and their extensions, on a server that lacks them."""

import os
from collections.abc import Iterator
from itertools import count
from urllib.parse import quote

import pytest

from tests.support.project import ON_POSTGRESQL, Postgres, Project, at_once, query

_numbers = count()


@pytest.fixture
def bare(checkout: Project, postgres: Postgres) -> Iterator[Project]:
    """A checkout for whose databases, and whose role, the server has nothing yet."""
    prefix = f"bare{os.getpid()}_{next(_numbers)}"
    place = postgres.role_url.partition("@")[2]
    password = quote("it's a p@ss%", safe="")
    for name in ON_POSTGRESQL:
        url = f"postgresql://{prefix}_role:{password}@{place}/{prefix}_{name}"
        checkout.variables[f"{name.upper()}_URL"] = url
    checkout.variables["DATABASE_ADMIN_URL"] = postgres.admin_url
    yield checkout
    for (database,) in postgres.as_admin(f"SELECT datname FROM pg_database WHERE datname LIKE '{prefix}%'"):
        postgres.drop(database)
    for (role,) in postgres.as_admin(f"SELECT rolname FROM pg_roles WHERE rolname LIKE '{prefix}%'"):
        postgres.as_admin(f'DROP ROLE "{role}"')


def test_create_makes_the_role_the_databases_and_the_extension(bare: Project) -> None:
    result = bare.multidb("create")
    assert result.code == 0, result
    lines = result.out.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("auth_db: created role bare")
    assert "location_db: created extension postgis" in lines
    bare.done("upgrade", "heads")
    assert bare.rows("auth_db", "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == [
        (False, False)
    ]
    assert bare.rows(
        "auth_db", "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()"
    ) == [(True,)]
    assert bare.rows("auth_db", "SHOW server_encoding") == [("UTF8",)]


def test_create_again_changes_nothing_and_needs_no_administrator(bare: Project) -> None:
    bare.multidb("create")
    del bare.variables["DATABASE_ADMIN_URL"]
    result = bare.multidb("create")
    assert (result.out, result.err, result.code) == ("nothing to create\n", "", 0)


def test_create_adds_only_what_is_missing(bare: Project, postgres: Postgres) -> None:
    bare.multidb("create")
    name = bare.variables["LOCATION_DB_URL"].rpartition("/")[2]
    postgres.as_admin("DROP EXTENSION postgis", name)
    assert bare.multidb("create").out == "location_db: created extension postgis\n"


def test_create_of_one_database_leaves_the_others(bare: Project) -> None:
    assert len(bare.multidb("create", "user_db").out.splitlines()) == 2
    assert "auth_db" in bare.alembic("upgrade", "auth_db@head").error


def test_create_twice_at_the_same_time(bare: Project) -> None:
    results = at_once(*[lambda: bare.multidb("create")] * 2)
    assert [result.code for result in results] == [0, 0], results
    bare.done("upgrade", "heads")


def test_create_without_an_administrator_says_what_is_missing(bare: Project) -> None:
    del bare.variables["DATABASE_ADMIN_URL"]
    error = bare.multidb("create").error
    assert error.startswith("error: auth_db: ")
    assert error.endswith("to create what is missing, set DATABASE_ADMIN_URL")


def test_create_does_not_take_a_server_that_is_down_for_something_missing(bare: Project) -> None:
    del bare.variables["DATABASE_ADMIN_URL"]
    bare.variables["AUTH_DB_URL"] = "postgresql://bare@127.0.0.1:1/auth_db"
    error = bare.multidb("create", "auth_db").error
    assert "Connection refused" in error
    assert error.endswith("start the server, or correct host and port in the URL; bin/up starts a private one")


def test_an_administrators_password_goes_to_no_other_server(bare: Project) -> None:
    bare.variables["DATABASE_ADMIN_URL"] = "postgresql://postgres:s3cret@db.example/postgres"
    error = bare.multidb("create").error
    assert "the administrator's URL on db.example:5432: create each server's databases by itself" in error


def test_a_role_with_another_password_is_an_error_not_a_change(bare: Project) -> None:
    bare.multidb("create", "auth_db")
    right = bare.variables["AUTH_DB_URL"]
    bare.variables["AUTH_DB_URL"] = right.replace(quote("it's a p@ss%", safe=""), "s3cret")
    result = bare.multidb("create", "auth_db")
    assert "password authentication failed" in result.error
    assert "s3cret" not in result.err
    assert query(right, "SELECT 1") == [(1,)]


def test_an_administrator_who_may_not_create(bare: Project, postgres: Postgres) -> None:
    bare.variables["DATABASE_ADMIN_URL"] = postgres.role_url + "/template_empty"
    result = bare.multidb("create", "auth_db", "user_db")
    role = bare.variables["AUTH_DB_URL"].partition("://")[2].partition(":")[0]
    assert result.out.splitlines() == [
        f'{name}: neighbor may not: run `CREATE ROLE "{role}" LOGIN` as a superuser' for name in ("auth_db", "user_db")
    ]
    assert result.error == "error: auth_db, user_db: run what the lines above say, and then this again"


def test_an_administrator_who_is_no_superuser_creates_what_needs_none(bare: Project, postgres: Postgres) -> None:
    role = bare.variables["AUTH_DB_URL"].split("/")[2].partition("_role")[0] + "_admin"
    postgres.as_admin(f"CREATE ROLE {role} LOGIN CREATEDB CREATEROLE PASSWORD 'secret'")
    place = postgres.role_url.partition("@")[2]
    bare.variables["DATABASE_ADMIN_URL"] = f"postgresql://{role}:secret@{place}/postgres"
    assert bare.multidb("create", "auth_db", "user_db").code == 0
    result = bare.multidb("create")
    location = bare.variables["LOCATION_DB_URL"].rpartition("/")[2]
    said = f'location_db: {role} may not: run `CREATE EXTENSION IF NOT EXISTS "postgis"` in {location} as a superuser'
    assert said in result.out.splitlines()
    assert result.error == "error: location_db: run what the lines above say, and then this again"
    name = bare.variables["RATING_DB_URL"].rpartition("/")[2]
    assert f"rating_db: created database {name}" in result.out  # after that


@pytest.mark.parametrize(("name", "hint"), [("auht_db", "did you mean auth_db?"), ("zzz", "there are auth_db")])
def test_create_of_an_unknown_database(checkout: Project, name: str, hint: str) -> None:
    assert hint in checkout.multidb("create", name).error


def test_an_sqlite_file_that_is_there_needs_nothing_created(checkout: Project) -> None:
    assert checkout.multidb("create", "investment_db").out == "nothing to create\n"
    assert (checkout.root / "investment.db").read_bytes() == b""


def test_help_says_what_there_is(checkout: Project) -> None:
    assert "create the roles, databases and extensions that are missing" in checkout.multidb("--help").out
    assert "DATABASE_ADMIN_URL_FILE" in checkout.multidb("create", "--help").out


def test_create_makes_the_role_that_sessions_have(bare: Project) -> None:
    login = bare.variables["AUTH_DB_URL"].partition("://")[2].partition(":")[0]
    owner = login.replace("_role", "_owner")
    bare.edit("databases.yaml", "databases:", f"role: {owner}\n\ndatabases:")
    result = bare.multidb("create", "auth_db")
    assert (result.code, f"auth_db: created role {owner}" in result.out) == (0, True), result
    bare.done("upgrade", "auth_db@head")
    assert query(
        bare.variables["AUTH_DB_URL"], "SELECT DISTINCT tableowner FROM pg_tables WHERE tableowner ~ 'bare'"
    ) == [(owner,)]
