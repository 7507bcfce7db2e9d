"""The one line that a failure is, its exit code, and text for people: what needs no server."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from alembic.util import CommandError

from multidb import output
from multidb.advice.codes import Code
from multidb.errors import ExitCode, MigrationError, RetryError, explain, in_database, nearest, redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:s3cret@h/d", "postgresql://u:***@h/d"),
        ("at postgresql://u:@h/d and postgres://v:x@i/e", "at postgresql://u:***@h/d and postgres://v:***@i/e"),
        ("host=h password=s3cret dbname=d", "host=h password=*** dbname=d"),
        ("sslpassword='s3cret'", "sslpassword='***'"),
        ("{'password': 's3cret'}", "{'password': '***'}"),
        ("http://h:80/d", "http://h:80/d"),
    ],
)
def test_a_password_is_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MigrationError(Code.OPTION, "it failed", "auth_db"), "auth_db: it failed"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("two\n lines"), "ValueError: two lines"),
        (ValueError(), "ValueError: no reason given; --raiseerr shows where"),
        (CommandError("as Alembic says"), "as Alembic says"),
        (SyntaxError("invalid", ("migrations/versions/a/b.py", 3, 1, "x")), "migrations/versions/a/b.py:3: invalid"),
        (
            psycopg2.OperationalError("server closed the connection unexpectedly"),
            "server closed the connection unexpectedly: see the server's log, then run again",
        ),
        (RuntimeError("x" * 2000), f"RuntimeError: {'x' * 986}…"),
    ],
)
def test_a_failure_is_one_line(error: BaseException, line: str) -> None:
    assert explain(error) == line


def test_the_next_step_after_an_error_of_sqlite_depends_on_its_code(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as writer,
        closing(sqlite3.connect(tmp_path / "file", isolation_level=None, timeout=0)) as other,
    ):
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as raised:
            other.execute("BEGIN IMMEDIATE")
    line = "database is locked: another process writes to the file: run again when it is done"
    assert explain(raised.value) == line


def test_a_failure_gets_the_database_in_which_it_happened_once() -> None:
    with pytest.raises(MigrationError) as raised, in_database("outer_db"), in_database("auth_db"):
        raise ValueError("no")
    assert str(raised.value) == "auth_db: ValueError: no"


def test_a_failure_in_a_revision_names_the_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "migrations/versions/auth_db/auth_0002_x.py"
    file.parent.mkdir(parents=True)
    file.write_text("def upgrade():\n    1 / 0\n")
    revision: dict[str, object] = {}
    exec(compile(file.read_text(), str(file), "exec"), revision)
    with pytest.raises(MigrationError) as raised, in_database("auth_db"):
        revision["upgrade"]()  # type: ignore[operator]
    place = "migrations/versions/auth_db/auth_0002_x.py:2"
    assert str(raised.value) == f"auth_db: {place}: ZeroDivisionError: division by zero"


def test_exit_in_a_revision_is_a_failure() -> None:
    with pytest.raises(MigrationError, match=r"sys\.exit\(\) was called"), in_database("auth_db"):
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], ExitCode.OK),
        ([ExitCode.OK, ExitCode.FOUND], ExitCode.FOUND),
        ([ExitCode.RETRY, ExitCode.FAILED], ExitCode.FAILED),
        ([ExitCode.RETRY, ExitCode.PARTIAL, ExitCode.FAILED], ExitCode.PARTIAL),
        ([ExitCode.FOUND, ExitCode.RETRY], ExitCode.RETRY),
    ],
)
def test_of_several_exit_codes_the_most_severe_counts(codes: list[ExitCode], expected: ExitCode) -> None:
    assert ExitCode.most_severe(codes) is expected


def test_a_failure_that_may_pass_has_an_exit_code_of_its_own() -> None:
    assert (MigrationError(Code.OPTION, "").exit_code, RetryError(Code.LOCKED, "").exit_code) == (1, 75)


def test_a_suggestion_is_made_only_for_a_near_word() -> None:
    assert nearest("auht_db", ["auth_db", "user_db"]) == "; did you mean auth_db?"
    assert nearest("zzz", ["auth_db"]) == ""


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert output.columns([["a", "b", "c"], ["long", "", "x"]]) == "a     b  c\nlong     x"
    assert output.columns([["a", ""], ["b", ""]]) == "a\nb"


def test_counts_and_revisions_are_words() -> None:
    assert [output.count_of(number, "database") for number in (0, 1, 2)] == ["0 databases", "1 database", "2 databases"]
    assert output.revisions_text(["b", "a"]) == "a, b"
    assert output.revisions_text([]) == "<base>"
