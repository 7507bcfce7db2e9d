"""Batches of revisions on SQLite: online, as a script, and in the replays of `drift`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.project import Project

MADE = r"""
    op.execute("CREATE TABLE pets (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE NOT NULL"
               " CHECK (name <> ''), age INTEGER CHECK (age > 0))")
    op.execute("CREATE INDEX ix_lower ON pets (lower(name))")
    op.execute("CREATE INDEX ix_desc ON pets (age DESC)")
    op.execute("CREATE TRIGGER tg AFTER INSERT ON pets BEGIN SELECT 1; END")
    op.execute("CREATE VIEW grown AS SELECT name FROM pets WHERE age > 1")
    op.execute(r'''CREATE TABLE t (id INTEGER PRIMARY KEY, j JSON DEFAULT '{"a"\:1,"b"\:true}', n INTEGER,
                   CONSTRAINT t_ck CHECK (j <> 'q \:z'))''')
    op.execute(r"CREATE INDEX t_ix ON t (n) WHERE j <> 'p \:z'")
"""
CHANGED = """
    with op.batch_alter_table("pets") as b:
        b.alter_column("age", existing_type=sa.Integer(), type_=sa.BigInteger())
    with op.batch_alter_table("t") as b:
        b.alter_column("n", existing_type=sa.Integer(), type_=sa.BigInteger())
"""
BACK = CHANGED.replace("Integer()", "X()").replace("sa.BigX()", "sa.Integer()").replace("sa.X()", "sa.BigInteger()")
PLACE = "migrations/versions/investment_db/investment_0003_by_hand.py:13"
SHARED = (
    "the index t_ix of t uses the column j, which is dropped, and would be lost: drop the index in the same revision, "
    "before the column"
)


def statements(file: Path) -> dict[str, str]:
    """All statements of a file by the names of their objects; a table that was rebuilt has quotes around its name."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: sql.replace(f'TABLE "{name}"', f"TABLE {name}") for name, sql in rows}


def run_script(project: Project, script: str, file: str) -> str:
    """Run a script, and return what sqlite3 says if the script fails."""
    return project.run("sqlite3", "-bail", file, stdin=script).err


@pytest.fixture
def pets(migrated: Project) -> Project:
    migrated.add_revision("investment_db", 2, MADE.strip())
    migrated.done("upgrade", "heads")
    migrated.rows("investment_db", "INSERT INTO pets VALUES (3, 'Rex', 4), (50, 'Tom', 5)")
    migrated.rows("investment_db", "DELETE FROM pets WHERE id = 50")
    migrated.rows("investment_db", "INSERT INTO t (n) VALUES (1)")
    return migrated


def test_a_batch_changes_the_type_of_a_column_and_nothing_else(pets: Project) -> None:
    file = pets.root / "investment.db"
    before, rows = statements(file), pets.rows("investment_db", "SELECT * FROM pets, t, sqlite_sequence")
    changed = {
        name: sql.replace("age INTEGER", "age BIGINT").replace("n INTEGER", "n BIGINT") for name, sql in before.items()
    }
    (pets.root / "copy.db").write_bytes(file.read_bytes())
    pets.add_revision("investment_db", 3, CHANGED.strip(), BACK.strip())
    there = pets.done("upgrade", "investment_0002:investment_0003", "--sql").out
    back = pets.done("downgrade", "investment_0003:investment_0002", "--sql").out
    result = pets.done("upgrade", "heads")
    assert "Warning" not in result.err + result.out
    assert run_script(pets, there, "copy.db") == ""
    for made in (file, pets.root / "copy.db"):
        assert statements(made) == changed
    assert pets.rows("investment_db", "SELECT * FROM pets, t, sqlite_sequence") == rows
    assert pets.multidb("drift").code == 0
    pets.done("downgrade", "investment_db@-1")
    assert run_script(pets, back, "copy.db") == ""
    for made in (file, pets.root / "copy.db"):
        assert statements(made) == before


