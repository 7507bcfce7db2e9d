"""`drift`: in what live databases are not what their recorded revisions say, and what would bring them back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from unittest.mock import MagicMock

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from multidb.database import connections, locks
from multidb.errors import MigrationError
from multidb.replay.scratch import ScratchServer
from tests.support.drifts import DRIFTS, REREAD, RICH
from tests.support.project import NAMES, ROOT, Postgres, Project
from tests.support.runs import begun

_numbers = count()


@pytest.fixture(scope="module")
def template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, str]]:
    """A checkout with a second revision that makes one of everything, and the name of a database that is there."""
    create = "CREATE ROLE reporting"
    postgres.as_admin(f"DO 'BEGIN {create}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END'")
    name = f"rich_{os.getpid()}"
    postgres.clone("head_auth_db", name)
    variables = postgres.scratch | {"AUTH_DB_URL": postgres.url(name)}
    project = Project.copied(tmp_path_factory.mktemp("rich") / "checkout", variables, ["auth_db"])
    project.add_revision("auth_db", 2, f"op.execute({RICH + REREAD!r})")
    project.done("upgrade", "heads")
    yield project, name
    postgres.drop(name)


@pytest.fixture
def rich(template: tuple[Project, str], postgres: Postgres) -> Iterator[Project]:
    """That checkout, with a database of its own."""
    project, name = template
    copy = f"{name}_{next(_numbers)}"
    postgres.clone(name, copy)
    yield Project(project.root, project.variables | {"AUTH_DB_URL": postgres.url(copy)}, project.names)
    postgres.drop(copy)


@pytest.mark.parametrize("what", DRIFTS)
def test_each_difference_is_a_sentence_and_the_sql_that_brings_it_back(
    rich: Project, postgres: Postgres, what: str
) -> None:
    own = rich.variables["AUTH_DB_URL"].rpartition("/")[2]
    for change in DRIFTS[what]:
        postgres.as_admin(change, own)
    found = rich.multidb("drift", "--json")
    assert found.code == 2, found
    [state] = json.loads(found.out)
    expected = [sentence for sentences in DRIFTS[what].values() for sentence in sentences]
    assert sorted(each["sentence"] for each in state["differences"]) == sorted(expected)
    for difference in state["differences"]:
        for statement in difference["sql"]:
            postgres.as_admin(statement, own)
    assert rich.multidb("drift").out == "auth_db          auth_0002: no drift\n"


def test_a_database_that_was_dumped_and_restored_has_not_drifted(
    template: tuple[Project, str], postgres: Postgres, spare: str
) -> None:
    project, name = template
    dump = project.run("pg_dump", postgres.url(name, admin=True)).out
    copy = Project(project.root, project.variables | {"AUTH_DB_URL": postgres.url(spare)}, project.names)
    restored = copy.run("psql", "-qXv", "ON_ERROR_STOP=1", postgres.url(spare, admin=True), stdin=dump)
    assert restored.code == 0, restored
    definitions = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'marks'::regclass ORDER BY 1"
    assert postgres.as_admin(definitions, spare) != postgres.as_admin(definitions, name)
    assert copy.multidb("drift").out == "auth_db          auth_0002: no drift\n"


def test_ten_databases_at_head_have_not_drifted(migrated: Project, postgres: Postgres) -> None:
    migrated.variables |= postgres.scratch
    result = migrated.multidb("drift")
    assert result.code == 0, result
    assert result.out == "".join(f"{name:16} {name.removesuffix('_db')}_0001: no drift\n" for name in NAMES)
    left = "SELECT datname FROM pg_database WHERE datname LIKE 'multidb_scratch%'"  # but for those of other tests
    assert not postgres.as_admin(
        f"{left} AND split_part(datname, '_', 3)::int NOT IN (SELECT pid FROM pg_stat_activity)"
    )


def test_pending_revisions_are_no_drift(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, 'op.create_table("more", sa.Column("x", sa.Integer))')
    assert few.multidb("drift").code == 0
    few.done("downgrade", "user_db@base")
    assert "user_db          <base>: no drift" in few.multidb("drift").out


def test_one_that_cannot_be_read_and_one_that_drifted_do_not_stop_the_rest(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.rows("user_db", "ALTER TABLE user_profiles ADD x int")
    few.rows("investment_db", "ALTER TABLE investments ADD x int")
    assert few.multidb("drift").code == 2
    few.variables["AUTH_DB_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/auth_db"
    result = few.multidb("drift")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].startswith("auth_db          FAILED: connection to server")
    assert lines[1] == "user_db          user_0001: 1 difference"
    assert "content_db       content_0001: no drift" in lines
    assert "investment_db    investment_0001: 1 difference" in lines
    assert "s3cret" not in result.out + result.err
    states = json.loads(few.multidb("drift", "--json").out)
    assert [bool(state["error"]) for state in states] == [True, False, False, False]
    assert few.multidb("drift", "content_db").code == 0


def test_ignore_hides_objects_that_no_revision_made_and_no_others(rich: Project, postgres: Postgres) -> None:
    own = rich.variables["AUTH_DB_URL"].rpartition("/")[2]
    postgres.as_admin(
        "CREATE TABLE audit_log (id serial); CREATE VIEW audit_view AS SELECT 1; CREATE SCHEMA monitoring; "
        "CREATE TABLE monitoring.t (x int); GRANT SELECT ON owners TO reporting; ALTER TABLE pets ADD nickname text; "
        "CREATE INDEX audit_pets ON pets (born); DROP INDEX by_lower_name",
        own,
    )
    before = (rich.root / "databases.yaml").read_text()
    rich.edit("databases.yaml", "databases:", "drift:\n  ignore: [audit_*, monitoring, by_lower_name]\n\ndatabases:")
    rich.edit(
        "databases.yaml", "{models: models.auth}", "{models: models.auth, drift: {ignore: [pets.nick*, reporting]}}"
    )
    try:
        found = json.loads(rich.multidb("drift", "--json").out)
    finally:
        rich.write("databases.yaml", before)
    assert [each["name"] for each in found[0]["differences"]] == ["pets.by_lower_name"]


def test_drift_in_an_sqlite_file_can_be_brought_back(few: Project) -> None:
    few.rows("investment_db", "ALTER TABLE investments ADD x int")
    few.rows("investment_db", "ALTER TABLE investments DROP COLUMN partner")
    few.rows("investment_db", "CREATE INDEX by_title ON investments (title)")
    few.rows("investment_db", "CREATE TRIGGER noted AFTER DELETE ON investments BEGIN SELECT 1; END")
    found = json.loads(few.multidb("drift", "--json", "investment_db").out)
    assert [each["sentence"] for each in found[0]["differences"]] == [
        "column investments.partner is missing: VARCHAR(255)",
        "index investments.by_title is not in investment_0001: investments (title)",
        "trigger investments.noted is not in investment_0001",
        "column investments.x is not in investment_0001: INT",
    ]
    for difference in found[0]["differences"]:
        for statement in difference["sql"]:
            few.rows("investment_db", statement)
    assert few.multidb("drift", "investment_db").code == 0


def test_another_projects_row_is_an_error_that_names_the_way(old: Project) -> None:
    result = old.multidb("drift", "auth_db")
    assert result.code == 1
    assert "alembic_version holds '0001', which is no revision of this branch" in result.out
    assert "`python -m multidb adopt auth_db`" in result.out


def test_the_live_database_is_not_written_to(rich: Project) -> None:
    catalogs = ["pg_class", "pg_attribute", "pg_type", "pg_proc", "pg_constraint", "pg_depend", "pg_namespace", "pets"]
    select = " UNION ALL ".join(f"SELECT count(*), max(xmin::text::bigint) FROM {catalog}" for catalog in catalogs)
    before = rich.rows("auth_db", select)
    assert rich.multidb("drift").code == 0
    assert rich.rows("auth_db", select) == before


def test_a_run_in_progress_is_waited_for(rich: Project) -> None:
    with closing(psycopg2.connect(rich.variables["AUTH_DB_URL"])) as other:
        other.cursor().execute("SELECT pg_advisory_lock(%s)", [locks.KEY])
        result = rich.multidb("-x", "lock_wait=300ms", "drift")
    assert result.code == 75
    assert "auth_db          FAILED: locked by pid" in result.out


def test_a_run_with_check_drift_compares_before_it_migrates(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, 'op.create_table("more", sa.Column("x", sa.Integer))')
    few.add_revision("investment_db", 2, 'op.create_table("more", sa.Column("x", sa.Integer))')
    few.rows("auth_db", "ALTER TABLE users ADD nickname text")
    few.rows("user_db", "ALTER TABLE user_profiles ADD x int")  # which has no work, and is not looked at
    few.edit("databases.yaml", "databases:", "check_drift: true\n\ndatabases:")
    assert few.alembic("upgrade", "heads").error == (
        "error: auth_db: it has drifted from auth_0001: column users.nickname is not in auth_0001: text "
        "(1 difference in auth_db): `python -m multidb drift` shows all; repair it, or run with -x check_drift=false"
    )
    assert few.versions() == few.at(1)
    few.rows("investment_db", "ALTER TABLE investments ADD x int")
    few.rows("auth_db", "ALTER TABLE users DROP COLUMN nickname")
    assert "investment_db: it has drifted" in few.alembic("upgrade", "heads").error
    few.done("-x", "check_drift=false", "upgrade", "investment_db@head")
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_0002"]


def test_branches_are_replayed_on_the_databases_own_server_where_the_role_may(few: Project, postgres: Postgres) -> None:
    postgres.as_admin("DROP ROLE IF EXISTS maker; CREATE ROLE maker LOGIN CREATEDB PASSWORD 'x' IN ROLE neighbor")
    few.variables["AUTH_DB_URL"] = few.variables["AUTH_DB_URL"].replace(f"neighbor:{postgres.password}", "maker:x")
    few.add_revision("auth_db", 2, "op.execute('SELECT pg_sleep(0.5)')")
    few.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0002'")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(few.multidb, "drift", "auth_db")
        seen: set[tuple[str, ...]] = set()
        while not running.done():
            seen |= set(postgres.as_admin("SELECT usename FROM pg_stat_activity WHERE datname LIKE 'multidb_scratch%'"))
    assert running.result().out == "auth_db          auth_0002: no drift\n"
    assert ("maker",) in seen


def test_a_search_path_of_the_databases_own_is_no_drift(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.done("downgrade", "user_db@base")
    few.rows("user_db", "DROP TABLE alembic_version, multidb_journal")
    own = few.variables["USER_DB_URL"].rpartition("/")[2]
    postgres.as_admin(
        f"CREATE SCHEMA app AUTHORIZATION neighbor; ALTER DATABASE {own} SET search_path = app, public", own
    )
    few.done("upgrade", "heads")
    assert few.rows("user_db", "SELECT to_regclass('app.user_profiles') IS NULL") == [(False,)]
    assert few.multidb("drift", "user_db").out == "user_db          user_0001: no drift\n"


def test_a_value_that_one_release_added_to_an_enum_and_the_next_one_used_is_no_drift(
    few: Project, postgres: Postgres
) -> None:
    few.variables |= postgres.scratch
    few.add_revision("user_db", 2, "op.execute(\"ALTER TYPE user_mode ADD VALUE 'BOTH'\")")
    few.done("upgrade", "heads")
    default = "ALTER TABLE user_profiles ALTER default_mode SET DEFAULT 'BOTH'"
    few.add_revision("user_db", 3, f'op.execute("{default}")')
    few.done("upgrade", "heads")
    assert few.multidb("drift", "user_db").out == "user_db          user_0003: no drift\n"


def test_two_entries_for_one_database_do_not_stop_the_rest(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.variables["USER_DB_URL"] = few.variables["AUTH_DB_URL"].replace("127.0.0.1", "0.0.0.0")
    result = few.multidb("drift")
    assert result.code == 1
    assert result.out.count("FAILED: auth_db and user_db") == 2
    assert "content_db       content_0001: no drift" in result.out


def test_a_scratch_server_that_is_not_there_is_named(few: Project) -> None:
    few.variables["SCRATCH_SERVER_URL"] = "postgresql://postgres:s3cret@127.0.0.1:1"
    result = few.multidb("drift", "auth_db")
    assert result.code == 1
    assert "FAILED: the scratch server 127.0.0.1:1: connection to server" in result.out
    assert "s3cret" not in result.out + result.err
    few.variables["SCRATCH_SERVER_URL"] = "sqlite:///x.db"
    assert "SCRATCH_SERVER_URL: should be a postgresql:// URL" in few.multidb("drift", "auth_db").out


def test_a_scratch_server_whose_session_breaks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = MagicMock()
    driver.cursor.side_effect = psycopg2.OperationalError("server closed the connection unexpectedly")
    monkeypatch.setattr(connections, "open_to_read", lambda _url: driver)
    with pytest.raises(MigrationError, match="the scratch server 127"):
        ScratchServer(make_url("postgresql://127.0.0.1/postgres"))
    driver.close.assert_called_once_with()


def test_a_branch_that_cannot_be_replayed_is_named_and_not_the_live_database(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, "op.execute('SELECT 1 / (SELECT count(*) FROM users)')")
    few.rows("auth_db", "INSERT INTO users (user_id, email, password_hash) VALUES (gen_random_uuid(), 'a', 'b')")
    few.done("upgrade", "heads")
    result = few.multidb("drift")
    assert result.code == 1
    assert (
        "auth_db          FAILED: its branch can't be replayed in a scratch database: "
        "migrations/versions/auth_db/auth_0002_by_hand.py:13: division by zero" in result.out
    )
    assert "user_db          user_0001: no drift" in result.out


def test_a_role_that_may_make_no_database_on_the_scratch_server_is_told_so(few: Project, postgres: Postgres) -> None:
    few.variables["SCRATCH_SERVER_URL"] = postgres.role_url
    result = few.multidb("drift", "auth_db")
    assert "neighbor may not create databases on 127.0.0.1:" in result.out
    assert "give the role CREATEDB, or name another server under `scratch`" in result.out


def test_without_any_it_makes_a_private_one_that_stands_in_for_no_database(few: Project) -> None:
    major = few.rows("auth_db", "SHOW server_version_num")[0][0][:2]
    # A server of `bin/up`, of a version that the databases' is not.
    few.write(".local/postgres/data/PG_VERSION", "9\n")
    result = few.multidb("drift", "auth_db", "user_db")
    try:
        assert (result.code, result.out.count(": no drift")) == (0, 2), result
        assert f"starting a private server under {few.root}/.local/scratch-{major}," in result.err
        assert not (few.root / ".local/env").exists()
        assert "starting" not in few.multidb("drift", "auth_db").err
    finally:
        down = few.run(sys.executable, "-m", "multidb.local", "down", "--wipe")
    assert down.code == 0
    assert not (few.root / ".local").exists()


def test_the_scratch_server_may_stand_in_databases_yaml(few: Project, postgres: Postgres) -> None:
    few.edit("databases.yaml", "databases:", "scratch: ${WHERE}\n\ndatabases:")
    few.variables["WHERE"] = postgres.admin_url.removesuffix("/postgres")
    assert few.multidb("drift").code == 0


def test_no_scratch_database_is_left_by_one_that_ends_while_it_is_made(migrated: Project, postgres: Postgres) -> None:
    role = f"maker_{os.getpid()}"  # by which no other test's is taken for this one
    postgres.as_admin(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'x'")
    migrated.variables["SCRATCH_SERVER_URL"] = f"postgresql://{role}:x@{postgres.admin_url.partition('@')[2]}"
    process = drifting(migrated)
    making = f"SELECT query FROM pg_stat_activity WHERE usename = '{role}' AND query LIKE 'CREATE DATABASE%'"
    while not (found := postgres.as_admin(making)):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 1
    prefix = found[0][0].split()[2].rpartition("_")[0]
    time.sleep(0.5)
    assert not postgres.as_admin(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}')")
    postgres.as_admin(f"DROP ROLE {role}")


HEARD_WHILE_FORKING = """
import os, signal, time
from multidb.planning.processes import map_in_processes
from multidb.signals import Interruption

