"""`--sql`: scripts that make what the online run makes, with no server to write them."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.support import catalog
from tests.support.project import NAMES, ON_POSTGRESQL, Postgres, Project, query
from tests.support.runs import MORE


def _psql(project: Project, script: Path, url: str) -> None:
    done = project.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, url)
    assert done.code == 0, done


def _sqlite3(project: Project, script: str, database: Path) -> None:
    done = project.run("sqlite3", "-bail", database, stdin=script)
    assert done.code == 0, done


def test_the_sql_of_several_databases_is_a_file_each(checkout: Project) -> None:
    result = checkout.done("upgrade", "heads", "--sql")
    assert result.out == ""
    assert sorted(path.name for path in (checkout.root / "sql").iterdir()) == sorted(f"{name}.sql" for name in NAMES)
    assert "INFO  [user_db] written to sql/user_db.sql" in result.err
    checkout.done("-x", "sql_dir=elsewhere/deep", "-x", "db=auth_db,user_db", "upgrade", "heads", "--sql")
    assert sorted(path.name for path in (checkout.root / "elsewhere/deep").iterdir()) == ["auth_db.sql", "user_db.sql"]


def test_the_sql_of_one_database_goes_to_stdout(checkout: Project) -> None:
    result = checkout.done("upgrade", "auth_db@head", "--sql")
    assert result.out.startswith("-- auth_db: upgrade\n")
    assert "CREATE TABLE users (" in result.out
    assert not (checkout.root / "sql").exists()


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_the_sql_makes_exactly_what_the_online_run_makes(
    migrated: Project, postgres: Postgres, spare: str, name: str
) -> None:
    url = postgres.empty_like(name, spare)
    migrated.done("-x", "sql_dir=sql", "upgrade", f"{name}@head", "--sql")
    _psql(migrated, migrated.root / f"sql/{name}.sql", url)
    parts = catalog.of_postgresql(lambda sql: query(url, sql))
    assert parts == catalog.of_postgresql(lambda sql: migrated.rows(name, sql))
    versions = query(url, "SELECT version_num FROM alembic_version")
    assert versions == migrated.rows(name, "SELECT version_num FROM alembic_version")


def test_the_sqlite_script_makes_exactly_what_the_online_run_makes(migrated: Project) -> None:
    """Also where SQLite has to rebuild a table, for which Alembic alone refuses --sql."""
    migrated.add_revision(
        "investment_db",
        2,
        'op.execute("CREATE TABLE notes (id int, of_id varchar(36) REFERENCES investments ON DELETE CASCADE)"); '
        'op.batch_alter_table("investments").__enter__().alter_column("partner", type_=sa.String(99)); ',
    )
    path = migrated.root / "migrations/versions/investment_db/investment_0002_by_hand.py"
    path.write_text(
        path.read_text().replace(
            'op.batch_alter_table("investments").__enter__().alter_column("partner", type_=sa.String(99)); ',
            "\n    with op.batch_alter_table('investments') as batch:\n"
            "        batch.alter_column('partner', type_=sa.String(99))\n"
            "        batch.add_column(sa.Column('note', sa.Text, server_default=\"50% 'off'; :now\"))",
        )
    )
    whole = migrated.done("upgrade", "investment_db@head", "--sql").out
    part = migrated.done("upgrade", "investment_0001:head", "--sql").out
    back = migrated.done("downgrade", "investment_0002:investment_0001", "--sql")
    assert "CREATE TABLE investments" not in part
    assert back.err.count("Running") == 1
    shutil.copy(migrated.root / "investment.db", migrated.root / "old.db")
    _sqlite3(migrated, whole, migrated.root / "new.db")
    _sqlite3(migrated, part, migrated.root / "old.db")
    migrated.done("upgrade", "investment_db@head")
    expected = catalog.of_sqlite(lambda sql: migrated.rows("investment_db", sql))
    for file in ("new.db", "old.db"):
        with closing(sqlite3.connect(migrated.root / file)) as connection:
            found = catalog.of_sqlite(lambda sql, ask=connection: ask.execute(sql).fetchall())  # type: ignore[misc]
            assert found == expected
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("investment_0002",)]


def test_an_sqlite_script_that_would_leave_dangling_rows_stops_before_its_commit(migrated: Project) -> None:
    migrated.add_revision(
        "investment_db",
        2,
        'op.execute("CREATE TABLE notes (of_id varchar(36) REFERENCES investments)"); '
        "op.execute(\"INSERT INTO notes VALUES ('nobody')\")",
    )
    script = migrated.done("upgrade", "investment_0001:head", "--sql").out
    done = migrated.run("sqlite3", "-bail", "investment.db", stdin=script)
    assert done.code == 1
    assert "CHECK constraint failed" in done.err
    assert migrated.versions()["investment_db"] == ["investment_0001"]


def test_an_sqlite_script_has_every_statement_once(migrated: Project) -> None:
    """Whatever stands in front of it, and whatever triggers it fires."""
    log = "CREATE TRIGGER log AFTER UPDATE ON notes BEGIN INSERT INTO logged VALUES (new.id); END"
    statements = [
        "-- a note\nCREATE TABLE notes (id integer)",
        "/* another\n */ CREATE TABLE logged (id integer)",
        log,
        "INSERT INTO notes VALUES (1), (2)",
        "UPDATE notes SET id = id + 10",
        "WITH more AS (SELECT 7 AS id) INSERT INTO notes SELECT id FROM more",
        "PRAGMA user_version = 7",
    ]
    lines = "; ".join(f"op.execute({statement!r})" for statement in statements)
    insert = 'op.bulk_insert(sa.table("notes", sa.column("id")), [{"id": 21}, {"id": 22}])'
    migrated.add_revision("investment_db", 2, f"{lines}; {insert}")
    script = migrated.done("upgrade", "investment_db@base:investment_db@head", "--sql").out
    _sqlite3(migrated, script, migrated.root / "new.db")
    migrated.done("upgrade", "heads")
    ask = "SELECT 'notes', id FROM notes UNION ALL SELECT 'logged', id FROM logged ORDER BY 1, 2"
    with closing(sqlite3.connect(migrated.root / "new.db")) as made:
        assert made.execute(ask).fetchall() == migrated.rows("investment_db", ask)
        assert len(made.execute(ask).fetchall()) == 7
        assert made.execute("PRAGMA user_version").fetchall() == [(7,)]


def test_a_revision_that_reads_rows_cannot_be_a_script(migrated: Project) -> None:
    migrated.add_revision("investment_db", 2, 'op.get_bind().execute(sa.text("SELECT title FROM investments")).all()')
    error = migrated.alembic("upgrade", "heads", "--sql").error
    assert error == (
        "error: investment_db: migrations/versions/investment_db/investment_0002_by_hand.py:13: "
        "it reads rows, which --sql does not have: SELECT title FROM investments"
    )
    scripts = sorted(path.name for path in (migrated.root / "sql").iterdir())
    assert scripts == sorted(f"{name}.sql" for name in ON_POSTGRESQL)  # the others have theirs


def test_scripts_go_down_and_up_again(migrated: Project) -> None:
    """The table of the versions is still there after a downgrade to base."""
    migrated.done("-x", "sql_dir=down", "downgrade", "heads:base", "--sql")
    migrated.done("-x", "sql_dir=up", "upgrade", "heads", "--sql")
    before = {name: catalog.of_postgresql(lambda sql, n=name: migrated.rows(n, sql)) for name in ON_POSTGRESQL}  # type: ignore[misc]
    for direction in ("down", "up"):
        for name in ON_POSTGRESQL:
            _psql(migrated, migrated.root / direction / f"{name}.sql", migrated.variables[f"{name.upper()}_URL"])
        _sqlite3(
            migrated, (migrated.root / direction / "investment_db.sql").read_text(), migrated.root / "investment.db"
        )
        versions = migrated.versions()
        assert all(versions.values()) == (direction == "up")
    after = {name: catalog.of_postgresql(lambda sql, n=name: migrated.rows(n, sql)) for name in ON_POSTGRESQL}  # type: ignore[misc]
    assert after == before
    migrated.done("check")


@pytest.mark.parametrize(
    ("arguments", "expected", "unexpected"),
    [
        (["upgrade", "auth_0001:auth_0002"], "-- Running upgrade auth_0001 -> auth_0002", "CREATE TABLE users"),
        (["upgrade", "auth_db@base:auth_db@head"], "-- Running upgrade  -> auth_0001", "user_db"),
        (["upgrade", "auth_0001:+1"], "-- Running upgrade auth_0001 -> auth_0002", "CREATE TABLE users"),
        (["downgrade", "auth_0002:auth_0001"], "-- Running downgrade auth_0002 -> auth_0001", "DROP TABLE"),
        (["stamp", "auth_0001:auth_0002"], "UPDATE alembic_version SET version_num='auth_0002'", "CREATE TABLE users"),
        (["-x", "db=auth_db", "stamp", "head"], "VALUES ('auth_0002');", "CREATE TABLE users"),
    ],
)
def test_ranges(checkout: Project, arguments: list[str], expected: str, unexpected: str) -> None:
    checkout.add_revision("auth_db", 2, "pass")
    out = checkout.done(*arguments, "--sql").out
    assert expected in out
    assert unexpected not in out


def test_special_characters_come_through_as_they_are(migrated: Project, postgres: Postgres, spare: str) -> None:
    title = "100% of 'it'; é :now"
    columns = ", ".join(f'sa.column("{name}", sa.Text)' for name in ("article_id", "title", "content"))
    table = f'sa.table("news_articles", {columns})'
    row = f'{{"article_id": "00000000-0000-0000-0000-000000000000", "title": {title!r}, "content": "%s"}}'
    migrated.add_revision("content_db", 2, f"op.bulk_insert({table}, [{row}])")
    migrated.done("-x", "sql_dir=sql", "upgrade", "content_db@head", "--sql")
    _psql(migrated, migrated.root / "sql/content_db.sql", postgres.url(spare))
    assert query(postgres.url(spare), "SELECT title, content FROM news_articles") == [(title, "%s")]


def test_sql_that_cannot_be_written_leaves_the_old_files_whole(checkout: Project) -> None:
    checkout.done("upgrade", "heads", "--sql")
    old = {path.name: path.read_text() for path in (checkout.root / "sql").iterdir()}
    checkout.add_revision("auth_db", 2, "pass")
    (checkout.root / "sql/rating_db.sql.part").mkdir()
    error = checkout.alembic("upgrade", "heads", "--sql").error
    assert error.startswith(
        "error: sql: the SQL can't be written: Is a directory: name another directory with -x sql_dir="
    )
    (checkout.root / "sql/rating_db.sql.part").rmdir()
    assert {path.name: path.read_text() for path in (checkout.root / "sql").iterdir()} == old
    checkout.write("taken", "a file")
    error = checkout.alembic("-x", "sql_dir=taken", "upgrade", "heads", "--sql").error
    assert error.startswith("error: taken: the SQL can't be written: File exists")


def test_a_downgrade_without_a_range_is_refused_by_alembic_itself(checkout: Project) -> None:
    result = checkout.alembic("downgrade", "base", "--sql")
    assert result.code == 255
    assert "requires <fromrev>:<torev>" in result.out


def test_a_script_stops_in_a_database_that_is_at_another_revision(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.create_table("second", sa.Column("x", sa.Integer))')
    few.add_revision("auth_db", 3, 'op.create_table("third", sa.Column("x", sa.Integer))')
    few.add_revision("investment_db", 2, 'op.create_table("second", sa.Column("x", sa.Integer))')
    few.add_revision("investment_db", 3, 'op.create_table("third", sa.Column("x", sa.Integer))')
    script = few.write("script.sql", few.done("upgrade", "auth_0002:auth_0003", "--sql").out)
    done = few.run("psql", "-X", "-q", "-f", script, few.variables["AUTH_DB_URL"])  # without ON_ERROR_STOP
    assert "auth_db is at auth_0001, and this script begins at auth_0002: make it again from there" in done.err
    on_sqlite = few.done("upgrade", "investment_0002:investment_0003", "--sql").out
    done = few.run("sqlite3", "-bail", "investment.db", stdin=on_sqlite)
    assert done.code == 1
    assert "this script begins at investment_0002" in done.err
    for name in ("auth_db", "investment_db"):
        assert few.versions()[name] == [f"{name.removesuffix('_db')}_0001"]
    assert few.rows("auth_db", "SELECT to_regclass('third')") == [(None,)]
    whole = few.write("whole.sql", few.done("upgrade", "auth_db@base:auth_db@head", "--sql").out)
    done = few.run("psql", "-X", "-q", "-f", whole, few.variables["AUTH_DB_URL"])
    assert "auth_db is at auth_0001, and this script begins at <base>" in done.err


def test_a_script_waits_for_locks_as_long_as_a_run_does(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("x", sa.Integer))')
    out = few.done("-x", "lock_timeout=300ms", "upgrade", "auth_0001:auth_0002", "--sql").out
    script = few.write("script.sql", out)
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"])) as other:
        other.cursor().execute("LOCK TABLE users IN ACCESS SHARE MODE")
        done = few.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, few.variables["AUTH_DB_URL"])
    assert "canceling statement due to lock timeout" in done.err


def test_a_script_is_a_run_of_its_own_that_can_be_rolled_back(few: Project) -> None:
    for name in ("auth_db", "investment_db"):
        few.add_revision(name, 2, MORE, 'op.drop_table("more")')
    few.done("-x", "release=may", "upgrade", "live:heads", "--sql")
    assert sorted(path.name for path in (few.root / "sql").iterdir()) == ["auth_db.sql", "investment_db.sql"]
    _psql(few, few.root / "sql/auth_db.sql", few.variables["AUTH_DB_URL"])
    _sqlite3(few, (few.root / "sql/investment_db.sql").read_text(), few.root / "investment.db")
    runs = [line.split()[1:] for line in few.multidb("log").out.splitlines() if "--sql" in line]
    assert len(runs) == 2, few.multidb("log").out
    assert few.multidb("verify").code == 0
    few.edit("migrations/versions/auth_db/auth_0002_by_hand.py", "by hand", "by a hand")
    assert "auth_0002: applied, and its file has changed since" in few.multidb("verify").out
    for name in ("auth_db", "investment_db"):
        result = few.multidb("-x", f"db={name}", "rollback", "--yes")
        assert result.code == 0, result
    assert few.versions() == few.at(1)


def test_a_script_that_is_cut_is_a_run_for_each_transaction(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    path = few.add_revision("auth_db", 3, 'op.execute("CREATE INDEX CONCURRENTLY ix ON more (x)")')
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    few.done("-x", "sql_dir=sql", "upgrade", "auth_0001:auth_db@head", "--sql")
    _psql(few, few.root / "sql/auth_db.sql", few.variables["AUTH_DB_URL"])
    after = "SELECT before, after, state FROM multidb_journal WHERE command LIKE '%--sql' ORDER BY id"
    assert few.rows("auth_db", after) == [
        ("auth_0001", "auth_0002", "committed"),
        ("auth_0002", "auth_0003", "committed"),
    ]


def test_a_script_begins_where_each_database_is(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    few.add_revision("auth_db", 3, "pass")
    few.done("upgrade", "auth_db@auth_0002")
    out = few.done("-x", "db=auth_db", "upgrade", "live:heads", "--sql").out
    assert "-- Running upgrade auth_0002 -> auth_0003" in out
    assert "CREATE TABLE more" not in out
    result = few.alembic("upgrade", "live:heads", "--sql")
    assert "INFO  [user_db] nothing to do: it is at user_0001" in result.err
    few.variables["USER_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/user_db"
    (few.root / "sql/auth_db.sql").unlink()
    assert few.alembic("upgrade", "live:heads", "--sql").error.startswith("error: user_db: ")
    assert [path.name for path in (few.root / "sql").iterdir()] == ["auth_db.sql"]
    few.done("upgrade", "auth_db@head")
    assert few.done("-x", "db=auth_db", "upgrade", "live:heads", "--sql").out == ""


def test_the_journal_says_of_which_commit_a_script_was_and_whose(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    commit = "0123456789abcdef0123456789abcdef01234567"
    few.variables["GIT_COMMIT"] = commit
    script = few.done("-x", "by=Ada O'Brien", "upgrade", "auth_0001:auth_0002", "--sql").out
    few.run("psql", "-qv", "ON_ERROR_STOP=1", "-f", str(few.write("script.sql", script)), few.variables["AUTH_DB_URL"])
    details = "SELECT details::json->>'commit', details::json->>'actor' FROM multidb_journal ORDER BY id DESC LIMIT 1"
    assert few.rows("auth_db", details) == [(commit, "Ada O'Brien")]
