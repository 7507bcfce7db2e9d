"""`plan`: what is printed, what it needs, what it leaves as it was."""

import json
import re
from contextlib import closing

import psycopg2
import pytest

from tests.support.project import NAMES, Postgres, Project

LONG = "ALTER TABLE users ALTER full_name TYPE varchar(40)"
ROWS = """
    INSERT INTO users (user_id, email, password_hash)
    SELECT gen_random_uuid(), n || '@example.org', 'x' FROM generate_series(1, 20000) n
"""


@pytest.fixture
def planned(few: Project, postgres: Postgres) -> Project:
    """A checkout with scratch databases, and rows in auth_db."""
    few.variables |= postgres.scratch
    few.rows("auth_db", ROWS)
    few.rows("auth_db", "ANALYZE users")
    return few


def test_nothing_pending_is_fine(planned: Project) -> None:
    result = planned.multidb("plan")
    assert result.code == 0, result
    assert result.out.splitlines()[0] == "auth_db          auth_0001: nothing pending"
    assert planned.multidb("plan", "--format", "markdown").out.splitlines() == [
        "<!-- multidb plan -->",
        "### Migration plan: nothing pending",
        "",
    ]


def test_a_finding_has_its_line_its_size_and_the_safe_way(planned: Project) -> None:
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    result = planned.multidb("plan", "auth_db")
    assert result.code == 2
    lines = result.out.splitlines()
    assert lines[0] == "auth_db          auth_0001 -> auth_0002: 1 finding"
    assert lines[1] == "    error rewrite-type (observed)"
    assert re.fullmatch(
        r" {8}migrations/versions/auth_db/auth_0002_by_hand\.py:13: the new type rewrites users \(about 20,000 rows, "
        r"\d+ (kB|MB)\) and its indexes, and blocks reads and writes; that needs \d+ (kB|MB) of disk once more",
        lines[2],
    )
    assert lines[3] == f"        {LONG}"
    assert lines[4].startswith("        instead: expand and contract")
    place = "migrations/versions/auth_db/auth_0002_by_hand.py:13"
    window = f"    blocks reads and writes of users from {place} to the commit of all databases: "
    assert re.fullmatch(re.escape(window) + r"0\.\d\d s in the rehearsal, without rows, most of them in \w+", lines[5])
    assert lines[-1] == "the run: one database, in a transaction of its own"


def test_verbose_shows_what_was_observed_of_each_statement(planned: Project) -> None:
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})\n    op.execute('COMMENT ON TABLE users IS NULL')")
    result = planned.multidb("plan", "-v", "auth_db")
    assert result.err == ""
    out = result.out
    assert "locks users (ACCESS EXCLUSIVE: blocks reads and writes)\n" in out
    assert "rewrites users\n" in out
    assert "rewrites users_pkey\n" in out
    assert "COMMENT ON TABLE users IS NULL" in out


def test_a_pull_request_gets_a_comment_that_a_pipeline_can_replace(planned: Project) -> None:
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    comment = planned.multidb("plan", "--format", "markdown").out
    assert comment.splitlines()[:2] == ["<!-- multidb plan -->", "### Migration plan: 1 finding"]
    assert "| auth_db | auth_0001 | auth_0002 | 1 finding |" in comment
    assert "**rewrite-type** `migrations/versions/auth_db/auth_0002_by_hand.py:13`" in comment
    assert len(comment) < 65_000


def test_a_long_comment_is_cut(planned: Project) -> None:
    drops = "\n    ".join(f"op.execute('ALTER TABLE users ADD COLUMN c{n} float DEFAULT random()')" for n in range(120))
    planned.add_revision("auth_db", 2, drops)
    comment = planned.multidb("plan", "auth_db", "--format", "markdown").out
    assert 30_000 < len(comment) < 65_000


def test_github_gets_annotations_at_the_lines_of_the_revision(planned: Project) -> None:
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    [line] = planned.multidb("plan", "--format", "github").out.splitlines()
    assert line.startswith(
        "::error file=migrations/versions/auth_db/auth_0002_by_hand.py,line=13,title=rewrite-type::the new type"
    )


