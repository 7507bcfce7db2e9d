"""Models drawn at random, in two versions: autogenerate leads from the one to the other and back."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.drawn_models import models
from tests.support.project import Project
from tests.support.written import CLEAN, NOTHING

# Of each test, the same ones every time; with the variable, so many others.
DRAWS = os.environ.get("DRAWS")
SETTINGS = settings(
    max_examples=int(DRAWS or 6),
    deadline=None,
    derandomize=DRAWS is None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@SETTINGS
@given(models(), models())
def test_a_revision_leads_from_any_models_to_any_other_on_postgresql(
    unwritten: Project, first: str, second: str
) -> None:
    leads_there_and_back(unwritten, "auth_db", "auth", first, second)


@pytest.mark.slow
@SETTINGS
@given(models(is_sqlite=True), models(is_sqlite=True))
def test_a_revision_leads_from_any_models_to_any_other_on_sqlite(single_file: Project, first: str, second: str) -> None:
    leads_there_and_back(single_file, "investment_db", "investment", first, second)


@pytest.fixture
def single_file(tmp_path: Path) -> Project:
    project = Project.copied(tmp_path / "checkout", {}, ["investment_db"])
    (project.root / "migrations/versions/investment_db/investment_0001_initial.py").unlink()
    return project


def leads_there_and_back(project: Project, database: str, module: str, first: str, second: str) -> None:
    """Write, prove and run the revisions of two versions of the models; at the end nothing of them is left."""
    try:
        for text in (first, second):
            project.write(f"models/{module}.py", text)
            result = project.alembic("revision", "--autogenerate", "-m", "drawn")
            assert (result.code, result.err) == (0, ""), (result, *_files(project, database))
        assert project.done("revision", "--autogenerate", "-m", "x").out == NOTHING
        project.done("upgrade", "heads")
        assert project.done("check").out == CLEAN
        if len(project.revisions(database)) > 1:
            project.done("downgrade", f"{database}@-1")
            assert "no drift" in project.multidb("drift").out
            project.done("upgrade", "heads")
            assert project.done("check").out == CLEAN
    finally:
        if project.revisions(database):
            project.alembic("downgrade", f"{database}@base")
        for name in project.revisions(database):
            (project.root / "migrations/versions" / database / name).unlink()


def _files(project: Project, database: str) -> list[str]:
    folder = project.root / "migrations/versions" / database
    return [(folder / name).read_text() for name in project.revisions(database)]
