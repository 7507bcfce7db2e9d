"""The image by a container engine: it is built, migrates ten databases, stops, and is healthy, alone and in Compose.

`bin/test -e image` runs these tests, where an engine is there or can be installed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sqlalchemy.engine import make_url

from multidb.config import reader
from multidb.database import locks
from tests.support.engine import IMAGE, STAND_INS, Engine, NoEngineError
from tests.support.project import ROOT, Postgres, Result

pytestmark = pytest.mark.image

NAME = "neighbor-migrations-tested"
# As Compose and Kubernetes run it. The server of the tests is on this machine's own address.
RESTRICTED = ("--network=host", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
DATABASES = reader.load(ROOT / "databases.yaml").names


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine with the image."""
    try:
        found = Engine.found(tmp_path_factory.mktemp("engine"))
        found.build()
    except NoEngineError as error:
        pytest.skip(str(error))
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for at most a minute."""
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.2)


class Container:
    """Starts the image with the variables of a server, and a volume for the file of SQLite."""

    def __init__(self, engine: Engine, server: Postgres) -> None:
        self.engine = engine
        address = make_url(server.admin_url)
        urls = {
            "DATABASE_SERVER_URL": f"postgresql://contained:s3cret@{address.host}:{address.port}",
            "DATABASE_ADMIN_URL": server.admin_url,
        }
        self.variables = [f"--env={key}={value}" for key, value in urls.items()]

    def run(self, *command: str, options: tuple[str, ...] = ("--rm",), **variables: str) -> Result:
        own = [f"--env={key}={value}" for key, value in variables.items()]
        volume = f"--volume={NAME}:/var/lib/neighbor"
        return self.engine.run("run", *options, *RESTRICTED, volume, *self.variables, *own, IMAGE, *command)

    def migrated(self) -> Result:
        return self.run(MIGRATE_TWO_PHASE="required", MIGRATE_RELEASE="2026-12-01")

    def wait_for(self, text: str) -> None:
        """Wait until a container in the background has logged a text."""
        wait_until(lambda: text in (logs := self.engine.run("logs", NAME)).out + logs.err)

    def stopped(self) -> int:
        """Stop a container in the background, by SIGTERM alone. Returns its exit code."""
        began = time.monotonic()
        self.engine.done("stop", "--time=30", NAME)
        assert time.monotonic() - began < 15  # the engine has not killed it
        return int(self.engine.done("inspect", "--format", "{{.State.ExitCode}}", NAME))


@pytest.fixture
def container(engine: Engine, another: Postgres) -> Iterator[Container]:
    """The image beside a server on which nothing but its databases, empty, is there."""
    another.restart("max_prepared_transactions", "synchronous_standby_names")
    made = Container(engine, another)
    created = made.run("python", "-m", "multidb", "create", MIGRATE="skip")
    assert created.code == 0, created
    yield made
    engine.run("kill", NAME)
    engine.run("rm", "--force", NAME)
    engine.run("volume", "rm", "--force", NAME)
    for name in DATABASES:
        another.as_admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    another.as_admin("DROP ROLE contained")


def test_it_migrates_all_databases_with_nothing_but_its_user(container: Container) -> None:
    migrated = container.migrated()
    assert migrated.code == 0, migrated
    assert f"two-phase commit of {len(DATABASES)} databases" in migrated.err
    status = container.run("python", "-m", "multidb", "status", MIGRATE="skip")
    assert (status.code, [line.split()[0] for line in status.out.splitlines()[1:]]) == (0, list(DATABASES))
    log = container.run("python", "-m", "multidb", "log", "auth_db", MIGRATE="skip").out
    assert "2026-12-01" in log
    assert "0123abc" in log
    facts = (
        "id -u; id -g; grep -c '^Cap.*:.0*$' /proc/self/status; touch /opt/migrations/x || touch /var/lib/neighbor/y"
    )
    rights = container.run("sh", "-c", facts, MIGRATE="skip")
    assert rights.out.split() == ["10001", "10001", "5"], rights  # no capability in any of the five sets
    assert "Read-only file system" in rights.err


def test_it_is_healthy_while_its_databases_are_at_head(container: Container) -> None:
    started = container.run("sleep", "600", options=("--detach", f"--name={NAME}"), MIGRATE="skip")
    assert started.code == 0, started
    health = container.engine.health()
    sick = container.engine.run("exec", NAME, *health)
    assert "auth_db is at <base>" in sick.error
    assert container.migrated().code == 0
    assert container.engine.run("exec", NAME, *health).code == 0


@contextmanager
def locked(server: Postgres, database: str) -> Iterator[None]:
    """The lock of a run, held by another session."""
    with closing(psycopg2.connect(server.url(database, admin=True))) as connection:
        connection.cursor().execute("SELECT pg_advisory_lock(%s)", [locks.KEY])
        yield


def test_a_stop_ends_a_migration_at_once_and_changes_nothing(container: Container, another: Postgres) -> None:
    with locked(another, "auth_db"):
        started = container.run(options=("--detach", f"--name={NAME}"), MIGRATE_WAIT="0")
        assert started.code == 0, started
        container.wait_for("waiting for")
        assert container.stopped() == 1
    assert container.engine.run("logs", NAME).err.rstrip().endswith("; no database was changed [MDB605]")
    assert container.run("python", "-m", "multidb", "status", MIGRATE="skip").code == 2


def test_a_stop_reaches_the_service_that_has_been_started(container: Container) -> None:
    assert container.migrated().code == 0
    service = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up', flush=True)"
    forever = "while True: signal.pause()"
    container.run("python", "-c", f"{service}\n{forever}", options=("--detach", f"--name={NAME}"))
    container.wait_for("up")
    assert container.stopped() == 7


def test_the_labels_say_what_it_is(engine: Engine) -> None:
    form = '{{index .Config.Labels "org.opencontainers.image.version"}} {{.Config.User}}'
    assert engine.done("image", "inspect", "--format", form, IMAGE).split() == ["tested", "10001:10001"]


def test_the_bill_of_materials_names_what_is_in_it(engine: Engine) -> None:
    program = [sys.executable, "deploy/ci/sbom.py", "--engine", shlex.join(engine.command), IMAGE]
    done = subprocess.run(
        program, cwd=ROOT, env=os.environ | engine.variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.stdout) is None
    bill = json.loads(done.stdout)
    image = bill["metadata"]["component"]
    assert (image["type"], image["version"], image["properties"][0]["value"]) == ("container", "tested", "0123abc")
    found = {each["purl"].partition("@")[0] for each in bill["components"]}
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints-report.txt").read_text(), re.MULTILINE))
    assert {url.removeprefix("pkg:pypi/") for url in found if url.startswith("pkg:pypi/")} == pinned
    assert {"pkg:generic/python", "pkg:deb/debian/libc6"} <= found


@pytest.fixture
def composed(engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """Compose, with a copy of the file, its secrets as docs/deployment.md makes them, and the image of the tests."""
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["postgres"]
    engine.provide(f"docker.io/{service['image']}", STAND_INS / "postgis")
    engine.done("tag", IMAGE, "neighbor-migrations:tested")
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/compose.yaml", tmp_path / "deploy")
    page = (ROOT / "docs/deployment.md").read_text()
    [secrets] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "deploy/secrets" in block]
    subprocess.run(["sh", "-ec", secrets], cwd=tmp_path, check=True)
    compose = engine.compose
    command = (*compose.command, "-p", NAME, "-f", str(tmp_path / "deploy/compose.yaml"))
    made = Engine(command, {**compose.variables, "RELEASE": "tested"})
    yield made
    made.run("down", "--volumes", "--timeout=2")


def test_the_services_of_compose_do_their_part_one_after_the_other(composed: Engine, engine: Engine) -> None:
    """By a command each: Debian 12's Podman has no condition on health, and no dependency of a dependency."""
    composed.done("up", "--detach", "postgres")
    ready = ("exec", "-T", "postgres", "pg_isready", "--host=127.0.0.1", "--username=postgres")
    wait_until(lambda: composed.run(*ready).code == 0)
    once = ("run", "--rm", "--no-deps", "-T")
    composed.done(*once, "create")
    migrated = composed.run(*once, "migrate")
    assert migrated.code == 0, migrated
    assert f"committed in {len(DATABASES)} databases" in migrated.err + migrated.out
    composed.done("run", "--detach", "--no-deps", "--name", NAME, "auth")
    try:
        answer = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000').status)"
        wait_until(lambda: engine.run("exec", NAME, "python", "-c", answer).out.strip() == "200")
        assert "Read-only file system" in engine.run("exec", NAME, "touch", "/opt/migrations/x").err
    finally:
        engine.run("kill", NAME)
        engine.run("rm", "--force", NAME)
