"""The recipes of docs/writing-revisions.md: each goes up, down and up again on rows, and works as a `--sql` script."""

import re

import pytest

from tests.support import rows
from tests.support.pages import Page, write
from tests.support.project import Postgres, Project

PAGE = Page.named("docs/writing-revisions.md")
RECIPES = re.findall(r"^### (.*)$", PAGE.section("Recipes"), re.MULTILINE)

# What counts the rows that a recipe should have changed and did not.
WRONG = {
    "Rename a column by expand and contract": "SELECT count(*) FROM users WHERE display_name IS NULL",
    "Make a column NOT NULL, with a backfill in batches": "SELECT count(*) FROM users WHERE is_active IS NULL",
    "Change data, also with `--sql`": "SELECT count(*) FROM users WHERE email <> lower(email)",
    "Change data on SQLite": "SELECT count(*) FROM investments WHERE partner IS NOT 'none'",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe(migrated: Project, postgres: Postgres, recipe: str) -> None:
    migrated.variables |= postgres.scratch
    name, last = _written(migrated, recipe)
    prefix = name.removesuffix("_db")
    if name == "investment_db":
        migrated.rows(name, "INSERT INTO investments VALUES ('1', 't', 's', 'i', '4 %', 5, NULL, 'key')")
    else:
        rows.fill(migrated.variables[f"{name.upper()}_URL"])
    if name == "auth_db":
        migrated.rows(name, "UPDATE users SET is_active = NULL, email = upper(email) WHERE email < '8'")
    for command in (
        "upgrade heads",
        "check",
        f"downgrade {name}@{prefix}_0001",
        "upgrade heads",
        f"downgrade {name}@{prefix}_0001",
    ):
        migrated.done(*command.split())
        if command == "upgrade heads" and recipe in WRONG:
            assert migrated.rows(name, WRONG[recipe]) == [(0,)]
    script = migrated.done("upgrade", f"{name}@{prefix}_0001:{last}", "--sql").out
    if name == "investment_db":
        applied = migrated.run("sqlite3", "-bail", "investment.db", stdin=script)
    else:
        applied = migrated.run(
            "psql", "-qv", "ON_ERROR_STOP=1", migrated.variables[f"{name.upper()}_URL"], stdin=script
        )
    assert applied.code == 0, applied
    migrated.done("current", "--check-heads")
    migrated.done("check")
    assert migrated.multidb("drift", name).out == f"{name:16} {last}: no drift\n"


def _written(project: Project, recipe: str) -> tuple[str, str]:
    """Write a recipe's files. Returns the database and the last revision."""
    files = []
    for block in PAGE.blocks(recipe):
        assert block.file is not None, block
        write(project, block)
        if block.language == "python":
            files.append(block.file)
    _, _, name, file = files[-1].split("/")
    return name, "_".join(file.split("_")[:2])


def test_there_is_one_for_each_common_change() -> None:
    assert len(RECIPES) >= 7
    assert set(WRONG) < set(RECIPES)
