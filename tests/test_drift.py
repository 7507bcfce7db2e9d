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

import psycopg2
import pytest

from multidb import locks
from tests.project import NAMES, ROOT, Postgres, Project
from tests.runs import begun

RICH = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE SEQUENCE tickets START 100 INCREMENT 5;
CREATE SCHEMA reports;
CREATE TABLE owners (owner_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL);
CREATE TABLE pets (
    pet_id serial PRIMARY KEY,
    owner_id integer NOT NULL REFERENCES owners ON DELETE CASCADE,
    name varchar(50) NOT NULL DEFAULT 'Rex',
    "Weird name" numeric(6, 2),
    born_in integer REFERENCES owners DEFERRABLE,
    weight integer CONSTRAINT weighs_something CHECK (weight > 0),
    doubled integer GENERATED ALWAYS AS (weight * 2) STORED,
    feels mood DEFAULT 'ok',
    born date,
    CONSTRAINT one_name_each UNIQUE (owner_id, name),
    CONSTRAINT not_at_once EXCLUDE USING btree (born WITH =)
);
CREATE INDEX by_lower_name ON pets (lower(name) DESC) WHERE weight > 10;
CREATE UNIQUE INDEX one_weird ON pets ("Weird name");
CREATE VIEW heavy AS SELECT pet_id, name FROM pets WHERE weight > 100;
CREATE MATERIALIZED VIEW digits AS SELECT pet_id % 10 AS digit, count(*) FROM pets GROUP BY 1;
CREATE FUNCTION grown(pet integer) RETURNS integer LANGUAGE sql STABLE AS 'SELECT weight FROM pets WHERE pet_id = pet';
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON pets FOR EACH ROW EXECUTE FUNCTION touched();
CREATE PROCEDURE tidied() LANGUAGE sql AS 'DELETE FROM pets WHERE weight IS NULL';
CREATE UNLOGGED TABLE cache (key text, "odd.name" text);
CREATE TABLE beings (name text);
CREATE TABLE cats (claws integer) INHERITS (beings);
CREATE TABLE reports (x integer);
CREATE VIEW light WITH (security_barrier = true) AS SELECT pet_id FROM pets WHERE weight < 5 WITH LOCAL CHECK OPTION;
CREATE TABLE reports.daily (day date PRIMARY KEY, number integer);
CREATE TABLE visits (at date NOT NULL, pet integer) PARTITION BY RANGE (at);
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
COMMENT ON TABLE pets IS 'the animals';
COMMENT ON COLUMN pets.name IS 'what it hears';
COMMENT ON CONSTRAINT weighs_something ON pets IS 'or it is a ghost';
COMMENT ON PROCEDURE tidied() IS 'at night';
GRANT EXECUTE ON PROCEDURE tidied() TO reporting;
GRANT SELECT, UPDATE (name) ON pets TO reporting;
"""
FK = "CONSTRAINT pets_owner_id_fkey"
ANEW = f"ALTER TABLE pets DROP {FK}, ADD {FK} FOREIGN KEY (owner_id)"
BARRIER = "['check_option=local', 'security_barrier={}']"
TO_OWNERS = "FOREIGN KEY (owner_id) REFERENCES public.owners(owner_id)"
OPTIONS = "START 1, INCREMENT {}, MINVALUE 1, MAXVALUE 2147483647, CACHE 1, NO CYCLE"
LOWER = "USING btree (lower((name)::text) DESC)"
# What somebody did to it, and the sentences that say so.
DRIFTS: dict[str, dict[str, list[str]]] = {
    "a table is gone, with the views of it": {
        "DROP TABLE pets CASCADE": [
            "table pets is missing",
            "view digits is missing",
            "view light is missing",
            "view heavy is missing",
        ],
    },
    "tables and schemas": {
        "DROP TABLE visits": ["table visits is missing"],
        "CREATE TABLE reports.weekly (week date)": ["table reports.weekly is not in auth_0002"],
        "CREATE SCHEMA other; CREATE TABLE other.thing (x int)": ["schema other is not in auth_0002"],
        "ALTER TABLE pets OWNER TO postgres": ["table pets is owned by postgres, auth_0002 says by the owner"],
    },
    "a schema is gone": {
        "DROP SCHEMA reports CASCADE": ["schema reports is missing"],
    },
    "columns": {
        "ALTER TABLE pets DROP COLUMN born": [
            "column pets.born is missing: date",
            "constraint pets.not_at_once is missing: EXCLUDE USING btree (born WITH =)",
        ],
        "ALTER TABLE pets ADD colour text NOT NULL DEFAULT 'red'": [
            "column pets.colour is not in auth_0002: text NOT NULL"
        ],
        'ALTER TABLE pets ALTER "Weird name" TYPE numeric': [
            "column pets.Weird name is numeric, auth_0002 says numeric(6,2)"
        ],
        "ALTER TABLE pets ALTER name DROP NOT NULL": ["column pets.name allows NULL, auth_0002 says it is NOT NULL"],
        'ALTER TABLE owners ALTER name TYPE text COLLATE "POSIX"': [
            "column owners.name has collation POSIX, auth_0002 says collation C"
        ],
        "ALTER TABLE owners ALTER owner_id DROP IDENTITY": [
            "column owners.owner_id has no identity, auth_0002 says identity ALWAYS"
        ],
        "ALTER TABLE pets ALTER doubled DROP EXPRESSION": [
            "column pets.doubled has no expression, auth_0002 says expression (weight * 2)"
        ],
    },
    "a column has another name": {
        "ALTER TABLE pets RENAME born TO birthday": [
            "column pets.birthday is at the place of born, which is missing, and like it: renamed?"
        ],
        "ALTER TABLE owners ALTER owner_id SET GENERATED BY DEFAULT": [
            "column owners.owner_id has identity BY DEFAULT, auth_0002 says identity ALWAYS"
        ],
    },
    "defaults": {
        "ALTER TABLE pets ALTER name SET DEFAULT 'Kitty'": [
            "column pets.name has default 'Kitty'::character varying, auth_0002 says default 'Rex'::character varying"
        ],
        "ALTER TABLE pets ALTER born SET DEFAULT now()": [
            "column pets.born has default now(), auth_0002 says no default"
        ],
        "ALTER TABLE pets ALTER feels DROP DEFAULT": [
            "column pets.feels has no default, auth_0002 says default 'ok'::public.mood"
        ],
    },
    "constraints": {
        "ALTER TABLE pets DROP CONSTRAINT weighs_something, ADD CONSTRAINT weighs_something CHECK (weight > 1)": [
            "constraint pets.weighs_something is CHECK ((weight > 1)), auth_0002 says CHECK ((weight > 0))",
            "comment on pets.weighs_something is missing: or it is a ghost",
        ],
        f"{ANEW} REFERENCES owners": [
            f"constraint pets.pets_owner_id_fkey is {TO_OWNERS}, auth_0002 says {TO_OWNERS} ON DELETE CASCADE"
        ],
        "ALTER TABLE pets DROP CONSTRAINT one_name_each, ADD CONSTRAINT one_name_each UNIQUE (name, owner_id)": [
            "constraint pets.one_name_each is UNIQUE (name, owner_id), auth_0002 says UNIQUE (owner_id, name)"
        ],
        "ALTER TABLE pets ADD CHECK (born > '2000-01-01')": [
            "constraint pets.pets_born_check is not in auth_0002: CHECK ((born > '2000-01-01'::date))"
        ],
    },
    "keys": {
        "ALTER TABLE pets DROP CONSTRAINT pets_pkey": ["constraint pets.pets_pkey is missing: PRIMARY KEY (pet_id)"],
        f"{ANEW} REFERENCES owners ON DELETE CASCADE NOT VALID": [
            "constraint pets.pets_owner_id_fkey is not valid, auth_0002 says it is valid"
        ],
    },
    "names": {
        "ALTER TABLE pets RENAME CONSTRAINT pets_pkey TO pk_pets": [
            "constraint pets.pk_pets is called pets_pkey in auth_0002"
        ],
        'ALTER INDEX one_weird RENAME TO "Only one"': ["index pets.Only one is called one_weird in auth_0002"],
    },
    "indexes": {
        "DROP INDEX by_lower_name; CREATE INDEX by_lower_name ON pets (lower(name) DESC) WHERE weight > 11": [
            f"index pets.by_lower_name is {LOWER} WHERE (weight > 11), auth_0002 says {LOWER} WHERE (weight > 10)"
        ],
        'DROP INDEX one_weird; CREATE INDEX one_weird ON pets ("Weird name")': [
            "index pets.one_weird is not unique, auth_0002 says it is unique"
        ],
        "CREATE INDEX idx_pets ON pets USING hash (born)": [
            "index pets.idx_pets is not in auth_0002: USING hash (born)"
        ],
    },
    "tables, further": {
        "ALTER TABLE cache SET LOGGED": ["table cache has unlogged False, auth_0002 says True"],
        "ALTER TABLE cats NO INHERIT beings": ["table cats has inherits [], auth_0002 says ['public.beings']"],
        "ALTER TABLE pets DISABLE TRIGGER ALL": [
            "table pets has foreign keys enforced False, auth_0002 says True",
            "trigger pets.touch is disabled, auth_0002 says enabled",
        ],
        "ALTER TABLE owners ALTER owner_id SET INCREMENT 5": [
            f"column owners.owner_id has identity options {OPTIONS.format(5)}, auth_0002 says {OPTIONS.format(1)}"
        ],
    },
    "a schema and a table of one name, and what is odd": {
        "REVOKE ALL ON SCHEMA reports FROM neighbor": ["the owner lacks CREATE and USAGE on reports"],
        'CREATE TABLE "reports.daily" (x integer)': ['table "reports.daily" is not in auth_0002'],
        "ALTER TABLE pets ADD x integer; GRANT SELECT (x) ON pets TO reporting; ALTER TABLE pets DROP x": [],
        "ALTER VIEW light SET (security_barrier = false)": [
            f"view light has options {BARRIER.format(False)}, auth_0002 says {BARRIER.format(True)}".lower()
        ],
    },
    "procedures": {
        "DROP PROCEDURE tidied()": ["function tidied() is missing"],
        "CREATE PROCEDURE more() LANGUAGE sql AS 'SELECT 1'; COMMENT ON PROCEDURE more() IS 'x'": [
            "function more() is not in auth_0002"
        ],
    },
    "what depends on another thing": {
        "DROP TABLE owners CASCADE; CREATE VIEW a AS SELECT 1 AS x; CREATE VIEW b AS SELECT x FROM a": [
            "table owners is missing",
            f"constraint pets.pets_owner_id_fkey is missing: {TO_OWNERS} ON DELETE CASCADE",
            f"constraint pets.pets_born_in_fkey is missing: {TO_OWNERS.replace('owner_id', 'born_in', 1)} DEFERRABLE",
            "view a is not in auth_0002",
            "view b is not in auth_0002",
        ],
    },
    "an index is gone": {
        "DROP INDEX by_lower_name": [
            "index pets.by_lower_name is missing: USING btree (lower((name)::text) DESC) WHERE (weight > 10)"
        ],
    },
    "an enum has a value more": {
        "ALTER TYPE mood ADD VALUE 'glad' BEFORE 'happy'": [
            "enum type mood has the value glad, which is not in auth_0002"
        ],
    },
    "an enum has another value": {
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'low'": [
            "enum type mood lacks sad",
            "enum type mood has the value low, which is not in auth_0002",
        ],
    },
    "sequences and extensions": {
        "DROP SEQUENCE tickets": ["sequence tickets is missing"],
        "CREATE SEQUENCE more": ["sequence more is not in auth_0002"],
        "CREATE EXTENSION pg_trgm": ["extension pg_trgm is not in auth_0002"],
    },
    "a sequence is another": {
        "ALTER SEQUENCE tickets INCREMENT 7": ["sequence tickets has increment 7, auth_0002 says 5"],
    },
    "views, functions and triggers are gone": {
        "DROP VIEW heavy": ["view heavy is missing"],
        "DROP MATERIALIZED VIEW digits": ["view digits is missing"],
        "DROP FUNCTION grown": ["function grown(pet integer) is missing"],
        "DROP TRIGGER touch ON pets": ["trigger pets.touch is missing"],
    },
    "views, functions and triggers are others": {
        "CREATE OR REPLACE VIEW heavy AS SELECT pet_id, name FROM pets WHERE weight > 99": [
            "view heavy has another definition than in auth_0002"
        ],
        "CREATE OR REPLACE FUNCTION grown(pet integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'": [
            "function grown(pet integer) has another definition than in auth_0002"
        ],
        "ALTER TABLE pets DISABLE TRIGGER touch": ["trigger pets.touch is disabled, auth_0002 says enabled"],
    },
    "comments": {
        "COMMENT ON TABLE pets IS 'beasts'": ["comment on pets is beasts, auth_0002 says the animals"],
        "COMMENT ON COLUMN pets.name IS NULL": ["comment on pets.name is missing: what it hears"],
        "COMMENT ON COLUMN pets.weight IS 'kg'": ["comment on pets.weight is not in auth_0002: kg"],
    },
    "privileges are gone": {
        "REVOKE SELECT ON pets FROM reporting": ["reporting lacks SELECT on pets"],
        "REVOKE INSERT, DELETE ON pets FROM neighbor": ["the owner lacks DELETE and INSERT on pets"],
        "REVOKE ALL ON SCHEMA public FROM PUBLIC": ["everybody lacks USAGE on public"],
    },
    "a privilege may be handed on": {
        "GRANT SELECT ON pets TO reporting WITH GRANT OPTION": [
            "reporting has SELECT WITH GRANT OPTION on pets, and not in auth_0002"
        ],
    },
}
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
    project.add_revision("auth_db", 2, f"op.execute({RICH!r})")
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


def test_what_is_somebody_elses_is_ignored_and_what_a_revision_made_is_not(rich: Project, postgres: Postgres) -> None:
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
    assert result.code == 1
    assert "auth_db          FAILED: locked by pid" in result.out


def test_a_run_that_is_told_to_looks_before_it_migrates(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, 'op.create_table("more", sa.Column("x", sa.Integer))')
    few.add_revision("investment_db", 2, 'op.create_table("more", sa.Column("x", sa.Integer))')
    few.rows("auth_db", "ALTER TABLE users ADD nickname text")
    few.rows("user_db", "ALTER TABLE user_profiles ADD x int")  # which has no work, and is not looked at
    few.edit("databases.yaml", "databases:", "check_drift: true\n\ndatabases:")
    assert few.alembic("upgrade", "heads").error == (
        "error: auth_db: it has drifted from auth_0001: column users.nickname is not in auth_0001: text "
        "(1 difference in auth_db): `python -m multidb drift` shows all; mend it, or run with -x check_drift=false"
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
from multidb.forking import forked
from multidb.stopping import Stop

os.register_at_fork(before=lambda: signal.raise_signal(signal.SIGINT))
stop = Stop()
with stop.listening(), stop.interruptible():
    forked(time.sleep, [60, 60], 2)
"""


def test_ctrl_c_that_comes_while_a_process_begins_is_not_lost() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HEARD_WHILE_FORKING], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "multidb.stopping.Interrupted: SIGINT"
    assert "Exception ignored" not in ended.stderr


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
        assert err.splitlines()[-1] == "error: interrupted"
    assert not postgres.as_admin(there)
