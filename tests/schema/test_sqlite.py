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


PET = """
CREATE TABLE owners (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE pets (id INTEGER PRIMARY KEY, a TEXT, b INTEGER NOT NULL, c INTEGER, d INTEGER, UNIQUE (a, b),
    CHECK (a <> 'x  y'), FOREIGN KEY (c, d) REFERENCES owners (a, b));
CREATE INDEX by_a ON pets (a) WHERE a <> 'x  y'
"""
# What is written in another way, and what the difference is.
SPELLINGS = {
    "a TEXT|a TEXT COLLATE NOCASE": "column pets.a has no collation, r says collation NOCASE",
    'a TEXT|a TEXT COLLATE "NOCASE"': "column pets.a has no collation, r says collation NOCASE",
    "CHECK (a <> 'x  y')|CHECK (a <> 'x y')": "constraint pets.CHECK (a <> 'x y') is missing",
    "WHERE a <> 'x  y'|WHERE a <> 'x   y'": (
        "index pets.by_a is pets (a) WHERE a <> 'x  y', r says pets (a) WHERE a <> 'x   y'"
    ),
    "INTEGER NOT NULL|INTEGER NOT NULL ON CONFLICT REPLACE": "column pets.b has on conflict none, r says REPLACE",
    "id INTEGER PRIMARY KEY|id INTEGER PRIMARY KEY DESC": "constraint pets.PRIMARY KEY (id DESC) is missing",
    "UNIQUE (a, b)|UNIQUE (a, b DESC)": "constraint pets.UNIQUE (a, b DESC) is missing",
    'UNIQUE (a, b)|UNIQUE (a COLLATE "NOCASE", b)': "constraint pets.UNIQUE (a COLLATE NOCASE, b) is missing",
    "UNIQUE (a, b)|UNIQUE (a, b) ON CONFLICT IGNORE": "constraint pets.UNIQUE (a, b) ON CONFLICT IGNORE is missing",
    "owners (a, b))|owners (a, b) DEFERRABLE INITIALLY DEFERRED)": (
        "constraint pets.FOREIGN KEY (c, d) REFERENCES owners (a, b) DEFERRABLE INITIALLY DEFERRED is missing"
    ),
    "owners (a, b))|owners (a, b) MATCH FULL)": (
        "constraint pets.FOREIGN KEY (c, d) REFERENCES owners (a, b) MATCH FULL is missing"
    ),
    "owners (a, b))|owners (a, b) ON DELETE SET NULL ON UPDATE CASCADE)": (
        "constraint pets.FOREIGN KEY (c, d) REFERENCES owners (a, b) ON UPDATE CASCADE ON DELETE SET NULL is missing"
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_no_pragma_returns_is_read_and_repaired(spelling: str) -> None:
    old, new = spelling.split("|")
    assert old in PET
    live = f"{PET}; INSERT INTO pets VALUES (1, 'a', 2, NULL, NULL)"
    wanted = read(PET.replace(old, new))
    found = differences(wanted, read(live), "r")
    assert SPELLINGS[spelling] in [each.sentence for each in found]
    repaired = read(";".join([live, *(text for each in found if each.severity != "extra" for text in each.ddl)]))
    assert differences(wanted, repaired, "r") == []


@pytest.mark.parametrize(
    "spelling",
    [
        "id INTEGER PRIMARY KEY|id  INTEGER\n CONSTRAINT pk PRIMARY KEY ASC",
        'UNIQUE (a, b)|CONSTRAINT "a key" UNIQUE ([a] ASC,`b`) ON CONFLICT ABORT -- a comment, (',
        'owners (a, b))|"owners" (a,b) ON DELETE NO ACTION NOT DEFERRABLE)',
        "INTEGER NOT NULL|INTEGER CONSTRAINT filled NOT NULL ON CONFLICT ABORT",
        'CREATE INDEX by_a ON pets (a)|CREATE INDEX by_a /* here */ ON "pets" (a)',
        "CHECK (a <> 'x  y')|CHECK ( a   <> 'x  y' )",
    ],
)
def test_what_means_the_same_is_no_difference(spelling: str) -> None:
    old, new = spelling.split("|")
    assert old in PET
    assert differences(read(PET), read(PET.replace(old, new)), "r") == []


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
