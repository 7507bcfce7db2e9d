"""What the engine reads and writes does not depend on settings of a role, a database or the environment."""

import signal

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE, interrupt, prepared

SAME_NAMES = """
    CREATE SCHEMA app;
    CREATE FUNCTION app.starts_with(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE FUNCTION app.current_database() RETURNS name LANGUAGE sql AS $$ SELECT 'other'::name $$;
    CREATE FUNCTION app.transaction_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT clock_timestamp() $$;
    CREATE FUNCTION app.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 0';
    GRANT USAGE ON SCHEMA app TO PUBLIC
"""
SETTINGS = {
    "dates": "datestyle = 'SQL, DMY'",
    "German dates": "datestyle = 'German'",
    "intervals": "intervalstyle = 'sql_standard'",
    "time zone": "timezone = 'Asia/Kathmandu'",
    "encoding": "client_encoding = 'LATIN1'",
    "bytes": "bytea_output = 'escape'",
    "row security": "row_security = off",
    "strings": "standard_conforming_strings = off",
    "identifiers": "quote_all_identifiers = on",
    "digits": "extra_float_digits = -15",
    "isolation": "default_transaction_isolation = 'repeatable read'",
    "NULLs": "transform_null_equals = on",
    "functions of the same names": "search_path = public, app, pg_catalog",
}


def database_of(project: Project, name: str) -> str:
    return project.variables[f"{name.upper()}_URL"].rpartition("/")[2]


@pytest.fixture
def set_up(few: Project, postgres: Postgres, request: pytest.FixtureRequest) -> Project:
    """A checkout whose role has a setting in two databases."""
    few.variables |= postgres.scratch
    for name in ("auth_db", "user_db"):
        database = database_of(few, name)
        if "app" in request.param:
            postgres.as_admin(SAME_NAMES, database)
        postgres.as_admin(f'ALTER ROLE neighbor IN DATABASE "{database}" SET {request.param}')
        few.add_revision(name, 2, f'"Änderung 用户"\n    {MORE}', 'op.drop_table("more")')
    return few


@pytest.mark.parametrize("set_up", SETTINGS.values(), ids=SETTINGS, indirect=True)
def test_a_run_its_recovery_and_its_rollback(set_up: Project) -> None:
    kill = ["SIGKILL:run", "after", "COMMIT", "user_db"]
    assert interrupt(set_up, kill, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert len(prepared(set_up)) == 1
    assert set_up.multidb("recover").code == 0
    assert set_up.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0002",)]
    for command in ("status", "log", "verify", "ready"):
        arguments = ["auth_db"] if command == "ready" else []
        assert set_up.multidb(command, *arguments).code == 0, command
    assert set_up.multidb("rollback", "--yes").code == 0
    set_up.done("upgrade", "heads")
    assert "nothing to do" in set_up.done("upgrade", "heads").err


@pytest.mark.parametrize("variable", ["PGCLIENTENCODING=LATIN1", "PGDATESTYLE=German", "PGTZ=Asia/Kathmandu"])
def test_variables_of_libpq(few: Project, variable: str) -> None:
    key, _, value = variable.partition("=")
    few.variables[key] = value
    few.add_revision("auth_db", 2, "raise Exception('用户')")
    assert "用户" in few.alembic("upgrade", "heads").reason
    assert "用户" in few.multidb("log", "--all").out + few.multidb("status").out
    few.add_revision("auth_db", 2, MORE)
    few.done("upgrade", "heads")


@pytest.mark.parametrize("set_up", ["bytea_output = 'escape'", "standard_conforming_strings = off",
                                    "lc_monetary = 'C.UTF-8'", "datestyle = 'German'"], indirect=True)  # fmt: skip
def test_drift_reads_defaults_alike(set_up: Project) -> None:
    defaults = (
        "b bytea DEFAULT E'\\\\\\\\x00ff', t text DEFAULT E'a\\\\\\\\b', d date DEFAULT '2024-01-31', m money DEFAULT 1"
    )
    set_up.add_revision("auth_db", 2, f'op.execute("""CREATE TABLE more ({defaults})""")')
    set_up.done("upgrade", "heads")
    assert "auth_db          auth_0002: no drift" in set_up.multidb("drift", "auth_db").out


def test_rows_that_a_policy_hides_are_not_taken_for_base(few: Project) -> None:
    hidden = "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY; ALTER TABLE {0} FORCE ROW LEVEL SECURITY"
    few.rows("auth_db", hidden.format("alembic_version"))
    for command in (["upgrade", "heads"], ["-x", "db=auth_db", "current"]):
        result = few.alembic(*command)
        assert result.code == 1
        assert (
            'query would be affected by row-level security policy for table "alembic_version"'
            in result.err + result.out
        )
