"""`alembic_version` is found in the catalogs, whatever `search_path` says today."""

import re
import signal

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE, interrupt, prepared

OLD = """
    CREATE TABLE {0}.alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO {0}.alembic_version VALUES ('{1}')
"""


def database_of(project: Project) -> str:
    return project.variables["AUTH_DB_URL"].rpartition("/")[2]


def configure(project: Project, line: str) -> None:
    text = (project.root / "databases.yaml").read_text()
    project.write("databases.yaml", re.sub(r"(auth_db: +{)", rf"\1{line}, ", text))


def elsewhere(project: Project, postgres: Postgres, how: str) -> None:
    """Let the search path lead to another schema than the one in which the database was migrated."""
    if how == "a schema of the role's name":
        project.rows("auth_db", "CREATE SCHEMA neighbor")
        return
    project.rows("auth_db", "CREATE SCHEMA app")
    if how == "PGOPTIONS":
        project.variables["PGOPTIONS"] = "-c search_path=app"
    elif how == "a setting of the database":
        postgres.as_admin(f'ALTER DATABASE "{database_of(project)}" SET search_path = app')
    elif how == "a setting of the role":
        postgres.as_admin(f'ALTER ROLE neighbor IN DATABASE "{database_of(project)}" SET search_path = app')
    else:
        project.variables["AUTH_DB_URL"] += "?options=-csearch_path%3Dapp"


HOWS = ["a schema of the role's name", "PGOPTIONS", "a setting of the database", "a setting of the role", "the URL"]


@pytest.mark.parametrize("how", HOWS)
def test_another_search_path_makes_no_second_copy(few: Project, postgres: Postgres, how: str) -> None:
    elsewhere(few, postgres, how)
    assert "auth_db          auth_0001 (head)" in few.done("-x", "db=auth_db", "current").out
    assert "nothing to do in 1 database" in few.done("upgrade", "auth_db@head").err
    for command in ("ready", "status", "log", "verify"):
        assert few.multidb(command, "auth_db").code == 0
    assert "(head) (current)" in few.done("-x", "db=auth_db", "history", "-i").out
    tables = "SELECT schemaname FROM pg_tables WHERE tablename IN ('alembic_version', 'multidb_journal')"
    assert few.rows("auth_db", tables) == [("public",), ("public",)]


@pytest.mark.parametrize("how", HOWS[1:])
def test_a_revision_does_not_run_where_its_tables_are_not_reached(few: Project, postgres: Postgres, how: str) -> None:
    elsewhere(few, postgres, how)
    few.add_revision("auth_db", 2, MORE)
    error = few.alembic("upgrade", "auth_db@head").error
    assert "auth_db: alembic_version is in public, which search_path (app) does not reach, and revisions would" in error
    assert "set version_table_schema: public" in error
    configure(few, "version_table_schema: public")
    few.done("upgrade", "auth_db@head")
    assert few.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0002",)]
    assert few.rows("auth_db", "SELECT to_regclass('app.more') IS NULL, to_regclass('app.multidb_journal')") == [
        (False, None)
    ]
    assert few.multidb("rollback", "--yes").code == 0
    assert few.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0001",)]


def test_a_revision_runs_where_the_path_begins_with_a_new_schema(few: Project) -> None:
    few.rows("auth_db", "CREATE SCHEMA neighbor")
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("x", sa.Integer))')
    few.add_revision("user_db", 2, MORE)
    said = few.done("upgrade", "heads").err
    assert "[auth_db] alembic_version is in public, and search_path begins with neighbor, where new" in said
    assert few.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0002",)]
    assert few.rows("auth_db", "SELECT to_regclass('neighbor.multidb_journal')") == [(None,)]
    assert few.multidb("rollback", "--yes").code == 0
    assert few.versions()["auth_db"] == ["auth_0001"]


def test_of_two_version_tables_the_one_beside_the_journal_is_ours(few: Project) -> None:
    few.rows("auth_db", "CREATE SCHEMA neighbor;" + OLD.format("neighbor", "0007"))
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("x", sa.Integer))')
    few.done("upgrade", "auth_db@head")
    assert few.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0002",)]
    assert few.rows("auth_db", "SELECT version_num FROM neighbor.alembic_version") == [("0007",)]


