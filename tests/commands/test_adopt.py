"""`adopt`: live databases are taken over as they are, or refused with the differences; no row changes."""

import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from multidb.database import locks
from tests.support import catalog, rows
from tests.support.changes import CHANGES
from tests.support.project import LEGACY, NAMES, ON_POSTGRESQL, Postgres, Project, Result, at_once, query


@pytest.mark.slow
def test_ten_live_databases_are_adopted_in_one_run_and_no_row_changes(legacy: Project) -> None:
    before, was = contents(legacy), legacy.versions()
    assert all(table[0] == rows.ROWS for name in ON_POSTGRESQL for table in before[name].values())
    planned = legacy.multidb("adopt", "--dry-run")
    assert planned.code == 0, planned
    assert legacy.versions() == was
    for name in NAMES:
        assert "would be recorded at" in lines_of(planned, name)[0]
    done = legacy.multidb("adopt")
    assert done.code == 0, done
    assert "two-phase commit of 10 databases" in done.err
    assert legacy.versions() == legacy.at(1)
    assert contents(legacy) == before
    assert legacy.multidb("status").code == 0
    assert legacy.multidb("drift").code == 0
    assert "`adopt`" in legacy.multidb("log").out
    assert legacy.done("upgrade", "heads").err.endswith("nothing to do in 10 databases\n")
    again = legacy.multidb("adopt")
    assert again.code == 0
    assert lines_of(again, "auth_db")[0].startswith("auth_db          is at auth_0001 of its branch already")


def test_databases_that_create_all_made_lack_defaults_and_get_them(legacy: Project) -> None:
    defaults = """
        SELECT 'ALTER TABLE ' || attrelid::regclass || ' ALTER ' || attname || ' DROP DEFAULT' FROM pg_attrdef
        JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum JOIN pg_class c ON c.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace
    """
    for name in ON_POSTGRESQL:
        for (statement,) in legacy.rows(name, defaults):
            legacy.rows(name, statement)
    before = contents(legacy)
    refused = legacy.multidb("adopt")
    assert re.match(
        r"error: auth_db: it is not auth_0001, the nearest revision: 2 differences, as the lines above say: "
        r"--reconcile repairs what is harmless and keeps what is extra; and user_db, .*; no database was changed",
        refused.error,
    )
    assert lines_of(refused, "auth_db")[1:3] == [
        "harmless  column users.created_at has no default, auth_0001 says default now()",
        "ALTER TABLE public.users ALTER COLUMN created_at SET DEFAULT now();",
    ]
    assert "risky" not in refused.out
    assert legacy.versions()["auth_db"] == ["0001"]
    done = legacy.multidb("adopt", "--reconcile")
    assert done.code == 0, done
    assert legacy.versions() == legacy.at(1)
    assert contents(legacy) == before
    assert legacy.multidb("drift").code == 0


@pytest.mark.parametrize("what", CHANGES)
def test_a_database_unlike_its_revision_is_refused_with_the_differences_and_can_be_repaired(
    alone: Callable[[str], Project], what: str
) -> None:
    database, sql, expected, risky = CHANGES[what]
    old = alone(database)
    change(old, database, sql)
    was, before, version = schema(old, database), contents(old), old.versions()
    rows_before = values(old, database)
    refused = old.multidb("adopt", database)
    nearest = f"{database.removesuffix('_db')}_0001"
    assert refused.error.startswith(f"error: {database}: it is not {nearest}, the nearest revision: ")
    assert said(refused, database) == expected
    if risky:
        assert f"of which {len(risky)} risky" in old.multidb("adopt", database, "--reconcile").error
    assert (schema(old, database), contents(old), old.versions()) == (was, before, version)
    names = [word for name in risky for word in ("--risky", f"{database}.{name}")]
    done = old.multidb("adopt", database, "--reconcile", *names)
    assert done.code == 0, done
    assert old.versions()[database] == old.at(1)[database]
    check_same(rows_before, values(old, database), {"name": "full_name", "mail": "email", "company": "partner"})
    if not risky:
        assert contents(old) == before  # written by the same transactions: no row was so much as copied
    kept = [sentence for severity, sentence in expected if severity == "extra"]
    left = old.multidb("drift", database)
    assert left.code == (2 if kept else 0), left
    assert [line.strip() for line in left.out.splitlines() if line.strip() in kept] == kept


