"""The cost of the entrypoint's `check` for one service, and for a hundred that start at the same moment."""

from contextlib import ExitStack
from pathlib import Path

from bench.case import IMPORTS, Case, Ratio
from bench.commands import checkout, with_databases
from tests.support.project import Postgres, Project

ENTRYPOINT = "deploy/docker-entrypoint.sh"
MANY = 200
AT_ONCE = 100
RATIOS = [
    Ratio("check of one database / bare imports", "check", "imports"),
    Ratio("check of all ten / of one", "check all", "check"),
    Ratio(f"check, {MANY} revisions / one", "check many", "check"),
    Ratio("upgrade with nothing to do / check of all ten", "upgrade", "check all"),
    Ratio(f"{AT_ONCE} checks at once / one", "checks", "check"),
]


def cases(folder: Path, postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
        postgres: the server.
        _running: what has to be ended afterwards.
    """
    small = _image(checkout(folder / "starts", postgres, revisions=1), postgres, "start_one")
    large = _image(checkout(folder / "starts_many", postgres, revisions=MANY), postgres, "start_many")
    at_once = f"seq {AT_ONCE} | xargs -P {AT_ONCE} -I {{}} {ENTRYPOINT} true"

    def case(name: str, project: Project, mode: str, databases: str = "", command: str = f"{ENTRYPOINT} true") -> Case:
        variables = project.variables | {"MIGRATE": mode, "MIGRATE_DATABASES": databases}
        return Case(name, [["sh", "-c", command]], project.root, variables)

    return {
        "imports": Case("bare imports", [IMPORTS], small.root),
        "skip": case("entrypoint, skip", small, "skip"),
        "check": case("entrypoint, check of one database", small, "check", "auth_db"),
        "check all": case("entrypoint, check of all ten", small, "check"),
        "check many": case(f"entrypoint, check of one database with {MANY} revisions", large, "check", "auth_db"),
        "upgrade": case("entrypoint, upgrade with nothing to do", small, "upgrade"),
        "checks": case(f"{AT_ONCE} entrypoints at once, check of one database", small, "check", "auth_db", at_once),
    }


def _image(project: Project, postgres: Postgres, prefix: str) -> Project:
    """A checkout as an image has it, with databases at head."""
    copy = with_databases(project, postgres, prefix)
    copy.lend_venv()
    copy.done("upgrade", "heads")
    return copy
