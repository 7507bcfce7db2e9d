"""`check`: live databases compared with what their models make."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, text
from sqlalchemy.engine import make_url

from tests.support import versions, versions_on_sqlite
from tests.support.project import Postgres, Project

TEXT = Path(versions.__file__).read_text()
HEAD = TEXT.partition("LONG =")[0]
CLEAN = "No new upgrade operations detected.\n"
OPTIONS = "START {}, INCREMENT 1, MINVALUE 1, MAXVALUE 2147483647, CACHE 1, NO CYCLE"
IN = "CHECK (((code)::text = ANY (ARRAY[('a'::character varying)::text, ('{}'::character varying)::text])))"
LIKE = "CHECK ((code ~ '^{}$'::text))"
FILLED = "code_check CHECK (((VALUE)::text <> '{}'::text))"
KEY = "FOREIGN KEY (parent) REFERENCES public.parents(code) ON DELETE"
PART, BY_X, DAY = "USING btree (price) WHERE ", "USING btree (x)", "EXCLUDE USING btree (day WITH =)"
# The differences between a database of the first version and the models of the second.
CHANGES = [
    "column amounts.a is numeric(10,2), the model says numeric(12,2)",
    "column amounts.b has default true, the model says default false",
    "column areas.area has expression (size * size), the model says expression (size * 3)",
    "column audit.entries.what is text, the model says integer",
    "column collated.a has collation C, the model says collation POSIX",
    "column coupons.rest has expression (price % 10), the model says expression (price / 10)",
    "column decorated.a is character varying(20), the model says character varying(30)",
    f"column identities.n has identity options {OPTIONS.format(1)}, the model says {OPTIONS.format(7)}",
    "column keyed.a has no default, the model says default nextval('public.keyed_a_seq'::regclass)",
    "column labels.doc has default '{\"a\": 1}'::jsonb, the model says default '{\"a\": 2}'::jsonb",
    "column labels.lab has expression (code || ':x'::text), the model says expression (code || 'NULL'::text)",
    "column names.Weird name allows NULL, the model says it is NOT NULL",
    "column numbers.id is integer, the model says bigint",
    "column percents.code has default '50%'::text, the model says default '50%%'::text",
    "column quotes.p has default 'it''s'::character varying, the model says default 'it''''s'::character varying",
    r"column quotes.q has default 'a\b''c'::character varying, the model says default 'a\\b''c'::character varying",
    "column things.id has no identity, the model says identity BY DEFAULT",
    "comment on commented is one, the model says two",
    "comment on commented.a is one, the model says two",
    "constraint bodies.bodies_check is CHECK ((x > 0)), the model says CHECK ((x > 1))",
    f"constraint bookings.bookings_day is {DAY} WHERE ((id > 1)), the model says {DAY} WHERE ((id > 2))",
    f"constraint children.children_parent_fkey is {KEY} CASCADE DEFERRABLE, the model says {KEY} SET NULL DEFERRABLE",
    f"constraint codes.codes_check is {IN.format('b')}, the model says {IN.format('c')}",
    "constraint coupons.coupons_check is CHECK ((code <> '50%'::text)), the model says CHECK ((code <> '50%%'::text))",
    "constraint keyed.keyed_pkey is PRIMARY KEY (a, b), the model says PRIMARY KEY (a)",
    f"constraint labels.labels_check is {LIKE.format('(?:a|b):c')}, the model says {LIKE.format('(?NULL|b)NULL')}",
    "constraint uniques.uniques_a is UNIQUE NULLS NOT DISTINCT (a), the model says UNIQUE (a)",
    f"domain code has checks {FILLED.format('')}, the model says {FILLED.format('x')}",
    "enum type job_state has the value old, which is not in the model",
    "index coupons.coupons_key is USING btree (((price % 10))), the model says USING btree (((price / 10)))",
    f"index coupons.coupons_part is {PART}(code <> '50%'::text), the model says {PART}(code <> '50%%'::text)",
    "index operators.operators_a is USING btree (a), the model says USING btree (a text_pattern_ops DESC NULLS LAST)",
    f"index predicates.predicates_x is {BY_X} WHERE (x > 1), the model says {BY_X} WHERE (x > 2)",
    "sequence keyed_a_seq is missing",
    "sequence numbers_id_seq has maximum 2147483647, the model says 9223372036854775807",
    "sequence numbers_id_seq has type integer, the model says bigint",
    "sequence order_number has start 1, the model says 100",
    "sequence things_id_seq is not in the model",
    "table stored has fillfactor=70, the model says fillfactor=80",
    "table unlogged is unlogged, the model says it is not unlogged",
]
# What an administrator or a revision adds, and models can't declare.
OTHERS = """
CREATE VIEW seen AS SELECT id FROM jobs; COMMENT ON VIEW seen IS 'x'; COMMENT ON COLUMN seen.id IS 'x';
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER note BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION noted();
COMMENT ON TRIGGER note ON jobs IS 'x'; COMMENT ON TYPE job_state IS 'x'; COMMENT ON SCHEMA audit IS 'x';
COMMENT ON SEQUENCE order_number IS 'x';
ALTER TABLE jobs DISABLE TRIGGER ALL;
GRANT SELECT ON jobs TO PUBLIC; REVOKE ALL ON jobs FROM neighbor; ALTER TABLE areas OWNER TO postgres;
CREATE SCHEMA others; CREATE TABLE others.thing (x int); CREATE TYPE others.mood AS ENUM ('ok');
CREATE TABLE partitioned_2026 PARTITION OF partitioned FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON partitioned_2026 (at);
CREATE EXTENSION pg_trgm; CREATE EXTENSION postgis;
"""
EXTRA = """
CREATE TABLE celery_tasks (id serial); ALTER TABLE percents ADD celery_x integer;
CREATE INDEX celery_code ON percents (code); CREATE TYPE colour AS ENUM ('red'); CREATE SEQUENCE free;
CREATE TABLE audit.celery_more (x int); COMMENT ON COLUMN areas.size IS 'x'
"""
EVENTS = """
from sqlalchemy import DDL, event

