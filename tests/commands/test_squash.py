"""`squash`: one revision in place of many, which makes the same schema and the same rows."""

from pathlib import Path

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE

FOLDER = "migrations/versions/auth_db"
ODD = """op.execute(r'''
    CREATE TYPE mood AS ENUM ('ok', 'it''s', '10:30', '50%');
    CREATE TABLE odd (id integer GENERATED ALWAYS AS IDENTITY, at text DEFAULT '10:30'::text, m mood, e text);
    INSERT INTO odd (m, e) VALUES ('50%', 'a\\:b %s \\:x'), (NULL, E'line\\n\\t(two');
    CREATE FUNCTION f() RETURNS mood LANGUAGE sql AS 'SELECT m FROM odd LIMIT 1';
    CREATE VIEW v AS SELECT f() AS m;
    COMMENT ON TABLE odd IS 'a: b';
    GRANT SELECT ON odd TO PUBLIC;
''')"""


@pytest.fixture
def long(few: Project, postgres: Postgres) -> Project:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, ODD, "op.execute('DROP VIEW v; DROP FUNCTION f; DROP TABLE odd; DROP TYPE mood')")
    few.add_revision("auth_db", 3, "op.execute(\"INSERT INTO odd (m) VALUES ('ok')\")")
    few.add_revision("auth_db", 4, MORE, 'op.drop_table("more")')
    return few


def test_one_file_makes_what_many_made(long: Project, postgres: Postgres, spare: str) -> None:
    long.done("upgrade", "auth_db@auth_0003")
    result = long.multidb("squash", "auth_db", "auth_0003")
    assert (result.code, result.out) == (
        0,
        "auth_db: auth_0003_squashed.py replaces 3 revisions, and makes the same schema and rows\n",
    ), result
    assert long.revisions("auth_db") == ["auth_0003_squashed.py", "auth_0004_by_hand.py"]
    text = (long.root / FOLDER / "auth_0003_squashed.py").read_text()
    assert 'replaces = ("auth_0001", "auth_0002", "auth_0003")' in text
    dump = (long.root / FOLDER / "auth_0003_squashed.sql").read_text()
    assert "CREATE VIEW public.v AS" in dump
    assert "_timeout" not in dump
    long.done("upgrade", "heads")  # where the former files have run
    assert long.versions()["auth_db"] == ["auth_0004"]
    assert "no drift" in long.multidb("drift", "auth_db").out
    long.variables["AUTH_DB_URL"] = postgres.url(spare)
    long.done("upgrade", "auth_db@head")  # an empty one
    rows = [(1, "10:30", "50%", "a:b %s :x"), (2, "10:30", None, "line\n\t(two"), (3, "10:30", "ok", None)]
    assert long.rows("auth_db", "SELECT id, at, m::text, e FROM odd ORDER BY id") == rows
    assert long.rows("auth_db", "INSERT INTO odd (m) SELECT m FROM v RETURNING id") == [(4,)]
    assert "no drift" in long.multidb("drift", "auth_db").out
    long.done("downgrade", "auth_db@base")
    assert long.rows("auth_db", "SELECT relname FROM pg_class WHERE relname IN ('odd', 'users')") == []


def test_the_script_of_a_squashed_branch_makes_the_same(long: Project, postgres: Postgres, spare: str) -> None:
    long.done("upgrade", "heads")
    long.multidb("squash", "auth_db", "auth_0004")
    script = long.done("-x", "db=auth_db", "upgrade", "heads", "--sql").out
    result = long.run("psql", "-qX", "-v", "ON_ERROR_STOP=1", postgres.url(spare), stdin=script)
    assert result.code == 0, result
    long.variables["AUTH_DB_URL"] = postgres.url(spare)
    assert long.versions()["auth_db"] == ["auth_0004_squashed"]
    assert long.rows("auth_db", "SELECT m::text, e FROM odd WHERE id = 1") == [("50%", "a:b %s :x")]


