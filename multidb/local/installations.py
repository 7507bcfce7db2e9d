"""The PostgreSQL servers that are installed on this machine."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from multidb.config.configuration import SERVER_VARIABLE
from multidb.errors import MigrationError


@dataclass(frozen=True)
class Installation:
    binaries: Path
    share: Path

    @property
    def major(self) -> int:
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
    """The newest PostgreSQL that has PostGIS. Raises MigrationError if there is none."""
    found = next((each for each in installations() if each.has_postgis), None)
    if found is None:
        raise MigrationError(
            f"there is no PostgreSQL with PostGIS here: run `bin/packages postgresql`, or set {SERVER_VARIABLE}"
        )
    return found


def installation_of(major: int) -> Installation:
    """The PostgreSQL of a major version, which alone can read that version's data; MigrationError without it."""
    found = next((each for each in installations() if each.major == major), None)
    if found is None:
        raise MigrationError(
            f"the private server's data are of PostgreSQL {major}, which is not installed: "
            "install it, or remove the data with `bin/down --wipe`"
        )
    return found


def _on_path() -> list[Installation]:
    program = shutil.which("pg_config")
    if program is None:
        return []
    ask = [program, "--bindir", "--sharedir"]
    said = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines()
    return [Installation(Path(said[0]), Path(said[1]))] if len(said) == 2 else []
