"""What a server says beside its message, and the next step as a fact of its catalogs."""

from pathlib import Path

import pytest

from tests.support.project import Postgres, Project

ROWS = (
    "INSERT INTO users (user_id, email, password_hash, full_name) "
    "SELECT gen_random_uuid(), x, x, 'S3cret Name' FROM unnest(ARRAY['a', 'b']) x"
)


@pytest.fixture
def auth(few: Project) -> Project:
    """Databases of which auth_db has two users of the same name, and a view."""
    few.rows("auth_db", ROWS)
    few.rows("auth_db", "CREATE VIEW addresses AS SELECT email FROM users")
    return few


def said(project: Project, *statements: str, name: str = "auth_db") -> str:
    """The reason of a run whose revision executes these."""
    calls = "; ".join(f"op.execute({each!r})" for each in statements)
    project.add_revision(name, 2, calls)
    return project.alembic("upgrade", "heads").reason


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "ALTER TABLE users DROP email",
            "(view addresses depends on column email of table users; Use DROP ... CASCADE",
        ),
        ("ALTER TABLE users ALTER email TYPE text", '(rule _RETURN on view addresses depends on column "email")'),
        ("CREATE UNIQUE INDEX ux ON users (full_name)", "(Key (full_name)=(…) is duplicated)"),
        (
            "ALTER TABLE sessions ADD FOREIGN KEY (session_id) REFERENCES users",
            '(Key (session_id)=(…) is not present in table "users")',
        ),
        ("ALTER TABLE users ADD CHECK (full_name = 'x')", "is violated by some row"),
        ("UPDATE users SET email = NULL", "violates not-null constraint"),
        ("ALTER TABLE users ALTER full_name TYPE int USING full_name::int", "type integer: …"),
        (
            "DO $$ BEGIN RAISE 'stop' USING DETAIL = 'row 17', HINT = 'fix row 17 first'; END $$",
            "stop (row 17; fix row",
        ),
    ],
)
def test_the_servers_detail_and_hint_are_kept_without_values_of_rows(
    auth: Project, statement: str, expected: str
) -> None:
    if "sessions" in statement:
        auth.rows("auth_db", "CREATE TABLE sessions (session_id uuid)")
        auth.rows("auth_db", "INSERT INTO sessions VALUES (gen_random_uuid())")
    error = said(auth, statement)
    assert expected in error
    assert "S3cret" not in error
    assert "Failing row" not in error


def test_a_traceback_that_was_asked_for_has_the_values(auth: Project) -> None:
    said(auth, "CREATE UNIQUE INDEX ux ON users (full_name)")
    assert "(S3cret Name)" in auth.alembic("--raiseerr", "upgrade", "heads").err


def test_the_limit_to_raise_is_the_servers_hint(fragile: Project, another: Postgres) -> None:
    another.set(max_locks_per_transaction="10")
    tables = "DO $$ BEGIN FOR i IN 1..9000 LOOP EXECUTE format('CREATE TABLE t%s ()', i); END LOOP; END $$"
    error = said(fragile, tables)
    another.restart("max_locks_per_transaction")
    assert "out of shared memory (You might need to increase " in error
    assert "max_locks_per_transaction" in error  # in quotation marks since PostgreSQL 17


@pytest.fixture
def place(few: Project) -> str:
    """The real name of auth_db's database."""
    return few.variables["AUTH_DB_URL"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("prepare", "statement", "expected"),
    [
        (
            "ALTER TABLE users OWNER TO postgres",
            "ALTER TABLE users ADD x int",
            "users belongs to postgres: as a superuser, `ALTER TABLE users OWNER TO neighbor`",
        ),
        (
            (
                "ALTER TABLE alembic_version OWNER TO postgres; REVOKE ALL ON alembic_version FROM neighbor; "
                "GRANT SELECT ON alembic_version TO neighbor"
            ),
            "SELECT 1",
            "alembic_version belongs to postgres: as that role, `GRANT UPDATE, SELECT ON alembic_version TO neighbor`",
        ),
        (
            "CREATE TABLE audit (x int); GRANT INSERT ON audit TO neighbor",
            "UPDATE audit SET x = 1",
            "audit belongs to postgres: as that role, `GRANT UPDATE, SELECT ON audit TO neighbor`",
        ),
        (
            'CREATE SCHEMA "Audit"',
            'CREATE TABLE "Audit".x ()',
            'schema "Audit" belongs to postgres: as that role, `GRANT USAGE, CREATE ON SCHEMA "Audit" TO neighbor`',
        ),
        (
            "CREATE TYPE kind AS ENUM ('a')",
            "ALTER TYPE kind ADD VALUE 'b'",
            "kind belongs to postgres: as a superuser, `ALTER TYPE kind OWNER TO neighbor`",
        ),
        (
            "CREATE INDEX theirs ON users (full_name); ALTER TABLE users OWNER TO postgres",
            "ALTER INDEX theirs SET (fillfactor = 50)",
            "users belongs to postgres: as a superuser, `ALTER TABLE users OWNER TO neighbor`",
        ),
        (
            "CREATE EXTENSION IF NOT EXISTS pg_trgm",
            "DROP EXTENSION pg_trgm",
            "the extension pg_trgm belongs to postgres: only that role, or a superuser, may",
        ),
        ("SELECT 1", "CREATE ROLE another", "only a role with CREATEROLE may: let an administrator do that before"),
        (
            (
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database()); END $$; "
                "GRANT CREATE ON SCHEMA public TO neighbor"
            ),
            "CREATE SCHEMA more",
            "the database belongs to postgres: as that role, `GRANT CREATE ON DATABASE ",
        ),
    ],
)
def test_permission_denied_says_whose_the_object_is_and_which_statement_helps(
    few: Project, postgres: Postgres, place: str, prepare: str, statement: str, expected: str
) -> None:
    postgres.as_admin(prepare, place)
    assert expected in said(few, statement)


