"""The pages, followed from top to bottom as they are written: files are written, commands run, output compared."""

import shutil
import sys
from pathlib import Path

import pytest

from multidb.config import configuration as config
from tests.support.project import ROOT, Postgres, Project
from tests.support.pages import Page, follow, revision
from tests.support.runs import interrupt
from tests.deploy.test_kubernetes import assert_says_the_same, rendered
from tests.local.test_local import clone

__all__ = ["clone"]


def test_the_quick_start_of_the_readme(clone: Project) -> None:
    follow(clone, Page.named("README.md"), "Quick start")


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
        assert_says_the_same(manifests, config.load(clone.root / "databases.yaml"))


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


def test_drift(migrated: Project, postgres: Postgres) -> None:
    migrated.variables |= postgres.scratch
    migrated.lend_venv()
    follow(migrated, Page.named("docs/drift.md"))


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
    follow(migrated, page, "It waits for a lock")


OUTSIDE = "depends_on = None\noutside_transaction = True"


def add_column(project: Project, database: str, slug: str, table: str, column: str) -> None:
    """Write a revision that adds a column."""
    up = f'op.add_column("{table}", sa.Column("{column}", sa.String(50)))'
    project.write(f"migrations/versions/{database}/{slug}.py", revision(slug, up, f'op.drop_column("{table}", "{column}")'))