os.register_at_fork(before=lambda: signal.raise_signal(signal.SIGINT))
interruption = Interruption()
try:
    with interruption.handling(), interruption.interruptible():
        map_in_processes(time.sleep, [60, 60], 2)
except KeyboardInterrupt as error:
    print(repr(error))
"""


def test_ctrl_c_that_comes_while_a_process_begins_is_not_lost() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HEARD_WHILE_FORKING], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("Interrupted('SIGINT')\n", "", 0)


def drifting(project: Project) -> "subprocess.Popen[str]":
    return begun(project, sys.executable, "-m", "multidb", "drift", group=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_scratch_database_is_left_whatever_ends_it(few: Project, postgres: Postgres, number: signal.Signals) -> None:
    few.variables |= postgres.scratch
    slow = f"SELECT pg_sleep({60 + number})"  # so that no other test's is taken for this one
    few.add_revision("auth_db", 2, f"op.execute('{slow}')")
    few.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0002'")
    process = drifting(few)
    scratch = f"SELECT datname FROM pg_stat_activity WHERE query = '{slow}'"
    while not postgres.as_admin(scratch):
        assert process.poll() is None
        time.sleep(0.05)
    [(name,)] = postgres.as_admin(scratch)
    os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
    _, err = process.communicate(timeout=30)
    there = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"
    if number is signal.SIGKILL:
        assert postgres.as_admin(there)
        few.rows("auth_db", "UPDATE alembic_version SET version_num = 'auth_0001'")
        assert few.multidb("drift").code == 0
    else:
        assert process.returncode == 1
        assert err.splitlines()[-1] == f"error: interrupted by {number.name} [MDB605]"
    assert not postgres.as_admin(there)
