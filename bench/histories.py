"""The history of another project from empty, in one database: here, and by plain Alembic on the same files."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.case import ALEMBIC, Case, Ratio
from tests.histories import written
from tests.histories.shop import SHOP
from tests.histories.tracking import TRACKING
from tests.support.plain import plain_alembic
from tests.support.project import Postgres, Project

HISTORIES = {"shop": SHOP, "tracking": TRACKING}
RATIOS = [Ratio(f"{name} from empty / plain Alembic", name, f"{name}, plain Alembic", 1.1) for name in HISTORIES]


def cases(folder: Path, postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
        postgres: the server.
        _running: what has to be ended afterwards.
    """
    found: dict[str, Case] = {}
    for name, history in HISTORIES.items():
        for database in (f"own_{name}", f"plain_{name}"):
            postgres.clone("template_empty", database)
        versions = written(history, folder / f"other_{name}/versions")
        plain_alembic(versions, postgres.url(f"plain_{name}"))
        variables = {"AUTH_DB_URL": postgres.url(f"own_{name}")} | postgres.scratch
        project = Project.copied(folder / f"imported_{name}", variables, ["auth_db"])
        for path in (project.root / "migrations/versions/auth_db").glob("*.py"):
            path.unlink()
        assert project.multidb("import", "auth_db", str(versions)).code == 0
        upgrade = [[*ALEMBIC, "upgrade", "heads"]]
        found[name] = Case(name, upgrade, project.root, variables, _emptied(postgres, f"own_{name}"))
        plain = f"{name}, plain Alembic"
        found[plain] = Case(plain, upgrade, versions.parent, {}, _emptied(postgres, f"plain_{name}"))
    return found


def _emptied(postgres: Postgres, database: str) -> Callable[[], None]:
    def empty() -> None:
        postgres.drop(database)
        postgres.clone("template_empty", database)

    return empty
