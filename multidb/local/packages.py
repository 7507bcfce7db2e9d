"""The PostgreSQL servers that are installed on this machine, and how one with PostGIS gets there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from multidb.config.configuration import SERVER_VARIABLE
from multidb.errors import MigrationError


@dataclass(frozen=True)
class Installation:
    """A PostgreSQL of this machine."""

    binaries: Path
    share: Path

    @property
    def major(self) -> int:
        """Its major version."""
        said = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        match = re.search(r"(\d+)", said.stdout)
        return int(match[1]) if match else 0

    @property
    def has_postgis(self) -> bool:
        return (self.share / "extension" / "postgis.control").exists()


def installations() -> list[Installation]:
    """The PostgreSQL servers of this machine, newest first."""
    debian = [
        Installation(binaries, Path("/usr/share/postgresql") / binaries.parent.name)
        for binaries in Path("/usr/lib/postgresql").glob("*/bin")
    ]
    found = [*debian, *_on_path()]
    usable = {each.binaries: each for each in found if (each.binaries / "initdb").exists()}
    return sorted(usable.values(), key=lambda each: each.major, reverse=True)


def newest_installation() -> Installation:
    """The newest PostgreSQL that has PostGIS; it is installed from the system's packages if there is none.

    Raises:
        MigrationError: there is none, and packages may not be installed here; says which are needed.
    """
    for attempt in (1, 2):
        for installation in installations():
            if installation.has_postgis:
                return installation
        if attempt == 1:
            _install(lambda: [_package()], "PostgreSQL with PostGIS")
    raise MigrationError(f"PostGIS is still not there after its packages were installed: set {SERVER_VARIABLE}")


def need_programs(programs: Iterable[str]) -> None:
    """Install the packages of programs that are not there; a package is called like its program.

    Raises:
        MigrationError: it may not be done here, or it failed.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        _install(lambda: missing, " and ".join(missing))


def installation_of(major: int) -> Installation:
    """The PostgreSQL of a major version, which alone can read that version's data.

    Raises:
        MigrationError: it is gone.
    """
    for installation in installations():
        if installation.major == major:
            return installation
    raise MigrationError(
        f"the private server's data are of PostgreSQL {major}, which is not installed: "
        "install it, or begin anew with `bin/down --wipe`"
    )


def _on_path() -> list[Installation]:
    program = shutil.which("pg_config")
    if program is None:
        return []
    ask = [program, "--bindir", "--sharedir"]
    said = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines()
    return [Installation(Path(said[0]), Path(said[1]))] if len(said) == 2 else []


def _install(packages: Callable[[], list[str]], what: str) -> None:
    """Install packages of the system's.

    Args:
        packages: their names, which may depend on the package lists being there.
        what: they are for.

    Raises:
        MigrationError: it may not be done here, or it failed.
    """
    if shutil.which("apt-get") is None:
        raise MigrationError(f"there is no {what} here: install it, or set {SERVER_VARIABLE}")
    prefix = [] if os.geteuid() == 0 else _sudo()
    if prefix is None:
        names = " ".join(packages())
        raise MigrationError(f"there is no {what} here: `apt-get install {names}` as root, or set {SERVER_VARIABLE}")
    print(f"installing {what} from the system's packages ...", flush=True)
    # Nobody may answer a question that nobody sees. sudo would drop the variables.
    quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=a", "apt-get"]
    _apt([*quiet, "update"])
    _apt([*quiet, "install", "-y", "--no-install-recommends", *packages()])


def _apt(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["no reason given"]
        raise MigrationError(f"{' '.join(command)} failed: {errors[0]}")


def _package() -> str:
    """The package that adds PostGIS to the newest PostgreSQL of this machine, or else of its distribution."""
    there = installations()
    if there:
        return f"postgresql-{there[0].major}-postgis-3"
    search = ["apt-cache", "search", "--names-only", "^postgresql-[0-9]+-postgis-3$"]
    said = subprocess.run(search, capture_output=True, text=True, check=False) if shutil.which(search[0]) else None
    found = re.findall(r"^postgresql-(\d+)-postgis-3", said.stdout, re.MULTILINE) if said else []
    return f"postgresql-{max(map(int, found))}-postgis-3" if found else "postgresql-postgis"


def _sudo() -> list[str] | None:
    """How to become root, if this user may."""
    if shutil.which("sudo") is None:
        return None
    asks_nothing = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ["sudo"] if asks_nothing or sys.stdin.isatty() else None