def test_a_database_that_cannot_be_planned_does_not_stop_the_others(planned: Project) -> None:
    planned.variables["USER_DB_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/user_db"
    result = planned.multidb("plan")
    assert result.code == 1
    assert "auth_db          auth_0001: nothing pending" in result.out
    assert "user_db          FAILED: " in result.out
    assert "s3cret" not in result.out + result.err


def test_the_plan_of_empty_databases_raises_nothing(project: Project, postgres: Postgres) -> None:
    project.variables |= postgres.scratch
    result = project.multidb("plan")
    assert result.code == 0, result
    assert result.out.count(": fine") == len(NAMES), result


def test_what_the_live_database_has_by_hand_is_rehearsed_too(planned: Project) -> None:
    """A view that no revision made uses the column: the release would fail."""
    planned.rows("auth_db", "CREATE VIEW by_hand AS SELECT full_name FROM users")
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    result = planned.multidb("plan", "auth_db")
    assert "error fails (observed)" in result.out
    assert "by_hand" in result.out
    assert result.code == 2


def test_what_cannot_be_copied_is_said(planned: Project) -> None:
    planned.rows("auth_db", "CREATE TYPE pair AS (a int, b int)")
    planned.rows("auth_db", "CREATE POLICY own ON users USING (true)")
    planned.add_revision("auth_db", 2, "op.execute('SELECT 1')")
    out = planned.multidb("plan", "auth_db").out
    assert "    not copied into the scratch database: composite type public.pair\n" in out
    assert "    not copied into the scratch database: row security policy own on public.users\n" in out


def test_what_cannot_be_prepared_is_found(planned: Project) -> None:
    planned.add_revision("auth_db", 2, "op.execute('CREATE TEMPORARY TABLE t (i int)')")
    assert planned.multidb("plan", "auth_db").code == 0  # alone, it is committed in one phase
    planned.add_revision("user_db", 2, "op.execute('SELECT 1')")
    result = planned.multidb("plan", "auth_db", "user_db")
    assert result.code == 2
    assert "error fails (observed)" in result.out


def test_what_a_killed_rehearsal_has_left_prepared_goes_with_its_scratch_database(
    planned: Project, postgres: Postgres
) -> None:
    dead = "multidb_scratch_1_1_1"
    postgres.as_admin(f"CREATE DATABASE {dead}")
    postgres.as_admin("CREATE TABLE t (i int)", dead)
    with closing(psycopg2.connect(postgres.url(dead, admin=True))) as session, session.cursor() as cursor:
        cursor.execute("DROP TABLE t")
        cursor.execute("PREPARE TRANSACTION 'multidb:left'")
    planned.add_revision("auth_db", 2, "op.execute('SELECT 1')")
    assert planned.multidb("plan", "auth_db").code == 0
    assert postgres.as_admin(f"SELECT datname FROM pg_database WHERE datname = '{dead}'") == []


def test_a_table_stays_locked_while_another_database_takes_long(planned: Project) -> None:
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    planned.add_revision("user_db", 2, "op.execute('ALTER TABLE user_profiles ADD COLUMN nick text')")
    planned.rows(
        "user_db", "INSERT INTO user_profiles (profile_id, user_id) VALUES (gen_random_uuid(), gen_random_uuid())"
    )
    planned.rows("user_db", "ANALYZE user_profiles")
    out = planned.multidb("plan", "auth_db", "user_db").out
    locked = "reads and writes of user_profiles are blocked from here to the commit of all databases"
    assert f"{locked}, while migrations/versions/auth_db/auth_0002_by_hand.py:13" in out


def test_an_old_transaction_in_the_way_is_named(planned: Project) -> None:
    planned.edit("multidb/rehearsal/live.py", "_OLD = 60.0", "_OLD = 0.0")
    planned.add_revision("auth_db", 2, "op.execute('ALTER TABLE users ADD COLUMN nick text')")
    with closing(psycopg2.connect(planned.variables["AUTH_DB_URL"])) as session:
        session.cursor().execute("SELECT count(*) FROM users")
        out = planned.multidb("plan", "auth_db").out
        assert f"users is locked by pid {session.info.backend_pid} of neighbor" in out


def test_concurrently_waits_for_an_old_transaction_that_is_named(planned: Project) -> None:
    planned.edit("multidb/rehearsal/live.py", "_OLD = 60.0", "_OLD = 0.0")
    path = planned.add_revision("auth_db", 2, "op.execute('CREATE INDEX CONCURRENTLY late ON users (full_name)')")
    path.write_text(f"outside_transaction = True\n{path.read_text()}")
    with closing(psycopg2.connect(planned.variables["AUTH_DB_URL"])) as session:
        session.cursor().execute("SELECT 1")
        out = planned.multidb("plan", "auth_db").out
        assert f"CONCURRENTLY waits for pid {session.info.backend_pid} of neighbor" in out


def test_an_invalid_index_that_the_revision_would_keep_is_found(planned: Project) -> None:
    with closing(psycopg2.connect(planned.variables["AUTH_DB_URL"])) as session:
        session.autocommit = True
        with pytest.raises(psycopg2.errors.UniqueViolation):
            session.cursor().execute("CREATE UNIQUE INDEX CONCURRENTLY late ON users (password_hash)")
    planned.add_revision("auth_db", 2, "op.execute('CREATE INDEX IF NOT EXISTS late ON users (password_hash)')")
    result = planned.multidb("plan", "auth_db")
    assert "warning index-invalid-left (predicted)" in result.out
    assert result.code == 2


def test_several_large_tables_that_are_locked_together_are_a_note(planned: Project) -> None:
    planned.rows("auth_db", "CREATE TABLE second AS SELECT * FROM users")
    planned.rows("auth_db", "ANALYZE second")
    add = [f"op.execute('ALTER TABLE {table} ADD COLUMN nick text')" for table in ("users", "second")]
    planned.add_revision("auth_db", 2, "\n    ".join(add))
    result = planned.multidb("plan", "-v", "auth_db")
    assert result.code == 0
    assert "users and second are locked against reads and writes at the same time" in result.out


def test_a_rebuilt_table_on_sqlite_and_a_revision_without_a_statement_are_notes(planned: Project) -> None:
    whole = (planned.root / "databases.yaml").read_text()
    planned.write("databases.yaml", f"policy: {{small: 1}}\n{whole}")
    batch = "with op.batch_alter_table('investments') as batch:\n        "
    batch += "batch.alter_column('partner', existing_type=sa.String(255), type_=sa.String(99))"
    planned.add_revision("investment_db", 2, batch)
    planned.add_revision("auth_db", 2, "pass")
    planned.rows("investment_db", "INSERT INTO investments VALUES ('1', 't', 's', 'i', '4 %', 5, NULL, 'key')")
    out = planned.multidb("plan", "-v", "auth_db", "investment_db").out
    assert "note sqlite-rebuild (observed)" in out
    assert "note nothing-changed (observed)" in out


def test_a_finding_is_accepted_in_the_file_of_the_revision(planned: Project) -> None:
    path = planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    text = path.read_text()
    path.write_text(f'accepted = {{"rewrite-type users": "at night"}}\n{text}')
    result = planned.multidb("plan", "auth_db")
    assert result.code == 0, result
    assert "error rewrite-type (observed, accepted: at night)" in result.out
    path.write_text(f'accepted = {{"rewrite-type users": ("at night", "2020-01-01")}}\n{text}')
    result = planned.multidb("plan", "auth_db")
    assert result.code == 2
    assert "warning accepted-expired" in result.out
    path.write_text(f'accepted = {{"rewrite-type orders": "at night"}}\n{text}')
    result = planned.multidb("plan", "auth_db")
    assert "error accepted-unused" in result.out
    path.write_text(f'accepted = ["rewrite-type"]\n{text}')
    result = planned.multidb("plan", "auth_db")
    assert result.code == 1
    assert "auth_0002_by_hand.py:1: accepted should have a reason for each finding" in result.out


def test_the_policy_sets_the_bar(planned: Project) -> None:
    planned.add_revision("auth_db", 2, f"op.execute({LONG!r})")
    whole = (planned.root / "databases.yaml").read_text()
    for policy, code in {
        "{bar: error}": 2,
        "{small: 50000}": 0,
        "{rules: {rewrite-type: note}}": 0,
        "{bar: note, rules: {rewrite-type: note}}": 2,
        "{rules: {rewrite-type: off}}": 0,
    }.items():
        planned.write("databases.yaml", f"policy: {policy}\n{whole}")
        assert planned.multidb("plan", "auth_db").code == code, policy
    planned.write("databases.yaml", f"policy: {{rules: {{rewrite-typ: note}}}}\n{whole}")
    result = planned.multidb("plan", "auth_db")
    assert result.error == "error: databases.yaml:1: rewrite-typ is no rule of plan; did you mean rewrite-type?"


def test_the_way_back_says_what_goes(planned: Project) -> None:
    planned.add_revision(
        "auth_db",
        2,
        "op.execute('ALTER TABLE users ADD COLUMN nick text')",
        "op.execute('ALTER TABLE users DROP nick')",
    )
    planned.done("upgrade", "heads")
    result = planned.multidb("plan", "--down", "-1", "auth_db")
    assert result.code == 2
    assert "users.nick goes with its rows' values" in result.out
    assert planned.multidb("plan", "--to", "auth_0001", "auth_db").code == 0


def test_a_batch_alteration_on_sqlite_is_observed(planned: Project) -> None:
    planned.add_revision(
        "investment_db",
        2,
        "with op.batch_alter_table('investments') as batch:\n        batch.drop_column('partner')",
    )
    planned.rows("investment_db", "INSERT INTO investments VALUES ('1', 't', 's', 'i', '4 %', 5, NULL, 'key')")
    result = planned.multidb("plan", "investment_db", "--json")
    [plan] = json.loads(result.out)["databases"]
    assert [(each["rule"], each["subject"]) for each in plan["findings"]] == [("drop-column", "investments.partner")]


def test_the_live_databases_are_never_written(planned: Project, postgres: Postgres) -> None:
    """The role may only read, and the sessions' transactions are read-only."""
    name = planned.variables["AUTH_DB_URL"].rpartition("/")[2]
    role = f"reader_{name}"
    postgres.as_admin(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT pg_read_all_data TO {role}")
    try:
        planned.add_revision("auth_db", 2, "op.execute('ALTER TABLE users ADD COLUMN nick text')")
        url = re.sub(r"//[^@]*@", f"//{role}:x@", planned.variables["AUTH_DB_URL"])
        before = _writes(postgres, name)
        planned.variables["AUTH_DB_URL"] = url
        result = planned.multidb("plan", "auth_db")
        assert (result.code, result.err.count("error")) == (0, 0), result
        assert _writes(postgres, name) == before
    finally:
        postgres.as_admin(f"DROP ROLE {role}")


def _writes(postgres: Postgres, name: str) -> list[tuple[object, ...]]:
    """What the server's statistics say of written rows."""
    postgres.as_admin("SELECT pg_stat_force_next_flush()", name)
    return postgres.as_admin("SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables", name)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE users ADD COLUMN nick text",
        "INSERT INTO users (user_id, email, password_hash) VALUES (gen_random_uuid(), 'x', 'y')",
    ],
)
def test_what_a_cursor_of_the_driver_does_is_not_passed_over_in_silence(planned: Project, statement: str) -> None:
    planned.add_revision("auth_db", 2, f'op.get_bind().connection.cursor().execute("{statement}")')
    out = planned.multidb("plan", "auth_db").out
    assert "    not observed: what a cursor of the driver has changed" in out


def test_an_error_that_a_revision_catches_is_no_failure(planned: Project) -> None:
    planned.add_revision(
        "auth_db",
        2,
        """try:
        with op.get_bind().begin_nested():
            op.execute("ALTER TABLE users ADD COLUMN email text")
    except sa.exc.ProgrammingError:
        op.execute("ALTER TABLE users ADD COLUMN nick text")""",
    )
    result = planned.multidb("plan", "auth_db")
    assert result.code == 0, result
    assert "not observed" not in result.out


def test_a_default_of_an_enum_is_not_taken_for_a_change(planned: Project) -> None:
    """Types are written with or without their schemas, as the search path is, which each revision finds restored."""
    planned.rows("user_db", "CREATE TYPE mode AS ENUM ('a'); CREATE TABLE moods (x mode DEFAULT 'a')")
    planned.add_revision("user_db", 2, 'op.execute("CREATE TABLE more ()")')
    assert "not observed" not in planned.multidb("plan", "user_db").out
