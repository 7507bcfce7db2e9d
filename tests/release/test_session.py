"""Each revision starts from the run's session, and is recorded where the others are, whatever one of them sets."""

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE

OUTSIDE = "depends_on = None\noutside_transaction = True"
TENANTS = """
    CREATE SCHEMA tenant_a; CREATE SCHEMA tenant_b;
    CREATE TABLE tenant_b.alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO tenant_b.alembic_version VALUES ('auth_0001')
"""
LOOP = (
    'for schema in ("tenant_a", "tenant_b"):\n'
    '        op.execute(f"SET search_path TO {schema}")\n'
    '        op.create_table("orders", sa.Column("id", sa.Integer))'
)
DUMPED = (
    "op.execute(\"SELECT pg_catalog.set_config('search_path', '', false)\")\n"
    "    op.execute(\"SET client_encoding = 'UTF8'; SET check_function_bodies = false; SET row_security = off\")\n"
    '    op.execute("CREATE TABLE public.t2 (x int)")'
)
# What a revision leaves in its session, and what the next one would make of that.
LEFT = {
    "search_path": ("SET search_path TO tenant_a, public", "CREATE TABLE made (x int)"),
    "search_path of pg_dump": ("SELECT set_config('search_path', '', false)", "CREATE TABLE made (x int)"),
    "a local search_path": ("SET LOCAL search_path TO tenant_a", "CREATE TABLE made (x int)"),
    "a role": ("SET ROLE {role}", "CREATE TABLE made (x int)"),
    "a local role": ("SET LOCAL ROLE {role}", "CREATE TABLE made (x int)"),
    "a time-out": ("SET statement_timeout = '50ms'", "SELECT pg_sleep(0.2); CREATE TABLE made (x int)"),
    "a time zone": (
        "SET TIME ZONE 'Asia/Shanghai'",
        "CREATE TABLE made AS SELECT '2024-01-01 00:00'::timestamptz AT TIME ZONE 'UTC' AS x",
    ),
    "a date style": ("SET datestyle = 'SQL, DMY'", "CREATE TABLE made AS SELECT '02/01/2024'::date AS x"),
    "read only": ("SET default_transaction_read_only = on", "CREATE TABLE made (x int)"),
    "a setting of the user's": (
        "SET app.tenant = 'a'",
        "CREATE TABLE made AS SELECT nullif(current_setting('app.tenant', true), '') x",
    ),
    "a temporary table": ("CREATE TEMP TABLE made (x int)", "CREATE TABLE made (x int)"),
    "a prepared statement": ("PREPARE made AS SELECT 1", "PREPARE made AS SELECT 1; CREATE TABLE made (x int)"),
    "a cursor": (
        "CREATE TABLE open (x int); DECLARE c CURSOR FOR SELECT * FROM open; FETCH c",
        "ALTER TABLE open ADD y int; CREATE TABLE made (x int)",
    ),
}


@pytest.fixture
def tenants(few: Project) -> Project:
    few.rows("auth_db", TENANTS)
    return few


def test_a_search_path_does_not_lead_the_record_astray(tenants: Project) -> None:
    tenants.add_revision("auth_db", 2, LOOP)
    tenants.done("upgrade", "heads")
    assert tenants.rows("auth_db", "SELECT version_num FROM public.alembic_version") == [("auth_0002",)]
    assert tenants.rows("auth_db", "SELECT version_num FROM tenant_b.alembic_version") == [("auth_0001",)]
    assert "nothing to do" in tenants.done("upgrade", "heads").err
    assert tenants.multidb("ready", "auth_db").code == 0


@pytest.mark.parametrize("outside", [False, True])
def test_a_baseline_that_pg_dump_wrote(few: Project, outside: bool) -> None:
    path = few.add_revision("auth_db", 2, DUMPED)
    if outside:
        path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    few.add_revision("auth_db", 3, 'op.execute("INSERT INTO t2 VALUES (1)")')
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_0003"]
    assert few.rows("auth_db", "SELECT to_regclass('public.multidb_journal') IS NOT NULL, x FROM t2") == [(True, 1)]


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("kind", LEFT)
def test_two_revisions_make_the_same_in_one_run_as_in_two(
    tenants: Project, postgres: Postgres, kind: str, outside: bool
) -> None:
    database = tenants.variables["AUTH_DB_URL"].rpartition("/")[2]
    role = f"{database}_owner"
    postgres.as_admin(f"CREATE ROLE {role} ROLE neighbor")
    try:
        postgres.as_admin(f"GRANT ALL ON SCHEMA public TO {role}", database)
        left, then = (sql.replace("{role}", role) for sql in LEFT[kind])
        path = tenants.add_revision("auth_db", 2, f'op.execute("""{left}""")')
        if outside:
            path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
        tenants.add_revision("auth_db", 3, f'op.execute("""{then}""")', 'op.execute("DROP TABLE made")')
        made = "SELECT schemaname, tableowner, (SELECT string_agg(m::text, '') FROM made m) FROM pg_tables"
        found = []
        for targets in (("auth_0002", "auth_0003"), ("auth_0003",)):
            for target in targets:
                tenants.done("-x", "two_phase=off", "upgrade", target)
            found.append(tenants.rows("auth_db", f"{made} WHERE tablename = 'made'"))
            tenants.done("downgrade", "auth_0002")
            tenants.rows("auth_db", "DROP TABLE IF EXISTS open")
            tenants.done("stamp", "auth_db@auth_0001")
        assert found[0] == found[1]
        assert [row[:2] for row in found[0]] == [("public", "neighbor")]
    finally:
        postgres.as_admin(f"DROP OWNED BY {role}; DROP ROLE {role}", database)


