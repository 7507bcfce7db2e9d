"""`doctor`: print what tends to be wrong before a first run, for each database, and what to type.

Nothing is locked and nothing is written. Exit code 0: all is fine; 2: there is something to do.
"""

import argparse
import json
import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.config import urls
from multidb.config.configuration import Database
from multidb.database.checkup import Check, Needs, checks_of
from multidb.database.probe import probing
from multidb.errors import ExitCode
from multidb.output import columns

_PACKAGES = ("alembic", "sqlalchemy", "psycopg2-binary", "geoalchemy2", "pyyaml")
_THIS = "this machine"


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    databases, settings = command.databases, command.settings
    found, needs = {_THIS: _of_machine(command.file.parent)}, _needs(databases)
    with probing(databases, settings.wait, busy_wait=settings.busy_wait) as probes:
        for probe in probes:
            found[probe.database.name] = checks_of(probe, needs[probe.database.name])
    if command.options.json:
        print(json.dumps([_as_json(name, checks) for name, checks in found.items()], indent=2))
    else:
        for name, checks in found.items():
            print(name)
            print(columns([("   ", each.subject, each.found, each.advice or "fine") for each in checks]))
    return ExitCode.FOUND if any(each.advice for checks in found.values() for each in checks) else ExitCode.OK


def _as_json(name: str, checks: Sequence[Check]) -> dict[str, object]:
    return {"database": None if name == _THIS else name, "checks": [vars(each) for each in checks]}


def _of_machine(root: Path) -> list[Check]:
    """The versions of Python and of the packages, beside those that the project was tried with."""
    checks = [Check("Python", platform.python_version())]
    pins = root / "constraints.txt"
    lines = pins.read_text(encoding="utf-8").splitlines() if pins.is_file() else []
    wanted = dict(line.split(" ")[0].split("==") for line in lines if "==" in line and not line.startswith(" "))
    for package in _PACKAGES:
        try:
            there = version(package)
        except PackageNotFoundError:
            there = "not installed"
        pinned = wanted.get(package, there)
        checks.append(Check(package, there, None if there == pinned else f"pip install {package}=={pinned}"))
    return checks


def _needs(databases: Sequence[Database]) -> dict[str, Needs]:
    """What a run of all these databases needs of the server of each; a decider on SQLite needs no slot."""
    on_servers = [each for each in databases if not each.is_sqlite]
    servers = Counter(urls.server_of(each.url) for each in on_servers)
    logins = Counter((urls.server_of(each.url), each.url.username) for each in on_servers)
    decides = len(on_servers) == len(databases)
    return {
        each.name: Needs(0, 0)
        if each.is_sqlite
        else Needs(servers[urls.server_of(each.url)] - decides, logins[urls.server_of(each.url), each.url.username])
        for each in databases
    }
