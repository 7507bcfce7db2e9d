"""A TAB in bash, in a checkout with many revisions, against starting Python, which it does not."""

import sys
from contextlib import ExitStack
from pathlib import Path

from bench.case import Case, Ratio
from tests.support.project import NAMES, Postgres, Project
from tests.support.shells import TAB_IN_BASH

REVISIONS = 100
RATIOS = [Ratio("a TAB in bash / starting Python", "a TAB in bash", "starting Python", 5)]


def cases(folder: Path, _postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
    """
    project = Project.copied(folder / "completed", {}, NAMES)
    for name in NAMES:
        for number in range(2, REVISIONS + 1):
            project.add_revision(name, number, "pass")
    script = folder / "completion.bash"
    script.write_text(project.multidb("completion", "bash").out)
    tab = ["bash", "-c", f". {script}\n{TAB_IN_BASH}", "bash", "alembic upgrade user_db@h"]
    return {
        "a TAB in bash": Case("a TAB in bash", [tab], project.root),
        "starting Python": Case("starting Python", [[sys.executable, "-c", ""]], project.root),
    }
