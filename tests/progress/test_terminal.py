"""The table of a run on a terminal."""

import re
import signal

import pytest

from tests.support.blocker import locked
from tests.support.project import Project
from tests.support.runs import locks
from tests.support.terminal import on_terminal

pytestmark = pytest.mark.slow

SLEEP = 'op.execute("SELECT pg_sleep(60)")'
BRIEFLY = 'op.execute("SELECT pg_sleep(4)")'
UPGRADE = ("-x", "jobs=2", "upgrade", "heads")
WATCHERS = "datname = current_database() AND application_name LIKE 'multidb@%'"


def test_a_table_shows_each_database_with_its_state_and_what_runs(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.execute("SELECT pg_sleep(5)")')
    few.add_revision("content_db", 2, "import time; time.sleep(5)")
    few.add_revision("user_db", 2, BRIEFLY)
    with on_terminal(few, *UPGRADE) as terminal:
        terminal.until_row("auth_db", r"migrating +auth_0002 +[1-5] s +[1-5] s: SELECT pg_sleep\(5\)")
        terminal.until_row("content_db", r"migrating +content_0002 +[1-5] s +no statement for [1-5] s")
        terminal.until_row("user_db", "waiting")
        terminal.until_row("user_db", r"migrating +user_0002 +\d s +\d s: SELECT pg_sleep\(4\)")
        terminal.until_row("auth_db", "migrated +auth_0002 +[5-9] s")
        assert terminal.end() == 0
    assert terminal.lines.count("INFO  [multidb] committed in 3 databases") == 1
    assert "SELECT" not in terminal.text  # the table is gone: that of the result is there
    assert few.versions() == few.at(2) | {"investment_db": ["investment_0001"]}


def test_log_lines_scroll_above_the_table(few: Project) -> None:
    few.add_revision("auth_db", 2, BRIEFLY)
    few.add_revision("user_db", 2, BRIEFLY)
    with on_terminal(few, "-x", "jobs=1", "upgrade", "heads") as terminal:
        terminal.until("s: SELECT pg_sleep(4)")
        terminal.until("INFO  [user_db] Running upgrade user_0001 -> user_0002, by hand")
        lines = terminal.lines
        assert lines.index("INFO  [user_db] Running upgrade user_0001 -> user_0002, by hand") < lines.index(
            next(line for line in lines if line.startswith("database "))
        )
        assert terminal.end() == 0
    assert terminal.text.count("Running upgrade") == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_revisions_print_stays_above_the_table(few: Project, jobs: str) -> None:
    printed = "import time\n    for n in range(9):\n        print('part', n, end=' ', flush=True); time.sleep(0.3)"
    few.add_revision("auth_db", 2, printed + "\n        print('of', 9)")
    names = ("auth_db",) if jobs == "1" else ("auth_db", "user_db")
    few.add_revision("user_db", 2, BRIEFLY)
    with on_terminal(few, "-x", f"jobs={jobs}", "-x", f"db={','.join(names)}", "upgrade", "heads") as terminal:
        terminal.until_row("auth_db", r"migrating +auth_0002 +\d s.*")
        assert terminal.end() == 0
    assert [line for line in terminal.text.splitlines() if line.startswith("part")] == [
        f"part {number} of 9" for number in range(9)
    ]


def test_a_database_that_waits_for_a_lock_looks_different_from_one_that_failed(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("nickname", sa.Text))')
    few.add_revision("user_db", 2, BRIEFLY + '; op.execute("SELECT 1 / 0")')
    with (
        locked(few.variables["AUTH_DB_URL"], "users") as pid,
        on_terminal(few, "-x", "lock_timeout=60s", *UPGRADE) as terminal,
    ):
        terminal.until(f"waits for pid {pid} (report of the night)")
        assert re.match(r"auth_db +waiting for a lock +auth_0002 .* s: ALTER TABLE users", terminal.row("auth_db"))
        assert re.match(r"user_db +migrating", terminal.row("user_db"))
        assert b"\x1b[33mwaiting for a lock" in terminal.output
        assert terminal.end() == 1
    assert "error: user_db" in terminal.text


def test_a_failure_is_shown_while_the_others_are_rolled_back(few: Project) -> None:
    # The revision takes a moment to notice that it is cancelled.
    few.add_revision("auth_db", 2, "import time\n    try:\n        time.sleep(60)\n    finally:\n        time.sleep(3)")
    few.add_revision("user_db", 2, BRIEFLY + '; op.execute("SELECT 1 / 0")')
    with on_terminal(few, *UPGRADE) as terminal:
        terminal.until("failed")
        assert re.match(r"user_db +failed +user_0002", terminal.row("user_db"))
        assert re.match(r"auth_db +migrating +auth_0002", terminal.row("auth_db"))
        assert b"\x1b[1;31mfailed" in terminal.output
        assert terminal.end() == 1


def test_postgresqls_own_progress_is_shown(few: Project) -> None:
    few.rows("auth_db", "CREATE TABLE numbers AS SELECT n FROM generate_series(1, 300000) n")
    few.rows("auth_db", "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
             "'BEGIN IF $1 % 1000 = 0 THEN PERFORM pg_sleep(0.02); END IF; RETURN $1; END'")  # fmt: skip
    few.add_revision("auth_db", 2, 'op.execute("CREATE INDEX i ON numbers (slow(n))")')
    with on_terminal(few, "upgrade", "auth_db@head") as terminal:
        terminal.until("s: CREATE INDEX i ON numbers (slow(n))", "building index: scanning table")
        terminal.until(" %")
        shown = {int(number) for number in re.findall(r"scanning table (\d+) %", terminal.text)}
        assert shown and max(shown) <= 100
        assert terminal.end() == 0


def test_a_statement_is_shown_without_values_and_control_characters(few: Project) -> None:
    statement = "SELECT pg_sleep(4), 'it''s s3cret', '\x1b[31m' /* \x1b[2J */"
    few.add_revision("auth_db", 2, f"op.get_bind().exec_driver_sql({statement!r})")
    with on_terminal(few, "upgrade", "auth_db@head") as terminal:
        terminal.until("s: SELECT pg_sleep(4), '…', '…' /* [2J */")
        assert terminal.end() == 0
    assert b"s3cret" not in terminal.output
    assert b"\x1b[2J" not in terminal.output


def test_a_run_that_is_short_shows_no_table(pair: Project) -> None:
    with on_terminal(pair, *UPGRADE) as terminal:
        assert terminal.end() == 0
    assert b"\x1b" not in terminal.output


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "xterm-mono"}])
def test_without_colour_the_words_say_all(few: Project, variables: dict[str, str]) -> None:
    few.add_revision("auth_db", 2, BRIEFLY)
    with on_terminal(few, "upgrade", "auth_db@head", variables=variables) as terminal:
        terminal.until("s: SELECT pg_sleep(4)")
        assert terminal.end() == 0
    if "NO_COLOR" in variables:
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9]m", terminal.output)


