"""Each kind of error ends with the code of its section in docs/troubleshooting.md, whatever the server's words are."""

import json
import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from multidb.advice.codes import Code
from multidb.errors import ConfigError, MigrationError, joined
from tests.support.project import Postgres, Project

IN_A_REVISION = {
    "SELECT FROM nowhere": (Code.STATEMENT_FAILED, 'relation "nowhere" does not exist'),
    "SELEC 1": (Code.STATEMENT_FAILED, "syntax error at or near"),
    "VACUUM": (Code.OUTSIDE_TRANSACTION, "cannot run inside a transaction block"),
    "SET search_path = nowhere; CREATE TABLE t ()": (Code.NO_SCHEMA, "no schema has been selected to create in"),
    "CREATE TABLE nowhere.t ()": (Code.NO_SCHEMA, 'schema "nowhere" does not exist'),
    "CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t ADD b int NOT NULL": (Code.ROWS, "contains null values"),
    "CREATE TABLE t (a int CHECK (a > 0)); INSERT INTO t VALUES (0)": (Code.ROWS, "violates check constraint"),
    "CREATE TABLE t (a int PRIMARY KEY REFERENCES t); INSERT INTO t VALUES (1), (2); UPDATE t SET a = 3": (
        Code.ROWS,
        "duplicate key value violates unique constraint",
    ),
    "CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t); INSERT INTO t VALUES (1, 2)": (
        Code.ROWS,
        "violates foreign key constraint",
    ),
    "SELECT pg_cancel_backend(pg_backend_pid())": (Code.CANCELLED, "canceling statement due to user request"),
    "SELECT pg_terminate_backend(pg_backend_pid())": (Code.CONNECTION_LOST, "server closed the connection"),
    "DO $$ BEGIN RAISE 'no space left on device' USING ERRCODE = 'disk_full'; END $$": (
        Code.DISK,
        "make room on the server's disk",
    ),
    "CREATE ROLE somebody_else": (Code.CREATEROLE, "permission denied to create role"),
    "CREATE TEMPORARY TABLE t ()": (Code.NOT_PREPARABLE, "cannot PREPARE a transaction that has operated on temporary"),
    "COMMIT": (Code.ENDS_TRANSACTION, "would end the transaction"),
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; CALL p()": (
        Code.ENDS_TRANSACTION,
        "invalid transaction termination: take COMMIT and ROLLBACK out of the procedure",
    ),
    "DELETE FROM alembic_version": (Code.RECORD_CHANGED, "Online migration expected to match one row"),
    "DROP TABLE alembic_version": (Code.RECORD_CHANGED, "does not exist: a revision has dropped, renamed or altered"),
    "DROP TABLE multidb_journal": (Code.RECORD_CHANGED, "does not exist: a revision has dropped, renamed or altered"),
}


@pytest.mark.parametrize("statement", IN_A_REVISION)
def test_a_statement_that_fails_in_a_revision_has_the_code_of_its_cause(few: Project, statement: str) -> None:
    code, message = IN_A_REVISION[statement]
    few.add_revision("auth_db", 2, f"op.execute({statement!r})")
    few.add_revision("user_db", 2, "pass")  # which decides, so that auth_db is prepared
    result = few.alembic("upgrade", "heads")
    assert message in result.error
    assert result.error_code == code


@pytest.mark.parametrize(
    ("upgrade", "code"),
    [
        ("1 / 0", Code.REVISION_RAISED),
        ("pass\nimport nowhere", Code.NOT_IMPORTED),
        ("(", Code.NOT_IMPORTED),
        ("op.execute('SELECT :now')", Code.COLON),
        ("import sys; sys.exit(0)", Code.REVISION_RAISED),
        ("raise KeyboardInterrupt", Code.REVISION_RAISED),
        ("with op.get_context().autocommit_block(): pass", Code.ENDS_TRANSACTION),
    ],
)
def test_a_mistake_in_the_python_of_a_revision(few: Project, upgrade: str, code: Code) -> None:
    few.add_revision("auth_db", 2, upgrade)
    assert few.alembic("upgrade", "heads").error_code == code


