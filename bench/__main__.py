"""Measures whole processes, in turn within one run, and prints medians and ratios.

    .venv/bin/python -m bench [--rounds N]

Absolute times say more about the machine than about the project: quote the ratios.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from multidb.server import Server
from tests.project import NAMES, ON_POSTGRESQL, Postgres, Project

ALEMBIC = [sys.executable, "-m", "alembic"]
IMPORTS = [sys.executable, "-c", "import alembic, sqlalchemy, psycopg2"]
MANY = 200
# As a production server has it, but for the disk, which on a shared machine would measure its neighbours.
SETTINGS = {"fsync": "off", "max_connections": "100"}

# A small process in between: a child starts with the peak of the process that it was forked from.
PEAK = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""

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


@dataclass
class Case:
    """Something to measure: commands that run one after the other, and what has to be done before each round."""

    name: str
    commands: Sequence[Sequence[str | Path]]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list)
    peak: float = 0.0

    def measure(self) -> None:
        """Run it once, counted."""
        self.before()
        started = time.perf_counter()
        for command in self.commands:
            self._run(command)
        self.seconds.append(time.perf_counter() - started)

    def warm_up(self) -> None:
        """Run it once, not counted, and note the memory of its largest process."""
        self.before()
        said = [self._run([sys.executable, "-I", "-S", "-c", PEAK, *command]) for command in self.commands]
        self.peak = max(int(each.split()[-1]) for each in said) / 1024

    def _run(self, command: Sequence[str | Path]) -> str:
        # Bytecode is cached, as it is for whoever runs a command twice, or from an image.
        dropped = ("_URL", "PYTHONDONTWRITEBYTECODE")
        kept = {key: value for key, value in os.environ.items() if not key.endswith(dropped)}
        environment = kept | dict(self.variables)
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: {done.stderr}")
        return done.stdout

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds of each case; at least 5")
    rounds = max(5, parser.parse_args().rounds)
    with tempfile.TemporaryDirectory(prefix="neighbor-bench-") as folder:
        Path(folder).chmod(0o755)
        postgres = Postgres.started(Path(folder) / "server", SETTINGS)
        try:
            cases = _cases(Path(folder), postgres)
            for case in cases.values():
                case.warm_up()
            for _ in range(rounds):
                for case in cases.values():
                    case.measure()
        finally:
            Server(Path(folder) / "server").remove()
    _print(cases, rounds)


def _cases(folder: Path, postgres: Postgres) -> dict[str, Case]:
    small = _checkout(folder / "small", postgres, revisions=1)
    large = _checkout(folder / "large", postgres, revisions=MANY)
    found: dict[str, Case] = {"imports": Case("bare imports", [IMPORTS], folder)}
    for size, project in (("one", small), ("many", large)):
        count = 1 if size == "one" else MANY
        at_head = _with_databases(project, postgres, f"{size}_head")
        at_head.done("upgrade", "heads")
        found[f"nothing {size}"] = Case(
            f"nothing to do, {count} each", [[*ALEMBIC, "upgrade", "heads"]], at_head.root, at_head.variables
        )
        found[f"ten {size}"] = _ten_projects(folder / f"ten_{size}", at_head, count)
        empty = _with_databases(project, postgres, f"{size}_empty")
        found[f"empty {size}"] = Case(
            f"from empty, {count} each", [[*ALEMBIC, "upgrade", "heads"]], empty.root, empty.variables,
            before=lambda project=empty: _emptied(project, postgres),  # type: ignore[misc]
        )  # fmt: skip
        project.done("upgrade", "heads", "--sql")
        found[f"psql {size}"] = Case(
            f"psql, file by file, {count} each", _clients(project, empty), empty.root,
            before=lambda project=empty: _emptied(project, postgres),  # type: ignore[misc]
        )  # fmt: skip
    return found


def _checkout(root: Path, postgres: Postgres, revisions: int) -> Project:
    """A checkout with so many revisions in each branch: the first, and then a column each."""
    project = Project.copied(root, {f"{name.upper()}_URL": postgres.url(name) for name in ON_POSTGRESQL})
    for name in NAMES:
        first = next((root / "migrations/versions" / name).glob("*.py")).read_text()
        table = first.split('drop_table("')[-1].partition('"')[0]
        for number in range(2, revisions + 1):
            column = f"added_{number}"
            add = f'op.add_column("{table}", sa.Column("{column}", sa.Text))'
            project.add_revision(name, number, add, f'op.drop_column("{table}", "{column}")')
    return project


def _with_databases(project: Project, postgres: Postgres, prefix: str) -> Project:
    """A copy of a checkout with ten empty databases of its own."""
    root = project.root.with_name(prefix)
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("sql"))
    copy = Project(root, {f"{name.upper()}_URL": postgres.url(f"{prefix}_{name}") for name in ON_POSTGRESQL})
    _emptied(copy, postgres)
    return copy


def _emptied(project: Project, postgres: Postgres) -> None:
    for name in ON_POSTGRESQL:
        database = project.variables[f"{name.upper()}_URL"].rpartition("/")[2]
        postgres.as_admin(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        postgres.clone(postgres.empty_template(name), database)
    (project.root / "investment.db").unlink(missing_ok=True)


def _clients(project: Project, empty: Project) -> list[list[str | Path]]:
    """psql and sqlite3 with the scripts that `--sql` wrote."""
    scripts = project.root / "sql"
    options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]
    commands: list[list[str | Path]] = [
        ["psql", *options, scripts / f"{name}.sql", empty.variables[f"{name.upper()}_URL"]] for name in ON_POSTGRESQL
    ]
    return [*commands, ["sqlite3", "-bail", "investment.db", f".read {scripts / 'investment_db.sql'}"]]


def _ten_projects(root: Path, project: Project, count: int) -> Case:
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


def _print(cases: Mapping[str, Case], rounds: int) -> None:
    ratios = [
        ("(a) nothing to do / bare imports", "nothing one", "imports", 1.5),
        ("(a) nothing to do / ten projects", "nothing one", "ten one", 1 / 6),
        ("(b) from empty / psql", "empty one", "psql one", 1.4),
        (f"(c) nothing to do, {MANY} revisions each / one", "nothing many", "nothing one", 1.9),
        (f"(c) nothing to do / bare imports, {MANY} revisions each", "nothing many", "imports", None),
        (f"(c) nothing to do / ten projects, {MANY} revisions each", "nothing many", "ten many", None),
        (f"(c) from empty / psql, {MANY} revisions each", "empty many", "psql many", None),
    ]
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    print(f"{machine}; medians of {rounds} rounds\n")
    print("| case | median s | min s | max s | peak MiB |\n| --- | --- | --- | --- | --- |")
    for case in cases.values():
        low, high = min(case.seconds), max(case.seconds)
        print(f"| {case.name} | {case.median:.3f} | {low:.3f} | {high:.3f} | {case.peak:.0f} |")
    print("\n| ratio, round by round | median | to reach |\n| --- | --- | --- |")
    for name, above, below, goal in ratios:
        each = [a / b for a, b in zip(cases[above].seconds, cases[below].seconds, strict=True)]
        print(f"| {name} | {statistics.median(each):.2f} | {f'{goal:.2f}' if goal else '-'} |")


if __name__ == "__main__":
    main()
