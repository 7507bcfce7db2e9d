"""Batch mode on SQLite changes what its operations name, and nothing else."""

import pytest
import sqlalchemy as sa

from multidb.errors import MigrationError
from tests.support.batches import Step, batch, opened, revised, texts_of

PETS = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
CREATE TABLE pets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the number, (
    name TEXT COLLATE NOCASE NOT NULL ON CONFLICT FAIL CHECK (name <> ''),
    age INTEGER DEFAULT -1 CHECK (age > -9),
    doc JSON DEFAULT '{"a":1,"b":true, "c": "it''s 50% \\ "}',
    owner TEXT REFERENCES owners (code) ON DELETE CASCADE MATCH FULL DEFERRABLE INITIALLY DEFERRED,
    twice INTEGER GENERATED ALWAYS AS (age * 2) STORED,
    "we(ird" NUMERIC(6, 2), /* and, a comment */
    UNIQUE (name COLLATE BINARY, age) ON CONFLICT IGNORE,
    CONSTRAINT pets_ck CHECK (doc <> 'q :z')
);
CREATE TABLE notes (pet INTEGER REFERENCES pets (id) ON DELETE CASCADE);
CREATE INDEX pets_lower ON pets (lower(name), age DESC) WHERE doc <> 'p :z';
CREATE TRIGGER pets_tg AFTER UPDATE OF name ON pets BEGIN INSERT INTO notes VALUES (new.id); END;
CREATE VIEW grown AS SELECT name, age FROM pets WHERE age > 1;
INSERT INTO owners VALUES (7, 'x');
INSERT INTO pets (id, name, age, owner, "we(ird") VALUES (3, 'Rex', 4, 'x', 1.5), (50, 'Tom', 5, NULL, NULL);
INSERT INTO notes VALUES (3);
DELETE FROM pets WHERE id = 50;
ANALYZE
"""


# What a batch does, and how it changes the table's text.
CHANGES: dict[str, tuple[Step, dict[str, str]]] = {
    "nothing": (lambda _: None, {}),
    "a type": (lambda b: b.alter_column("age", type_=sa.BigInteger()), {"age INTEGER": "age BIGINT"}),
    "a type inside": (lambda b: b.alter_column("we(ird", type_=sa.Numeric(8, 3)), {"NUMERIC(6, 2)": "NUMERIC(8, 3)"}),
    "NULL": (lambda b: b.alter_column("name", nullable=True), {" NOT NULL ON CONFLICT FAIL": ""}),
    "NOT NULL": (lambda b: b.alter_column("age", nullable=False), {"age INTEGER": "age INTEGER NOT NULL"}),
    "NOT NULL again": (lambda b: b.alter_column("name", nullable=False), {}),
    "a default": (lambda b: b.alter_column("age", server_default="a'b :c 5%"), {"-1 ": "'a''b :c 5%' "}),
    "an expression": (lambda b: b.alter_column("age", server_default=sa.func.abs(-3)), {"-1 ": "(abs(-3)) "}),
    "no default": (lambda b: b.alter_column("age", server_default=None), {" DEFAULT -1": ""}),
    "a first default": (
        lambda b: b.alter_column("owner", server_default="x"),
        {"owner TEXT": "owner TEXT DEFAULT 'x'"},
    ),
    "a CHECK dropped": (
        lambda b: b.drop_constraint("pets_ck"),
        {",\n    CONSTRAINT pets_ck CHECK (doc <> 'q :z')": ""},
    ),
    "a CHECK replaced": (
        lambda b: b.create_check_constraint("pets_ck", "age < 99"),
        {"CHECK (doc <> 'q :z')": "CHECK (age < 99)"},
    ),
    "a UNIQUE added": (
        lambda b: b.create_unique_constraint("uq", ["id", "we(ird"]),
        {"'q :z')": "'q :z'),\n    CONSTRAINT uq UNIQUE (id, \"we(ird\")"},
    ),
    "a key added": (
        lambda b: b.create_foreign_key("fk", "owners", ["age"], ["id"], ondelete="SET NULL"),
        {"'q :z')": "'q :z'),\n    CONSTRAINT fk FOREIGN KEY(age) REFERENCES owners (id) ON DELETE SET NULL"},
    ),
    "a column added": (
        lambda b: b.add_column(sa.Column("new", sa.String(9), server_default=sa.text("'50%'"), nullable=False)),
        {", /* and, a comment */": ", /* and, a comment */\n    new VARCHAR(9) DEFAULT '50%' NOT NULL,"},
    ),
    "a column inserted": (
        lambda b: b.add_column(sa.Column("new", sa.Integer), insert_after="name"),
        {"(name <> ''),": "(name <> ''),\n    new INTEGER,"},
    ),
    "the key named": (
        lambda b: b.create_primary_key("pk", ["id"]),
        {"INTEGER PRIMARY KEY AUTOINCREMENT,": "INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT,"},
    ),
    "a column dropped": (
        lambda b: b.drop_column("owner"),
        {
            "    owner TEXT REFERENCES owners (code) ON DELETE CASCADE MATCH FULL DEFERRABLE INITIALLY DEFERRED,\n": "",
        },
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_changes_what_it_names_and_nothing_else(change: str) -> None:
    step, replacements = CHANGES[change]
    expected = texts_of(PETS)
    for old, new in replacements.items():
        assert expected["pets"].count(old) == 1
        expected["pets"] = expected["pets"].replace(old, new)
    kept = 'id, name, age, doc, twice, "we(ird"'
    with opened(PETS) as before, revised(PETS, batch("pets", step, recreate="always")) as after:
        assert after.texts == expected
        for query in (f"SELECT {kept} FROM pets", "SELECT * FROM notes", "SELECT * FROM sqlite_sequence"):
            assert after.query(query) == before.query(query)
        assert set(after.query("SELECT * FROM sqlite_stat1")) == set(before.query("SELECT * FROM sqlite_stat1"))
        # It goes on working.
        after.execute("INSERT INTO pets (name, age) VALUES ('New', 7)")
        assert after.query("SELECT max(id) FROM pets") == [(51,)]
        after.execute("UPDATE pets SET name = 'Max' WHERE id = 51")
        assert after.query("SELECT * FROM notes") == [(3,), (51,)]
        after.execute("ALTER TABLE owners RENAME TO people")  # legacy_alter_table is off again
        assert ("people" in after.sql("pets")) is ("owner" in kept or "owners" in expected["pets"])


def test_a_renamed_column_has_its_new_name_wherever_it_is_used() -> None:
    script = f"{PETS}; CREATE TABLE tags (n INTEGER REFERENCES pets (age)); CREATE UNIQUE INDEX pets_age ON pets (age)"
    step: Step = lambda b: b.alter_column("age", new_column_name="years", nullable=False)  # noqa: E731
    native = "ALTER TABLE pets RENAME COLUMN age TO years"
    expected = texts_of(f"{script}; {native}")
    expected["pets"] = expected["pets"].replace("years INTEGER", "years INTEGER NOT NULL")
    with revised(script, batch("pets", step)) as database:
        assert database.texts == expected
        assert "years > 1" in database.sql("grown")
        assert "(years)" in database.sql("tags")


def test_columns_exchange_their_names_and_take_that_of_a_dropped_one() -> None:
    script = "CREATE TABLE t (a INTEGER, b TEXT, c TEXT); INSERT INTO t VALUES (1, 'b', 'c')"
    exchange = batch(
        "t", lambda b: b.alter_column("a", new_column_name="b"), lambda b: b.alter_column("b", new_column_name="a")
    )
    with revised(script, exchange) as database:
        assert database.sql("t") == "CREATE TABLE t (b INTEGER, a TEXT, c TEXT)"
    replace = batch("t", lambda b: b.alter_column("a", new_column_name="b"), lambda b: b.drop_column("b"))
    with revised(script, replace) as database:
        assert database.texts == {"t": "CREATE TABLE t (b INTEGER, c TEXT)"}
        assert database.query("SELECT * FROM t") == [(1, "c")]
    taken = batch("t", lambda b: b.alter_column("a", new_column_name="b"))
    with pytest.raises(MigrationError, match="t has a column b already: rename it, or drop it"), revised(script, taken):
        pass


def test_later_operations_may_call_a_renamed_column_by_either_name() -> None:
    steps: list[Step] = [
        lambda b: b.alter_column("a", new_column_name="x"),
        lambda b: b.create_unique_constraint("uq", ["a", "b"]),
        lambda b: b.create_index("ix", ["x"]),
        lambda b: b.alter_column("x", server_default="1"),
    ]
    with revised("CREATE TABLE t (a INTEGER, b TEXT)", batch("t", *steps)) as database:
        assert database.texts == {
            "t": "CREATE TABLE t (x INTEGER DEFAULT '1', b TEXT, CONSTRAINT uq UNIQUE (x, b))",
            "ix": "CREATE INDEX ix ON t (x)",
        }


def test_strict_and_without_rowid_stay_and_are_changed_when_asked_for() -> None:
    script = "CREATE TABLE t (a TEXT PRIMARY KEY, n INTEGER, g TEXT AS (a || ':x')) STRICT, WITHOUT ROWID"
    with revised(script, batch("t", lambda b: b.alter_column("n", nullable=False))) as database:
        assert database.texts["t"] == script.replace("n INTEGER", "n INTEGER NOT NULL")
    options = {"sqlite_strict": False, "sqlite_with_rowid": False}
    with revised(script, batch("t", recreate="always", table_kwargs=options)) as database:
        assert database.texts["t"] == script.replace("STRICT, ", "")
    script = "CREATE TABLE t (id INTEGER, n INTEGER, CONSTRAINT pk PRIMARY KEY (id)); INSERT INTO t VALUES (9, 1)"
    with revised(script, batch("t", recreate="always", table_kwargs={"sqlite_autoincrement": True})) as database:
        assert database.texts["t"] == ("CREATE TABLE t (id INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT, n INTEGER)")
        assert database.query("SELECT * FROM sqlite_sequence") == [("t", 9)]


def test_the_number_of_a_row_without_a_column_for_it_stays() -> None:
    script = "CREATE TABLE t (rowid TEXT, b TEXT); INSERT INTO t (_rowid_, b) VALUES (5, 'x'), (9, 'y')"
    with revised(script, batch("t", lambda b: b.alter_column("b", nullable=False))) as database:
        assert database.query("SELECT _rowid_, b FROM t") == [(5, "x"), (9, "y")]


def test_a_new_type_loses_no_value() -> None:
    script = "CREATE TABLE t (a, b); INSERT INTO t VALUES ('12', '2026-01-01'), ('abc', 'x'), (1.5, x'6162')"
    script = script.replace("(a, b)", "(a TEXT, b BLOB)", 1)
    steps: list[Step] = [
        lambda b: b.alter_column("a", type_=sa.Integer()),
        lambda b: b.alter_column("b", type_=sa.Text()),
    ]
    with revised(script, batch("t", *steps)) as database:
        assert database.query("SELECT a, b FROM t") == [(12, "2026-01-01"), ("abc", "x"), (1.5, "ab")]
    dates = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('2026-01-01 10:00:00')"
    with revised(dates, batch("t", lambda b: b.alter_column("a", type_=sa.DateTime()))) as database:
        assert database.query("SELECT a FROM t") == [("2026-01-01 10:00:00",)]