def test_a_revision_without_upgrade(few: Project) -> None:
    path = few.add_revision("auth_db", 2, "pass")
    path.write_text(path.read_text().replace("def upgrade", "def up"))
    result = few.alembic("upgrade", "heads")
    assert "there is no upgrade()" in result.error
    assert result.error_code == Code.MISSING_FUNCTION


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ('revision = "a@b"', Code.INVALID_ID, "'@' not allowed in revision identifier"),
        ('revision = ""', Code.INVALID_ID, "its revision is an empty text"),
        ("revision = 5", Code.NOT_IMPORTED, "TypeError"),
        ("down_revision = 5", Code.NOT_IMPORTED, "TypeError"),
        ('down_revision = "auth_0002"', Code.BRANCH, "they follow each other in a circle"),
        ('down_revision = str("auth_0002")', Code.BRANCH, "Self-loop is detected"),
        ('revision = str("a@b")', Code.INVALID_ID, "'@' not allowed in revision identifier"),
        ('outside_transaction = "yes"', Code.NOT_IMPORTED, "should be True, or left out"),
    ],
)
def test_a_wrong_value_at_the_top_of_a_revision(few: Project, line: str, code: Code, message: str) -> None:
    path = few.add_revision("auth_db", 2, "pass")
    name = line.partition(" ")[0]
    text = re.sub(rf"^{name}\b.*\n", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text.replace("\ndef upgrade", f"\n{line}\n\n\ndef upgrade"))
    result = few.alembic("upgrade", "heads")
    assert message in result.error
    assert result.error_code == code


def test_files_that_are_wrong_in_two_ways_have_both_codes(few: Project) -> None:
    few.add_revision("auth_db", 2, "with op.get_context().autocommit_block(): pass")
    path = few.add_revision("user_db", 2, "pass")
    path.write_text(path.read_text().replace("def upgrade", "def up"))
    result = few.alembic("upgrade", "heads")
    assert f"leave nothing else in the revision [{Code.ENDS_TRANSACTION}]; user_db: " in result.error
    assert result.error_code == Code.MISSING_FUNCTION


def test_a_cursor_on_the_server_outside_a_transaction(few: Project) -> None:
    read = "op.get_bind().execution_options(stream_results=True).exec_driver_sql('SELECT 1').all()"
    path = few.add_revision("auth_db", 2, read)
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    result = few.alembic("upgrade", "heads")
    assert re.search(r"auth_0002\w*\.py:\d+: a server-side cursor needs a transaction", result.partly)
    assert result.error_code == Code.SERVER_SIDE_CURSOR


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("upgrade", "auth_db@nothing"), Code.REVISION_NAME),
        (("history", "-r", "nothing:"), Code.REVISION_NAME),
        (("upgrade", "nothing@head"), Code.UNKNOWN_DATABASE),
        (("-x", "db=auth_db", "revision", "-m", "x", "--depends-on", "user_0001"), Code.REVISION_NAME),
    ],
)
def test_a_name_in_the_command_that_nothing_has(few: Project, command: tuple[str, ...], code: Code) -> None:
    assert few.alembic(*command).error_code == code


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("squash", "auth_db", "nothing"), Code.REVISION_NAME),
        (("verify", "--accept", "nothing", "--why", "x"), Code.REVISION_NAME),
        (("schema", "--out", "alembic.ini/x"), Code.NOT_WRITTEN),
    ],
)
def test_a_command_of_our_own_that_fails(few: Project, command: tuple[str, ...], code: Code) -> None:
    assert few.multidb(*command).error_code == code


def test_ready_without_the_folder_of_the_branch(few: Project) -> None:
    shutil.rmtree(few.root / "migrations/versions/auth_db")
    assert few.multidb("ready", "auth_db").error_code == Code.NO_REVISIONS


def test_a_damaged_file_of_sqlite(few: Project) -> None:
    few.done("upgrade", "heads")
    file = few.root / "investment.db"
    file.write_bytes(file.read_bytes()[:100] + b"x" * 12_000)
    said = rf"investment_db +FAILED: database disk image is malformed: .* \[{Code.FILE_DAMAGED}\]"
    assert re.search(said, few.alembic("current").out)


def test_models_that_call_sys_exit(few: Project) -> None:
    path = few.root / "models/auth.py"
    path.write_text(path.read_text() + "\nraise SystemExit(0)\n")
    found = few.alembic("check").out
    assert f"models.auth can't be imported: sys.exit() was called [{Code.MODELS}]" in found


def test_a_scratch_server_on_which_no_database_may_be_created(few: Project) -> None:
    few.variables["SCRATCH_SERVER_URL"] = few.variables["AUTH_DB_URL"].rpartition("/")[0]
    found = few.multidb("drift", "auth_db").out
    assert re.search(rf"may not create databases on .* \[{Code.SCRATCH_SERVER}\]", found), found


