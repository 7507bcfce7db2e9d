"""`drift` where a database has several schemas, whichever comes first on its search path."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.project import Postgres, Project, unique


@pytest.fixture
def clean(few: Project, postgres: Postgres) -> Project:
    """A checkout with a few databases at head, which are compared on their own server."""
    few.variables |= postgres.scratch
    return few


def drift(project: Project, name: str = "auth_db") -> list[str]:
    """The lines of `drift` for a database, below the one that names it."""
    result = project.multidb("drift", name)
    assert result.code in (0, 2), result
    lines = result.out.splitlines()
    assert result.code == 2 or lines[0].endswith(": no drift"), result
    return [line.strip() for line in lines[1:]]


@contextmanager
def from_scratch(project: Project, postgres: Postgres, setup: str) -> Iterator[str]:
    """Give auth_db a new database that is set up by an administrator, and its name."""
    name = unique()
    postgres.clone("template_empty", name)
    postgres.as_admin(setup.format(database=name), name)
    project.variables["AUTH_DB_URL"] = postgres.url(name)
    yield name
    postgres.drop(name)


def test_a_schema_of_the_roles_name_that_is_made_later_is_all_that_is_extra(clean: Project, postgres: Postgres) -> None:
    own = clean.variables["AUTH_DB_URL"].rpartition("/")[2]
    postgres.as_admin("CREATE SCHEMA neighbor AUTHORIZATION neighbor", own)
    assert drift(clean) == ["schema neighbor is not in auth_0001", "DROP SCHEMA neighbor;"]
    assert clean.done("check").code == 0


def test_a_schema_of_the_roles_name_that_was_there_first_is_no_drift(clean: Project, postgres: Postgres) -> None:
    with from_scratch(clean, postgres, "CREATE SCHEMA neighbor AUTHORIZATION neighbor"):
        clean.done("upgrade", "heads")
        assert clean.rows("auth_db", "SELECT to_regclass('neighbor.users') IS NULL") == [(False,)]
        assert drift(clean) == []
        assert clean.done("check").code == 0


def test_a_schema_that_a_revision_makes_is_no_drift(clean: Project) -> None:
    statement = "CREATE SCHEMA app; CREATE TABLE app.orders (id int PRIMARY KEY, note text)"
    clean.add_revision("auth_db", 2, f'op.execute("{statement}")')
    clean.done("upgrade", "heads")
    assert drift(clean) == []


def test_no_sql_drops_an_alembic_version_or_a_journal_in_whatever_schema(clean: Project) -> None:
    for table in ("alembic_version", "multidb_journal", "orders"):
        clean.rows("auth_db", f"CREATE SCHEMA IF NOT EXISTS tenant; CREATE TABLE tenant.{table} (version_num text)")
    assert drift(clean) == ["schema tenant is not in auth_0001", "DROP TABLE tenant.orders;"]


@pytest.mark.parametrize("is_in_path", [True, False])
def test_postgis_in_a_schema_of_its_own_migrates_and_is_no_drift(
    clean: Project, postgres: Postgres, *, is_in_path: bool
) -> None:
    name = unique()
    postgres.clone("template_empty", name)
    postgres.as_admin("CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC", name)
    postgres.as_admin("CREATE EXTENSION postgis SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions", name)
    if is_in_path:
        postgres.as_admin(f'ALTER DATABASE {name} SET search_path = "$user", public, extensions', name)
    project = Project.copied(clean.root.parent / "location", clean.variables, ["location_db"])
    project.variables["LOCATION_DB_URL"] = postgres.url(name)
    project.done("upgrade", "heads")
    assert drift(project, "location_db") == ["extension citext is not in location_0001", "DROP EXTENSION citext;"]
    assert project.done("check").code == 0
    postgres.as_admin("CREATE TABLE extensions.theirs (x int)", name)
    found = ["table extensions.theirs is not in location_0001", "DROP TABLE extensions.theirs;"]
    assert drift(project, "location_db")[:2] == found
    postgres.drop(name)


def test_a_schema_of_another_extension_is_no_drift(clean: Project, postgres: Postgres) -> None:
    own = clean.variables["AUTH_DB_URL"].rpartition("/")[2]
    postgres.as_admin("CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions", own)
    assert drift(clean) == ["extension citext is not in auth_0001", "DROP EXTENSION citext;"]


def test_a_revision_that_leaves_its_search_path_set_is_no_drift(clean: Project) -> None:
    clean.add_revision(
        "auth_db",
        2,
        'op.execute("CREATE SCHEMA tenant; SET search_path TO tenant, public"); '
        'op.create_table("orders", sa.Column("id", sa.Integer))',
    )
    clean.add_revision("auth_db", 3, 'op.create_table("others", sa.Column("id", sa.Integer))')
    clean.done("upgrade", "heads")
    assert clean.rows("auth_db", "SELECT to_regclass('tenant.orders'), to_regclass('public.others')") == [
        ("tenant.orders", "others")
    ]
    assert drift(clean) == []