def test_a_changed_dump_is_a_changed_revision(long: Project) -> None:
    long.done("upgrade", "heads")
    long.multidb("squash", "auth_db", "auth_0004")
    long.add_revision("auth_db", 5, "pass", down="auth_0004_squashed")
    long.done("upgrade", "heads")
    assert long.multidb("verify").code == 0
    long.done("downgrade", "auth_db@base")
    long.done("upgrade", "heads")
    long.edit(f"{FOLDER}/auth_0004_squashed.sql", "CREATE TABLE", "CREATE  TABLE")
    assert (
        long.multidb("verify").out
        == f"auth_db: auth_0004_squashed: applied, and its file has changed since: {FOLDER}/auth_0004_squashed.py\n"
    )


def test_an_sqlite_branch(few: Project) -> None:
    columns = "sa.Column('x', sa.Text, server_default='10:30;'), sa.CheckConstraint('x > 0')"
    few.add_revision("investment_db", 2, f"op.create_table('more', {columns})", "op.drop_table('more')")
    few.add_revision("investment_db", 3, """op.execute("INSERT INTO more VALUES ('a;\\\\nb %'), (NULL)")""")
    few.done("upgrade", "heads")
    assert few.multidb("squash", "investment_db", "investment_0003").code == 0
    assert few.revisions("investment_db") == ["investment_0003_squashed.py"]
    few.done("upgrade", "heads")
    assert "no drift" in few.multidb("drift", "investment_db").out
    rows = few.rows("investment_db", "SELECT x FROM more")
    few.done("downgrade", "investment_db@base")
    few.done("upgrade", "heads")
    assert few.rows("investment_db", "SELECT x FROM more") == rows


def test_of_a_squash_that_is_refused_no_file_is_changed(long: Project) -> None:
    def error(*arguments: str) -> str:
        before = files(long.root / FOLDER)
        found = long.multidb("squash", "auth_db", *arguments).error
        assert files(long.root / FOLDER) == before
        return found

    assert error("auth_0003") == "error: auth_db: it is at auth_0001: `alembic upgrade auth_0003` first"
    assert "there is nothing to squash" in error("auth_0001")
    assert "there is no revision 'auth_0033' of this branch; did you mean auth_0003?" in error("auth_0033")
    long.done("upgrade", "heads")
    long.add_revision("auth_db", 5, "pass", down="auth_0002")
    assert f"{FOLDER}/auth_0005_by_hand.py follows a revision before auth_0003" in error("auth_0003")
    long.edit(
        f"{FOLDER}/auth_0003_by_hand.py",
        "def upgrade():\n",
        "def upgrade():\n    op.execute('SELECT random()::none')\n",
    )
    (long.root / FOLDER / "auth_0005_by_hand.py").unlink()
    assert "auth_0003_by_hand.py:13: " in error("auth_0003")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_squashed_branch_can_be_squashed_again(long: Project) -> None:
    long.done("upgrade", "auth_db@auth_0003")
    assert long.multidb("squash", "auth_db", "auth_0003").code == 0
    long.done("upgrade", "auth_db@auth_0004")
    assert long.multidb("squash", "auth_db", "auth_0004").code == 0
    names = sorted(path.name for path in (long.root / FOLDER).iterdir() if path.is_file())
    assert names == ["auth_0004_squashed.py", "auth_0004_squashed.sql"]
    ids = '"auth_0001", "auth_0002", "auth_0003", "auth_0003_squashed", "auth_0004"'
    assert f"replaces = ({ids})" in (long.root / FOLDER / "auth_0004_squashed.py").read_text()
    long.done("upgrade", "heads")
    assert "no drift" in long.multidb("drift", "auth_db").out


@pytest.mark.slow
def test_a_branch_that_needs_an_extension(migrated: Project) -> None:
    migrated.add_revision("location_db", 2, MORE, 'op.drop_table("more")')
    migrated.done("upgrade", "location_db@head")
    assert migrated.multidb("squash", "location_db", "location_0002").code == 0
    dump = (migrated.root / "migrations/versions/location_db/location_0002_squashed.sql").read_text()
    assert "CREATE EXTENSION IF NOT EXISTS postgis" in dump
    assert "COMMENT ON EXTENSION" not in dump
    migrated.done("downgrade", "location_db@base")
    migrated.done("upgrade", "location_db@head")
    assert "no drift" in migrated.multidb("drift", "location_db").out
