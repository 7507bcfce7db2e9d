"""What the branches make is what the live databases are, to the last default."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from multidb.autogenerate.comparison import models_metadata
from multidb.config.configuration import Database
from tests.support import catalog
from tests.support.project import LEGACY, ON_POSTGRESQL, Postgres, Project, query


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_the_branch_makes_the_schema_that_the_live_database_has(
    migrated: Project, postgres: Postgres, spare: str, name: str
) -> None:
    url = postgres.empty_like(name, spare)
    query(url, (LEGACY / f"{name}.sql").read_text())
    live = catalog.of_postgresql(lambda sql: query(url, sql))
    made = catalog.of_postgresql(lambda sql: migrated.rows(name, sql))
    assert live["columns"]
    for part in live:
        assert made[part] == live[part], part


def test_the_sqlite_branch_makes_the_schema_that_the_live_file_has(migrated: Project, tmp_path: Path) -> None:
    live = sqlite3.connect(tmp_path / "live.db")
    live.executescript((LEGACY / "investment_db.sql").read_text())
    wanted = catalog.of_sqlite(lambda sql: live.execute(sql).fetchall())
    live.close()
    assert len(wanted) == 4
    assert catalog.of_sqlite(lambda sql: migrated.rows("investment_db", sql)) == wanted


def test_alembic_version_is_the_table_that_the_live_databases_have(migrated: Project) -> None:
    table = """
        SELECT format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attname = 'version_num' AND attrelid = 'alembic_version'::regclass
    """
    key = "SELECT conname FROM pg_constraint WHERE conrelid = 'alembic_version'::regclass"
    for name in ON_POSTGRESQL:
        assert migrated.rows(name, table) == [("character varying(32)", True)]
        assert migrated.rows(name, key) == [("alembic_version_pkc",)]


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_the_models_describe_the_schema_that_the_live_database_has(
    postgres: Postgres, migrated: Project, spare: str, name: str
) -> None:
    """`create_all()` from the models makes the same, so the models say neither more nor less."""
    url = postgres.empty_like(name, spare)
    database = Database(name, make_url(url), f"models.{name.removesuffix('_db')}")
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"))
    models_metadata(database).create_all(engine)
    engine.dispose()
    made = catalog.of_postgresql(lambda sql: query(url, sql))
    assert made == catalog.of_postgresql(lambda sql: migrated.rows(name, sql))
