"""The pages, followed from top to bottom as they are written: files are written, commands run, output compared."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from multidb.config import reader
from tests.deploy.test_kubernetes import assert_says_the_same
from tests.deploy.test_pipelines import repository
from tests.local.test_local import clone
from tests.support.manifests import rendered
from tests.support.pages import Page, follow, revision, typed
from tests.support.project import NAMES, ROOT, Postgres, Project
from tests.support.runs import interrupt

__all__ = ["clone", "repository"]


def test_the_quick_start_of_the_readme(clone: Project) -> None:
    follow(clone, Page.named("README.md"), "Quick start")


def test_the_chinese_quick_start(clone: Project) -> None:
    page = Page.named("docs/zh-CN/quick-start.md")
    for heading in ("启动十个数据库", "第一次查看状态", "停止"):
        follow(clone, page, heading)
    assert not (clone.root / "investment.db").exists()


def test_the_chinese_everyday_commands(migrated: Project) -> None:
    migrated.lend_venv()
    page = Page.named("docs/zh-CN/everyday-commands.md")
    for heading in ("首次迁移", "创建新迁移", "回滚", "查看状态"):
        follow(migrated, page, heading)


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("docs/adding-a-table.md", None),
        ("docs/adding-a-database.md", "Add a database on PostgreSQL"),
        ("docs/adding-a-database.md", "Add a database on SQLite"),
    ],
)
def test_a_step_by_step_page(clone: Project, page: str, heading: str | None) -> None:
    assert clone.run("bin/up").code == 0
    before = set((clone.root / "migrations/versions").glob("*/*.py"))
    follow(clone, Page.named(page), heading)
    [written] = set((clone.root / "migrations/versions").glob("*/*.py")) - before
    lint = clone.run(Path(sys.prefix) / "bin/ruff", "check", "--config", ROOT / "pyproject.toml", str(written))
    assert lint.code == 0, lint.out
    assert clone.run(".venv/bin/alembic", "check").out == "No new upgrade operations detected.\n"
    if shutil.which("kubectl") and heading != "Add a database on SQLite":
        manifests = rendered(clone.root / "deploy/k8s/overlays/production")
        assert_says_the_same(manifests, reader.load(clone.root / "databases.yaml"))


def test_writing_revisions(migrated: Project) -> None:
    migrated.lend_venv()
    follow(migrated, Page.named("docs/writing-revisions.md"), "Write, read, run")


def test_the_commands(migrated: Project, postgres: Postgres) -> None:
    """The page starts with a pending revision in each of two databases."""
    migrated.variables |= postgres.scratch
    migrated.lend_venv()
    add_column(migrated, "auth_db", "auth_0002_add_phone", "users", "phone")
    add_column(migrated, "user_db", "user_0002_add_nickname", "user_profiles", "nickname")
    follow(migrated, Page.named("docs/commands.md"))


def test_drift(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.lend_venv()
    follow(few, Page.named("docs/drift.md"))


def test_adopting_existing_databases(legacy: Project) -> None:
    legacy.lend_venv()
    page = Page.named("docs/adopting-existing-databases.md")
    follow(legacy, page, "How it works")
    follow(legacy, page, "Repair differences")


def test_the_runbook(migrated: Project) -> None:
    """Begun by an upgrade whose coordinator was killed after the decision, and before the commit of auth_db."""
    migrated.lend_venv()
    page = Page.named("docs/runbook.md")
    add_column(migrated, "auth_db", "auth_0002_add_phone", "users", "phone")
    add_column(migrated, "user_db", "user_0002_add_nickname", "user_profiles", "nickname")
    interrupt(migrated, ["SIGKILL:coordinator", "after", "commit", "user_db"], "alembic", "upgrade", "heads")
    follow(migrated, page, "Exit code 3: a database is in doubt")
    follow(migrated, page, "Look first")
    migrated.rows("auth_db", "INSERT INTO users (user_id, email, password_hash, full_name) "
                  "SELECT gen_random_uuid(), x, x, 'Ann Lee' FROM unnest(ARRAY['a', 'b']) x")  # fmt: skip
    slug = "auth_0003_unique_names"
    index = 'op.create_index("ix_users_full_name", "users", ["full_name"], unique=True, postgresql_concurrently=True)'
    text = revision(slug, index, 'op.drop_index("ix_users_full_name", "users", postgresql_concurrently=True)')
    file = migrated.write(f"migrations/versions/auth_db/{slug}.py", text.replace("depends_on = None", OUTSIDE))
    add_column(migrated, "user_db", "user_0003_add_website", "user_profiles", "website")
    follow(migrated, page, "Exit code 3: done in part")
    file.unlink()
    follow(migrated, page, "Revert a release")
    add_column(migrated, "user_db", "user_0004_add_city", "user_profiles", "city")
    follow(migrated, page, "A release hangs")


OUTSIDE = "depends_on = None\noutside_transaction = True"


def add_column(project: Project, database: str, slug: str, table: str, column: str) -> None:
    """Write a revision that adds a column."""
    up = f'op.add_column("{table}", sa.Column("{column}", sa.String(50)))'
    project.write(
        f"migrations/versions/{database}/{slug}.py", revision(slug, up, f'op.drop_column("{table}", "{column}")')
    )


# What takes a container engine or a cluster.
ELSEWHERE = re.compile(
    r"^(docker (build|compose)|kubectl (create|apply|-n)|\.venv/bin/python deploy/ci/sbom)\b", re.MULTILINE
)


def follow_here(project: Project, page: Page) -> list[str]:
    """Type a page's `sh` blocks, and check the syntax of those for elsewhere. Returns what each printed."""
    printed = []
    for block in page.blocks():
        if block.language != "sh":
            continue
        if ELSEWHERE.search(block.code) or ("kubectl" in block.code and not shutil.which("kubectl")):
            assert project.run("sh", "-n", "-c", block.code).code == 0
            continue
        printed.append(typed(project, block.code).out)
    return printed


