"""Repairs on a real PostgreSQL: a live schema becomes the wanted one, with the rows and everything that was extra."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url

from multidb.errors import MigrationError
from multidb.schema.dialect import dialect_of
from multidb.schema.diff import differences
from multidb.schema.objects import Schema
from multidb.schema.postgresql.expression import settled
from multidb.schema.reconcile import reconciler
from tests.support.project import Postgres


class Repair(NamedTuple):
    """Two schemas, and rows in the live one."""

    wanted: str
    live: str
    rows: str = "SELECT 1"


def jobs(values: str, default: str = "'new'", predicate: str = "state = 'new'") -> str:
    """An enum type, and everything that may use one."""
    return f"""
        CREATE TYPE job_state AS ENUM ({values});
        CREATE TABLE jobs (id int PRIMARY KEY, state job_state DEFAULT {default}, others job_state[], n int);
        CREATE INDEX jobs_part ON jobs (id) WHERE {predicate}; CREATE INDEX jobs_plain ON jobs (state);
        ALTER TABLE jobs ADD CONSTRAINT jobs_ck CHECK (state <> 'done' OR n > 0),
            ADD CONSTRAINT jobs_in CHECK (state IN ('new', 'done')),
            ADD is_new boolean GENERATED ALWAYS AS (state = 'new') STORED;
        CREATE INDEX jobs_new ON jobs (is_new); COMMENT ON COLUMN jobs.is_new IS 'x';
        CREATE VIEW news AS SELECT id, state FROM jobs WHERE state = 'new'; COMMENT ON VIEW news IS 'x';
        CREATE VIEW ids AS SELECT id FROM news; GRANT SELECT ON ids TO PUBLIC;
        CREATE MATERIALIZED VIEW kept AS SELECT id, state FROM news; CREATE INDEX kept_id ON kept (id);
        CREATE FUNCTION is_good(state job_state) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER note BEFORE UPDATE OF state ON jobs FOR EACH ROW WHEN (NEW.state = 'new')
            EXECUTE FUNCTION noted();
        CREATE TABLE states (state job_state PRIMARY KEY, after job_state REFERENCES states (state))
    """


def used(column: str, generated: str, expression: str, condition: str) -> str:
    """A column, and everything that may use one."""
    return f"""
        CREATE TABLE t (id int PRIMARY KEY, a {column}, b {generated} GENERATED ALWAYS AS ({expression}) STORED);
        CREATE INDEX t_a ON t (a); CREATE UNIQUE INDEX t_part ON t (id) WHERE {condition};
        ALTER TABLE t ADD CONSTRAINT t_ck CHECK ({condition}), ADD CONSTRAINT t_b UNIQUE (b, id);
        CREATE INDEX t_b_ix ON t (b); CREATE VIEW v AS SELECT a, b FROM t; CREATE VIEW vv AS SELECT a FROM v
    """


DONE = "INSERT INTO jobs VALUES (1, 'done', '{new,done}', 3)"
A_VIEW = "CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT a FROM t"
EXTRA = f"{A_VIEW}; GRANT SELECT ON v TO PUBLIC; COMMENT ON VIEW v IS 'x'"
OF_DOMAIN = "CREATE TABLE t (a code DEFAULT 'x', b code[])"
KEY = "GENERATED ALWAYS AS (a + {}) STORED PRIMARY KEY"
ATOMIC = "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(a) FROM t; END"
REPAIRS = {
    "an enum's order, under everything": Repair(jobs("'done', 'new'"), jobs("'new', 'done'"), DONE),
    "an enum's order and its default": Repair(jobs("'done', 'new'", "'done'"), jobs("'new', 'done'"), DONE),
    "an enum's order and a predicate": Repair(
        jobs("'done', 'new'", predicate="state = 'done'"), jobs("'new', 'done'"), DONE
    ),
    "a type, under everything": Repair(
        used("int", "int", "a + 1", "a > 0"),
        used("text", "text", "a || 'x'", "a <> ''"),
        "INSERT INTO t VALUES (1, '5')",
    ),
    "a generated column's expression": Repair(
        used("int", "int", "a + 2", "a > 0"), used("int", "int", "a + 1", "a > 0"), "INSERT INTO t VALUES (1, 5)"
    ),
    "a generated column's type": Repair(
        used("int", "bigint", "a + 1", "a > 0"), used("int", "int", "a + 1", "a > 0"), "INSERT INTO t VALUES (1, 5)"
    ),
    "a key of a generated column": Repair(
        f"CREATE TABLE t (a int, b int {KEY.format(2)}); CREATE TABLE u (b int REFERENCES t)",
        f"CREATE TABLE t (a int, b int {KEY.format(1)}); CREATE TABLE u (b int REFERENCES t)",
    ),
    "a generated column becomes a plain one of another type": Repair(
        "CREATE TABLE t (a int, b bigint)",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
        "INSERT INTO t VALUES (1)",
    ),
    "a wider varchar under a view and an index": Repair(
        f"CREATE TABLE t (a varchar(30)); {A_VIEW}", f"CREATE TABLE t (a varchar(3)); {A_VIEW}"
    ),
    "a type under an extra view and an extra index": Repair(
        "CREATE TABLE t (a int)", f"CREATE TABLE t (a text); {EXTRA}"
    ),
    "a collation under a CHECK": Repair(
        """CREATE TABLE t (a text COLLATE "C" CHECK (a > 'b'))""", "CREATE TABLE t (a text CHECK (a > 'b'))"
    ),
    "a type in a function's body": Repair(
        f"CREATE TABLE t (a int); {ATOMIC}", f"CREATE TABLE t (a smallint); {ATOMIC}"
    ),
    "the types of both sides of a foreign key": Repair(
        "CREATE TABLE p (a bigint PRIMARY KEY); CREATE TABLE c (a bigint REFERENCES p)",
        "CREATE TABLE p (a text PRIMARY KEY); CREATE TABLE c (a text REFERENCES p)",
        "INSERT INTO p VALUES ('1'); INSERT INTO c VALUES ('1')",
    ),
    "the columns of a view under a view": Repair(
        "CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT b FROM t; CREATE VIEW vv AS SELECT b AS a FROM v",
        "CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW vv AS SELECT a FROM v",
    ),
    "boolean to integer": Repair(
        "CREATE TABLE t (a int DEFAULT 1)",
        "CREATE TABLE t (a boolean DEFAULT true)",
        "INSERT INTO t VALUES (true), (false), (NULL)",
    ),
    "integer to boolean": Repair(
        "CREATE TABLE t (a boolean DEFAULT true)",
        "CREATE TABLE t (a int DEFAULT 1)",
        "INSERT INTO t VALUES (0), (1), (NULL)",
    ),
    "numeric to integer": Repair("CREATE TABLE t (a int)", "CREATE TABLE t (a numeric)", "INSERT INTO t VALUES (5)"),
    "text to jsonb": Repair("CREATE TABLE t (a jsonb)", "CREATE TABLE t (a text)", "INSERT INTO t VALUES ('[1, 2]')"),
    "text to varchar": Repair(
        "CREATE TABLE t (a varchar(3))", "CREATE TABLE t (a text)", "INSERT INTO t VALUES ('abc')"
    ),
    "timestamp to date and to timestamp with time zone": Repair(
        "CREATE TABLE t (a date, b timestamptz)",
        "CREATE TABLE t (a timestamp, b timestamp)",
        "INSERT INTO t VALUES ('2026-01-01', '2026-01-01 10:00')",
    ),
    "a domain that is missing": Repair(
        "CREATE DOMAIN code AS text CONSTRAINT filled CHECK (VALUE <> ''); CREATE TABLE t (a code, b code[])",
        "CREATE TABLE t (a text, b text[])",
        "INSERT INTO t VALUES ('x', '{x}')",
    ),
    "a domain's default, NOT NULL and CHECKs": Repair(
        """CREATE DOMAIN code AS varchar DEFAULT 'y' NOT NULL CONSTRAINT filled CHECK (VALUE <> '')
            CONSTRAINT "One of" CHECK (VALUE IN ('y', 'x')); CREATE TABLE t (a code)""",
        "CREATE DOMAIN code AS varchar CONSTRAINT filled CHECK (VALUE <> 'a') CONSTRAINT other CHECK (VALUE <> 'c'); "
        "CREATE TABLE t (a code)",
        "INSERT INTO t VALUES ('x')",
    ),
    "a domain's type, under everything": Repair(
        f"CREATE DOMAIN code AS varchar(9) CHECK (VALUE <> ''); {OF_DOMAIN}; {A_VIEW}",
        f"CREATE DOMAIN code AS text CHECK (VALUE <> 'a'); {OF_DOMAIN}; {A_VIEW}",
        "INSERT INTO t VALUES ('x', '{y}')",
    ),
    "a domain's CHECK, in an array": Repair(
        "CREATE DOMAIN code AS text CHECK (VALUE <> ''); CREATE TABLE t (b code[])",
        "CREATE DOMAIN code AS text CHECK (VALUE <> 'a'); CREATE TABLE t (b code[])",
        "INSERT INTO t VALUES ('{y}')",
    ),
    "storage parameters": Repair(
        "CREATE TABLE t (a text) WITH (fillfactor = 70, toast.autovacuum_enabled = false)",
        "CREATE TABLE t (a text) WITH (fillfactor = 80)",
    ),
    "storage parameters of a new table": Repair(
        "CREATE TABLE t (a text) WITH (fillfactor = 70, toast.autovacuum_enabled = false)", "CREATE TABLE u (a text)"
    ),
}
# One after the other, as `drift` prints them, the first would need the second.
NOT_ONE_BY_ONE = {"the types of both sides of a foreign key"}


@pytest.fixture(scope="module")
def connection(postgres: Postgres) -> Iterator[Connection]:
    name = f"repairs_{os.getpid()}"
    postgres.clone("template_empty", name)
    engine = create_engine(make_url(postgres.url(name)).set(drivername="postgresql+psycopg2"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
    postgres.drop(name)


@pytest.fixture
def cursor(connection: Connection) -> Iterator[Any]:
    """A cursor in a transaction that is rolled back."""
    with connection.begin() as transaction:
        driver: Any = connection.connection.driver_connection
        yield driver.cursor()
        transaction.rollback()


def made(connection: Connection, cursor: Any, sql: str) -> Schema:
    """The schema that SQL makes; nothing of it stays."""
    cursor.execute(f"SAVEPOINT making; {sql}")
    found = dialect_of(connection).read(connection)
    cursor.execute("ROLLBACK TO making")
    return found


@pytest.mark.parametrize("what", REPAIRS)
def test_adopt_repairs(connection: Connection, cursor: Any, what: str) -> None:
    wanted = made(connection, cursor, REPAIRS[what].wanted)
    cursor.execute(f"{REPAIRS[what].live}; {REPAIRS[what].rows}")
    found = differences(wanted, dialect_of(connection).read(connection), "r")
    assert found
    reconciler(wanted, "r", found, [])(connection)  # raises where anything is left, or an extra object is another


@pytest.mark.parametrize("what", sorted(REPAIRS.keys() - NOT_ONE_BY_ONE))
def test_the_sql_of_each_difference_can_be_run_one_after_the_other(
    connection: Connection, cursor: Any, what: str
) -> None:
    wanted = made(connection, cursor, REPAIRS[what].wanted)
    cursor.execute(f"{REPAIRS[what].live}; {REPAIRS[what].rows}")
    for each in differences(wanted, dialect_of(connection).read(connection), "r"):
        for statement in each.ddl:
            cursor.execute(statement)
    left = differences(wanted, dialect_of(connection).read(connection), "r")
    assert [each.sentence for each in left if each.severity != "extra"] == []


@pytest.mark.parametrize(
    ("wanted", "live", "rows"),
    [
        ("boolean", "int", "5"),
        ("int", "numeric", "5.5"),
        ("varchar(3)", "text", "'abcdef'"),
        ("date", "timestamp", "now()"),
    ],
)
def test_a_cast_that_would_lose_something_is_refused(
    connection: Connection, cursor: Any, wanted: str, live: str, rows: str
) -> None:
    schema = made(connection, cursor, f"CREATE TABLE t (a {wanted})")
    cursor.execute(f"CREATE TABLE t (a {live}); INSERT INTO t VALUES ({rows})")
    found = differences(schema, dialect_of(connection).read(connection), "r")
    with pytest.raises(MigrationError, match="and 1 rows would break"):
        reconciler(schema, "r", found, [])(connection)


def test_an_extra_value_leaves_an_enum_that_everything_uses(connection: Connection, cursor: Any) -> None:
    wanted = made(connection, cursor, jobs("'new', 'done'"))
    cursor.execute(jobs("'new', 'done', 'old'") + f"; {DONE}")
    [found] = differences(wanted, dialect_of(connection).read(connection), "r")
    assert found.severity == "extra"
    for statement in found.ddl:
        cursor.execute(statement)
    assert differences(wanted, dialect_of(connection).read(connection), "r") == []


def test_a_storage_parameter_that_no_revision_sets_is_extra(connection: Connection, cursor: Any) -> None:
    wanted = made(connection, cursor, "CREATE TABLE t (a text)")
    live = made(connection, cursor, "CREATE TABLE t (a text) WITH (fillfactor = 80)")
    [found] = differences(wanted, live, "r")
    assert (found.name, found.severity) == ("t.fillfactor", "extra")
    assert found.sentence == "table t has fillfactor=80, r says no fillfactor"
    assert found.ddl == ["ALTER TABLE public.t RESET (fillfactor);"]
    assert differences(wanted, live, "r", ["t.fill*"]) == []


CONDITIONS = [
    "v IN ('x', 'it''s', ',', '(', ']', '::text[]')",
    "v NOT IN ('x', 'y') AND a BETWEEN 1 AND 2 AND b > 0",
    "a BETWEEN 1 AND 5 AND b > 0",
    "a NOT BETWEEN 1 AND 5 OR b > 1 OR b < 0",
    "(a > 0 AND b > 0) AND (a < 9 OR b < 9)",
    "net IN ('10.0.0.0/8', '11.0.0.0/8')",
    "t = ANY (ARRAY['a', 'b']::varchar(9)[])",
    "v COLLATE \"C\" IN ('a', t)",
    "lower(v) IN ('x', 'y') OR (v, t) = ('a', 'b')",
    "CASE WHEN a BETWEEN 1 AND 2 AND b > 1 THEN v IN ('x', 'y') ELSE t LIKE '50%' END",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_is_read_as_the_server_writes_it_when_it_has_read_it(cursor: Any, condition: str) -> None:
    cursor.execute("CREATE TABLE t (a int, b int, v varchar(20), t text, net cidr)")
    texts = [f"CHECK ({condition})"]
    for number in range(3):
        cursor.execute(f"ALTER TABLE t ADD CONSTRAINT c{number} {texts[-1]}")
        cursor.execute(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c{number}'")
        texts.append(cursor.fetchone()[0])
    assert settled(texts[1]) == texts[2] == texts[3] == settled(texts[2])