def inject(project: Project, sql: str, *arguments: str) -> Result:
    """Run `adopt`, with another session's statement between its comparison and its stamp."""
    program = f"""
import os, sys, psycopg2
from multidb import cli
from multidb.planning.targets import Targets

run = Targets.run

def later(*arguments):
    connection = psycopg2.connect(os.environ["AUTH_DB_URL"])
    connection.cursor().execute({sql!r})
    connection.commit()
    run(*arguments)

Targets.run = later
cli.main(["adopt", *sys.argv[1:]])
"""
    return project.run(sys.executable, "-c", program, *arguments)


def test_a_schema_that_changes_between_the_comparison_and_the_stamp_is_not_adopted(old: Project) -> None:
    result = inject(old, "ALTER TABLE users ADD nickname text")
    assert result.reason == "error: auth_db: the schema changed after it was compared: run again"
    assert old.versions()["user_db"] == ["0001"]


def test_a_row_inserted_between_the_probe_and_the_repair_is_not_truncated(alone: Callable[[str], Project]) -> None:
    old = alone("auth_db")
    old.rows("auth_db", "ALTER TABLE users ALTER full_name TYPE text")
    long = "UPDATE users SET full_name = repeat('x', 300) WHERE email = (SELECT min(email) FROM users)"
    result = inject(old, long, "--reconcile", "--risky", "auth_db.users.full_name.type")
    assert "and 1 rows would break: correct them first" in result.reason
    assert old.rows("auth_db", "SELECT max(length(full_name)) FROM users") == [(300,)]


def test_a_repair_whose_violating_rows_cannot_be_counted_is_risky(
    alone: Callable[[str], Project], postgres: Postgres
) -> None:
    old = alone("auth_db")
    name = old.variables["AUTH_DB_URL"].rpartition("/")[2]
    old.rows("auth_db", "ALTER TABLE users ALTER full_name TYPE text")
    postgres.as_admin("ALTER TABLE users OWNER TO postgres", name)
    refused = old.multidb("adopt", "auth_db")
    assert "; the rows that would break can't be counted yet  --risky auth_db.users.full_name.type" in refused.out


def test_a_repair_that_rows_would_violate_is_refused_with_their_number(old: Project) -> None:
    change(
        old,
        "auth_db",
        "ALTER TABLE users ALTER full_name TYPE text, ALTER user_id TYPE text, ALTER password_hash DROP NOT NULL, "
        "DROP CONSTRAINT users_email_key; "
        "UPDATE users SET full_name = repeat('x', 256) WHERE email IN (SELECT email FROM users LIMIT 3); "
        "UPDATE users SET user_id = 'no uuid' WHERE email = (SELECT min(email) FROM users); "
        "UPDATE users SET password_hash = NULL WHERE email IN (SELECT email FROM users ORDER BY 1 LIMIT 2); "
        "UPDATE users SET email = 'same' WHERE email IN (SELECT email FROM users ORDER BY 1 LIMIT 5)",
    )
    before = contents(old)
    refused = old.multidb("adopt", "auth_db")
    broken = {
        line.rpartition("--risky auth_db.")[2]: line for line in refused.out.splitlines() if "would break" in line
    }
    assert {name: line.partition("; ")[2].split()[0] for name, line in broken.items()} == {
        "users.full_name.type": "3",
        "users.user_id.type": "1",
        "users.password_hash.null": "2",
        "users.users_email_key": "4",
    }
    names = [word for name in broken for word in ("--risky", f"auth_db.{name}")]
    assert "rows would break: correct them first" in old.multidb("adopt", "auth_db", "--reconcile", *names).error
    assert contents(old) == before


def test_a_table_of_another_roles_is_refused_and_its_owner_can_hand_it_over(old: Project, postgres: Postgres) -> None:
    name = old.variables["AUTH_DB_URL"].rpartition("/")[2]
    postgres.as_admin("ALTER TABLE users OWNER TO postgres; GRANT ALL ON users TO neighbor", name)
    refused = old.multidb("adopt", "auth_db")
    assert said(refused, "auth_db") == [
        ("risky", "table users is owned by postgres, auth_0001 says the database owner")
    ]
    assert "ALTER TABLE public.users OWNER TO neighbor;" in refused.out
    named = ["adopt", "auth_db", "--reconcile", "--risky", "auth_db.users.owner"]
    error = old.multidb(*named).error
    assert "must be owner of table users: users belongs to postgres: as a superuser, `ALTER TABLE users OWNER" in error
    old.variables["AUTH_DB_URL"] = postgres.url(name, admin=True)
    assert old.multidb(*named).code == 0
    old.variables["AUTH_DB_URL"] = postgres.url(name)
    assert old.multidb("drift", "auth_db").code == 0