for statement in (
    "CREATE SCHEMA events",
    "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER note BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION noted()",
    "CREATE VIEW few AS SELECT 2 AS x",
    "GRANT SELECT ON jobs TO reader",
):
    event.listen(Base.metadata, "after_create", DDL(statement))
"""
_numbers = count()


def version(number: int, more: str = "") -> str:
    return f"{TEXT.replace('VERSION = 1', f'VERSION = {number}')}\n{more}"


def create_all(url: str, models: str) -> None:
    """Create models in a database, as a program that has no migrations would."""
    namespace: dict[str, object] = {"__name__": "models"}
    exec(compile(models, "models.py", "exec"), namespace)
    metadata = namespace["Base"].metadata  # type: ignore[attr-defined]
    assert isinstance(metadata, MetaData)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"))
    with engine.begin() as connection:
        for schema in ("app", "audit"):
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        metadata.create_all(connection)
    engine.dispose()


@contextmanager
def changed(project: Project, postgres: Postgres, sql: str) -> Iterator[Project]:
    """A copy of a checkout and of its database, which an administrator has changed."""
    name = f"checked_{os.getpid()}_{next(_numbers)}"
    postgres.clone(project.variables["AUTH_DB_URL"].rpartition("/")[2], name)
    postgres.as_admin(sql, name)
    root = project.root.with_name(name)
    shutil.copytree(project.root, root, symlinks=True)
    copy = Project(root, project.variables | {"AUTH_DB_URL": postgres.url(name)}, project.names)
    copy.write("models/auth.py", version(1))
    yield copy
    postgres.drop(name)


@pytest.fixture(scope="module")
def checked(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A checkout whose only database was made by the first version of the models."""
    name = f"checked_{os.getpid()}"
    postgres.clone("template_empty", name)
    create_all(postgres.url(name), version(1))
    variables = postgres.scratch | {"AUTH_DB_URL": postgres.url(name)}
    project = Project.copied(tmp_path_factory.mktemp("checked") / "checkout", variables, ["auth_db"])
    project.done("stamp", "auth_db@head")
    yield project
    postgres.drop(name)


def test_a_database_that_create_all_has_made_differs_in_nothing(checked: Project) -> None:
    checked.write("models/auth.py", version(1))
    result = checked.done("check")
    assert (result.out, result.err) == (CLEAN, "")


