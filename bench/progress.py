"""A run on a terminal, with the table of its progress against `-q`, which shows nothing."""

import sys
from contextlib import ExitStack
from pathlib import Path

from bench.case import ALEMBIC, Case, Ratio
from bench.commands import checkout, emptied, with_databases
from tests.support.project import NAMES, Postgres

STATEMENTS = 20_000  # of a revision that takes some seconds, most of them in Python
RATIOS = [
    Ratio("from empty, on a terminal / with -q", "short shown", "short quiet", 1.05),
    Ratio(f"{STATEMENTS} statements in one database, with a table / with -q", "one shown", "one quiet", 1.05),
    Ratio(f"{STATEMENTS} statements in each of ten, with a table / with -q", "ten shown", "ten quiet", 1.05),
]
ON_TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if not pid:
    os.execvp(sys.argv[1], sys.argv[1:])
output = b""
try:
    while read := os.read(terminal, 65536):
        output += read
except OSError:
    pass
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(output.decode() if code else 0)
"""


def cases(folder: Path, postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
        postgres: the server.
        _running: what has to be ended afterwards.
    """
    short = with_databases(checkout(folder / "progress_short", postgres, revisions=1), postgres, "progress_short_empty")
    long = checkout(folder / "progress_long", postgres, revisions=1)
    for name in NAMES:
        long.add_revision(name, 2, f'for _ in range({STATEMENTS}):\n        op.execute("SELECT 1")')
    long = with_databases(long, postgres, "progress_long_empty")
    found = {}
    for case, project, revisions in (("short", short, "heads"), ("one", long, "auth_db@head"), ("ten", long, "heads")):
        for way, options in (("shown", []), ("quiet", ["-q"])):
            found[f"{case} {way}"] = Case(
                f"{case}, on a terminal, {way}",
                [[sys.executable, "-I", "-c", ON_TERMINAL, *ALEMBIC, *options, "upgrade", revisions]],
                project.root,
                project.variables | {"TERM": "xterm-256color"},
                before=lambda project=project: emptied(project, postgres),  # type: ignore[misc]
            )
    return found
