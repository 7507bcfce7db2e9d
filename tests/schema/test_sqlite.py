"""Schemas of SQLite files: read, compared, repaired in memory."""

import pytest
from sqlalchemy import Connection, create_engine

from multidb.schema.dialect import dialect_of
from multidb.schema.diff import differences
from multidb.schema.objects import Schema

WANTED = """
CREATE TABLE parent (a INTEGER, b TEXT COLLATE NOCASE, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE child (
    id INTEGER PRIMARY KEY AUTOINCREMENT, a INTEGER NOT NULL, b TEXT DEFAULT 'x,y', "we(ird" NUMERIC(6, 2),
    doubled INTEGER GENERATED ALWAYS AS (a * 2) STORED, UNIQUE (a, b), CHECK (a > 0), -- a, comment (
    CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE CASCADE
);
CREATE INDEX by_b ON child (b) WHERE a > 1;
CREATE VIEW seen AS SELECT a FROM child;
CREATE TRIGGER noted AFTER DELETE ON child BEGIN SELECT 1; END
"""


def read(script: str) -> Schema:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.connection.executescript(script)
        found = dialect_of(connection).read(connection)
        assert dialect_of(connection).column_names(connection) == found.column_names
    engine.dispose()
    return found


def test_all_kinds_are_read() -> None:
    schema = read(WANTED)
    assert sorted(name for kind, name in schema.objects if kind == "constraint") == [
        "child.CHECK (a > 0)",
        "child.FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE CASCADE",
        "child.PRIMARY KEY (id)",
        "child.UNIQUE (a, b)",
        "parent.PRIMARY KEY (a, b)",
    ]
    assert schema.objects["table", "parent"].attributes == {"options": "WITHOUT ROWID"}
    assert schema.objects["column", "parent.b"].attributes["collation"] == "NOCASE"
    assert schema.objects["column", "child.id"].attributes["autoincrement"]
    assert schema.objects["column", "child.doubled"].attributes["generated"] == "(a * 2) STORED"
    assert schema.objects["column", "child.we(ird"].identifier == '"we(ird"'
    assert schema.objects["index", "child.by_b"].attributes == {"definition": "child (b) WHERE a > 1", "unique": False}
    assert [kind for kind, _ in schema.objects if kind in ("view", "trigger")] == ["view", "trigger"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("DROP INDEX by_b", "index child.by_b is missing: child (b) WHERE a > 1"),
        ("DROP VIEW seen; CREATE VIEW seen AS SELECT b FROM child", "view seen has another definition than in r"),
        ("ALTER TABLE child ADD own TEXT COLLATE NOCASE", "column child.own is not in r: TEXT"),
        ("DROP TRIGGER noted", "trigger child.noted is missing"),
        ("DROP TABLE parent", "table parent is missing"),
        (
            "ALTER TABLE parent RENAME b TO c",
            "column parent.c looks like a rename of b (same position and definition)",
        ),
    ],
)
def test_a_difference_is_found_and_its_repair_removes_it(change: str, sentence: str) -> None:
    wanted = read(WANTED)
    found = differences(wanted, read(f"{WANTED}; {change}"), "r")
    assert sentence in [each.sentence for each in found]
    repaired = read(";".join([WANTED, change, *(text for each in found for text in each.ddl)]))
    assert differences(wanted, repaired, "r") == []


def test_a_rebuilt_table_keeps_extra_columns_and_rows() -> None:
    live = "CREATE TABLE t (a TEXT, own TEXT DEFAULT 'x'); INSERT INTO t (a) VALUES ('1')"
    wanted = read("CREATE TABLE t (a INTEGER NOT NULL, c TEXT, UNIQUE (a))")
    found = [each for each in differences(wanted, read(live), "r") if each.severity == "risky"]
    assert {each.name for each in found} == {"t.a.type", "t.a.null", "t.c", "t.UNIQUE (a)"}
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.connection.executescript(f"{live}; {''.join(found[0].ddl)}")
        assert rows(connection) == [(1, "x")]
        assert [each.name for each in differences(wanted, dialect_of(connection).read(connection), "r")] == ["t.own"]
    engine.dispose()


def test_an_extra_index_of_a_renamed_column_survives_a_rebuild() -> None:
    wanted = read("CREATE TABLE t (a TEXT, b INTEGER)")
    live = "CREATE TABLE t (x TEXT, b TEXT); CREATE INDEX own ON t (x)"
    found = differences(wanted, read(live), "r")
    assert [each.name for each in found] == ["t.a.name", "t.b.type", "t.own"]
    repaired = read(";".join([live, *(text for each in found[:2] for text in each.ddl)]))
    assert [each.sentence for each in differences(wanted, repaired, "r")] == ["index t.own is not in r: t (a)"]


def test_an_index_is_renamed_before_its_table_is_rebuilt() -> None:
    wanted = read("CREATE TABLE t (a INTEGER); CREATE INDEX by_a ON t (a)")
    live = "CREATE TABLE t (a TEXT); CREATE INDEX own ON t (a)"
    found = differences(wanted, read(live), "r")
    assert [each.name for each in found] == ["t.by_a.name", "t.a.type"]
    repaired = read(";".join([live, *(text for each in found for text in each.ddl)]))
    assert differences(wanted, repaired, "r") == []


def rows(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql("SELECT a, own FROM t")]