def test_a_database_that_was_dumped_and_restored_differs_in_nothing(checked: Project, postgres: Postgres) -> None:
    checked.write("models/auth.py", version(1))
    with changed(checked, postgres, "DROP SCHEMA audit, app, public CASCADE") as copy:
        schema = "CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC"
        dump = checked.run("pg_dump", checked.variables["AUTH_DB_URL"]).out
        own = postgres.url(copy.variables["AUTH_DB_URL"].rpartition("/")[2], admin=True)
        restored = copy.run("psql", "-qXv", "ON_ERROR_STOP=1", own, stdin=f"{schema};{dump}")
        assert restored.code == 0, restored
        in_another_way = "SELECT count(*) FROM pg_constraint WHERE pg_get_constraintdef(oid) LIKE '%ANY (ARRAY[(%'"
        assert copy.rows("auth_db", in_another_way) == [(1,)]
        assert copy.done("check").out == CLEAN


def test_each_change_of_the_models_is_a_difference(checked: Project) -> None:
    checked.write("models/auth.py", version(2))
    result = checked.alembic("check")
    assert result.found == "error: auth_db: not like the models, as the lines above say"
    first, *lines = result.out.splitlines()
    assert first == "auth_db"
    assert sorted(line.strip() for line in lines) == CHANGES


def test_what_models_cannot_declare_is_no_difference(checked: Project, postgres: Postgres) -> None:
    with changed(checked, postgres, OTHERS) as project:
        assert project.done("check").out == CLEAN


def test_what_models_could_declare_and_do_not_is_a_difference(checked: Project, postgres: Postgres) -> None:
    with changed(checked, postgres, EXTRA) as project:
        result = project.alembic("check")
        assert sorted(line.strip() for line in result.out.splitlines()[1:]) == [
            "column percents.celery_x is not in the model: integer",
            "comment on areas.size is not in the model: x",
            "enum type colour is not in the model: red",
            "index percents.celery_code is not in the model: USING btree (code)",
            "sequence free is not in the model",
            "table audit.celery_more is not in the model",
            "table celery_tasks is not in the model",
        ]
        ignored = "drift: {ignore: [celery_*, colour, free, areas.size]}"
        project.edit("databases.yaml", "models.auth}", f"models.auth, {ignored}}}")
        assert project.done("check").out == CLEAN


def test_what_ddl_events_make_is_compared(checked: Project, postgres: Postgres) -> None:
    with changed(checked, postgres, "CREATE ROLE reader; CREATE VIEW few AS SELECT 1 AS x") as project:
        project.write("models/auth.py", version(1, EVENTS))
        found = project.alembic("check").out.splitlines()[1:]
    postgres.as_admin("DROP ROLE reader")
    assert sorted(found) == [
        "    function noted() is missing",
        "    reader lacks SELECT on jobs",
        "    schema events is missing",
        "    trigger jobs.note is missing",
        "    view few has another definition than in the model",
    ]


def test_models_that_no_transaction_can_create_are_compared(checked: Project, postgres: Postgres) -> None:
    index = "Index('quickly', Base.metadata.tables['jobs'].c.id, postgresql_concurrently=True)"
    with changed(checked, postgres, "CREATE INDEX quickly ON jobs (id)") as project:
        project.write("models/auth.py", version(1, index))
        assert project.done("check").out == CLEAN


CHANGES_ON_SQLITE = [
    "column owners.id is autoincrement, the model says it is not autoincrement",
    "column pets.doc has default '{\"a\":1}', the model says default '{\"a\":2}'",
    "column pets.double has expression (id * 2), the model says expression (id * 3)",
    "column pets.name has collation NOCASE, the model says collation RTRIM",
    "column pets.quote has default 'it''s', the model says default 'it''''s'",
    "constraint pets.CHECK (name <> 'a  :b') is not in the model",
    "constraint pets.CHECK (name <> 'a :b') is missing",
    "constraint pets.FOREIGN KEY (owner) REFERENCES owners (id) ON DELETE CASCADE DEFERRABLE is not in the model",
    "constraint pets.FOREIGN KEY (owner) REFERENCES owners (id) ON DELETE CASCADE is missing",
    "index pets.by_name is pets (lower(name), id DESC), the model says pets (lower(name), id)",
    "index pets.part is pets (id) WHERE name <> '50%', the model says pets (id) WHERE name <> '51%'",
]