def test_a_narrow_terminal_has_the_details_below_the_name(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.execute("SELECT pg_sleep(4), 11111111, 22222222, 33333333, 44444444")')
    few.add_revision("user_db", 2, "pass")
    with on_terminal(few, *UPGRADE, size=(40, 24)) as terminal:
        lines = terminal.until("  auth_0002", "s: SELECT pg_sleep(4)")
        start = next(number for number, line in enumerate(lines) if line.startswith("auth_db migrating"))
        assert lines[start + 1] == "  auth_0002"
        assert re.match(r"  \d s: SELECT pg_sleep\(4\), 1111111.*…$", lines[start + 2])
        assert lines[start + 3].startswith("user_db migrated")
        assert terminal.end() == 0
    assert terminal.text.count("auth_db migrating") == 0


def test_a_terminal_of_few_lines_shows_the_databases_that_work(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    few.add_revision("content_db", 2, "pass")
    few.add_revision("user_db", 2, BRIEFLY)
    with on_terminal(few, *UPGRADE, size=(100, 6)) as terminal:
        terminal.until("s: SELECT pg_sleep(4)", "3 databases for")
        assert terminal.row("user_db")
        assert not terminal.row("auth_db")
        assert any(line.endswith("2 migrated, 1 migrating") for line in terminal.lines)
        assert terminal.end() == 0


@pytest.mark.parametrize("arguments", [["-q"], []])
def test_nothing_is_shown_where_nothing_is_to_be_said(few: Project, arguments: list[str]) -> None:
    if not arguments:
        few.edit("alembic.ini", "level = INFO", "level = WARNING")
    few.add_revision("auth_db", 2, BRIEFLY)
    with on_terminal(few, *arguments, "upgrade", "auth_db@head") as terminal:
        assert terminal.end() == 0
    assert b"pg_sleep" not in terminal.output
    assert b"\x1b" not in terminal.output


def test_the_end_of_the_session_that_watches_changes_nothing_for_the_run(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.execute("SELECT pg_sleep(10)")')
    few.add_revision("user_db", 2, "pass")
    with on_terminal(few, *UPGRADE) as terminal:
        terminal.until("s: SELECT pg_sleep(10)")
        assert few.rows("auth_db", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WATCHERS}")
        terminal.until_row("auth_db", r"migrating +auth_0002 +[6-9] s")  # what the run itself knows is shown on
        assert terminal.end() == 0
    assert "FATAL" not in terminal.text
    assert "committed in 2 databases" in terminal.text


def test_where_a_database_has_no_room_for_the_session_that_watches_the_run_goes_on(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.execute("SELECT pg_sleep(4)")')
    name = few.variables["AUTH_DB_URL"].rpartition("/")[2]
    few.rows("auth_db", f'ALTER DATABASE "{name}" CONNECTION LIMIT 1')
    with on_terminal(few, "upgrade", "auth_db@head") as terminal:
        terminal.until_row("auth_db", "migrating +auth_0002 +[2-9] s")
        assert terminal.end() == 0
    assert "SELECT" not in terminal.text
    assert "committed in 1 database" in terminal.text


def test_an_interrupted_run_leaves_the_terminal_as_it_was(few: Project) -> None:
    few.add_revision("auth_db", 2, SLEEP)
    few.add_revision("user_db", 2, SLEEP)
    with on_terminal(few, *UPGRADE) as terminal:
        terminal.until("s: SELECT pg_sleep(60)")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 1
    assert "error: interrupted by SIGINT; no database was changed [MDB605]" in terminal.lines
    assert "database    state" not in terminal.text
    assert locks(few) == []


def test_a_killed_run_leaves_the_cursor_visible(few: Project) -> None:
    few.add_revision("auth_db", 2, SLEEP)
    with on_terminal(few, "upgrade", "auth_db@head") as terminal:
        terminal.until("s: SELECT pg_sleep(60)")
        terminal.process.kill()
        terminal.end()
    assert not terminal.cursor_is_hidden
    assert b"\x1b[?25l" not in terminal.output


def test_a_run_that_is_short_imports_nothing_for_the_table(pair: Project) -> None:
    with on_terminal(pair, "upgrade", "auth_db@head", variables={"PYTHONPROFILEIMPORTTIME": "1"}) as terminal:
        assert terminal.end() == 0
    imported = {line.rpartition("|")[2].strip() for line in terminal.text.splitlines() if "import time:" in line}
    assert {each for each in imported if each.startswith(("multidb.progress", "rich"))} == {
        "multidb.progress",
        "multidb.progress.watcher",
    }
