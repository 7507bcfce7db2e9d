"""The compose file: it is valid, names no secret, and its services do in their order what they should."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from sqlalchemy.engine import make_url

from multidb.config import reader
from multidb.config.settings import of_a_run
from tests.deploy.test_image import variables_of_the_image
from tests.support.project import ON_POSTGRESQL, ROOT, Postgres, Project, Result

FILE = ROOT / "deploy/compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_it_is_valid_by_the_published_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_names_no_secret() -> None:
    assert not re.search(r"://[^\s:/@]+:[^\s@]+@", FILE.read_text())
    for name, service in SERVICES.items():
        for variable in service["environment"]:
            if re.search("PASSWORD|SERVER_URL|ADMIN_URL", variable):
                assert variable.endswith("_FILE"), name
    for secret in COMPOSE["secrets"].values():
        file = FILE.parent / secret["file"]
        ignored = subprocess.run(["git", "check-ignore", "-q", file], cwd=ROOT, check=False)
        assert ignored.returncode == 0, file


def test_every_secret_that_a_service_reads_is_given_to_it() -> None:
    for name, service in SERVICES.items():
        read = re.findall(r"/run/secrets/(\w+)", str(service["environment"]))
        assert set(read) == set(service["secrets"]), name
        assert set(read) <= set(COMPOSE["secrets"])


def test_our_containers_are_read_only_and_have_no_rights() -> None:
    ours = {name: service for name, service in SERVICES.items() if name != "postgres"}
    assert set(ours) == {"create", "migrate", "auth"}
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_each_waits_for_the_one_before() -> None:
    waits = {name: service.get("depends_on") for name, service in SERVICES.items()}
    assert waits == {
        "postgres": None,
        "create": {"postgres": {"condition": "service_healthy"}},
        "migrate": {"create": {"condition": "service_completed_successfully"}},
        "auth": {"migrate": {"condition": "service_completed_successfully"}},
    }
    assert SERVICES["postgres"]["healthcheck"]["test"][0] == "CMD"


def test_the_migrator_refuses_to_degrade_and_limits_locks() -> None:
    assert limits_with(SERVICES["migrate"]["environment"]) == ("required", 10.0)


@pytest.fixture
def bare(another: Postgres) -> Postgres:
    """A server without the project's role and databases."""
    another.restart("max_prepared_transactions", "synchronous_standby_names")
    return another


@pytest.mark.slow
def test_from_nothing_to_a_service_that_runs(bare: Postgres, tmp_path: Path) -> None:
    """As Compose would start them: by their own commands and variables, with the secrets as files."""
    project = Project.copied(tmp_path / "image", {})
    project.lend_venv()
    admin = make_url(bare.admin_url)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "admin_url").write_text(f"postgresql://postgres:{admin.password}@{admin.host}:{admin.port}/postgres\n")
    (secrets / "server_url").write_text(f"postgresql://composed:p%40ss%2Fw@{admin.host}:{admin.port}\n")

    def run(name: str, *instead: str) -> Result:
        declared = {key: str(value).replace("/run/secrets", str(secrets)) for key, value in environment(name).items()}
        path = f"{project.root}/.venv/bin:/usr/bin:/bin"
        project.variables = declared | {"INVESTMENT_DB_URL": f"sqlite:///{tmp_path}/investment.db", "PATH": path}
        return project.run("deploy/docker-entrypoint.sh", *(instead or SERVICES[name].get("command", [])))

    try:
        assert run("create").code == 0
        migrated = run("migrate")
        assert migrated.code == 0, migrated
        assert "two-phase commit" in migrated.err
        assert run("auth", "echo", "started").out == "started\n"
        assert (run("create").code, run("migrate").code) == (0, 0)  # `docker compose up` once more
    finally:
        for name in ON_POSTGRESQL:
            bare.as_admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        bare.as_admin("DROP ROLE IF EXISTS composed")


def limits_with(variables: Mapping[str, str]) -> tuple[str, float]:
    """`two_phase` and `lock_hold` of the project's own databases.yaml, with these variables."""
    with patch.dict(os.environ, variables):
        settings = of_a_run(reader.load(ROOT / "databases.yaml").options, [])
    return settings.two_phase, settings.lock_hold


def environment(name: str) -> dict[str, str]:
    """A service's variables, with Compose's own default in the place of `${RELEASE:-local}`."""
    return variables_of_the_image() | {
        key: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value) for key, value in SERVICES[name]["environment"].items()
    }
