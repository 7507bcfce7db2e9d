"""What the branches make: one head each, up and down, what the models say, and what the live databases are."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from multidb.autogenerate.models import metadata_of
from tests.platform.conftest import CONFIGURATION, ON_SERVER, ON_SQLITE, Schema, read, schema
from tests.support.project import LEGACY, ROOT, Postgres, Project, query

VERSIONS = ROOT / "migrations/versions"
NAMES = CONFIGURATION.names
# A database that was born here has no schema from before.
FROM_BEFORE = [path.stem for path in sorted(LEGACY.glob("*.sql")) if path.stem in NAMES]


def branch(name: str) -> ScriptDirectory:
    return ScriptDirectory(ROOT / "migrations", version_locations=[VERSIONS / name])


@pytest.mark.parametrize("name", NAMES)
def test_each_branch_has_one_base_and_one_head(name: str) -> None:
    assert len(branch(name).get_bases()) == 1
    assert len(branch(name).get_heads()) == 1


def test_each_folder_of_revisions_is_a_database_of_databases_yaml() -> None:
    folders = {path.name for path in VERSIONS.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == set(NAMES)


@pytest.mark.quick
def test_the_models_are_what_the_heads_make(at_head: Project) -> None:
    assert at_head.done("check").out == "No new upgrade operations detected.\n"


@pytest.mark.parametrize("name", NAMES)
def test_create_all_makes_the_tables_of_the_head(
    at_head: Project, postgres: Postgres, spare: str, tmp_path: Path, name: str
) -> None:
    [entry] = [each for each in CONFIGURATION.databases([name]) if each.name == name]
    if name in ON_SQLITE:
        path = tmp_path / "created.db"
        engine = create_engine(f"sqlite:///{path}")
        metadata_of(entry).create_all(engine)
        engine.dispose()
        with closing(sqlite3.connect(path)) as connection:
            created = read(name, lambda sql: connection.execute(sql).fetchall())
        assert names_of(created) == names_of(schema(at_head, name))
        return
    for extension in entry.extensions:
        postgres.as_admin(f'CREATE EXTENSION "{extension}"', spare)
    url = postgres.url(spare)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"))
    metadata_of(entry).create_all(engine)
    engine.dispose()
    created, made = read(name, lambda sql: query(url, sql)), schema(at_head, name)
    assert unnumbered(created["columns"]) == unnumbered(made["columns"])
    for part in ("constraints", "indexes", "enums"):
        assert created[part] == made[part], part


def names_of(found: Schema) -> dict[str, list[Any]]:
    """The columns of each table in SQLite: the text of a rebuilt table is another one."""
    return {part: sorted(row[1] for row in rows) for part, rows in found.items() if part.startswith("table_xinfo")}


def unnumbered(columns: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The columns without their numbers: one that a revision adds comes last, one that it drops leaves a gap."""
    return sorted(((row[0], *row[2:]) for row in columns), key=repr)


@pytest.mark.quick
def test_all_go_down_and_up_again(at_head: Project, nothing: Mapping[str, Schema]) -> None:
    before = {name: schema(at_head, name) for name in NAMES}
    at_head.done("-x", "allow=downgrade", "downgrade", "base")
    for name in NAMES:
        assert schema(at_head, name) == nothing[name], name
    at_head.done("upgrade", "heads")
    assert {name: schema(at_head, name) for name in NAMES} == before


@pytest.mark.parametrize("name", FROM_BEFORE)
def test_the_first_revision_makes_the_schema_that_the_live_database_had(
    empty: Project, postgres: Postgres, spare: str, name: str
) -> None:
    [first] = branch(name).get_bases()
    empty.done("upgrade", first)
    sql = (LEGACY / f"{name}.sql").read_text()
    if name in ON_SQLITE:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(sql)
            live = read(name, lambda sql: connection.execute(sql).fetchall())
    else:
        for extension in CONFIGURATION.entries[name].extensions:
            postgres.as_admin(f'CREATE EXTENSION "{extension}"', spare)
        query(postgres.url(spare), sql)
        live = read(name, lambda sql: query(postgres.url(spare), sql))
        assert live["columns"]
    made = schema(empty, name)
    assert made.keys() == live.keys()
    for part in live:
        assert made[part] == live[part], part


@pytest.mark.parametrize("name", ON_SERVER)
def test_alembic_version_is_the_table_that_alembic_makes(at_head: Project, name: str) -> None:
    table = """
        SELECT format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attname = 'version_num' AND attrelid = 'alembic_version'::regclass
    """
    key = "SELECT conname FROM pg_constraint WHERE conrelid = 'alembic_version'::regclass AND contype = 'p'"
    assert at_head.rows(name, table) == [("character varying(32)", True)]
    assert at_head.rows(name, key) == [("alembic_version_pkc",)]
