"""`adopt`, `drift` and `check` over the ten databases, and the share of the scratch databases."""

import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from bench.case import ALEMBIC, Case, Ratio
from bench.commands import checkout, emptied, with_databases
from tests.support.project import LEGACY, ON_POSTGRESQL, Postgres, Project, query

MULTIDB = [sys.executable, "-m", "multidb"]
MANY = 200
RATIOS = [
    Ratio("drift / status", "drift", "status"),
    Ratio("check / status", "check", "status"),
    Ratio("adopt --dry-run / status", "dry-run", "status"),
    Ratio("adopt / adopt --dry-run", "adopt", "dry-run"),
    Ratio("making and dropping the scratch databases alone / drift", "scratch", "drift"),
    Ratio("drift, 3 jobs / one", "drift", "drift alone"),
    Ratio(f"drift, {MANY} revisions each / one", "drift many", "drift"),
    Ratio(f"adopt --dry-run, {MANY} revisions each / one", "dry-run many", "dry-run"),
    Ratio("an upgrade that looks for drift / one that doesn't", "looks", "looks not"),
]
# What `drift` does, without the replays and the comparison.
SCRATCH = """
from pathlib import Path
from sqlalchemy.engine import make_url
from multidb.config import reader
from multidb.release.processes import map_in_processes
from multidb.replay.scratch import ScratchServer

configuration = reader.load(Path("databases.yaml").resolve())
server = ScratchServer(configuration.scratch_url)

def make(item):
    extensions, scratch = item
    with scratch.created(extensions, "public", ""):
        pass

databases = [each for each in configuration.databases(configuration.names) if not each.is_sqlite]
extensions = sorted((each.extensions for each in databases), reverse=True)
for failed in map_in_processes(make, [(each, server.scratch()) for each in extensions], 3):
    assert failed is None, failed
server.close()
"""


def cases(folder: Path, postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
        postgres: the server, with the live databases' legacy shape in its templates.
        _running: what has to be ended afterwards.
    """
    small = checkout(folder / "takeover", postgres, revisions=1)
    large = checkout(folder / "takeover_many", postgres, revisions=MANY)
    at_head = _at_head(small, postgres, "drift_one")
    legacy, again = (_legacy(small, postgres, name) for name in ("legacy_one", "legacy_two"))
    many, old = _at_head(large, postgres, "drift_many"), _legacy(large, postgres, "legacy_many")
    looks = with_databases(checkout(folder / "looks", postgres, revisions=2), postgres, "drift_looks")
    looks.variables |= postgres.scratch

    def case(name: str, project: Project, *arguments: str) -> Case:
        return Case(name, [[*MULTIDB, *arguments]], project.root, project.variables)

    found = {
        "status": case("status", at_head, "status"),
        "drift": case("drift", at_head, "drift"),
        "check": Case("check", [[*ALEMBIC, "check"]], at_head.root, at_head.variables),
        "drift alone": case("drift, one job", at_head, "-x", "jobs=1", "drift"),
        "drift many": case(f"drift, {MANY} revisions each", many, "drift"),
        "dry-run": case("adopt --dry-run", legacy, "adopt", "--dry-run"),
        "dry-run many": case(f"adopt --dry-run, {MANY} revisions each", old, "adopt", "--dry-run"),
        "adopt": case("adopt", again, "adopt"),
        "scratch": Case("the scratch databases alone", [[sys.executable, "-c", SCRATCH]], at_head.root),
    }
    found["scratch"].variables = at_head.variables
    found["adopt"].before = lambda: _made_legacy(again, postgres)
    for key, value in (("looks", "true"), ("looks not", "false")):
        upgrade = [sys.executable, "-m", "alembic", "-x", f"check_drift={value}", "upgrade", "heads"]
        found[key] = Case(f"one revision each, check_drift={value}", [upgrade], looks.root, looks.variables)
        found[key].before = lambda: _one_back(looks)
    return found


def _at_head(project: Project, postgres: Postgres, prefix: str) -> Project:
    copy = with_databases(project, postgres, prefix)
    copy.variables |= postgres.scratch
    copy.done("upgrade", "heads")
    return copy


def _legacy(project: Project, postgres: Postgres, prefix: str) -> Project:
    copy = with_databases(project, postgres, prefix)
    copy.variables |= postgres.scratch
    _made_legacy(copy, postgres)
    return copy


def _made_legacy(project: Project, postgres: Postgres) -> None:
    """Recreate the databases of a checkout, as the former services left them."""
    emptied(project, postgres)
    for name in ON_POSTGRESQL:
        query(project.variables[f"{name.upper()}_URL"], (LEGACY / f"{name}.sql").read_text())
    with closing(sqlite3.connect(project.root / "investment.db")) as connection, connection:
        connection.executescript((LEGACY / "investment_db.sql").read_text())


def _one_back(project: Project) -> None:
    project.done("upgrade", "heads")
    project.done("downgrade", "-1")
