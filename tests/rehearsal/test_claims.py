"""What `plan` says of locks is what a second session meets, on this server."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from multidb.config import urls
from multidb.config.configuration import VersionTable
from multidb.database import connections
from multidb.rehearsal.observation import BLOCKED, strongest
from multidb.schema.postgresql import relations
from multidb.schema.snapshot import NotCountedError, count_rows
from tests.support.project import Postgres, unique

TABLES = """
    CREATE TABLE other (id int PRIMARY KEY);
    CREATE TABLE t (a int, b varchar(20));
    CREATE INDEX i ON t (b);
    ALTER TABLE t ADD CONSTRAINT v CHECK (a > 0) NOT VALID
"""
STATEMENTS = [
    "ALTER TABLE t ALTER a TYPE bigint",
    "ALTER TABLE t ADD COLUMN c int",
    "ALTER TABLE t ADD CHECK (a > 1) NOT VALID",
    "ALTER TABLE t VALIDATE CONSTRAINT v",
    "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES other NOT VALID",
    "CREATE INDEX ON t (a)",
    "DROP INDEX i",
    "TRUNCATE t",
    "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "COMMENT ON TABLE t IS 'x'",
    "UPDATE t SET a = 1",
]
READS, WRITES = "SELECT FROM {0} LIMIT 1", "LOCK TABLE {0} IN ROW EXCLUSIVE MODE"


@pytest.fixture(scope="module")
def sessions(postgres: Postgres) -> Iterator[tuple[Any, Any]]:
    """The session of a migration, and that of a service that waits for no lock."""
    name = unique()
    postgres.clone("template_empty", name)
    url = postgres.url(name)
    with closing(psycopg2.connect(url)) as own, closing(psycopg2.connect(url)) as service:
        with own, own.cursor() as cursor:
            cursor.execute(TABLES)
        with service, service.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1ms'")
        yield own, service
    postgres.drop(name)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_a_lock_is_said_to_block_is_blocked(sessions: tuple[Any, Any], statement: str) -> None:
    own, service = sessions
    with own.cursor() as cursor:
        cursor.execute(statement)
        found = relations.read(own, VersionTable(), "public")
    said = {table: strongest(mode for oid, mode in found.locks if found.name(oid) == table) for table in ("t", "other")}
    for table, mode in said.items():
        blocked = BLOCKED.get(mode or "", "")
        assert _is_blocked(service, READS.format(table)) is ("reads" in blocked), (table, mode)
        assert _is_blocked(service, WRITES.format(table)) is ("writes" in blocked), (table, mode)
    own.rollback()


def _is_blocked(service: Any, statement: str) -> bool:
    try:
        with service.cursor() as cursor:
            cursor.execute(statement)
    except psycopg2.errors.LockNotAvailable:
        return True
    finally:
        service.rollback()
    return False


def test_rows_that_take_too_long_to_count_are_given_up_and_the_transaction_goes_on(
    spare: str, postgres: Postgres
) -> None:
    with closing(connections.connect(urls.parse(postgres.url(spare), "the test"))) as connection, connection.begin():
        with pytest.raises(NotCountedError, match="not in time"):
            count_rows(connection, ["SELECT pg_sleep(60)"], seconds=0.05)
        assert count_rows(connection, ["SELECT count(*) FROM nowhere"], seconds=0.05) is None
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
        assert count_rows(connection, ["SELECT pg_sleep(0.2)", "SELECT 7"]) == 7
