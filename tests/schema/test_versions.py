"""What only newer versions of PostgreSQL have: read, compared, and repaired."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url

from multidb.schema import snapshot
from multidb.schema.diff import differences
from multidb.schema.difference import Difference
from multidb.schema.objects import Key, Schema, SchemaObject
from multidb.schema.postgresql.constraint import Constraint
from multidb.schema.postgresql.dialect import Postgresql
from multidb.schema.postgresql.versions import as_written_for
from tests.support.project import Postgres, unique


class Sides(NamedTuple):
    """The SQL of a revision and of a live database, and the differences."""

    wanted: str
    live: str
    sentences: list[str]
    rows: list[int | None]


NOT_NULL = "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (NULL);"
VALID = "DELETE FROM t WHERE a IS NULL; ALTER TABLE t ADD CONSTRAINT a_there NOT NULL a"
TEMPORAL = (
    "CREATE EXTENSION btree_gist; CREATE TABLE t (id int NOT NULL, p daterange NOT NULL); "
    "CREATE TABLE child (id int, p daterange); "
    "INSERT INTO t VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,2026-03-01)'); "
    "INSERT INTO t VALUES (2, '[2026-01-01,2026-02-01)'); "
    "INSERT INTO child VALUES (1, '[2026-01-15,2026-02-15)'), (2, '[2026-01-15,2026-01-20)'), (3, NULL);"
)
KEY = "ALTER TABLE t ADD PRIMARY KEY (id, p WITHOUT OVERLAPS);"
REFERENCE = "ALTER TABLE child ADD FOREIGN KEY (id, PERIOD p) REFERENCES t (id, PERIOD p);"
TO_T = "FOREIGN KEY (id, PERIOD p) REFERENCES public.t(id, PERIOD p)"
GENERATED = "CREATE TABLE t (a int); INSERT INTO t VALUES (1);"
CHECK = "CREATE TABLE t (a int); INSERT INTO t VALUES (-1), (1);"

SINCE_18 = {
    "a name of NOT NULL is no difference": Sides(NOT_NULL + VALID, NOT_NULL + VALID.replace("a_there", "b"), [], []),
    "NOT NULL is not valid": Sides(
        NOT_NULL + VALID,
        NOT_NULL + "ALTER TABLE t ADD NOT NULL a NOT VALID",
        ["column t.a is NOT NULL NOT VALID, x says it is NOT NULL"],
        [1],
    ),
    "NOT NULL is missing, and is not valid": Sides(
        NOT_NULL + "ALTER TABLE t ADD NOT NULL a NOT VALID",
        NOT_NULL,
        ["column t.a allows NULL, x says it is NOT NULL NOT VALID"],
        [None],
    ),
    "NOT NULL is valid": Sides(
        NOT_NULL + "ALTER TABLE t ADD NOT NULL a NOT VALID",
        NOT_NULL + VALID,
        ["column t.a is NOT NULL, x says it is NOT NULL NOT VALID"],
        [None],
    ),
    "a table with a NOT NULL that is not valid is missing": Sides(
        NOT_NULL + "ALTER TABLE t ADD NOT NULL a NOT VALID", "", ["table t is missing"], [None]
    ),
    "a column with a NOT NULL that is not valid is missing": Sides(
        "CREATE TABLE t (b int); ALTER TABLE t ADD a int; ALTER TABLE t ADD NOT NULL a NOT VALID",
        "CREATE TABLE t (b int); INSERT INTO t VALUES (1)",
        ["column t.a is missing: integer NOT NULL"],
        [None],
    ),
    "a generated column is virtual": Sides(
        GENERATED + "ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 2) STORED",
        GENERATED + "ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 2) VIRTUAL",
        ["column t.v is virtual, x says it is not virtual"],
        [None],
    ),
    "a generated column is not virtual": Sides(
        GENERATED + "ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 2) VIRTUAL",
        GENERATED + "ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 3) STORED",
        ["column t.v has expression (a * 3), x says expression (a * 2)"],
        [None],
    ),
    "a column is virtual that should be plain": Sides(
        GENERATED + "ALTER TABLE t ADD v int",
        GENERATED + "ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 3) VIRTUAL",
        ["column t.v has expression (a * 3), x says no expression"],
        [None],
    ),
    "a virtual column is missing": Sides(
        GENERATED + "ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 2) VIRTUAL",
        GENERATED,
        ["column t.v is missing: integer"],
        [None],
    ),
    "temporal keys are missing": Sides(
        TEMPORAL + KEY + REFERENCE,
        TEMPORAL
        + "INSERT INTO t VALUES (2, '[2026-01-31,2026-04-01)'), (4, 'empty'); INSERT INTO child VALUES (5, '[,]')",
        [
            "constraint t.t_pkey is missing: PRIMARY KEY (id, p WITHOUT OVERLAPS)",
            f"constraint child.child_id_p_fkey is missing: {TO_T}",
        ],
        [3, 1],
    ),
    "a temporal key is a plain one": Sides(
        TEMPORAL + KEY,
        TEMPORAL + "ALTER TABLE t ADD PRIMARY KEY (id, p)",
        ["constraint t.t_pkey is PRIMARY KEY (id, p), x says PRIMARY KEY (id, p WITHOUT OVERLAPS)"],
        [0],
    ),
    "a constraint is not enforced": Sides(
        CHECK + "DELETE FROM t WHERE a < 0; ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
        CHECK + "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED",
        ["constraint t.c is CHECK ((a > 0)) NOT ENFORCED, x says CHECK ((a > 0))"],
        [1],
    ),
    "a constraint is enforced": Sides(
        CHECK + "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED",
        CHECK,
        ["constraint t.c is missing: CHECK ((a > 0)) NOT ENFORCED"],
        [None],
    ),
}
SINCE_17 = {
    "a collation of the built-in provider": Sides(
        "CREATE TABLE t (a text COLLATE pg_c_utf8)",
        "CREATE TABLE t (a text)",
        ["column t.a has no collation, x says collation pg_c_utf8"],
        [None],
    ),
    "the privilege MAINTAIN": Sides(
        "CREATE TABLE t (a int); GRANT SELECT ON t TO PUBLIC; REVOKE MAINTAIN ON t FROM CURRENT_USER",
        "CREATE TABLE t (a int); GRANT SELECT, MAINTAIN ON t TO PUBLIC",
        [
            "the owner has MAINTAIN on t; x does not grant it",
            "PUBLIC has MAINTAIN on t; x does not grant it",
        ],
        [None, None],
    ),
}


@pytest.fixture
def read(postgres: Postgres) -> Iterator[Callable[[str], Connection]]:
    """Makes a database by SQL, and gives a connection to it."""
    made: list[tuple[str, Connection]] = []

    def database(sql: str) -> Connection:
        name = unique()
        postgres.clone("template_empty", name)
        url = make_url(postgres.url(name, admin=True)).set(drivername="postgresql+psycopg2")
        connection = create_engine(url).connect()
        made.append((name, connection))
        connection.exec_driver_sql(f"SET ROLE neighbor; {sql}")
        return connection

    yield database
    for name, connection in made:
        connection.close()
        connection.engine.dispose()
        postgres.drop(name)


def compare(wanted: Schema, connection: Connection) -> list[Difference]:
    return differences(wanted, Postgresql().read(connection), "x")


def try_sides(sides: Sides, read: Callable[[str], Connection]) -> None:
    wanted, live = Postgresql().read(read(sides.wanted)), read(sides.live)
    found = compare(wanted, live)
    assert [each.sentence for each in found] == sides.sentences
    assert [snapshot.count_rows(live, each.violations) for each in found] == sides.rows
    if any(sides.rows):
        return  # the repair would break rows
    for statement in dict.fromkeys(statement for each in found for statement in each.ddl):
        live.exec_driver_sql(statement)
    assert compare(wanted, live) == []


@pytest.mark.needs(18)
@pytest.mark.parametrize("what", SINCE_18)
def test_what_postgresql_18_added_is_compared_and_repaired(read: Callable[[str], Connection], what: str) -> None:
    try_sides(SINCE_18[what], read)


@pytest.mark.needs(17)
@pytest.mark.parametrize("what", SINCE_17)
def test_what_postgresql_17_added_is_compared_and_repaired(read: Callable[[str], Connection], what: str) -> None:
    try_sides(SINCE_17[what], read)


SQL = """
    CREATE TABLE t (a int CONSTRAINT c CHECK (a > 0), b text DEFAULT 'x', d int GENERATED ALWAYS AS (a + 1) STORED);
    CREATE INDEX i ON t (lower(b)) WHERE a > 1;
    CREATE VIEW v AS SELECT a FROM t WHERE a > 2;
    CREATE MATERIALIZED VIEW m AS SELECT a FROM t WHERE a > 3;
    CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(a) FROM t; END;
    CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER r BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.a > 4) EXECUTE FUNCTION g();
    GRANT SELECT ON t TO PUBLIC;
