"""`plan` of ten databases with one pending revision each, against `drift` of the same databases."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from bench.case import Case, Ratio
from bench.takeovers import MULTIDB
from tests.support.project import NAMES, ON_POSTGRESQL, Postgres, Project

RATIOS = [Ratio("plan, one pending revision each / drift", "plan", "drift of these", 2.0)]
ADDED = 'op.create_table("added", sa.Column("id", sa.Integer, primary_key=True))'


def cases(folder: Path, postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkout.
        postgres: the server.
        _running: what has to be ended afterwards.
    """
    variables = dict(postgres.scratch)
    for name in ON_POSTGRESQL:
        postgres.clone(f"head_{name}", f"plans_{name}")
        variables[f"{name.upper()}_URL"] = postgres.url(f"plans_{name}")
    project = Project.copied(folder / "plans", variables)
    shutil.copy(postgres.folder / "investment.db", project.root / "investment.db")
    for name in NAMES:
        project.add_revision(name, 2, ADDED)
    return {
        "plan": Case("plan", [[*MULTIDB, "plan"]], project.root, variables),
        "drift of these": Case("drift of these", [[*MULTIDB, "drift"]], project.root, variables),
    }
