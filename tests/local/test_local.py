"""`bin/up` and `bin/down`, typed in a fresh clone."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from multidb.errors import MigrationError
from multidb.local import installations
from multidb.local.installations import Installation
from tests.support.project import NAMES, ROOT, Postgres, Project, at_once


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Project]:
    """A clone whose .venv is the one that the tests run in, so that nothing is installed again."""
    made = Project.copied(tmp_path / "clone", {})
    made.lend_venv()
    yield made
    made.run("bin/down", "--wipe")


def test_up_brings_ten_databases_and_nothing_need_be_exported(clone: Project) -> None:
    result = clone.run("bin/up")
    assert result.code == 0, result
    table = [line.split() for line in result.out.splitlines()[-10:]]
    assert [row[0] for row in table] == NAMES
    assert [row[1] for row in table] == [f"{name.removesuffix('_db')}_0001" for name in NAMES]
    assert all(row[2].startswith("postgresql://neighbor@127.0.0.1:") for row in table[:-1])
    assert table[-1][2].startswith("sqlite:///")
    again = clone.run("bin/up")
    assert again.out.splitlines()[0] == "nothing to create"
    assert again.out.splitlines()[1:] == result.out.splitlines()[-10:]
    current = clone.run(".venv/bin/alembic", "current", "--check-heads")
    assert current.out.count("(head)") == 10
    drift = clone.run(".venv/bin/python", "-m", "multidb", "drift")  # whose role may make no scratch database here
    assert drift.out.count(": no drift\n") == 10, drift
    assert clone.run("bin/down").out == "stopped\n"
    assert "Connection refused" in clone.run(".venv/bin/alembic", "current").out
    assert clone.run("bin/up").out.splitlines() == again.out.splitlines()
    assert clone.run("bin/down", "--wipe").out == "removed .local\n"
    assert not (clone.root / ".local").exists()
    assert clone.run("bin/down").out == "it was not running\n"


def test_up_goes_on_when_nobody_reads_its_output_any_more(clone: Project) -> None:
    result = clone.run("sh", "-c", "(bin/up; echo $? >code) | head -1")
    assert (clone.root / "code").read_text() == "0\n", result
    assert result.out.count("\n") == 1
    assert clone.run(".venv/bin/alembic", "current", "--check-heads").code == 0


def test_the_development_container_brings_ten_databases(clone: Project) -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["onCreateCommand"].startswith("bin/packages postgresql pgbouncer sqlite3 zsh fish && ")
    assert container["onCreateCommand"].split()[-1] in {path.name for path in ROOT.glob("constraints*.txt")}
    assert clone.run("sh", "-c", container["postStartCommand"]).code == 0
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    python = interpreter.replace("${containerWorkspaceFolder}", str(clone.root))
    assert clone.run(python, "-m", "alembic", "current").out.count("(head)") == len(NAMES)


def test_the_private_server_is_closed_to_others(clone: Project) -> None:
    """It listens on the loopback address only, and asks for a password that only the checkout's owner can read."""
    clone.run("bin/up")
    env = clone.root / ".local/env"
    assert env.stat().st_mode & 0o077 == 0
    lines = dict(line.split("=", 1) for line in env.read_text().splitlines())
    url = lines["DATABASE_SERVER_URL"]
    password = url.split(":")[2].partition("@")[0]
    assert len(password) > 16
    clone.variables["AUTH_DB_URL"] = url.replace(password, "password") + "/auth_db"
    assert "password authentication failed" in clone.run(".venv/bin/alembic", "current").out
    clone.variables["AUTH_DB_URL"] = f"{url}/auth_db"
    assert clone.rows("auth_db", "SHOW listen_addresses") == [("127.0.0.1",)]
    assert int(clone.rows("auth_db", "SHOW max_prepared_transactions")[0][0]) >= len(NAMES)
    assert clone.rows("auth_db", "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]


def test_a_second_up_at_the_same_moment_makes_no_second_server(clone: Project) -> None:
    results = at_once(*[lambda: clone.run("bin/up")] * 2)
    assert any(result.code == 0 for result in results), results
    assert clone.run("bin/up").code == 0
    assert len(_servers(clone.root / ".local/postgres/data")) == 1


def _servers(data: Path) -> list[Path]:
    """The processes that serve a data directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = process.read_bytes().split(b"\0")
            if words[0].endswith(b"/postgres") and str(data.resolve()).encode() in words:
                found.append(process.parent)
    return found


def test_wipe_removes_data_that_no_installed_version_can_read(clone: Project) -> None:
    clone.run("bin/up")
    clone.run("bin/down")
    (clone.root / ".local/postgres/data/PG_VERSION").resolve().write_text("9\n")
    error = clone.run("bin/up").error
    assert "the private server's data are of PostgreSQL 9, which is not installed" in error
    assert clone.run("bin/down", "--wipe").out == "removed .local\n"
    assert not (clone.root / ".local").exists()


def test_an_empty_variable_is_as_good_as_none(clone: Project) -> None:
    clone.variables["DATABASE_SERVER_URL"] = ""
    assert clone.run("bin/up").code == 0
    assert clone.run(".venv/bin/alembic", "current").code == 0


def test_the_files_of_a_killed_first_start_are_replaced(clone: Project) -> None:
    clone.run("bin/up")
    clone.run("bin/down")
    data = (clone.root / ".local/postgres/data").resolve()
    data.rename(data.with_name("data.part"))
    assert clone.run("bin/up").out.count("created database") == 9


def test_a_clone_at_the_path_of_a_deleted_one_begins_with_new_databases(clone: Project) -> None:
    """The deleted clone's server still runs, and its files may be outside of the clone."""
    clone.run("bin/up")
    shutil.rmtree(clone.root / ".local")
    result = clone.run("bin/up")
    assert result.out.count("created database") == 9, result
    assert len(_servers(clone.root / ".local/postgres/data")) == 1


def test_down_without_the_venv_does_not_pretend(clone: Project) -> None:
    clone.run("bin/up")
    (clone.root / ".venv").rename(clone.root / "away")
    assert "run bin/up, then bin/down again" in clone.run("bin/down").error
    (clone.root / "away").rename(clone.root / ".venv")


def test_up_uses_the_server_that_is_exported_and_starts_none(migrated: Project, postgres: Postgres) -> None:
    migrated.variables["DATABASE_SERVER_URL"] = postgres.role_url
    result = migrated.run(sys.executable, "-m", "multidb.local", "up")
    assert result.code == 0, result
    assert result.out.startswith("nothing to create\nauth_db          auth_0001")
    assert not (migrated.root / ".local").exists()


def test_a_failed_migration_ends_up_with_its_exit_code(clone: Project) -> None:
    clone.add_revision("auth_db", 2, 'op.execute("SELECT 1/0")')
    result = clone.run("bin/up")
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: auth_db: ")
    assert "division by zero" in result.err


def installation(folder: Path, major: int, *, postgis: bool) -> Installation:
    """A stand-in for the installation of a major version."""
    made = Installation(folder / f"{major}/bin", folder / f"{major}/share")
    for path, text in (
        (made.binaries / "postgres", f"#!/bin/sh\necho 'postgres (PostgreSQL) {major}.1 (Debian {major}.1-1)'\n"),
        (made.share / ("extension/postgis.control" if postgis else "none"), ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return made


def test_a_new_server_is_of_the_newest_version_that_has_postgis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [installation(tmp_path, major, postgis=major < 18) for major in (18, 17, 15)]
    monkeypatch.setattr(installations, "installations", lambda: versions)
    assert installations.newest_installation().major == 17
    assert installations.installation_of(18) == versions[0]


def test_installations_are_found_in_the_folders_of_debian_and_homebrew_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"usr/lib/postgresql/15": 15, "opt/homebrew/opt/postgresql@18": 18, "usr/local/opt/postgresql@17": 17}
    for place, major in places.items():
        made = installation(tmp_path / place / "cellar", major, postgis=True)
        (made.binaries / "initdb").touch()
        config = tmp_path / place / "bin/pg_config"
        config.parent.mkdir()
        config.write_text(f"#!/bin/sh\nprintf '%s\\n' {made.binaries} {made.share}\n")
        config.chmod(0o755)
    monkeypatch.setattr(installations, "_FOLDERS", [str(tmp_path / each)[1:] for each in installations._FOLDERS])
    monkeypatch.setenv("PATH", os.devnull)
    assert [each.major for each in installations.installations()] == [18, 17, 15]
    assert all(each.has_postgis for each in installations.installations())


def test_without_postgresql_the_error_names_the_script_that_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installations, "installations", list[Installation])
    with pytest.raises(MigrationError, match="run `bin/packages postgresql`, or set DATABASE_SERVER_URL"):
        installations.newest_installation()
