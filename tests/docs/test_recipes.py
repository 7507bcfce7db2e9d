"""The recipes of docs/writing-revisions.md: each goes up and down on rows, and up again as a `--sql` script."""

import json
import re

import pytest

from tests.support import rows
from tests.support.pages import Page, write
from tests.support.project import Postgres, Project

LARGE = 200_000  # rows, which no policy takes for few
MANY_INVESTMENTS = f"""
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LARGE})
    INSERT INTO investments SELECT i, 't', 's', 'i', '4 %', 5, NULL, 'key' FROM n
"""
PAGE = Page.named("docs/writing-revisions.md")
RECIPES = re.findall(r"^### (.*)$", PAGE.section("Recipes"), re.MULTILINE)

# What counts the rows that a recipe should have changed and did not.
WRONG = {
    "Rename a column by expand and contract": "SELECT count(*) FROM users WHERE display_name IS NULL",
    "Make a column NOT NULL, with a backfill in batches": "SELECT count(*) FROM users WHERE is_active IS NULL",
    "Change data, also with `--sql`": "SELECT count(*) FROM users WHERE email <> lower(email)",
    "Change data on SQLite": "SELECT count(*) FROM investments WHERE partner IS NOT 'none'",
}


# Whose plan raises nothing on large tables; the others are for small ones, or drop something.
SAFE = (
    "Make a column NOT NULL, with a backfill in batches",
    "Add an index without blocking writes",
    "Add a foreign key without reading the table under its lock",
    "Add a spatial index without blocking writes",
    "Add an enum value",
    "Change the type of a column by expand and contract",
    "Change data on SQLite",
)


@pytest.fixture
def recipes(request: pytest.FixtureRequest, recipe: str) -> Project:
    """A checkout that has the database of a recipe."""
    is_spatial = "spatial" in recipe
    project: Project = request.getfixturevalue("migrated" if is_spatial else "few")
    return project


@pytest.mark.parametrize("recipe", SAFE)
def test_the_plan_of_the_recipe_raises_nothing_on_large_tables(
    recipes: Project, postgres: Postgres, recipe: str
) -> None:
    recipes.variables |= postgres.scratch
    name, _ = _written(recipes, recipe)
    fill(recipes, name)
    result = recipes.multidb("plan", name)
    assert result.code == 0, result
    assert "-> " in result.out


def fill(project: Project, name: str) -> None:
    """Make the tables of a database large."""
    if name == "investment_db":
        project.rows(name, MANY_INVESTMENTS)
        return
    rows.fill(project.variables[f"{name.upper()}_URL"], LARGE)
    project.rows(name, "ANALYZE")


# What people write instead of the recipes, by database, and the rules that its plan raises on the same tables.
TWINS = {
    "auth_db": (
        [
            "op.alter_column('users', 'full_name', nullable=False)",
            "op.create_index('ix_full_name', 'users', ['full_name'])",
            "op.alter_column('users', 'email', type_=sa.String(100))",
        ],
        {"scan-not-null", "index-blocking", "rewrite-type"},
    ),
    "content_db": (
        [
            "op.add_column('videos', sa.Column('article_id', sa.Uuid()))",
            "op.create_foreign_key(None, 'videos', 'news_articles', ['article_id'], ['article_id'])",
        ],
        {"scan-fk"},
    ),
    "location_db": (
        ["op.create_index('ix_spatial', 'user_addresses', ['location'], postgresql_using='gist')"],
        {"index-blocking"},
    ),
    "user_db": (
        ["op.execute(\"ALTER TYPE kind ADD VALUE 'b'\")", "op.execute(\"SELECT 'b'::kind\")"],
        {"fails"},
    ),
    "investment_db": (
        ["with op.batch_alter_table('investments') as batch: batch.alter_column('title', type_=sa.Text)"],
        {"sqlite-rebuild"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_the_plan_of_what_people_write_instead_raises_its_rules(migrated: Project, name: str) -> None:
    lines, rules = TWINS[name]
    fill(migrated, name)
    if name == "user_db":
        migrated.rows(name, "CREATE TYPE kind AS ENUM ('a')")
    migrated.add_revision(name, 2, "\n    ".join(lines))
    [plan] = json.loads(migrated.multidb("plan", "--json", name).out)["databases"]
    assert {each["rule"] for each in plan["findings"]} >= rules, plan


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe(recipes: Project, postgres: Postgres, recipe: str) -> None:
    few = recipes
    few.variables |= postgres.scratch
    name, last = _written(few, recipe)
    prefix = name.removesuffix("_db")
    if name == "investment_db":
        few.rows(name, "INSERT INTO investments VALUES ('1', 't', 's', 'i', '4 %', 5, NULL, 'key')")
    else:
        rows.fill(few.variables[f"{name.upper()}_URL"])
    if name == "auth_db":
        few.rows(name, "UPDATE users SET is_active = NULL, email = upper(email) WHERE email < '8'")
    few.done("upgrade", "heads")
    few.done("check")
    if recipe in WRONG:
        assert few.rows(name, WRONG[recipe]) == [(0,)]
    few.done("downgrade", f"{name}@{prefix}_0001")
    script = few.done("upgrade", f"{name}@{prefix}_0001:{last}", "--sql").out
    if name == "investment_db":
        applied = few.run("sqlite3", "-bail", "investment.db", stdin=script)
    else:
        applied = few.run("psql", "-qv", "ON_ERROR_STOP=1", few.variables[f"{name.upper()}_URL"], stdin=script)
    assert applied.code == 0, applied
    assert few.multidb("drift", name).out == f"{name:16} {last}: no drift\n"


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
