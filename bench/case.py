"""A case: commands that are measured as whole processes, timed from outside."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ALEMBIC = [sys.executable, "-m", "alembic"]
IMPORTS = [sys.executable, "-c", "import alembic, sqlalchemy, psycopg2"]

# Through a small process: a child starts with the peak memory of the process that it was forked from.
PEAK = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass
class Case:
    """Commands that run one after the other, and the preparation of each round."""

    name: str
    commands: Sequence[Sequence[str | Path]]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list)
    peak: float = 0.0

    def measure(self) -> None:
        """Run the commands once, and count the run."""
        self.before()
        started = time.perf_counter()
        for command in self.commands:
            self._run(command)
        self.seconds.append(time.perf_counter() - started)

    def warm_up(self) -> None:
        """Run the commands once without counting, and note the peak memory of the largest process."""
        self.before()
        said = [self._run([sys.executable, "-I", "-S", "-c", PEAK, *command]) for command in self.commands]
        self.peak = max(int(each.split()[-1]) for each in said) / 1024

    def _run(self, command: Sequence[str | Path]) -> str:
        # With cached bytecode, as in a second run or in an image.
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


@dataclass
class Ratio:
    """Two cases, compared round by round, and the goal for their ratio."""

    name: str
    above: str
    below: str
    goal: float | None = None
