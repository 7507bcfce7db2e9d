"""Measure whole processes in turn within one run, and print medians and ratios.

    .venv/bin/python -m bench [--rounds N] [commands] [releases] [takeovers] [plans] [starts] [histories] [progress]
                            [completion]

Absolute times say more about the machine than about the project: quote the ratios.
"""

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import commands, completion, histories, plans, progress, releases, starts, takeovers
from bench.case import Case, Ratio
from multidb.local.server import Server
from tests.support.project import Postgres

# The settings of a production server, except for the disk: on a shared machine its speed depends on the neighbours.
SETTINGS = {"fsync": "off", "max_connections": "100"}
GROUPS = {
    "commands": commands,
    "releases": releases,
    "takeovers": takeovers,
    "plans": plans,
    "starts": starts,
    "histories": histories,
    "progress": progress,
    "completion": completion,
}


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds of each case; at least 5")
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="default: all")
    options = parser.parse_args()
    groups = [GROUPS[name] for name in options.groups or GROUPS]
    rounds = max(5, options.rounds)
    cases: dict[str, Case] = {}
    with tempfile.TemporaryDirectory(prefix="neighbor-bench-") as folder, ExitStack() as running:
        Path(folder).chmod(0o755)
        postgres = Postgres.started(Path(folder) / "server", SETTINGS)
        running.callback(Server(Path(folder) / "server").remove)
        for group in groups:
            cases |= group.cases(Path(folder), postgres, running)
        for case in cases.values():
            case.warm_up()
        for _ in range(rounds):
            for case in cases.values():
                case.measure()
    _print(cases, [ratio for group in groups for ratio in group.RATIOS], rounds)


def _print(cases: Mapping[str, Case], ratios: Sequence[Ratio], rounds: int) -> None:
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    print(f"{machine}; medians of {rounds} rounds\n")
    print("| case | median s | min s | max s | peak MiB |\n| --- | --- | --- | --- | --- |")
    for case in cases.values():
        low, high = min(case.seconds), max(case.seconds)
        print(f"| {case.name} | {case.median:.3f} | {low:.3f} | {high:.3f} | {case.peak:.0f} |")
    print("\n| ratio, round by round | median | to reach |\n| --- | --- | --- |")
    for ratio in ratios:
        each = [a / b for a, b in zip(cases[ratio.above].seconds, cases[ratio.below].seconds, strict=True)]
        goal = f"{ratio.goal:.2f}" if ratio.goal else "-"
        print(f"| {ratio.name} | {statistics.median(each):.2f} | {goal} |")


if __name__ == "__main__":
    main()