"""
# The same objects in the words of a version that has other ones: with more or less names and parentheses.
OTHERWISE: dict[Key, tuple[str, str]] = {
    ("constraint", "t.c"): ("definition", "CHECK (a > 0)"),
    ("column", "t.b"): ("default", "('x'::text)"),
    ("column", "t.d"): ("generated", "a + 1"),
    ("index", "t.i"): ("definition", "USING btree (lower(t.b)) WHERE t.a > 1"),
    ("view", "v"): ("definition", "SELECT t.a FROM public.t WHERE t.a > 2"),
    ("view", "m"): ("definition", "SELECT public.t.a FROM public.t WHERE public.t.a > 3"),
    ("function", "f()"): (
        "definition",
        "CREATE OR REPLACE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(t.a) FROM public.t; END",
    ),
    ("trigger", "t.r"): (
        "definition",
        "CREATE TRIGGER r BEFORE UPDATE ON public.t FOR EACH ROW WHEN (new.a > 4) EXECUTE FUNCTION public.g()",
    ),
}


def written_otherwise(schema: Schema, changes: Mapping[Key, tuple[str, str]]) -> Schema:
    """The schema as a server of another version would write it, with these texts."""
    changed = {key: with_text(schema.objects[key], attribute, text) for key, (attribute, text) in changes.items()}
    return replace(schema, objects={**schema.objects, **changed}, version=990000)


def with_text(each: SchemaObject, attribute: str, value: Any) -> SchemaObject:
    changed: dict[str, Any] = {attribute: value}
    if isinstance(each, Constraint):
        changed["full_definition"] = value
    return replace(each, **changed)


def test_definitions_that_another_version_writes_otherwise_are_equal(
    read: Callable[[str], Connection],
) -> None:
    scratch = read(SQL)
    before = Postgresql().read(scratch)
    live = written_otherwise(before, OTHERWISE)
    assert len(differences(before, live, "x")) == len(OTHERWISE)
    assert differences(Postgresql().read(scratch, live), live, "x") == []
    assert Postgresql().read(scratch) == before, "nothing is left of what was made"


@pytest.mark.parametrize("key", OTHERWISE)
def test_a_definition_that_means_something_else_is_a_difference(read: Callable[[str], Connection], key: Key) -> None:
    scratch = read(SQL)
    attribute, text = OTHERWISE[key]
    other = text.replace("> ", "> 9").replace("'x'", "'y'").replace("+ 1", "+ 2").replace("count", "sum")
    assert other != text
    live = written_otherwise(Postgresql().read(scratch), OTHERWISE | {key: (attribute, other)})
    [found] = differences(Postgresql().read(scratch, live), live, "x")
    assert key[1] in found.sentence


def test_what_the_scratch_server_cannot_have_is_a_difference(read: Callable[[str], Connection]) -> None:
    scratch = read(SQL)
    live = written_otherwise(Postgresql().read(scratch), {("view", "v"): ("definition", "SELECT a FROM t ANEW")})
    [found] = differences(Postgresql().read(scratch, live), live, "x")
    assert found.sentence == "view v has another definition than in x"


def test_a_constraint_that_is_written_otherwise_and_renamed_is_only_renamed(read: Callable[[str], Connection]) -> None:
    scratch = read(SQL)
    live = written_otherwise(Postgresql().read(scratch), OTHERWISE)
    renamed = read(SQL + "ALTER TABLE t RENAME CONSTRAINT c TO other")
    other = with_text(Postgresql().read(renamed).objects["constraint", "t.other"], "definition", "CHECK (a > 0)")
    objects = {key: each for key, each in live.objects.items() if key != ("constraint", "t.c")}
    live = replace(live, objects={**objects, other.key: other})
    [found] = differences(Postgresql().read(scratch, live), live, "x")
    assert found.sentence == "constraint t.other is called c in x"


@pytest.mark.parametrize(("scratch", "live"), [(150000, 180000), (180000, 150000), (150000, 160000)])
def test_a_privilege_that_one_of_the_servers_does_not_know_is_no_difference(
    read: Callable[[str], Connection], scratch: int, live: int
) -> None:
    every = ("DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE")

    def of_version(version: int) -> Schema:
        found = Postgresql().read(database)
        privileges = tuple(sorted((*every, *(["MAINTAIN"] if version >= 170000 else []))))
        owner = with_text(found.objects["privilege", "table t: @owner"], "privileges", privileges)
        return replace(found, objects={**found.objects, owner.key: owner}, version=version)

    database = read("CREATE TABLE t (a int)")
    one, other = of_version(scratch), of_version(live)
    with_more = as_written_for(other, one, database, lambda: one)
    assert differences(with_more, other, "x") == []
