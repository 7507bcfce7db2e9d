"""`adopt` where revisions look the same and differ in what they do to rows: no data migration runs a second time."""

import pytest

from multidb.config.configuration import DEFAULT_VERSION_TABLE
from multidb.replay.row_changes import touches_rows
from tests.support.project import Project

TIMES_100 = {
    "one statement": 'op.execute("UPDATE numbers SET n = n * 100")',
    "the rows one by one": (
        'for (n,) in op.get_bind().execute(sa.text("SELECT n FROM numbers")).all():\n'
        '        op.execute(f"UPDATE numbers SET n = {n * 100} WHERE n = {n}")'
    ),
    "a block of code": "op.execute(\"DO 'BEGIN UPDATE numbers SET n = n * 100; END'\")",
    "a function": (
        "op.execute(\"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE numbers SET n = n * 100'\")\n"
        '    op.execute("SELECT f()")\n    op.execute("DROP FUNCTION f()")'
    ),
}


@pytest.fixture
def numbered(old: Project) -> Project:
    """auth_db was made by its former project, whose second revision multiplied a number by 100."""
    old.add_revision("auth_db", 2, 'op.create_table("numbers", sa.Column("n", sa.Integer))')
    old.rows("auth_db", "CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (500)")
    return old


@pytest.mark.parametrize("migration", TIMES_100.values(), ids=TIMES_100.keys())
def test_a_data_migration_that_has_run_is_asked_about_and_not_run_again(numbered: Project, migration: str) -> None:
    numbered.add_revision("auth_db", 3, migration)
    was = numbered.versions()
    assert numbered.multidb("adopt", "auth_db").error == (
        "error: auth_db: its schema does not tell whether migrations/versions/auth_db/auth_0003_by_hand.py has been "
        "applied, which may change rows: say --at auth_db@auth_0002 or --at auth_db@auth_0003; no database was changed"
    )
    assert numbered.versions() == was
    assert numbered.multidb("adopt", "auth_db", "--at", "auth_db@auth_0003").code == 0
    numbered.done("upgrade", "auth_db@head")
    assert numbered.rows("auth_db", "SELECT n FROM numbers") == [(500,)]


def test_a_data_migration_that_has_not_run_is_run_once(numbered: Project) -> None:
    numbered.add_revision("auth_db", 3, TIMES_100["one statement"])
    assert numbered.multidb("adopt", "auth_db", "--at", "auth_db@auth_0002").code == 0
    numbered.done("upgrade", "auth_db@head")
    assert numbered.rows("auth_db", "SELECT n FROM numbers") == [(50000,)]


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        'op.add_column("numbers", sa.Column("m", sa.Integer)); op.drop_column("numbers", "m")',
        'sa.inspect(op.get_bind()).get_columns("numbers")',
    ],
)
def test_revisions_that_touch_no_rows_are_one(numbered: Project, body: str) -> None:
    numbered.add_revision("auth_db", 3, body)
    assert numbered.multidb("adopt", "auth_db").code == 0
    assert numbered.versions()["auth_db"] == ["auth_0003"]  # as the former project has recorded its own


def test_without_a_former_project_the_first_of_them_is_recorded(numbered: Project) -> None:
    numbered.rows("auth_db", "DROP TABLE alembic_version")
    numbered.add_revision("auth_db", 3, "pass")
    assert numbered.multidb("adopt", "auth_db").code == 0
    assert numbered.versions()["auth_db"] == ["auth_0002"]


def test_several_databases_can_be_said_where_they_are(numbered: Project) -> None:
    numbered.add_revision("auth_db", 3, TIMES_100["one statement"])
    numbered.add_revision("user_db", 2, 'op.execute("UPDATE user_profiles SET bio = bio")')
    both = ["--at", "auth_db@auth_0003", "--at", "user_db@user_0001"]
    assert "; and user_db; no database was changed" in numbered.multidb("adopt").error
    assert numbered.multidb("adopt", *both).code == 0
    assert numbered.versions() == numbered.at(1) | {"auth_db": ["auth_0003"]}


def test_a_place_that_is_none_is_an_error(numbered: Project) -> None:
    def error(*arguments: str) -> str:
        return numbered.multidb("adopt", *arguments).error

    assert "--at auth_0002: should be a database and a revision" in error("--at", "auth_0002")
    assert "--at auth_db@auth_0022: there is no revision 'auth_0022' of this branch; did you mean auth_0002?" in error(
        "--at", "auth_db@auth_0022"
    )
    assert "another revision is named, too" in error("--at", "auth_db@auth_0001", "--at", "auth_db@auth_0002")
    assert "or is not addressed" in error("user_db", "--at", "auth_db@auth_0001")
    refused = numbered.multidb("adopt", "auth_db", "--at", "auth_db@auth_0001")
    assert "it is not auth_0001, the nearest revision: 1 difference" in refused.error


def test_a_takeover_of_a_database_with_two_old_rows_can_be_reverted(old: Project) -> None:
    old.rows("auth_db", "INSERT INTO alembic_version VALUES ('other_head')")
    was = {name: sorted(rows) for name, rows in old.versions().items()}
    assert old.multidb("adopt").code == 0
    assert old.versions() == old.at(1)
    assert old.multidb("rollback", "--yes").code == 0
    assert {name: sorted(rows) for name, rows in old.versions().items()} == was
    assert old.multidb("adopt").code == 0


def test_a_branch_on_sqlite_is_not_replayed_for_a_database_on_postgresql(old: Project) -> None:
    old.add_revision("investment_db", 2, 'op.execute("PRAGMA optimize")')
    result = old.multidb("adopt", "auth_db")
    assert (result.code, result.out.count("\n")) == (0, 3), result  # its line, and the report's
    assert "investment_db" not in result.out


TOUCHING = [
    "INSERT INTO t VALUES (1)",
    "-- why\nUPDATE t SET x = 1",
    "ALTER TABLE t ADD x int; UPDATE t SET x = 1",
    "WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM gone",
    "SELECT x FROM t",
    "SELECT migrate_rows()",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "CALL fill()",
    "TABLE t",
]
NOT_TOUCHING = [
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE t SET x = 1; DELETE FROM t $$",
    "CREATE TRIGGER g AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "ALTER TABLE t ADD FOREIGN KEY (x) REFERENCES u ON DELETE CASCADE ON UPDATE SET NULL",
    "COMMENT ON TABLE t IS 'x; UPDATE t SET x = 1'",
    "SELECT set_config('search_path', '', false)",
    "SELECT setval('t_id_seq', 7)",
    "SELECT pg_catalog.pg_advisory_xact_lock(1)",
    "SELECT attname FROM pg_catalog.pg_attribute",
    "SELECT 1",
    "SET lock_timeout = 1",
    "UPDATE alembic_version SET version_num = 'x'",
    "INSERT INTO multidb_journal (id) VALUES (1)",
    "PRAGMA foreign_key_check",
]


@pytest.mark.parametrize("statement", TOUCHING)
def test_a_statement_that_may_read_or_change_rows(statement: str) -> None:
    assert touches_rows(statement, DEFAULT_VERSION_TABLE)


@pytest.mark.parametrize("statement", NOT_TOUCHING)
def test_a_statement_that_does_not(statement: str) -> None:
    assert not touches_rows(statement, DEFAULT_VERSION_TABLE)