@pytest.mark.parametrize(
    "command", [["upgrade", "heads"], ["-x", "db=auth_db", "current"], ["downgrade", "auth_db@-1"]]
)
def test_two_of_both_are_refused(few: Project, command: list[str]) -> None:
    copy = "CREATE TABLE app.{0} AS SELECT * FROM {0};"
    few.rows("auth_db", "CREATE SCHEMA app;" + copy.format("alembic_version") + copy.format("multidb_journal"))
    result = few.alembic(*command)
    assert result.code == 1
    expected = (
        "alembic_version and multidb_journal are both in app and public: set version_table_schema in databases.yaml"
    )
    assert expected in result.err + result.out
    configure(few, "version_table_schema: public")
    assert "auth_0001 (head)" in few.done("-x", "db=auth_db", "current").out


def test_without_a_journal_two_that_the_path_reaches_are_refused(old: Project) -> None:
    old.rows("auth_db", "CREATE SCHEMA neighbor; DROP TABLE IF EXISTS public.alembic_version;")
    for schema in ("public", "neighbor"):
        old.rows("auth_db", OLD.format(schema, "0007"))
    assert (
        "auth_db: alembic_version is in neighbor and public: set version_table_schema"
        in old.alembic("upgrade", "auth_db@head").error
    )
    configure(old, "version_table_schema: public")
    assert "; alembic_version holds 0007" in old.multidb("adopt", "auth_db", "--dry-run").out


def test_without_a_journal_one_that_the_path_does_not_reach_is_not_passed_over(
    project: Project, postgres: Postgres
) -> None:
    project.rows("auth_db", "CREATE SCHEMA app;" + OLD.format("public", "auth_0001"))
    postgres.as_admin(f'ALTER DATABASE "{database_of(project)}" SET search_path = app')
    error = project.alembic("upgrade", "auth_db@head").error
    assert (
        "auth_db: alembic_version is in public, which search_path (app) does not reach: correct the search_path"
        in error
    )


def test_tenants_that_have_one_each_do_not_matter_beside_the_paths_own(old: Project) -> None:
    old.rows("auth_db", "CREATE SCHEMA tenant;" + OLD.format("tenant", "t1"))
    if not old.has_version_table("auth_db"):
        old.rows("auth_db", OLD.format("public", "0007"))
    assert old.multidb("adopt", "--reconcile", "auth_db").code == 0
    assert old.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0001",)]
    assert old.rows("auth_db", "SELECT version_num FROM tenant.alembic_version") == [("t1",)]


def test_a_first_run_records_in_the_first_schema_in_which_the_role_may_create(
    project: Project, postgres: Postgres
) -> None:
    database = database_of(project)
    schemas = "CREATE SCHEMA hidden; CREATE SCHEMA app AUTHORIZATION neighbor"
    postgres.as_admin(schemas, database)
    postgres.as_admin(f'ALTER DATABASE "{database}" SET search_path = missing, hidden, app, public')
    project.done("upgrade", "auth_db@head")
    assert project.rows("auth_db", "SELECT version_num FROM app.alembic_version") == [("auth_0001",)]
    assert project.rows("auth_db", "SELECT to_regclass('app.multidb_journal') IS NULL") == [(False,)]
    assert project.multidb("status", "auth_db").code == 0


@pytest.mark.parametrize("how_else", HOWS)
def test_what_is_in_doubt_is_resolved(few: Project, postgres: Postgres, how_else: str) -> None:
    """Killed after the decision, and the path changes before the recovery."""
    for name in ("auth_db", "user_db"):
        few.add_revision(name, 2, MORE)
    how = ["SIGKILL:run", "after", "COMMIT", "user_db"]
    assert interrupt(few, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert len(prepared(few)) == 1
    elsewhere(few, postgres, how_else)
    assert few.multidb("recover").code == 0
    assert prepared(few) == []
    assert few.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0002",)]
    assert few.multidb("log").code == 0