def test_the_statement_that_is_advised_helps(few: Project, postgres: Postgres, place: str) -> None:
    postgres.as_admin("ALTER TABLE users OWNER TO postgres", place)
    advised = said(few, "ALTER TABLE users ADD x int").split("`")[1]
    postgres.as_admin(advised, place)
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_0002"]


def test_a_schema_that_is_missing_is_no_missing_database(few: Project) -> None:
    error = said(few, "CREATE TABLE nowhere.x ()")
    assert "create the schema in the revision, or correct the search_path" in error
    assert "multidb create" not in error


def test_a_trigger_that_notifies_is_named(few: Project, postgres: Postgres, place: str) -> None:
    postgres.as_admin(
        (
            "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY pgrst; END'; "
            "CREATE EVENT TRIGGER pgrst_watch ON ddl_command_end EXECUTE FUNCTION watch()"
        ),
        place,
    )
    few.add_revision("user_db", 2, 'op.execute("CREATE TABLE more ()")')
    error = said(few, "CREATE TABLE more ()")
    assert (
        "NOTIFY can't be prepared, and the event trigger pgrst_watch (function watch) may have sent it: set "
        "`two_phase: off` for this database"
    ) in error
    few.edit("databases.yaml", "models.auth", "models.auth, two_phase: off")
    few.done("upgrade", "heads")


def test_deferred_constraints_that_are_not_checked_yet_lead_out(auth: Project) -> None:
    auth.rows("auth_db", "CREATE TABLE visits (email text REFERENCES users (email) DEFERRABLE INITIALLY DEFERRED)")
    error = said(auth, "INSERT INTO visits VALUES ('a')", "ALTER TABLE visits ADD x int")
    assert 'execute "SET CONSTRAINTS ALL IMMEDIATE" before' in error
    assert "in a revision of its own with `outside_transaction = True`" in error


def test_what_can_run_in_no_transaction_names_the_declaration(few: Project) -> None:
    error = said(few, "CREATE INDEX CONCURRENTLY ix ON users (full_name)")
    assert "write `outside_transaction = True` under down_revision of a revision of its own" in error


def outside(path: Path) -> None:
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            ["CREATE INDEX CONCURRENTLY a ON users (full_name); SELECT 1"],
            "execute each statement by an op.execute() of its own; the revision ran outside a transaction, and no",
        ),
        (
            ["CREATE TABLE half ()", "SELECT 1", "SELECT 1/0"],
            "division by zero; the revision ran outside a transaction, and `CREATE TABLE half ()` stays: correct",
        ),
        (
            ["CREATE UNIQUE INDEX CONCURRENTLY ux ON users (full_name)"],
            "no statement of it was completed; the next run drops the invalid index public.ux: correct",
        ),
    ],
)
def test_a_failure_outside_a_transaction_says_what_stands(auth: Project, statements: list[str], expected: str) -> None:
    calls = "; ".join(f"op.execute({each!r})" for each in statements)
    outside(auth.add_revision("auth_db", 2, calls))
    assert expected in auth.alembic("upgrade", "heads").partly


def test_what_records_a_revision_outside_a_transaction_does_not_stay(few: Project) -> None:
    outside(few.add_revision("auth_db", 2, 'op.execute("CREATE TABLE half ()")'))
    few.rows("auth_db", "ALTER TABLE multidb_journal ADD CHECK (state <> 'committed') NOT VALID")
    error = few.alembic("upgrade", "heads").partly
    assert "outside a transaction, and `CREATE TABLE half ()` stays: correct" in error
    assert few.versions() == few.at(1)


def test_a_second_attempt_outside_a_transaction_says_how_it_can_be_repeated(few: Project) -> None:
    outside(few.add_revision("auth_db", 2, 'op.execute("CREATE TABLE half ()"); op.execute("SELECT 1/0")'))
    few.alembic("upgrade", "heads")
    assert "completed the statement: write IF NOT EXISTS" in few.alembic("upgrade", "heads").partly


@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
def test_a_first_revision_that_meets_its_own_tables_names_adopt(few: Project, name: str) -> None:
    few.rows(name, "DELETE FROM alembic_version")
    error = few.alembic("upgrade", "heads").reason
    advice = f"it was there before the run: `python -m multidb adopt {name}` records a schema that was made otherwise"
    assert error.endswith(f"already exists; {advice}")


def test_a_first_revision_that_creates_twice_does_not_name_adopt(project: Project) -> None:
    [path] = (project.root / "migrations/versions/auth_db").glob("auth_0001_*.py")
    text = path.read_text()
    start = "def upgrade():\n" if "def upgrade():\n" in text else "def upgrade() -> None:\n"
    assert start in text
    path.write_text(text.replace(start, f"{start}    op.execute('CREATE TABLE a (); CREATE TABLE a ()')\n"))
    error = project.alembic("upgrade", "heads").reason
    assert "already exists" in error
    assert "adopt" not in error


def test_a_worker_that_was_killed_asks_for_the_memory(few: Project) -> None:
    few.add_revision("auth_db", 2, "import os; os.kill(os.getpid(), 9)")
    few.add_revision("user_db", 2, "pass")
    error = few.alembic("upgrade", "heads").reason
    assert "its worker process was killed by SIGKILL: out of memory? See the kernel's log, or the limit of" in error
