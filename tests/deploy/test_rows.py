"""The rows that deploy/ci/up-down-up puts into databases: a thousand in each table, whatever tables there are."""

import sqlite3
from contextlib import closing

from tests.support import rows
from tests.support.project import Postgres, query

TABLES = """
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE owners (owner_id serial PRIMARY KEY, nickname text UNIQUE, moods mood, tags text[]);
    CREATE TABLE visits (visit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at time, note bytea);
    CREATE TABLE chips (number int PRIMARY KEY, twice int GENERATED ALWAYS AS (number * 2) STORED);
    CREATE TABLE "Pets" (pet_id int PRIMARY KEY, owner_id int NOT NULL REFERENCES owners, "Chip" int REFERENCES chips,
                         visit_id bigint REFERENCES visits, weight real, legs smallint NOT NULL)
"""


def test_every_table_of_postgresql_gets_rows(postgres: Postgres, spare: str) -> None:
    query(postgres.url(spare), TABLES)
    rows.fill(postgres.url(spare))
    assert {table: number for table, (number, _) in rows.contents(postgres.url(spare)).items()} == dict.fromkeys(
        ("owners", "visits", "chips", '"Pets"'), rows.ROWS
    )


def test_every_table_of_sqlite_gets_rows() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            "CREATE TABLE owners (owner_id INTEGER PRIMARY KEY, born DATE, is_new BOOLEAN, weight NUMERIC(5, 2));"
            "CREATE TABLE pets (pet_id VARCHAR(36) PRIMARY KEY, at DATETIME, owner_id INTEGER REFERENCES owners);"
        )
        rows.fill_file(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in ("owners", "pets"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(rows.ROWS,)]
