"""The pages, followed from top to bottom as they are written: files are written, commands run, output compared."""

import shutil
import sys
from pathlib import Path

import pytest

from multidb.config import configuration as config
from tests.project import ROOT, Postgres, Project
from tests.support.pages import Page, follow, revision
from tests.test_kubernetes import assert_says_the_same, rendered
from tests.test_local import clone

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
    for name, slug, table, column in (
        ("auth_db", "auth_0002_add_phone", "users", "phone"),
        ("user_db", "user_0002_add_nickname", "user_profiles", "nickname"),
    ):
        migrated.write(
            f"migrations/versions/{name}/{slug}.py",
            revision(
                slug,
                f'op.add_column("{table}", sa.Column("{column}", sa.String(50)))',
                f'op.drop_column("{table}", "{column}")',
            ),
        )
    follow(migrated, Page.named("docs/commands.md"))
