"""The lines of a run that takes long, where there is no terminal, or no rich."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.blocker import locked
from tests.support.project import Project, Result
from tests.support.terminal import on_terminal

pytestmark = pytest.mark.slow

HALF_A_MINUTE = 'op.execute("SELECT pg_sleep(23)")'
TWELVE_SECONDS = 'op.execute("SELECT pg_sleep(12)")'
LINE = re.compile(r"INFO  \[auth_db\] migrating auth_0002 for (1\d) s; 1\d s: SELECT pg_sleep\(12\)")


def test_a_database_that_takes_long_has_a_line_every_ten_seconds(few: Project) -> None:
    few.add_revision("auth_db", 2, HALF_A_MINUTE)
    few.add_revision("content_db", 2, "import time; time.sleep(12)")
    few.add_revision("user_db", 2, "pass")
    result = few.alembic("upgrade", "heads")
    assert result.code == 0
    lines = [line for line in result.err.splitlines() if " for " in line]
    shapes = [re.sub(r"\b(1|2)[0-2] s\b", r"\1X s", line) for line in lines]
    assert sorted(shapes) == [
        "INFO  [auth_db] migrating auth_0002 for 1X s; 1X s: SELECT pg_sleep(23)",
        "INFO  [auth_db] migrating auth_0002 for 2X s; 2X s: SELECT pg_sleep(23)",
        "INFO  [content_db] migrating content_0002 for 1X s; no statement for 1X s",
    ]
    assert "\x1b" not in result.err


def test_a_line_names_the_session_that_a_database_waits_for(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("nickname", sa.Text))')
    with locked(few.variables["AUTH_DB_URL"], "users") as pid:
        # The line comes after ten seconds, and the look at the server on a busy machine later.
        result = few.alembic("-x", "lock_timeout=18s", "-x", "lock_retries=0", "upgrade", "auth_db@head")
    assert result.code == 75
    assert re.search(
        r"INFO  \[auth_db\] migrating auth_0002 for 1\d s; 1\d s: ALTER TABLE users ADD COLUMN nickname TEXT; "
        rf"waits for pid {pid} \(report of the night\)\n",
        result.err,
    )


def _dumb(few: Project, _folder: Path) -> Result:
    return _of_terminal(few, {"TERM": "dumb"})


def _without_rich(few: Project, folder: Path) -> Result:
    (folder / "sitecustomize.py").write_text("import sys\n\nsys.modules['rich'] = None\n")
    return _of_terminal(few, {"PYTHONPATH": str(folder)})


def _of_terminal(few: Project, variables: dict[str, str]) -> Result:
    with on_terminal(few, "upgrade", "auth_db@head", variables=variables) as terminal:
        code = terminal.end()
    assert b"\x1b" not in terminal.output
    return Result("", terminal.output.decode(), code)


@pytest.mark.parametrize("run", [_dumb, _without_rich])
def test_a_terminal_that_can_show_no_table_has_the_lines(
    few: Project, tmp_path: Path, run: Callable[[Project, Path], Result]
) -> None:
    few.add_revision("auth_db", 2, TWELVE_SECONDS)
    result = run(few, tmp_path)
    assert result.code == 0
    assert len(LINE.findall(result.err)) == 1, result.err


@pytest.mark.parametrize("arguments", [["-q"], []])
def test_no_line_where_nothing_is_to_be_said(few: Project, arguments: list[str]) -> None:
    if not arguments:
        few.edit("alembic.ini", "level = INFO", "level = WARNING")
    few.add_revision("auth_db", 2, TWELVE_SECONDS)
    result = few.alembic(*arguments, "upgrade", "auth_db@head")
    assert result.code == 0
    assert "pg_sleep" not in result.err


def test_a_program_that_calls_alembic_gets_no_line(few: Project) -> None:
    few.add_revision("auth_db", 2, TWELVE_SECONDS)
    program = few.write(
        "program.py",
        "import logging\nfrom alembic import command\nfrom alembic.config import Config\n\n"
        "logging.basicConfig(level=logging.INFO)\ncommand.upgrade(Config('alembic.ini'), 'auth_db@head')\n",
    )
    result = few.python(program)
    assert result.code == 0
    assert "Running upgrade" in result.err
    assert "pg_sleep" not in result.err
