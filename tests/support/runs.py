"""Runs that go on beside a test, or are interrupted, and what they leave on the servers."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.project import NAMES, ROOT, Project, Result

MORE = 'op.create_table("more", sa.Column("x", sa.Integer))'


def table(out: str) -> dict[str, list[str]]:
    """The table at the end of a run: the words of each database's line."""
    lines = [line.split() for line in out.splitlines()]
    return {words[0]: words[1:] for words in lines if words and words[0] in NAMES}


def started(project: Project, *arguments: str) -> "subprocess.Popen[str]":
    """A run that goes on beside the test."""
    return begun(project, sys.executable, "-m", "alembic", *arguments)


def begun(
    project: Project, *command: str | Path, cwd: Path | None = None, group: bool = False
) -> "subprocess.Popen[str]":
    """Any command that goes on beside the test.

    Args:
        project: in whose folder, unless `cwd` says another.
        command: what to run.
        cwd: where.
        group: whether it is to be a process group of its own, as a terminal makes one.
    """
    return subprocess.Popen(
        command,
        cwd=cwd or project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )


def until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read what a run logs until it says something."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


def interrupt(project: Project, how: Sequence[str], *command: str) -> Result:
    """Run a command, with a signal at a point: see interrupted.py."""
    return project.python(ROOT / "tests/support/interrupted.py", *how, *command)


def prepared(project: Project) -> list[tuple[str, ...]]:
    """What is prepared in the databases of a checkout."""
    own = [url.rpartition("/")[2] for url in project.variables.values()]
    return project.rows("auth_db", f"SELECT gid FROM pg_prepared_xacts WHERE database = ANY (ARRAY{own}) ORDER BY 1")


def locks(project: Project) -> list[tuple[str, ...]]:
    """The advisory locks in the databases of a checkout; a killed process's server needs a moment to notice."""
    own = [url.rpartition("/")[2] for url in project.variables.values()]
    found: list[tuple[str, ...]] = []
    for _ in range(100):
        found = project.rows(
            "auth_db",
            "SELECT datname FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            f"WHERE locktype = 'advisory' AND datname = ANY (ARRAY{own})",
        )
        if not found:
            break
        time.sleep(0.1)
    return found
