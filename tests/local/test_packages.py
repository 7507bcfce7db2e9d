"""`bin/packages` on systems that have more or less: its programs and PostgreSQL's folders are stand-ins."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

TOOLS = ["basename", "env", "grep", "head", "paste", "sed", "sh", "sort"]
LISTS = "postgresql-9-postgis-3 - old\\npostgresql-17-postgis-3 - new\\npostgresql-17-postgis-3-scripts - more\\n"
INSTALL = "install -qq -y --no-install-recommends"


class System:
    """A system of Debian's kind, whose user is root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        for tool in TOOLS:
            (folder / "bin" / tool).symlink_to(shutil.which(tool) or "")
        self.program("id", "echo 0")
        self.program("apt-get", f'echo "$*" >>{folder}/calls')
        self.program("apt-cache", f"printf '{LISTS}'")

    def program(self, name: str, script: str) -> None:
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def postgresql(self, version: int, *, postgis: bool) -> None:
        initdb = self.folder / f"lib/postgresql/{version}/bin/initdb"
        initdb.parent.mkdir(parents=True)
        initdb.touch(0o755)
        share = self.folder / f"share/postgresql/{version}"
        self.pg_config(initdb.with_name("pg_config"), initdb.parent, share)
        if postgis:
            (share / "extension").mkdir(parents=True)
            (share / "extension/postgis.control").touch()

    def pg_config(self, path: Path, binaries: Path, share: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\ncase $1 in --bindir) echo {binaries} ;; --sharedir) echo {share} ;; esac\n")
        path.chmod(0o755)

    def packages(self, *names: str) -> subprocess.CompletedProcess[str]:
        script = (ROOT / "bin/packages").read_text()
        for place in ("/usr/lib/postgresql", "/opt/homebrew", "/usr/local", "/home/linuxbrew", "/usr/sbin"):
            assert place in script
            script = script.replace(place, f"{self.folder}{place.removeprefix('/usr')}")
        command = ["/bin/sh", "-c", script, "bin/packages", *names]
        variables = {"PATH": str(self.folder / "bin")}
        return subprocess.run(
            command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    @property
    def calls(self) -> list[str]:
        """The arguments of each apt-get."""
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_where_nothing_is_missing_nothing_happens(system: System) -> None:
    system.postgresql(15, postgis=True)
    system.postgresql(17, postgis=False)
    done = system.packages("postgresql", "sed")
    assert (done.returncode, done.stdout, done.stderr, system.calls) == (0, "", "", [])


def test_what_is_missing_is_installed_without_questions(system: System) -> None:
    done = system.packages("postgresql", "sed", "sqlite3", "python3.13-venv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "installing the packages of postgresql sqlite3 python3.13-venv ...\n"
    assert system.calls == ["update -qq", f"{INSTALL} postgresql-17-postgis-3 sqlite3 python3.13-venv"]


def test_a_postgresql_without_postgis_gets_the_package_of_its_own_version(system: System) -> None:
    system.postgresql(9, postgis=False)
    system.postgresql(15, postgis=False)
    assert system.packages("postgresql").returncode == 0
    assert system.calls[-1] == f"{INSTALL} postgresql-15-postgis-3"


@pytest.mark.parametrize(
    "config",
    [
        "bin",
        "opt/homebrew/opt/postgresql@17/bin",
        "local/opt/postgresql@18/bin",
        "home/linuxbrew/.linuxbrew/opt/postgresql@16/bin",
    ],
)
def test_a_postgresql_of_another_origin_is_found_by_its_pg_config(system: System, config: str) -> None:
    system.postgresql(16, postgis=True)
    origin = system.folder / "elsewhere"
    origin.mkdir()
    for part in ("lib", "share"):
        (system.folder / part).rename(origin / part)
    binaries, share = origin / "lib/postgresql/16/bin", origin / "share/postgresql/16"
    system.pg_config(system.folder / config / "pg_config", binaries, share)
    (system.folder / "bin/apt-get").unlink()
    assert system.packages("postgresql").returncode == 0
    (share / "extension/postgis.control").unlink()
    assert system.packages("postgresql").returncode == 1


def test_a_user_who_may_become_root_installs_with_sudo(system: System) -> None:
    system.program("id", "echo 1000")
    system.program("sudo", 'if [ "$1" = -n ]; then exit 0; fi; exec "$@" as-root')
    assert system.packages("sqlite3").returncode == 0
    assert system.calls == ["update -qq as-root", f"{INSTALL} sqlite3 as-root"]


@pytest.mark.parametrize("sudo", ["exit 1", None])
def test_another_user_is_told_what_to_install(system: System, sudo: str | None) -> None:
    system.program("id", "echo 1000")
    if sudo:
        system.program("sudo", sudo)
    done = system.packages("sqlite3", "postgresql")
    assert (done.returncode, done.stdout, system.calls) == (1, "", [])
    assert done.stderr == (
        "error: missing: sqlite3 postgresql: run `apt-get install sqlite3 postgresql-17-postgis-3` as root, "
        "or set DATABASE_SERVER_URL [MDB806]\n"
    )
    assert (
        system.packages("sqlite3").stderr == "error: missing: sqlite3: run `apt-get install sqlite3` as root [MDB806]\n"
    )


def test_before_the_package_lists_are_there_the_package_of_no_version_is_named(system: System) -> None:
    system.program("apt-cache", "exit 0")
    assert system.packages("postgresql").returncode == 0
    assert system.calls[-1] == f"{INSTALL} postgresql-postgis"


def test_a_system_without_apt_names_what_is_missing(system: System) -> None:
    (system.folder / "bin/apt-get").unlink()
    done = system.packages("postgresql", "sqlite3")
    assert done.returncode == 1
    assert done.stderr == (
        "error: missing: postgresql sqlite3: install them, PostgreSQL 15 or newer with PostGIS "
        "(with Homebrew: `brew install postgresql@18 postgis`), or set DATABASE_SERVER_URL [MDB806]\n"
    )
    assert (
        system.packages("sqlite3").stderr
        == "error: missing: sqlite3: install with the package manager of this system [MDB806]\n"
    )


def test_the_error_of_a_failed_installation_is_that_of_apt(system: System) -> None:
    system.program("apt-get", 'echo "W: slow" >&2; echo "E: no network" >&2; exit 100')
    done = system.packages("sqlite3")
    assert (done.returncode, done.stderr) == (1, "error: `apt-get update -qq` failed: E: no network [MDB806]\n")