def test_deployment(repository: Project) -> None:
    for command in (["remote", "add", "origin", "."], ["fetch", "--quiet", "origin"]):
        assert repository.run("git", *command).code == 0
    try:
        printed = follow_here(repository, Page.named("docs/deployment.md"))
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


WAY = Page.named("docs/migrating-from-per-service-alembic.md")
TABLES = {"auth_db": "users", "payment_db": "payments", "investment_db": "investments"}


def test_migrating_from_per_service_alembic(legacy: Project) -> None:
    legacy.lend_venv()
    before = {name: legacy.rows(name, f"SELECT count(*) FROM {table}") for name, table in TABLES.items()}
    dry, taken, _, _, service, _ = follow_here(legacy, WAY)
    assert dry.count("would be recorded at") == dry.count("equals") == len(NAMES)
    assert taken.count(": no drift") == taken.count("takeover (adopt)") == len(NAMES)
    assert service == "the service starts\n"
    assert legacy.versions() == legacy.at(1)
    assert {name: legacy.rows(name, f"SELECT count(*) FROM {table}") for name, table in TABLES.items()} == before


def test_what_the_way_says_of_an_old_service_is_what_alembic_says(legacy: Project) -> None:
    """Why migrations stop running from the services before the databases are adopted."""
    [said] = re.findall(r"`(Can't locate[^`]+)`", WAY.text)
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


def test_adding_a_command(checkout: Project) -> None:
    [block] = [
        block for block in Page.named("docs/architecture.md").blocks("Add a command") if block.language == "python"
    ]
    checkout.write("multidb/commands/names.py", block.code)
    result = checkout.multidb("names", "auth_db", "user_db")
    assert (result.out, result.code) == ("auth_db\nuser_db\n", 0), result
    assert "print the databases of databases.yaml" in checkout.multidb("--help").out
