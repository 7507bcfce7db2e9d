"""The working tree's own branches, in databases that `multidb create` makes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from multidb.config import reader
from multidb.config.configuration import variable
from tests.support import catalog
from tests.support.project import ROOT, Postgres, Project, unique

CONFIGURATION = reader.load(ROOT / "databases.yaml")
ON_SQLITE = [name for name, entry in CONFIGURATION.entries.items() if entry.url and entry.url.text.startswith("sqlite")]
ON_SERVER = [name for name in CONFIGURATION.names if name not in ON_SQLITE]


Schema = dict[str, list[tuple[Any, ...]]]


def schema(project: Project, name: str) -> Schema:
    """What the catalogs say of a database of that name in a checkout."""
    return read(name, lambda sql: project.rows(name, sql))


def read(name: str, ask: catalog.Ask) -> Schema:
    return catalog.of_sqlite(ask) if name in ON_SQLITE else catalog.of_postgresql(ask)


@contextmanager
def _created(factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Project]:
    prefix = unique()
    databases = {name: f"{prefix}_{name}" for name in ON_SERVER}
    urls = {variable(name): postgres.url(database) for name, database in databases.items()}
    project = Project.real(factory.mktemp("real") / "checkout", urls | postgres.scratch)
    project.variables["DATABASE_ADMIN_URL"] = postgres.admin_url
    created = project.multidb("create")
    assert created.code == 0, created
    yield project
    for database in databases.values():
        postgres.drop(database)


@pytest.fixture(scope="session")
def created(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Project]:
    """A checkout of the working tree, whose databases hold at most their extensions."""
    with _created(tmp_path_factory, postgres) as project:
        yield project


@pytest.fixture(scope="session")
def nothing(created: Project) -> Mapping[str, Schema]:
    """What the catalogs of these databases hold before the first upgrade."""
    return {name: schema(created, name) for name in CONFIGURATION.names}


@pytest.fixture(scope="session")
def at_head(created: Project, nothing: Mapping[str, Schema]) -> Project:
    """That checkout, with all of its databases at head."""
    assert nothing.keys() == set(created.names)
    created.done("upgrade", "heads")
    return created


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Project]:
    """Another one, for single revisions."""
    with _created(tmp_path_factory, postgres) as project:
        yield project