def test_check_names_the_merge_where_a_branch_has_two_heads(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    path = few.add_revision("auth_db", 3, "pass")
    path.write_text(path.read_text().replace("auth_0002", "auth_0001"))
    found = few.alembic("check")
    assert re.search(rf"auth_db +FAILED: .*alembic merge auth_db@heads` \[{Code.SEVERAL_HEADS}\]", found.out)


def _without_password(url: str) -> str:
    return re.sub(r":[^:@/]*@", "@", url)


def test_a_connection_that_fails_has_the_code_of_its_cause(few: Project, postgres: Postgres) -> None:
    url = few.variables["AUTH_DB_URL"]

    def found(changed: str) -> tuple[str, str]:
        few.variables["AUTH_DB_URL"] = changed
        result = few.alembic("current")
        return result.out, result.error_code

    for changed, code, message in (
        (_without_password(url), Code.PASSWORD, "no password supplied"),
        (f"{url}?sslmode=require", Code.CONNECTION_OPTION, "server does not support SSL"),
        (url.replace("127.0.0.1", "no-such-host.invalid"), Code.HOST, "could not translate host name"),
        (re.sub(r":\d+/", ":1/", url), Code.NOT_LISTENING, "Connection refused"),
        (f"{url}_nowhere", Code.NO_DATABASE, "does not exist"),
        (f"{url}?options=-cwork_mem%3Dx", Code.CONNECTION_OPTION, "invalid value for parameter"),
        # For which libpq connects a second time, and says both.
        (f"{url}?options=-cnonsense%3D1", Code.CONNECTION_OPTION, "unrecognized configuration parameter"),
    ):
        out, of_the_command = found(changed)
        assert re.search(rf"auth_db +FAILED: .*{message}.* \[{code}\]", out), out
        assert of_the_command == Code.SEE_ABOVE
    postgres.as_admin(f'REVOKE CONNECT ON DATABASE "{url.rpartition("/")[2]}" FROM PUBLIC')
    owner = url.rpartition("/")[2]
    postgres.as_admin(f'ALTER DATABASE "{owner}" OWNER TO postgres')
    assert re.search(rf"permission denied for database .* \[{Code.LOGIN_REFUSED}\]", found(url)[0])


def test_databases_that_fail_for_several_causes_have_a_code_each(few: Project) -> None:
    few.write("migrations/versions/auth_db/auth_0002_x.py", "revision = 'auth-2'\ndown_revision = 'auth_0001'\n")
    few.write("migrations/versions/user_db/user_0002_x.py", "import nowhere\nrevision = nowhere.ID\n")
    result = few.alembic("upgrade", "heads")
    assert re.search(rf"^error: auth_db: .*'auth-2' \[{Code.INVALID_ID}\]; user_db: .*nowhere", result.error), result
    assert result.error_code == Code.NOT_IMPORTED


def test_the_code_of_several_failures_of_one_kind_stands_once() -> None:
    one, other = (ConfigError(Code.URL, "not a URL", name) for name in ("a", "b"))
    both = joined([one, other])
    assert (str(both), both.code) == ("a: not a URL; b: not a URL", Code.URL)
    mixed = joined([one, MigrationError(Code.NO_FILE, "there is no file", "c")])
    assert (str(mixed), mixed.code) == (f"a: not a URL [{Code.URL}]; c: there is no file", Code.NO_FILE)


def test_json_has_the_code_beside_the_error(few: Project) -> None:
    few.variables["AUTH_DB_URL"] += "_nowhere"
    failed, *others = json.loads(few.multidb("status", "--json").out)
    assert failed["error_code"] == Code.NO_DATABASE
    assert Code.NO_DATABASE not in failed["error"]
    assert [each["error_code"] for each in others] == [None, None, None]


def test_the_journal_and_the_report_of_a_run_have_the_code(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.execute("SELEC 1")')
    code = few.alembic("-x", "report=report.json", "upgrade", "heads").error_code
    assert json.loads((few.root / "report.json").read_text())["error_code"] == code
    assert re.search(rf"^    ended .* \[{code}\]$", few.multidb("log").out, re.MULTILINE)


def test_a_program_that_calls_alembic_gets_the_code_as_an_attribute(
    few: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in few.variables.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(CommandError) as raised:
        command.upgrade(Config(few.root / "alembic.ini"), "nothing")
    assert isinstance(raised.value, MigrationError)
    assert raised.value.code is Code.REVISION_NAME
    assert "MDB" not in str(raised.value)


def test_an_sqlite_file_that_another_process_has_locked_may_be_free_later(few: Project) -> None:
    with closing(sqlite3.connect(few.root / "investment.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        result = few.alembic("-x", "db=investment_db", "current")
    assert re.search(rf"^investment_db +FAILED: database is locked: .* \[{Code.FILE_BUSY}\]$", result.out, re.MULTILINE)
    assert result.retry
