"""One command in ten databases, against ten projects, against psql, and against the imports alone."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from bench.case import ALEMBIC, IMPORTS, Case, Ratio
from tests.support.project import NAMES, ON_POSTGRESQL, Postgres, Project

MANY = 200
# Revisions in each branch, and the goal of "nothing to do / bare imports" with so many.
LONG = {100: 1.15, 500: 1.35}
RATIOS = [
    Ratio("(a) nothing to do / bare imports", "nothing one", "imports", 1.5),
    Ratio("(a) nothing to do / ten projects", "nothing one", "ten one", 1 / 6),
    Ratio("(b) from empty / psql", "empty one", "psql one", 1.4),
    Ratio(f"(c) nothing to do, {MANY} revisions each / one", "nothing many", "nothing one", 1.9),
    Ratio(f"(c) nothing to do / bare imports, {MANY} revisions each", "nothing many", "imports", None),
    *(
        Ratio(f"(c) nothing to do / bare imports, {count} revisions each", f"nothing {count}", "imports", goal)
        for count, goal in LONG.items()
    ),
    Ratio(f"(c) nothing to do / ten projects, {MANY} revisions each", "nothing many", "ten many", None),
    Ratio(f"(c) from empty / psql, {MANY} revisions each", "empty many", "psql many", None),
]
SINGLE_ENV = """
import os
from alembic import context
from sqlalchemy import MetaData, create_engine

engine = create_engine(os.environ["URL"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=MetaData())
    with context.begin_transaction():
        context.run_migrations()
"""


def cases(folder: Path, postgres: Postgres, _running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
        postgres: the server.
        _running: what has to be ended afterwards.
    """
    small = checkout(folder / "small", postgres, revisions=1)
    large = checkout(folder / "large", postgres, revisions=MANY)
    found: dict[str, Case] = {"imports": Case("bare imports", [IMPORTS], folder)}
    for size, project in (("one", small), ("many", large)):
        count = 1 if size == "one" else MANY
        at_head = with_databases(project, postgres, f"{size}_head")
        found[f"nothing {size}"] = nothing_to_do(at_head, count)
        found[f"ten {size}"] = ten_projects(folder / f"ten_{size}", at_head, count)
        empty = with_databases(project, postgres, f"{size}_empty")
        found[f"empty {size}"] = Case(
            f"from empty, {count} each", [[*ALEMBIC, "upgrade", "heads"]], empty.root, empty.variables,
            before=lambda project=empty: emptied(project, postgres),  # type: ignore[misc]
        )  # fmt: skip
        project.done("upgrade", "heads", "--sql")
        found[f"psql {size}"] = Case(
            f"psql, file by file, {count} each", _clients(project, empty), empty.root,
            before=lambda project=empty: emptied(project, postgres),  # type: ignore[misc]
        )  # fmt: skip
    for count in LONG:
        project = checkout(folder / f"long_{count}", postgres, revisions=count)
        found[f"nothing {count}"] = nothing_to_do(with_databases(project, postgres, f"long_{count}_head"), count)
    return found


def nothing_to_do(project: Project, count: int) -> Case:
    """The upgrade of databases that are at head."""
    project.done("upgrade", "heads")
    return Case(f"nothing to do, {count} each", [[*ALEMBIC, "upgrade", "heads"]], project.root, project.variables)


def checkout(root: Path, postgres: Postgres, revisions: int) -> Project:
    """A checkout with a number of revisions in each branch: the first, and then one column each."""
    project = Project.copied(root, {f"{name.upper()}_URL": postgres.url(name) for name in ON_POSTGRESQL})
    for name in NAMES:
        first = next((root / "migrations/versions" / name).glob("*.py")).read_text()
        table = first.split('drop_table("')[-1].partition('"')[0]
        for number in range(2, revisions + 1):
            column = f"added_{number}"
            add = f'op.add_column("{table}", sa.Column("{column}", sa.Text))'
            project.add_revision(name, number, add, f'op.drop_column("{table}", "{column}")')
    return project


def with_databases(project: Project, postgres: Postgres, prefix: str) -> Project:
    """A copy of a checkout with ten empty databases of its own."""
    root = project.root.with_name(prefix)
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("sql"))
    copy = Project(root, {f"{name.upper()}_URL": postgres.url(f"{prefix}_{name}") for name in ON_POSTGRESQL})
    emptied(copy, postgres)
    return copy


def emptied(project: Project, postgres: Postgres) -> None:
    """Recreate the databases of a checkout."""
    for name in ON_POSTGRESQL:
        database = project.variables[f"{name.upper()}_URL"].rpartition("/")[2]
        postgres.as_admin(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        postgres.clone(postgres.empty_template(name), database)
    (project.root / "investment.db").write_bytes(b"")  # as `create` makes it


def _clients(project: Project, empty: Project) -> list[list[str | Path]]:
    """psql and sqlite3 with the scripts that `--sql` wrote."""
    scripts = project.root / "sql"
    options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]
    commands: list[list[str | Path]] = [
        ["psql", *options, scripts / f"{name}.sql", empty.variables[f"{name.upper()}_URL"]] for name in ON_POSTGRESQL
    ]
    return [*commands, ["sqlite3", "-bail", "investment.db", f".read {scripts / 'investment_db.sql'}"]]


def ten_projects(root: Path, project: Project, count: int) -> Case:
    """The same revisions as ten Alembic projects, each with the env.py that Alembic's own template has."""
    commands: list[list[str | Path]] = []
    for name in NAMES:
        folder = root / name
        shutil.copytree(project.root / "migrations/versions" / name, folder / "migrations/versions")
        (folder / "migrations/env.py").write_text(SINGLE_ENV)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
        url = project.variables.get(f"{name.upper()}_URL", f"sqlite:///{project.root}/investment.db")
        url = url.replace("postgresql://", "postgresql+psycopg2://")
        commands.append(["env", f"URL={url}", *ALEMBIC, "-c", folder / "alembic.ini", "upgrade", "head"])
    return Case(f"ten separate projects, nothing to do, {count} each", commands, root)