def test_the_role_of_the_connection_stays(few: Project, postgres: Postgres) -> None:
    role = few.variables["AUTH_DB_URL"].rpartition("/")[2]
    postgres.as_admin(f"CREATE ROLE {role}_login LOGIN PASSWORD 'x' IN ROLE neighbor")
    try:
        postgres.as_admin(f"ALTER ROLE {role}_login SET role = neighbor")
        few.variables["AUTH_DB_URL"] = few.variables["AUTH_DB_URL"].replace(
            f"neighbor:{postgres.password}", f"{role}_login:x"
        )
        few.add_revision("auth_db", 2, 'op.execute("RESET ROLE; RESET SESSION AUTHORIZATION")')
        few.add_revision("auth_db", 3, 'op.execute("CREATE TABLE made (x int)")')
        few.add_revision("user_db", 2, "pass")
        few.done("upgrade", "heads")
        assert few.rows("auth_db", "SELECT tableowner FROM pg_tables WHERE tablename = 'made'") == [("neighbor",)]
    finally:
        postgres.as_admin(f"DROP ROLE {role}_login")


def test_a_retry_starts_from_the_same_session(few: Project) -> None:
    """The first attempt fails for a lock after it has changed the session."""
    few.add_revision("auth_db", 2, 'op.execute("CREATE SCHEMA app; SET search_path TO app")')
    few.add_revision(
        "auth_db",
        3,
        "import pathlib\n    first = not pathlib.Path('tried').exists()\n    pathlib.Path('tried').touch()\n"
        "    op.execute(\"DO $$ BEGIN RAISE EXCEPTION 'locked' USING ERRCODE = '55P03'; END $$\" if first else "
        '"CREATE TABLE made (x int)")',
    )
    few.done("upgrade", "heads")
    assert few.rows("auth_db", "SELECT schemaname FROM pg_tables WHERE tablename = 'made'") == [("public",)]


@pytest.mark.parametrize(
    ("left", "asked", "expected"),
    [
        ("PRAGMA recursive_triggers = ON", "PRAGMA recursive_triggers", 0),
        ("PRAGMA case_sensitive_like = ON", "SELECT 'a' LIKE 'A'", 1),
        ("PRAGMA ignore_check_constraints = ON", "PRAGMA ignore_check_constraints", 0),
        ("PRAGMA legacy_alter_table = ON", "PRAGMA legacy_alter_table", 0),
        ("PRAGMA query_only = ON", "PRAGMA query_only", 0),
        ("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", 0),
        ("PRAGMA synchronous = OFF", "PRAGMA synchronous", 3),
        ("CREATE TEMP TABLE made (x int)", "SELECT count(*) FROM sqlite_temp_master", 0),
    ],
)
@pytest.mark.parametrize("outside", [False, True])
def test_what_a_revision_sets_on_sqlite_ends_with_it(
    few: Project, left: str, asked: str, expected: int, outside: bool
) -> None:
    if "synchronous" in left and not outside:
        pytest.skip("SQLite refuses that in a transaction")
    path = few.add_revision("investment_db", 2, f'op.execute("{left}")')
    if outside:
        path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    few.add_revision(
        "investment_db", 3, f'assert op.get_bind().exec_driver_sql("{asked}").scalar() == {expected}; {MORE}'
    )
    few.done("upgrade", "heads")
    assert few.versions()["investment_db"] == ["investment_0003"]


@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
@pytest.mark.parametrize("outside", [False, True])
def test_another_record_than_the_plans_is_refused(few: Project, name: str, outside: bool) -> None:
    prefix = name.removesuffix("_db")
    on_postgresql = (
        "CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.version_num = 'x'; RETURN NEW; END $$;"
        "CREATE TRIGGER lie BEFORE UPDATE ON alembic_version FOR EACH ROW EXECUTE FUNCTION lie()"
    )
    on_sqlite = (
        "CREATE TRIGGER lie AFTER UPDATE ON alembic_version WHEN NEW.version_num <> 'x' "
        "BEGIN UPDATE alembic_version SET version_num = 'x'; END"
    )
    few.rows(name, on_sqlite if name == "investment_db" else on_postgresql)
    path = few.add_revision(name, 2, 'op.execute("CREATE TABLE made (x int)")')
    if outside:
        path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    few.add_revision("user_db", 2, "pass")
    result = few.alembic("-x", f"db={name},user_db", "upgrade", "heads")
    expected = f"{name}: alembic_version holds x after the last revision, and not {prefix}_0002: let the revisions"
    assert expected in (result.partly if outside else result.reason)
    assert few.versions()[name] == [f"{prefix}_0001"]


def test_a_revision_that_goes_on_after_a_failed_statement(few: Project) -> None:
    swallow = 'try:\n        op.execute("SELECT 1/0")\n    except Exception:\n        pass'
    few.add_revision("auth_db", 2, swallow)
    expected = "auth_db: migrations/versions/auth_db/auth_0002_by_hand.py: a statement of the revision failed, and"
    assert expected in few.alembic("upgrade", "heads").reason
