"""The deployment page and the way from the old set-up, followed literally, and what they say exists."""

import re
import shlex
import shutil

import pytest

from tests.deploy.test_pipelines import repository
from tests.support.project import NAMES, ROOT, Project

__all__ = ["repository"]
DEPLOY = (ROOT / "deploy/README.md").read_text()
WAY = (ROOT / "docs/migrating-from-per-service-alembic.md").read_text()
ENTRYPOINT = (ROOT / "deploy/docker-entrypoint.sh").read_text()
# What takes a container engine or a cluster.
ELSEWHERE = re.compile(r"^(docker (build|compose)|kubectl (create|apply|-n))\b", re.MULTILINE)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def follow(project: Project, page: str) -> list[str]:
    """Type a page's commands, block by block. Returns what each printed."""
    printed = []
    for block in blocks(page):
        if ELSEWHERE.search(block) or ("kubectl" in block and not shutil.which("kubectl")):
            assert project.run("sh", "-n", "-c", block).code == 0
            continue
        result = project.run("sh", "-ec", block)
        assert result.code == 0, (block, result)
        printed.append(result.out)
    return printed


def test_the_deployment_page_can_be_followed_literally(repository: Project) -> None:
    for command in (["remote", "add", "origin", "."], ["fetch", "--quiet", "origin"]):
        assert repository.run("git", *command).code == 0
    try:
        printed = follow(repository, DEPLOY)
        assert "the service starts\n" in printed[0]
        secrets = repository.root / "deploy/secrets"
        assert secrets.stat().st_mode & 0o777 == 0o700
        password = (secrets / "admin_password").read_text().strip()
        assert (secrets / "admin_url").read_text() == f"postgresql://postgres:{password}@postgres:5432/postgres\n"
        assert repository.run("git", "status", "--porcelain", "deploy/secrets").out == ""
        if shutil.which("kubectl"):
            assert "  name: migrate-2026-12-01\n" in printed
    finally:
        repository.run("bin/down", "--wipe")


def test_its_commands_for_elsewhere_name_what_is_there() -> None:
    for command in (line for block in blocks(DEPLOY) for line in block.splitlines() if ELSEWHERE.match(line)):
        for word in shlex.split(command.replace("\\", "")):
            if "deploy/" in word:
                assert (ROOT / word).exists(), command


def test_its_places_are_there() -> None:
    places = re.findall(r"`((?:ci|k8s)/[\w/.-]+|Dockerfile|compose\.yaml|docker-entrypoint\.sh)`", DEPLOY)
    assert len(places) > 8
    for place in places:
        assert (ROOT / "deploy" / place).exists(), place
    components = re.findall(r"^\| `([\w-]+)` \| ", DEPLOY.split("An overlay may add")[1].split("## ")[0], re.MULTILINE)
    assert set(components) < {path.name for path in (ROOT / "deploy/k8s/components").iterdir()}


def test_it_names_every_variable_of_the_entrypoint_and_its_default() -> None:
    rows = dict(re.findall(r"^\| `(MIGRATE_\w+)` \| (.*) \|$", DEPLOY, re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(MIGRATE_\w+):-(\w*)\}", ENTRYPOINT))
    assert set(rows) == set(defaults) == set(re.findall(r"MIGRATE_\w+", ENTRYPOINT))
    for variable, default in defaults.items():
        if default:
            assert re.search(rf"default `?{default}\b", rows[variable]), variable


def test_a_running_platform_can_follow_the_way(legacy: Project) -> None:
    legacy.lend_venv()
    before = {name: legacy.rows(name, f"SELECT count(*) FROM {table}") for name, table in TABLES.items()}
    dry, taken, _, _, service, _ = follow(legacy, WAY)
    assert dry.count("would be recorded at") == dry.count("equals") == len(NAMES)
    assert taken.count(": no drift") == taken.count("takeover (adopt)") == len(NAMES)
    assert service == "the service starts\n"
    assert legacy.versions() == legacy.at(1)
    assert {name: legacy.rows(name, f"SELECT count(*) FROM {table}") for name, table in TABLES.items()} == before


TABLES = {"auth_db": "users", "payment_db": "payments", "investment_db": "investments"}


def test_what_it_says_of_an_old_service_is_what_alembic_says(legacy: Project) -> None:
    """Why the services stop to migrate before their databases are taken over."""
    [said] = re.findall(r"`(Can't locate[^`]+)`", WAY)
    service = Project(legacy.root / "service", {})
    service.root.mkdir()
    service.done("init", "alembic")
    service.write("alembic/versions/0001.py", 'revision = "0001"\ndown_revision = None\n')
    url = legacy.variables["AUTH_DB_URL"].replace("postgresql:", "postgresql+psycopg2:").replace("%", "%%")
    text = (service.root / "alembic.ini").read_text()
    service.write("alembic.ini", re.sub(r"^sqlalchemy.url = .*$", f"sqlalchemy.url = {url}", text, flags=re.MULTILINE))
    service.done("upgrade", "head")
    assert legacy.multidb("adopt").code == 0
    assert said in service.alembic("upgrade", "head").out
    assert legacy.multidb("rollback", "--yes").code == 0
    service.done("upgrade", "head")


@pytest.mark.parametrize("page", [DEPLOY, WAY])
def test_every_link_leads_somewhere(page: str) -> None:
    folder = ROOT / ("deploy" if page is DEPLOY else "docs")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page) if "://" not in link]
    assert links
    for link in links:
        assert (folder / link).exists(), link
