"""The arguments of `batch_alter_table()` mean what they mean in Alembic, and what a batch can't do it refuses whole."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.exc import DBAPIError

from multidb.errors import MigrationError
from tests.support.batches import Step, batch, opened, revised, texts_of

NAMELESS = """
CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT, b TEXT UNIQUE);
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER REFERENCES p (id), UNIQUE (a), UNIQUE (a, b), CHECK (a <> b))
"""
CONVENTION = {"uq": "uq_%(table_name)s_%(column_0_N_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
DESCRIBED = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a", sa.Text),
    sa.Column("b", sa.Integer, sa.ForeignKey("p.id", name="key")),
    sa.UniqueConstraint("a", "b", name="both"),
    sa.CheckConstraint("a <> b", name="unlike"),
)


@pytest.mark.parametrize(
    ("name", "options", "lost"),
    [
        ("uq_t_a", {"naming_convention": CONVENTION}, ", UNIQUE (a)"),
        ("uq_t_a_b", {"naming_convention": CONVENTION | {"ck": "ck_%(constraint_name)s"}}, ", UNIQUE (a, b)"),
        ("fk_t_b", {"naming_convention": CONVENTION}, " REFERENCES p (id)"),
        ("both", {"copy_from": DESCRIBED}, ", UNIQUE (a, b)"),
        ("key", {"copy_from": DESCRIBED}, " REFERENCES p (id)"),
        ("unlike", {"copy_from": DESCRIBED}, ", CHECK (a <> b)"),
        ("mine", {"reflect_args": (sa.UniqueConstraint("a", name="mine"),)}, ", UNIQUE (a)"),
    ],
)
def test_a_constraint_without_a_name_is_dropped_by_the_name_that_the_revision_has_for_it(
    name: str, options: dict[str, object], lost: str
) -> None:
    expected = texts_of(NAMELESS)
    assert expected["t"].count(lost) == 1
    with revised(NAMELESS, batch("t", lambda b: b.drop_constraint(name), **options)) as database:
        assert database.texts == expected | {"t": expected["t"].replace(lost, "")}


def test_a_table_as_the_revision_describes_it_takes_nothing_away() -> None:
    step: Step = lambda b: b.alter_column("a", nullable=False)  # noqa: E731
    poor = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Text))
    with revised(NAMELESS, batch("t", step, copy_from=poor)) as database:
        assert database.sql("t") == texts_of(NAMELESS)["t"].replace("TABLE t", 'TABLE "t"').replace(
            "a TEXT", "a TEXT NOT NULL"
        )


def test_arguments_of_the_table_are_added_once() -> None:
    constraints = (
        sa.CheckConstraint("a <> b", name="unlike"),
        sa.UniqueConstraint("a"),
        sa.CheckConstraint("b > 0"),
        sa.Column("c", sa.Integer),
    )
    with revised(NAMELESS, batch("t", recreate="always", table_args=constraints)) as database:
        assert database.texts["t"] == (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER REFERENCES p (id), c INTEGER, UNIQUE (a), "
            "UNIQUE (a, b), CONSTRAINT unlike CHECK (a <> b), CHECK (b > 0))"
        )


def test_columns_are_put_in_another_order_with_their_comments() -> None:
    script = "CREATE TABLE t (a TEXT, -- the a\n  b TEXT, /* the b */\n  c TEXT -- the c\n)"
    with revised(script, batch("t", recreate="always", partial_reordering=[("c", "a"), ("a", "b")])) as database:
        assert database.texts["t"] == ("CREATE TABLE t (c TEXT, -- the c\n  a TEXT, -- the a\n  b TEXT /* the b */\n)")


def test_a_column_is_added_before_another_one() -> None:
    steps: list[Step] = [
        lambda b: b.add_column(sa.Column("c", sa.Integer), insert_before="a"),
        lambda b: b.add_column(sa.Column("d", sa.Integer), insert_after="c"),
    ]
    with revised("CREATE TABLE t (a TEXT, b TEXT)", batch("t", *steps, recreate="always")) as database:
        assert database.texts["t"] == "CREATE TABLE t (c INTEGER, d INTEGER, a TEXT, b TEXT)"


def test_the_check_of_a_type_goes_with_the_type() -> None:
    script = "CREATE TABLE t (a VARCHAR(1), n BOOLEAN CHECK (n IN (0, 1)), CONSTRAINT kind CHECK (a IN ('x', 'y')))"
    old = sa.Enum("x", "y", name="kind", create_constraint=True)
    new = sa.Enum("x", "z", name="kind", create_constraint=True)
    steps: list[Step] = [
        lambda b: b.alter_column("a", existing_type=old, type_=new),
        lambda b: b.alter_column("n", existing_type=sa.Boolean(create_constraint=True), type_=sa.Integer()),
        lambda b: b.add_column(sa.Column("e", sa.Enum("p", name="e_kind", create_constraint=True))),
    ]
    with revised(script, batch("t", *steps)) as database:
        assert database.texts["t"] == (
            "CREATE TABLE t (a VARCHAR(1), n INTEGER, e VARCHAR(1), CONSTRAINT kind CHECK (a IN ('x', 'z')), "
            "CONSTRAINT e_kind CHECK (e IN ('p')))"
        )


def test_a_primary_key_takes_the_place_of_another_one() -> None:
    script = (
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, a TEXT NOT NULL); INSERT INTO t VALUES (4, 'x')"
    )
    with revised(script, batch("t", lambda b: b.create_primary_key("pk", ["a", "id"]))) as database:
        assert database.texts["t"] == (
            "CREATE TABLE t (id INTEGER NOT NULL, a TEXT NOT NULL, CONSTRAINT pk PRIMARY KEY (a, id))"
        )
        assert database.query("SELECT rowid, * FROM t") == [(4, 4, "x")]
        assert database.query("SELECT * FROM sqlite_sequence") == []
    add = sa.Column("no", sa.Integer, primary_key=True)
    with revised(
        "CREATE TABLE t (a); INSERT INTO t VALUES ('x')", batch("t", lambda b: b.add_column(add), recreate="always")
    ) as database:
        assert database.texts["t"] == "CREATE TABLE t (a, no INTEGER NOT NULL PRIMARY KEY)"
        assert database.query("SELECT * FROM t") == [("x", 1)]


@pytest.mark.parametrize(("is_key", "made"), [(False, "NOT NULL"), (True, "NOT NULL PRIMARY KEY")])
def test_a_column_that_takes_the_place_of_a_dropped_one_is_a_key_only_if_it_says_so(is_key: bool, made: str) -> None:
    column = sa.Column("id", sa.Integer, primary_key=is_key, nullable=False)
    steps: list[Step] = [lambda b: b.drop_column("id"), lambda b: b.add_column(column)]
    with revised("CREATE TABLE t (id TEXT, a TEXT, UNIQUE (id, a), PRIMARY KEY (id))", batch("t", *steps)) as database:
        assert database.texts["t"] == f"CREATE TABLE t (a TEXT, id INTEGER {made}, UNIQUE (id, a))"


def test_what_sqlite_can_do_in_place_is_done_in_place() -> None:
    steps: list[Step] = [
        lambda b: b.add_column(sa.Column("c", sa.Integer, comment="no such thing")),
        lambda b: b.create_index("ix", [sa.text("lower(a)")], sqlite_where=sa.text("a <> 'x'")),
        lambda b: b.create_table_comment("no such thing"),
    ]
    with revised("CREATE TABLE t (a TEXT)", batch("t", *steps[:2])) as database:
        assert database.texts == {
            "t": "CREATE TABLE t (a TEXT, c INTEGER)", "ix": "CREATE INDEX ix ON t (lower(a)) WHERE a <> 'x'"
        }  # fmt: skip
    with revised("CREATE TABLE t (a TEXT)", batch("t", *steps)) as database:
        assert set(database.texts) == {"t", "ix"}
    with revised("CREATE TABLE t (a TEXT, b)", batch("t", lambda b: b.drop_column("b"), recreate="never")) as database:
        assert database.sql("t") == "CREATE TABLE t (a TEXT)"


def test_what_is_missing_already_or_there_already_may_be_left_out() -> None:
    steps: list[Step] = [
        lambda b: b.drop_column("no", if_exists=True),
        lambda b: b.drop_index("no", if_exists=True),
        lambda b: b.add_column(sa.Column("a", sa.Integer), if_not_exists=True),
        lambda b: b.alter_column("a", nullable=False),
    ]
    with revised("CREATE TABLE t (a TEXT)", batch("t", *steps)) as database:
        assert database.texts["t"] == "CREATE TABLE t (a TEXT NOT NULL)"


USED = """
CREATE TABLE p (id INTEGER PRIMARY KEY);
CREATE TABLE t (
    a INTEGER UNIQUE REFERENCES p (id) CHECK (a > 0), b INTEGER, c INTEGER AS (d + 1), d INTEGER, e INTEGER, f INTEGER,
    g INTEGER, h INTEGER, UNIQUE (a), CONSTRAINT own CHECK (a < 9), FOREIGN KEY (a) REFERENCES p (id),
    UNIQUE (b, e), CONSTRAINT both CHECK (e < f), UNIQUE (h)
);
CREATE INDEX a_ix ON t (a, lower(a)) WHERE a > 1;
CREATE INDEX f_ix ON t (f) WHERE g > 0;
CREATE TRIGGER g_tg AFTER UPDATE OF g ON t BEGIN SELECT 1; END;
CREATE TABLE k (h INTEGER REFERENCES t (h))
"""


def test_what_is_of_a_dropped_column_alone_goes_with_it() -> None:
    expected = texts_of(USED)
    del expected["a_ix"]
    expected["t"] = (
        expected["t"]
        .replace("\n    a INTEGER UNIQUE REFERENCES p (id) CHECK (a > 0),", "\n   ")
        .replace(" UNIQUE (a), CONSTRAINT own CHECK (a < 9), FOREIGN KEY (a) REFERENCES p (id),", "")
    )
    with revised(USED, batch("t", lambda b: b.drop_column("a"))) as database:
        assert database.texts == expected


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("b", "the constraint UNIQUE (b, e) of t uses the column b, which is dropped, and would be lost"),
        ("d", "the column c of t uses the column d, which is dropped, and would be lost"),
        ("f", "the constraint both of t uses the column f, which is dropped, and would be lost"),
        ("g", "the index f_ix of t uses the column g, which is dropped, and would be lost"),
        ("no", "t has no column no"),
    ],
)
def test_what_a_dropped_column_shares_with_others_has_to_be_dropped_by_name(column: str, reason: str) -> None:
    with opened(USED) as before:
        texts = before.texts

        def revision(op: Operations) -> None:
            with pytest.raises(MigrationError, match=reason.replace("(", r"\(").replace(")", r"\)")):
                batch("t", lambda b: b.alter_column("e", nullable=False), lambda b: b.drop_column(column))(op)

        with revised(USED, revision) as database:
            assert database.texts == texts


def test_several_operations_may_drop_a_column_with_all_that_uses_it() -> None:
    steps: list[Step] = [lambda b: b.drop_column("g"), lambda b: b.drop_index("f_ix")]
    with (
        pytest.raises(MigrationError, match="the trigger g_tg of t uses the column g"),
        revised(USED, batch("t", *steps)),
    ):
        pass
    with revised(USED.replace("OF g ON", "ON"), batch("t", *steps)) as database:
        assert "f_ix" not in database.texts
        assert "g_tg" in database.texts
        assert "g INTEGER" not in database.sql("t")


REMEDIES = {
    "DROP VIEW v": "view v no longer works: no such column: h: drop it before the batch, and create it again",
    "DROP TRIGGER tg": "a trigger of p on DELETE no longer works: no such column: h",
    "DROP TABLE k": 'a foreign key of k no longer works: foreign key mismatch - "k" referencing "t"',
}


@pytest.mark.parametrize("missing", [*REMEDIES, ""])
def test_what_stops_working_because_of_a_batch_has_to_be_replaced_in_the_revision(missing: str) -> None:
    script = f"{USED}; CREATE VIEW v AS SELECT h FROM t; CREATE TRIGGER tg DELETE ON p BEGIN SELECT h FROM t; END"

    def revision(op: Operations) -> None:
        batch("t", lambda b: b.drop_column("h"))(op)
        for remedy in REMEDIES.keys() - {missing}:
            op.execute(remedy)

    if not missing:
        with revised(script, revision) as database:
            assert "tg" not in database.texts
    else:
        with pytest.raises(MigrationError, match=REMEDIES[missing]), revised(script, revision):
            pass


def test_what_did_not_work_before_a_batch_does_not_prevent_it() -> None:
    script = "CREATE TABLE t (a, length, CHECK (length(a) > 0)); CREATE VIEW broken AS SELECT * FROM nowhere"
    with revised(script, batch("t", lambda b: b.drop_column("length"))) as database:
        assert database.texts["t"] == "CREATE TABLE t (a, CHECK (length(a) > 0))"


def test_a_view_that_names_a_dropped_column_in_double_quotes_does_not_become_a_text() -> None:
    script = 'CREATE TABLE t (a, "Created"); CREATE VIEW v AS SELECT "Created" FROM t; CREATE VIEW w AS SELECT * FROM v'
    drop = batch("t", lambda b: b.drop_column("Created"))
    with (
        pytest.raises(MigrationError, match=r"v no longer works: it reads t\.created, which is dropped"),
        revised(script, drop),
    ):
        pass

    def revision(op: Operations) -> None:
        drop(op)
        op.execute("DROP VIEW v")
        op.execute("CREATE VIEW v AS SELECT a FROM t")

    with revised(script, revision) as database:
        assert database.sql("v") == "CREATE VIEW v AS SELECT a FROM t"


def test_a_revision_that_creates_again_what_alembic_would_have_lost_replaces_it() -> None:
    script = """
        CREATE TABLE t (a, b); CREATE INDEX ix ON t (lower(a)); CREATE TRIGGER "the tg" DELETE ON t BEGIN SELECT 1; END
    """

    def revision(op: Operations) -> None:
        batch("t", lambda b: b.alter_column("a", nullable=False), lambda b: b.create_index("ix", ["b"]))(op)
        op.execute('CREATE TRIGGER "the tg" DELETE ON t BEGIN SELECT 2; END')
        for nullable in (False, True):
            batch("t", lambda b: b.alter_column("b", nullable=nullable))(op)  # noqa: B023 - called at once

    with revised(script, revision) as database:
        assert database.sql("ix") == "CREATE INDEX ix ON t (b)"
        assert database.sql("the tg").endswith("BEGIN SELECT 2; END")
        with pytest.raises(DBAPIError):  # without a batch, as ever
            database.execute("CREATE INDEX ix ON t (b)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CREATE TABLE t (a TEXT)", "the CREATE TABLE of t can't be read: alter the table in SQL"),
        (
            "CREATE TABLE t (a TEXT, b INTEGER)",
            r"t\.b would be changed, which no operation asks for: alter the table in SQL",
        ),
    ],
)
def test_a_table_whose_text_is_not_what_sqlite_says_is_not_altered(text: str, reason: str) -> None:
    script = f"""
        CREATE TABLE t (a TEXT, b TEXT); PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET sql = '{text}' WHERE name = 't'; PRAGMA writable_schema = OFF
    """
    step: Step = lambda b: b.alter_column("a", nullable=False)  # noqa: E731
    with pytest.raises(MigrationError, match=reason), revised(script, batch("t", step)):
        pass


def test_only_ascii_letters_are_equal_in_both_cases() -> None:
    step: Step = lambda b: b.alter_column("E", new_column_name="F", nullable=False)  # noqa: E731
    with revised("CREATE TABLE t (é, É, e)", batch("T", step)) as database:
        assert database.texts["t"] == 'CREATE TABLE t (é, É, "F" NOT NULL)'
    with revised("CREATE TABLE t (é, É)", batch("t", lambda b: b.drop_column("é"))) as database:
        assert database.texts["t"] == "CREATE TABLE t (É)"


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        (batch("no", lambda b: b.drop_column("a")), "there is no table no"),
        (batch("v", lambda b: b.drop_column("a")), "v is a view or a virtual table"),
        (batch("f", lambda b: b.drop_column("a")), "f is a view or a virtual table"),
        (batch("t", lambda b: b.drop_column("a"), schema="other"), "other.t is in an attached file"),
        (batch("t", lambda b: b.drop_constraint("no")), "t has no constraint no"),
        (batch("t", lambda b: b.drop_index("no"), recreate="always"), "t has no index no"),
        (batch("t", recreate="always", table_args=(sa.Sequence("s"),)), "table_args can't have a Sequence"),
        (
            batch("t", lambda b: b.alter_column("a", nullable=False)),
            r"rows of t don't fit its new definition: NOT NULL constraint failed: t\.a",
        ),
        (
            batch("t", lambda b: b.create_unique_constraint("uq", ["b"], sqlite_on_conflict="REPLACE")),
            r"rows of t don't fit its new definition: UNIQUE constraint failed: t\.b",
        ),
    ],
)
def test_what_a_batch_cannot_do_is_one_line_and_changes_nothing(
    revision: Callable[[Operations], None], reason: str
) -> None:
    script = """
        CREATE TABLE t (a TEXT, b TEXT); INSERT INTO t VALUES (NULL, 'x'), ('y', 'x'); CREATE VIEW v AS SELECT a FROM t;
        CREATE VIRTUAL TABLE f USING fts5 (a)
    """
    with opened(script) as database:
        texts = database.texts

    def caught(op: Operations) -> None:
        with pytest.raises(MigrationError, match=reason):
            revision(op)

    with revised(script, caught) as database:
        assert database.texts == texts
        assert database.query("SELECT * FROM t") == [(None, "x"), ("y", "x")]
        database.execute("ALTER TABLE t RENAME TO u")  # legacy_alter_table is off
        assert 'FROM "u"' in database.sql("v")
