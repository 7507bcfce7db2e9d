"""The PostgreSQL servers that are installed on this machine."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from multidb.advice.codes import Code
from multidb.config.configuration import SERVER_VARIABLE
from multidb.errors import MigrationError

# Where several versions are, each in a folder of its own: Debian's, and Homebrew's on macOS and Linux.
_FOLDERS = (
    "usr/lib/postgresql/*",
    "opt/homebrew/opt/postgresql@*",
    "usr/local/opt/postgresql@*",
    "home/linuxbrew/.linuxbrew/opt/postgresql@*",
)


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
    on_path = shutil.which("pg_config")
    in_folders = [path for folders in _FOLDERS for path in Path("/").glob(f"{folders}/bin/pg_config")]
    found = [_described(program) for program in (*in_folders, *([Path(on_path)] if on_path else []))]
    usable = {each.binaries.resolve(): each for each in found if each and (each.binaries / "initdb").exists()}
    return sorted(usable.values(), key=lambda each: each.major, reverse=True)


def newest_installation() -> Installation:
    """The newest PostgreSQL that has PostGIS. Raises MigrationError if there is none."""
    found = next((each for each in installations() if each.has_postgis), None)
    if found is None:
        raise MigrationError(
            Code.NO_POSTGRESQL,
            f"there is no PostgreSQL with PostGIS here: run `bin/packages postgresql`, or set {SERVER_VARIABLE}",
        )
    return found


def installation_of(major: int) -> Installation:
    """The PostgreSQL of a major version, which alone can read that version's data; MigrationError without it."""
    found = next((each for each in installations() if each.major == major), None)
    if found is None:
        raise MigrationError(
            Code.DATA_VERSION,
            f"the private server's data are of PostgreSQL {major}, which is not installed: "
            "install it, or remove the data with `bin/down --wipe`",
        )
    return found


def _described(program: Path) -> Installation | None:
    """The installation that a pg_config belongs to."""
    ask: list[str | Path] = [program, "--bindir", "--sharedir"]
    said = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines()
    return Installation(Path(said[0]), Path(said[1])) if len(said) == 2 else None
