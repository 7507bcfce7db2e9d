"""An upgrade with several jobs, local and distant, against separate processes; the cost of the two-phase commit."""

import shlex
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

from sqlalchemy.engine import make_url

from bench.case import ALEMBIC, IMPORTS, Case, Ratio
from bench.commands import checkout, emptied, ten_projects, with_databases
from multidb.config.settings import DEFAULT_JOBS
from tests.support.project import NAMES, Postgres, Project

MILLISECONDS = 5  # of a round trip
JOBS = range(1, 9)
SIDE_BY_SIDE = (4, 8)
PLACES = ("here", "away")

_EMPTY = "from empty, {place}, {jobs} jobs / {other}"
RATIOS = [
    Ratio(f"nothing to do, {MILLISECONDS} ms away / bare imports", "nothing away", "imports too", 1.3),
    Ratio(f"from empty, {MILLISECONDS} ms away / bare imports", f"away {DEFAULT_JOBS}", "imports too", 2.5),
    *(
        Ratio(_EMPTY.format(place=place, jobs=DEFAULT_JOBS, other=other), f"{place} {DEFAULT_JOBS}", f"{place} {below}")
        for place in PLACES
        for other, below in (
            ("one", "1"),
            ("eight", "8"),
            *((f"ten processes, `xargs -P {number}`", f"xargs {number}") for number in SIDE_BY_SIDE),
            ("the same with plain commits", "plain"),
        )
    ),
]


def cases(folder: Path, postgres: Postgres, running: ExitStack) -> dict[str, Case]:
    """The cases of this group.

    Args:
        folder: for the checkouts.
        postgres: the server.
        running: ends the proxy.
    """
    project = checkout(folder / "releases", postgres, revisions=1)
    far = _far(postgres, running)
    found = {"imports too": Case("bare imports", [IMPORTS], folder)}
    at_head = with_databases(project, postgres, "far_head")
    at_head.done("upgrade", "heads")
    _move(at_head, far)
    upgrade = [*ALEMBIC, "upgrade", "heads"]
    found["nothing away"] = Case("nothing to do, away", [upgrade], at_head.root, at_head.variables)
    for place in PLACES:
        empty = with_databases(project, postgres, f"{place}_empty")
        if place == "away":
            _move(empty, far)
        for jobs in JOBS:
            command = [*ALEMBIC, "-x", f"jobs={jobs}", "upgrade", "heads"]
            found[f"{place} {jobs}"] = _from_empty(f"from empty, {place}, jobs={jobs}", command, empty, postgres)
        plain = [*ALEMBIC, "-x", "two_phase=off", "upgrade", "heads"]
        found[f"{place} plain"] = _from_empty(f"from empty, {place}, plain commits", plain, empty, postgres)
        separate = _scripts(folder / f"separate_{place}", empty)
        for number in SIDE_BY_SIDE:
            found[f"{place} xargs {number}"] = _from_empty(
                f"from empty, {place}, ten projects, xargs -P {number}",
                ["sh", "-c", f"ls {shlex.quote(str(separate))}/*.sh | xargs -P {number} -n 1 sh"],
                empty,
                postgres,
            )
    return found


def _from_empty(name: str, command: list[str], project: Project, postgres: Postgres) -> Case:
    return Case(name, [command], project.root, project.variables, before=lambda: emptied(project, postgres))


def _far(postgres: Postgres, running: ExitStack) -> int:
    """Start the proxy. Returns its port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "bench.delay", str(port), str(make_url(postgres.role_url).port), str(MILLISECONDS)]
    proxy = subprocess.Popen(command)
    running.callback(proxy.wait)
    running.callback(proxy.kill)
    while True:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)


def _move(project: Project, port: int) -> None:
    """Let a checkout reach its databases through another port."""
    for key, url in project.variables.items():
        project.variables[key] = make_url(url).set(port=port).render_as_string(hide_password=False)


def _scripts(folder: Path, empty: Project) -> Path:
    """A shell script for each of ten projects that migrate the same databases."""
    commands = ten_projects(folder, empty, 1).commands
    for name, command in zip(NAMES, commands, strict=True):
        (folder / f"{name}.sh").write_text(f"exec {shlex.join(map(str, command))}\n")
    return folder
