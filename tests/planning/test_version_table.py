"""The version table of a database may have another name, and a schema of its own."""

import re
import subprocess

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE

PLACES = {
    "a name": ("", "alembic_version_auth"),
    "a schema": ("app", "alembic_version"),
    "both": ("My app", "Versions"),
}


def configured(project: Project, name: str, schema: str, table: str) -> str:
    """Give a database's version table a place, and return that as SQL writes it."""
    line = f"version_table: '{table}'" + (f", version_table_schema: '{schema}'" if schema else "")
    text = (project.root / "databases.yaml").read_text()
    project.write("databases.yaml", re.sub(rf"({name}: +{{)", rf"\1{line}, ", text))
    return f'"{schema}"."{table}"' if schema else f'"{table}"'


@pytest.mark.parametrize("place", PLACES)
def test_runs_record_their_revisions_there(project: Project, place: str) -> None:
    table = configured(project, "auth_db", *PLACES[place])
    project.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    project.done("-x", "db=auth_db,user_db", "upgrade", "heads")
    assert project.rows("auth_db", f"SELECT version_num FROM {table}") == [("auth_0002",)]
    assert not project.has_version_table("auth_db")
    assert project.has_version_table("user_db")
    assert "auth_db          auth_0002 (head)" in project.done("-x", "db=auth_db", "current").out
    assert project.multidb("status", "auth_db").code == 0
    assert project.multidb("ready", "auth_db").code == 0
    assert "auth_0002 (auth_db) (head) (current), by hand" in project.done("-x", "db=auth_db", "history", "-i").out
    project.done("-x", "db=auth_db", "upgrade", "heads")
    project.done("downgrade", "auth_db@-1")
    assert project.rows("auth_db", f"SELECT version_num FROM {table}") == [("auth_0001",)]
    project.done("stamp", "auth_db@head")
    assert project.rows("auth_db", f"SELECT version_num FROM {table}") == [("auth_0002",)]


@pytest.mark.parametrize("place", PLACES)
def test_the_table_is_no_drift_and_a_revision_there_is_read(project: Project, postgres: Postgres, place: str) -> None:
    project.variables |= postgres.scratch
    configured(project, "auth_db", *PLACES[place])
    project.done("upgrade", "auth_db@head")
    assert "auth_db          auth_0001: no drift" in project.multidb("drift", "auth_db").out
    assert project.done("-x", "db=auth_db", "check").out == "No new upgrade operations detected.\n"
    project.done("downgrade", "auth_db@base")
    assert "auth_db          <base>: no drift" in project.multidb("drift", "auth_db").out


@pytest.mark.parametrize("place", PLACES)
def test_a_history_with_a_table_of_its_own_is_adopted(old: Project, place: str) -> None:
    schema, table = PLACES[place]
    sql = configured(old, "auth_db", schema, table)
    old.rows("auth_db", "DROP TABLE IF EXISTS alembic_version")
    if schema:
        old.rows("auth_db", f'CREATE SCHEMA "{schema}"')
    old.rows("auth_db", f"CREATE TABLE {sql} (version_num varchar(32) NOT NULL PRIMARY KEY)")
    old.rows("auth_db", f"INSERT INTO {sql} VALUES ('0007')")
    result = old.multidb("adopt", "auth_db")
    assert result.code == 0, result
    assert f"auth_db          equals auth_0001; {table} holds 0007: will be recorded at auth_0001" in result.out
    assert old.rows("auth_db", f"SELECT version_num FROM {sql}") == [("auth_0001",)]
    assert old.multidb("rollback", "--yes").code == 0
    assert old.rows("auth_db", f"SELECT version_num FROM {sql}") == [("0007",)]


@pytest.mark.parametrize("place", PLACES)
def test_scripts_write_to_it(project: Project, place: str) -> None:
    table = configured(project, "auth_db", *PLACES[place])
    project.add_revision("auth_db", 2, MORE)
    for arguments in (["upgrade", "auth_0001", "--sql"], ["upgrade", "auth_0001:auth_0002", "--sql"]):
        script = project.write("script.sql", project.done(*arguments).out)
        command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script), project.variables["AUTH_DB_URL"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        assert "RETURNING" not in script.read_text()
    assert project.rows("auth_db", f"SELECT version_num FROM {table}") == [("auth_0002",)]
    assert project.done("upgrade", "auth_db@head").err == "INFO  [multidb] nothing to do in 1 database\n"


def test_sqlite_has_a_name_too(project: Project) -> None:
    configured(project, "investment_db", "", "versions of mine")
    text = project.done("upgrade", "investment_db@head", "--sql").out
    assert 'CREATE TABLE IF NOT EXISTS "versions of mine"' in text
    project.done("upgrade", "investment_db@head")
    assert project.rows("investment_db", 'SELECT version_num FROM "versions of mine"') == [("investment_0001",)]
    assert "investment_0001: no drift" in project.multidb("drift", "investment_db").out
    assert project.multidb("status", "investment_db").code == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("version_table_schema: app", "version_table_schema: investment_db is on SQLite, which has no schemas"),
        ("version_table: ''", "version_table should be a text"),
        (f"version_table: {'a' * 64}", "version_table is longer than 63 characters"),
    ],
)
def test_a_place_that_cannot_be(checkout: Project, line: str, expected: str) -> None:
    text = (checkout.root / "databases.yaml").read_text()
    checkout.write("databases.yaml", text.replace("investment_db:   {", f"investment_db:   {{{line}, "))
    assert expected in checkout.alembic("-x", "db=investment_db", "current").error
