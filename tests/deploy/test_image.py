"""The image: what it is made of, and that this is all that running takes."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import NAMES, ROOT, Postgres, Project

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
BIN = Path(sys.prefix) / "bin"
SHEBANG = re.compile(rb"#!(/bin/sh|/usr/bin/env bash)\n")


def instructions(stage: str) -> Iterator[tuple[str, str]]:
    """What one stage of the Dockerfile does, in order: `("COPY", "alembic.ini databases.yaml ./")`."""
    [text] = [part for part in re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE) if re.match(stage, part)]
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


BUILD, FINAL = (r"FROM \S+ AS build\n", r"FROM \S+\n")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the build stage makes, by its own instructions: its copies, and its commands as written."""
    folder = tmp_path_factory.mktemp("image") / "migrations"
    folder.mkdir()
    checkout = Project.copied(folder.parent / "checkout", {})
    checkout.complete()
    python = folder.parent / "python"
    python.symlink_to(Path(sys.base_prefix) / "bin/python3")
    for word, rest in instructions(BUILD):
        if word == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                found = checkout.root / source
                _copy(found, folder / target / ("" if found.is_dir() else found.name))
        elif word == "RUN":
            subprocess.run(["sh", "-ec", f'PATH="{folder.parent}:$PATH"; {rest}'], cwd=folder, check=True)
    return folder


def _copy(source: Path, target: Path) -> None:
    """As from a checkout with a umask of 077."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)


def variables_of_the_image() -> dict[str, str]:
    """What the image says of how it migrates, and of Python."""
    [env] = [rest for word, rest in instructions(FINAL) if word == "ENV"]
    found = dict(re.findall(r"\b(MIGRATE|PYTHON\w+)=(\w+)", env))
    assert found["MIGRATE"] == "upgrade"
    return found


@pytest.fixture
def image(built: Path, project: Project, tmp_path: Path) -> Project:
    """That folder, and ten empty databases."""
    variables = project.variables | {"INVESTMENT_DB_URL": f"sqlite:///{tmp_path}/investment.db"}
    return Project(built, variables | variables_of_the_image())


def test_what_is_in_it_migrates_ten_databases_and_starts_services(image: Project) -> None:
    before = sorted(image.root.rglob("*"))
    migrated = image.run("deploy/docker-entrypoint.sh", "echo", "migrated")
    assert (migrated.code, migrated.out.splitlines()[-1]) == (0, "migrated"), migrated
    status = image.run(".venv/bin/python", "-m", "multidb", "status")
    assert status.code == 0
    assert [line.split()[0] for line in status.out.splitlines()[1:]] == NAMES
    assert sorted(image.root.rglob("*")) == before  # nothing is written into it


def test_it_finds_drift(image: Project, postgres: Postgres) -> None:
    image.variables |= postgres.scratch
    assert image.run("deploy/docker-entrypoint.sh", ".venv/bin/python", "-m", "multidb", "drift").code == 0


def test_it_is_healthy_while_its_databases_are_at_head(image: Project) -> None:
    [health] = [rest for word, rest in instructions(FINAL) if word == "HEALTHCHECK"]
    words = shlex.split(health.partition("CMD")[2].strip("[] ").replace(",", " "))
    command = [word.replace("/opt/migrations", str(image.root)) for word in words]
    sick = image.run(*command)
    assert "investment_db: there is no file " in sick.error
    assert image.run("deploy/docker-entrypoint.sh").code == 0
    assert image.run(*command).code == 0


def test_every_user_may_read_its_files_and_only_the_owner_may_change_them(built: Path) -> None:
    for path in built.rglob("*"):
        if not path.is_symlink():
            readable = 0o055 if path.is_dir() else 0o044
            assert path.stat().st_mode & 0o077 == readable | (path.stat().st_mode & 0o011), path


def test_it_holds_only_what_running_needs(built: Path) -> None:
    assert {path.name for path in built.iterdir()} == {
        ".venv", "alembic.ini", "constraints-report.txt", "databases.yaml", "deploy", "migrations", "multidb",
    }  # fmt: skip
    assert [path.name for path in (built / "deploy").iterdir()] == ["docker-entrypoint.sh"]
    assert not list(built.glob(".venv/lib/python*/site-packages/pip*"))


def test_every_package_has_the_hash_that_the_constraints_say() -> None:
    [install] = [rest for word, rest in instructions(BUILD) if "pip install" in rest]
    assert {"--require-hashes", "--only-binary"} <= set(install.split())


def test_the_build_sends_what_is_copied_and_nothing_else() -> None:
    sources = {source for word, rest in instructions(BUILD) if word == "COPY" for source in shlex.split(rest)[:-1]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == sources


def test_it_runs_as_an_unprivileged_user_from_pinned_images() -> None:
    final = list(instructions(FINAL))
    users = [rest for word, rest in final if word == "USER"]
    assert users == ["10001:10001"]
    images = {rest.split()[0] for stage in (BUILD, FINAL) for word, rest in instructions(stage) if word == "FROM"}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images.pop())


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [BIN / "hadolint", "deploy/Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_shellcheck_finds_nothing_in_any_script() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    scripts = [file for file in files if file and SHEBANG.match((ROOT / file).read_bytes()[:40])]
    assert {"bin/up", "deploy/docker-entrypoint.sh"} <= set(scripts)
    done = subprocess.run([BIN / "shellcheck", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