def test_investment_db_may_have_been_moved_to_postgresql(old: Project, postgres: Postgres, spare: str) -> None:
    old.variables["INVESTMENT_DB_URL"] = url = postgres.url(spare)
    query(url, (LEGACY / "investment_db.sql").read_text())
    rows.fill(url)
    before = rows.contents(url)
    assert before["investments"][0] == rows.ROWS
    assert old.multidb("adopt", "investment_db").code == 0
    assert old.versions()["investment_db"] == ["investment_0001"]
    assert rows.contents(url) == before
    assert old.multidb("drift", "investment_db").code == 0


def test_the_nearest_revision_is_found(old: Project) -> None:
    old.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("nickname", sa.Text))')
    old.add_revision("auth_db", 3, "op.execute(\"UPDATE users SET nickname = 'none'\")")
    old.add_revision("auth_db", 4, 'op.create_table("more", sa.Column("x", sa.Integer))')
    old.rows("auth_db", "ALTER TABLE users ADD nickname text")
    first = lines_of(old.multidb("adopt", "--dry-run", "auth_db"), "auth_db")[0]
    assert "equals auth_0003 (and auth_0002, whose schema is identical)" in first
    old.rows("auth_db", "CREATE TABLE more (x bigint)")
    refused = old.multidb("adopt", "auth_db")
    assert "it is not auth_0004, the nearest revision: 1 difference" in refused.error
    assert said(refused, "auth_db") == [("risky", "column more.x is bigint, auth_0004 says integer")]


def test_a_database_that_is_another_entrys_is_refused(old: Project) -> None:
    auth, user = old.variables["AUTH_DB_URL"], old.variables["USER_DB_URL"]
    old.variables |= {"AUTH_DB_URL": user, "USER_DB_URL": auth}
    was = old.versions()
    refused = old.multidb("adopt", "--reconcile")
    assert "auth_db: its schema matches user_db's, at user_0001: correct the URL" in refused.error
    assert "and user_db" in refused.error
    assert old.versions() == was


def test_a_row_of_an_old_project_whose_tables_are_others_is_refused_with_the_differences(old: Project) -> None:
    old.rows("auth_db", "DROP TABLE users; CREATE TABLE accounts (id int)")
    refused = old.multidb("adopt", "auth_db")
    assert said(refused, "auth_db") == [
        ("risky", "table users is missing"),
        ("extra", "table accounts is not in auth_0001"),
    ]
    assert old.versions()["auth_db"] == ["0001"]


def test_a_database_that_two_branches_could_own_is_refused(old: Project) -> None:
    text = (old.root / "migrations/versions/auth_db/auth_0001_create_users_table.py").read_text()
    old.write("migrations/versions/twin_db/twin_0001_create_users_table.py", text.replace("auth_", "twin_"))
    old.write("databases.yaml", (old.root / "databases.yaml").read_text() + "  twin_db: {models: models.auth}\n")
    refused = old.multidb("adopt", "auth_db")
    assert "auth_db: its schema equally matches twin_db's, at twin_0001" in refused.error
    assert "`alembic stamp --purge auth_db@auth_0001` records it all the same" in refused.error
    assert old.versions()["auth_db"] == ["0001"]


def test_a_database_with_the_tables_of_two_branches_is_refused(old: Project) -> None:
    tables = (LEGACY / "content_db.sql").read_text().partition("CREATE TABLE alembic_version")[0]
    old.rows("auth_db", tables)
    refused = old.multidb("adopt", "--reconcile", "auth_db")
    assert "auth_db: its schema equally matches content_db's, at content_0001" in refused.error
    assert old.versions()["auth_db"] == ["0001"]


def test_a_version_table_that_names_another_branch_is_refused(old: Project) -> None:
    old.rows("auth_db", "UPDATE alembic_version SET version_num = 'user_0001'")
    assert "alembic_version holds user_0001, which is user_db's" in old.multidb("adopt", "auth_db").error
    old.rows(
        "auth_db", "UPDATE alembic_version SET version_num = '0001'; INSERT INTO alembic_version VALUES ('auth_0001')"
    )
    assert "of which only auth_0001 is of this branch" in old.multidb("adopt", "auth_db").error