def test_a_file_on_sqlite_is_compared_in_the_same_way(tmp_path: Path) -> None:
    project = Project.copied(tmp_path / "checkout", {}, ["investment_db"])
    engine = create_engine(f"sqlite:///{project.root / 'investment.db'}")
    versions_on_sqlite.Base.metadata.create_all(engine)
    engine.dispose()
    project.rows("investment_db", "CREATE VIEW seen AS SELECT id FROM pets")
    project.rows("investment_db", "CREATE TRIGGER noted AFTER DELETE ON pets BEGIN SELECT 1; END")
    project.done("stamp", "investment_db@head")
    models = Path(versions_on_sqlite.__file__).read_text()
    project.write("models/investment.py", models)
    assert project.done("check").out == CLEAN
    project.write("models/investment.py", models.replace("VERSION = 1", "VERSION = 2"))
    result = project.alembic("check")
    assert result.found == "error: investment_db: not like the models, as the lines above say"
    assert sorted(line.strip() for line in result.out.splitlines()[1:]) == CHANGES_ON_SQLITE


def test_the_schema_that_models_name_is_missing(checked: Project, postgres: Postgres) -> None:
    with changed(checked, postgres, "DROP SCHEMA audit CASCADE") as project:
        assert project.alembic("check").out.splitlines() == ["auth_db", "    schema audit is missing"]


def test_a_default_schema_of_the_databases_own_is_no_difference(checked: Project, postgres: Postgres) -> None:
    with changed(checked, postgres, "DROP SCHEMA audit, app, public CASCADE; CREATE SCHEMA public") as project:
        own = project.variables["AUTH_DB_URL"].rpartition("/")[2]
        path = f"ALTER DATABASE {own} SET search_path = own, public"
        postgres.as_admin(f"CREATE SCHEMA own AUTHORIZATION neighbor; {path}", own)
        models = f"{HEAD}table('pets', Column('code', Text, server_default='x'), Column('s', ENUM('a', name='size')))"
        project.write("models/auth.py", models)
        create_all(project.variables["AUTH_DB_URL"], models)
        project.done("stamp", "auth_db@head")
        assert project.rows("auth_db", "SELECT to_regclass('own.pets') IS NULL") == [(False,)]
        assert project.done("check").out == CLEAN


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("table('t', Column('x', Text, server_default=text('no(1)')))", "function no(integer) does not exist"),
        ("table('t', Column('x', ENUM('a', name='n', create_type=False)))", 'type "n" does not exist'),
    ],
)
def test_models_that_cannot_be_created_are_a_failure_and_no_difference(
    checked: Project, model: str, reason: str
) -> None:
    checked.write("models/auth.py", version(1, model))
    result = checked.alembic("check")
    assert f"auth_db          FAILED: its models can't be created in a scratch database: {reason}" in result.out
    assert result.error == "error: auth_db: could not be compared, as the lines above say"


def test_what_the_models_of_one_database_commit_is_no_difference_of_the_next(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    event = "\n\nfrom sqlalchemy import DDL, event\nevent.listen(Base.metadata, 'after_create', DDL('COMMIT'))\n"
    few.write("models/auth.py", (few.root / "models/auth.py").read_text() + event)
    result = few.alembic("check")
    assert [line.split()[:2] for line in result.out.splitlines()] == [["auth_db", "FAILED:"]]
    assert result.error == "error: auth_db: could not be compared, as the lines above say"


def test_without_a_scratch_server_nothing_is_said_to_be_like_the_models(checked: Project) -> None:
    checked.write("models/auth.py", version(1))
    variables = checked.variables | {"SCRATCH_SERVER_URL": "postgresql://postgres:s3cret@127.0.0.1:1"}
    result = Project(checked.root, variables, checked.names).alembic("check")
    assert "auth_db          FAILED: the scratch server 127.0.0.1:1: connection to server" in result.out
    assert result.error == "error: auth_db: could not be compared, as the lines above say"
    assert "s3cret" not in result.out + result.err


def test_check_leaves_no_scratch_database_and_changes_no_live_one(checked: Project, postgres: Postgres) -> None:
    checked.write("models/auth.py", version(1))
    catalogs = ["pg_class", "pg_attribute", "pg_type", "pg_constraint", "pg_depend", "pg_namespace", "alembic_version"]
    select = " UNION ALL ".join(f"SELECT count(*), max(xmin::text::bigint) FROM {catalog}" for catalog in catalogs)
    before = checked.rows("auth_db", select)
    checked.done("check")
    assert checked.rows("auth_db", select) == before
    left = "SELECT datname FROM pg_database WHERE datname LIKE 'multidb_scratch%'"  # but for those of other tests
    assert not postgres.as_admin(
        f"{left} AND split_part(datname, '_', 3)::int NOT IN (SELECT pid FROM pg_stat_activity)"
    )