def test_drift_finds_what_batch_mode_lost_in_the_past(pets: Project) -> None:
    pets.add_revision("investment_db", 3, CHANGED.strip())
    pets.done("upgrade", "heads")
    assert pets.multidb("drift").code == 0
    for statement in ("DROP TRIGGER tg", "DROP INDEX ix_lower"):
        pets.rows("investment_db", statement)
    found = pets.multidb("drift")
    assert found.code == 2
    assert "index pets.ix_lower is missing" in found.out
    assert "trigger pets.tg is missing" in found.out


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        (
            'with op.batch_alter_table("pets") as b: b.drop_column("age"); b.alter_column("no", nullable=False)',
            "pets has no column no",
        ),
        (
            'with op.batch_alter_table("pets") as b: b.drop_column("name")',
            "view grown no longer works: no such column: name: drop it before the batch, and create it again",
        ),
        (
            'with op.batch_alter_table("t") as b: b.drop_column("j")',
            SHARED,
        ),
    ],
)
def test_what_would_be_lost_is_named_with_the_line_of_the_revision(pets: Project, revision: str, reason: str) -> None:
    before = statements(pets.root / "investment.db")
    pets.add_revision("investment_db", 3, revision)
    assert pets.alembic("upgrade", "heads").reason == f"error: investment_db: {PLACE}: {reason}"
    assert pets.alembic("upgrade", "investment_0002:investment_0003", "--sql").error == (
        f"error: investment_db: {PLACE}: {reason}"
    )
    assert statements(pets.root / "investment.db") == before


def test_a_batch_outside_a_transaction_is_done_whole_or_not_at_all(pets: Project) -> None:
    before = statements(pets.root / "investment.db")
    path = pets.add_revision(
        "investment_db", 3, 'with op.batch_alter_table("pets") as b: b.create_check_constraint("ck", "age > 4")'
    )
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    assert (
        "rows of pets don't fit its new definition: CHECK constraint failed: ck" in pets.alembic("upgrade", "heads").err
    )
    assert statements(pets.root / "investment.db") == before
    pets.rows("investment_db", "UPDATE pets SET age = 9")
    pets.done("upgrade", "heads")
    assert "CONSTRAINT ck CHECK (age > 4)" in statements(pets.root / "investment.db")["pets"]


@pytest.mark.parametrize(
    "more",
    [
        "ALTER TABLE pets ADD COLUMN own TEXT",
        "CREATE INDEX own ON pets (age)",
        "CREATE TRIGGER own AFTER DELETE ON pets BEGIN SELECT 1; END",
    ],
)
def test_a_script_stops_before_it_loses_what_no_revision_has(pets: Project, more: str) -> None:
    pets.add_revision("investment_db", 3, CHANGED.strip())
    script = pets.done("upgrade", "investment_0002:investment_0003", "--sql").out
    pets.rows("investment_db", more)
    before = statements(pets.root / "investment.db")
    assert "pets has a column, an index or a trigger that no revision has, and would lose it" in run_script(
        pets, script, "investment.db"
    )
    assert statements(pets.root / "investment.db") == before


def test_a_renamed_table_keeps_what_refers_to_it(pets: Project) -> None:
    rename = """
    op.rename_table("pets", "animals")
    with op.batch_alter_table("animals") as b:
        b.alter_column("age", nullable=False)
    """
    pets.add_revision("investment_db", 3, f"{CHANGED.strip()}{rename}")
    pets.done("upgrade", "heads")
    found = statements(pets.root / "investment.db")
    assert found["grown"] == 'CREATE VIEW grown AS SELECT name FROM "animals" WHERE age > 1'
    assert found["tg"] == 'CREATE TRIGGER tg AFTER INSERT ON "animals" BEGIN SELECT 1; END'
    assert "age BIGINT NOT NULL CHECK (age > 0)" in found["animals"]
    assert pets.rows("investment_db", "SELECT name, seq FROM sqlite_sequence") == [("animals", 50)]