def test_an_empty_database_needs_no_adoption(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.done("downgrade", "auth_db@base")
    result = few.multidb("adopt")
    assert result.code == 0
    assert "auth_db          is empty: `alembic upgrade auth_db@head` creates its tables" in result.out


def test_an_adoption_can_be_reverted(old: Project) -> None:
    was = old.versions()
    assert old.multidb("adopt").code == 0
    assert old.multidb("rollback", "--yes").code == 0
    assert old.versions() == was
    assert old.multidb("adopt").code == 0
    assert old.versions() == old.at(1)


def test_of_two_adoptions_at_once_one_adopts(old: Project) -> None:
    results = at_once(*[lambda: old.multidb("adopt")] * 2)
    assert old.versions() == old.at(1)
    assert 0 in [result.code for result in results]
    for result in results:
        late = "_0001 while planning: run again" in result.err  # of whichever database it came to first
        assert result.code == (1 if late else 0), result
    assert old.multidb("adopt").out.count("of its branch already") == 4


def test_one_database_that_cannot_be_reached_means_that_none_is_adopted(old: Project) -> None:
    there = old.variables["USER_DB_URL"]
    old.variables["USER_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/user_db"
    assert "user_db: connection to server" in old.multidb("adopt").error
    old.variables["USER_DB_URL"] = there
    assert old.versions()["auth_db"] == ["0001"]


def test_a_repair_for_which_there_is_no_difference_is_refused(old: Project) -> None:
    old.rows("auth_db", "ALTER TABLE users ALTER full_name TYPE text")
    error = old.multidb("adopt", "auth_db", "--reconcile", "--risky", "auth_db.users.full_nam.type").error
    assert error == (
        "error: --risky auth_db.users.full_nam.type: there is no such risky difference; "
        "did you mean auth_db.users.full_name.type?"
    )
    assert "--risky is for --reconcile" in old.multidb("adopt", "--risky", "x").error


def test_objects_that_databases_yaml_ignores_are_no_difference(old: Project) -> None:
    old.rows("auth_db", "CREATE TABLE audit_log (x int); CREATE INDEX audit_by_name ON users (full_name)")
    old.edit("databases.yaml", "databases:", "drift: {ignore: [audit_*]}\n\ndatabases:")
    assert old.multidb("adopt", "auth_db").code == 0
    assert old.multidb("drift", "auth_db").code == 0


def test_indexes_triggers_and_views_of_sqlite_survive_a_rebuild_of_their_table(
    alone: Callable[[str], Project],
) -> None:
    old = alone("investment_db")
    change(
        old,
        "investment_db",
        "ALTER TABLE investments ADD label TEXT GENERATED ALWAYS AS (title || '!') VIRTUAL; "
        "ALTER TABLE investments ADD note TEXT COLLATE NOCASE DEFAULT 'x'; "
        "ALTER TABLE investments DROP COLUMN cover_key; ALTER TABLE investments ADD cover_key VARCHAR(50); "
        "CREATE VIEW titles AS SELECT title FROM investments; "
        "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT); "
        "CREATE TRIGGER noted AFTER DELETE ON investments BEGIN INSERT INTO counted VALUES (NULL); END",
    )
    named = ["--risky", "investment_db.investments.cover_key.type"]
    assert old.multidb("adopt", "--reconcile", *named).code == 0
    found = old.rows("investment_db", "SELECT DISTINCT label = title || '!', note = 'X' FROM investments")
    assert found == [(1, 1)]
    assert len(old.rows("investment_db", "SELECT * FROM titles")) == rows.ROWS
    old.rows("investment_db", "DELETE FROM investments WHERE investment_id = '1'")
    assert old.rows("investment_db", "SELECT * FROM counted") == [(1,)]


def test_a_number_that_sqlite_gave_once_is_not_given_again(few: Project) -> None:
    create = '"CREATE TABLE {} (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(20))"'
    few.add_revision("investment_db", 2, f"op.execute({create.format('numbered')})")
    few.rows("investment_db", "CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(10))")
    few.rows("investment_db", "INSERT INTO numbered (name) VALUES ('a'), ('b'), ('c')")
    few.rows("investment_db", "DELETE FROM numbered WHERE id > 1")
    few.rows("investment_db", "DELETE FROM alembic_version")
    few.edit("databases.yaml", "  auth_db:", "  # auth_db:")
    for name in ("auth_db", "user_db", "content_db"):
        shutil.rmtree(few.root / "migrations/versions" / name)
    few.write(
        "databases.yaml", "databases:\n  investment_db: {models: models.investment, url: 'sqlite:///investment.db'}\n"
    )
    done = few.multidb("adopt", "--reconcile", "--risky", "investment_db.numbered.name.type")
    assert done.code == 0, done
    few.rows("investment_db", "INSERT INTO numbered (name) VALUES ('d')")
    assert few.rows("investment_db", "SELECT max(id) FROM numbered") == [(4,)]


def test_an_sqlite_constraint_is_no_other_one_under_another_name(alone: Callable[[str], Project]) -> None:
    old = alone("investment_db")
    change(
        old,
        "investment_db",
        "ALTER TABLE investments RENAME TO was; CREATE TABLE investments (investment_id VARCHAR(36) NOT NULL, title "
        "VARCHAR(255) NOT NULL, summary TEXT NOT NULL, impact TEXT NOT NULL, expected_return VARCHAR(255) NOT NULL, "
        "min_amount INTEGER NOT NULL, partner VARCHAR(255), cover_key VARCHAR(100), UNIQUE (investment_id)); "
        "INSERT INTO investments SELECT * FROM was; DROP TABLE was",
    )
    refused = old.multidb("adopt")
    assert said(refused, "investment_db") == [
        ("risky", "constraint investments.PRIMARY KEY (investment_id) is missing"),
        ("extra", "constraint investments.UNIQUE (investment_id) is not in investment_0001"),
    ]
    named = ["--risky", "investment_db.investments.PRIMARY KEY (investment_id)"]
    lost = old.multidb("adopt", "--reconcile", *named).reason
    assert (
        "the repair would change constraint investments.UNIQUE (investment_id), which is not in investment_0001" in lost
    )


def test_what_is_ignored_is_not_lost_either(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    view = "CREATE MATERIALIZED VIEW names AS SELECT user_id, full_name FROM users"
    few.add_revision("auth_db", 2, f"op.execute({view!r})")
    few.rows("auth_db", f"{view} WHERE is_active; CREATE INDEX audit_names ON names (full_name)")
    few.rows("auth_db", "GRANT SELECT ON names TO pg_monitor; COMMENT ON MATERIALIZED VIEW names IS 'ours'")
    few.rows("auth_db", "DELETE FROM alembic_version")
    few.edit("databases.yaml", "databases:", "drift: {ignore: [audit_*, pg_monitor]}\n\ndatabases:")
    done = few.multidb("adopt", "auth_db", "--reconcile", "--risky", "auth_db.names.definition")
    assert done.code == 0, done
    assert few.rows("auth_db", "SELECT indexname FROM pg_indexes WHERE tablename = 'names'") == [("audit_names",)]
    assert few.rows("auth_db", "SELECT has_table_privilege('pg_monitor', 'names', 'SELECT')") == [(True,)]


def test_a_database_that_another_branch_fits_better_is_refused(old: Project) -> None:
    tables = (LEGACY / "content_db.sql").read_text().partition("CREATE TABLE alembic_version")[0]
    old.rows("auth_db", f"{tables}; ALTER TABLE users ALTER created_at DROP DEFAULT")
    refused = old.multidb("adopt", "--reconcile", "auth_db")
    assert "auth_db: its schema matches content_db's, at content_0001" in refused.error


def test_a_new_sequence_goes_on_behind_the_rows_that_are_there(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, 'op.execute("CREATE TABLE numbered (id serial PRIMARY KEY, other int)")')
    few.rows("auth_db", "CREATE TABLE numbered (id serial PRIMARY KEY, other int)")
    few.rows("auth_db", "INSERT INTO numbered (other) VALUES (1), (2), (3)")
    few.rows("auth_db", "ALTER TABLE numbered ALTER id DROP DEFAULT; DROP SEQUENCE numbered_id_seq")
    few.rows("auth_db", "DELETE FROM alembic_version")
    done = few.multidb("adopt", "auth_db", "--reconcile", "--risky", "auth_db.numbered_id_seq")
    assert done.code == 0, done
    few.rows("auth_db", "INSERT INTO numbered (other) VALUES (4)")
    assert few.rows("auth_db", "SELECT max(id) FROM numbered") == [(4,)]


def test_a_constraint_with_another_name_keeps_its_comment(alone: Callable[[str], Project]) -> None:
    old = alone("auth_db")
    old.rows("auth_db", "ALTER TABLE users RENAME CONSTRAINT users_email_key TO uq")
    old.rows("auth_db", "COMMENT ON CONSTRAINT uq ON users IS 'ours'")
    assert old.multidb("adopt", "--reconcile").code == 0
    assert old.multidb("drift").out.splitlines()[1:] == [
        "    comment on users.users_email_key is not in auth_0001: ours",
        "        COMMENT ON CONSTRAINT users_email_key ON public.users IS NULL;",
    ]


def test_a_value_added_to_an_enum_cannot_be_used_at_once_and_it_says_so(alone: Callable[[str], Project]) -> None:
    old = alone("user_db")
    old.rows("user_db", "ALTER TABLE user_profiles ALTER default_mode DROP DEFAULT")
    old.rows("user_db", "ALTER TYPE user_mode RENAME VALUE 'NIN' TO 'N'")
    error = old.multidb("adopt", "--reconcile").reason
    assert "run its ALTER TYPE … ADD VALUE by hand, then run this again" in error
    old.rows("user_db", "ALTER TYPE user_mode ADD VALUE 'NIN' BEFORE 'LAH'")
    assert old.multidb("adopt", "--reconcile").code == 0


def test_an_sqlite_file_that_is_not_there_is_not_taken_for_an_empty_one(old: Project) -> None:
    old.variables["INVESTMENT_DB_URL"] = "sqlite:///nowhere/investment.db"
    assert "investment_db: there is no file " in old.multidb("adopt").error
    result = old.multidb("drift", "investment_db")
    assert result.code == 1
    assert "FAILED: there is no file " in result.out


def test_it_waits_for_a_run_in_progress(old: Project) -> None:
    with closing(psycopg2.connect(old.variables["AUTH_DB_URL"])) as other:
        other.cursor().execute("SELECT pg_advisory_lock(%s)", [locks.KEY])
        error = old.multidb("-x", "lock_wait=300ms", "adopt", "auth_db").retry
    assert "auth_db: locked by pid" in error
    assert old.multidb("adopt", "auth_db").code == 0


def change(project: Project, database: str, sql: str) -> None:
    """Run statements in a database; SQLite takes one at a time."""
    if database == "investment_db":
        with closing(sqlite3.connect(project.root / "investment.db")) as connection:
            connection.executescript(sql)
    else:
        project.rows(database, sql)


def contents(project: Project) -> dict[str, Any]:
    """All rows of all databases, and which transaction wrote each."""
    urls = {name: project.variables[f"{name.upper()}_URL"] for name in project.names if name != "investment_db"}
    found: dict[str, Any] = {name: rows.contents(url) for name, url in urls.items()}
    if "investment_db" in project.names:
        found["investment_db"] = project.rows("investment_db", "SELECT * FROM investments ORDER BY 1")
    return found


def values(project: Project, database: str) -> Mapping[str, list[dict[str, Any]]]:
    """All rows of a database, by table, each by column."""
    if database != "investment_db":
        return rows.values(project.variables[f"{database.upper()}_URL"])
    with closing(sqlite3.connect(project.root / "investment.db")) as connection:
        connection.row_factory = sqlite3.Row
        return {"investments": [dict(row) for row in connection.execute("SELECT * FROM investments ORDER BY 1")]}


def check_same(
    before: Mapping[str, list[dict[str, Any]]], after: Mapping[str, list[dict[str, Any]]], renamed: Mapping[str, str]
) -> None:
    """Every table has the rows that it had, and these what they held, but for the names of columns."""
    for table in before:
        old, new = before[table], after[table]
        assert len(new) == len(old)
        names = {name: renamed.get(name, name) for name in (old[0] if old else ())}
        assert [{name: row[now] for name, now in names.items()} for row in new] == old


def schema(project: Project, database: str) -> object:
    """What the catalogs say that a database is."""
    if database == "investment_db":
        return catalog.of_sqlite(lambda sql: project.rows(database, sql))
    return catalog.of_postgresql(lambda sql: project.rows(database, sql))


def lines_of(result: Result, database: str) -> list[str]:
    """What was printed about a database: its line, and those below it."""
    found: list[str] = []
    for line in result.out.splitlines():
        if line.startswith(f"{database} "):
            found.append(line)
        elif found and line.startswith("    "):
            found.append(line.strip())
        elif found:
            break
    return found


def said(result: Result, database: str) -> list[tuple[str, str]]:
    """The severity and the sentence of each difference that was printed."""
    pattern = r"(harmless|risky|extra) +(.*?)(; kept|; \d+ rows would break)?(  --risky .*)?"
    matches = [re.fullmatch(pattern, line) for line in lines_of(result, database)[1:]]
    return [(match[1], match[2]) for match in matches if match]
