"""What changes nothing takes no lock, and leaves no row in a journal."""

import subprocess
from contextlib import closing

import psycopg2
import pytest

from multidb.database import locks
from tests.support.project import Project, at_once

ROWS = "SELECT count(*) FROM multidb_journal"


@pytest.mark.parametrize(
    "command",
    ["ensure_version", "upgrade heads", "upgrade auth_0001", "downgrade auth_db@auth_0001", "stamp heads",
     "stamp --purge heads"],
)  # fmt: skip
def test_a_command_that_changes_nothing_takes_no_lock_and_leaves_no_row(few: Project, command: str) -> None:
    before = {name: few.rows(name, ROWS) for name in few.names}
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"])) as other:
        other.autocommit = True
        locks.lock(other, locks.Wait(0))
        assert "nothing to do in " in few.done("-x", "lock_wait=0", *command.split()).err
    assert {name: few.rows(name, ROWS) for name in few.names} == before


def test_ensure_version_creates_the_table_where_it_is_missing_and_no_journal(few: Project) -> None:
    few.rows("auth_db", "DROP TABLE alembic_version, multidb_journal")
    few.rows("investment_db", "DROP TABLE alembic_version")
    assert few.done("ensure_version").err.count("created alembic_version") == 2
    assert few.rows("auth_db", "SELECT count(*) FROM alembic_version") == [(0,)]
    assert few.rows("auth_db", "SELECT to_regclass('multidb_journal')") == [(None,)]
    assert few.rows("investment_db", "SELECT count(*) FROM alembic_version") == [(0,)]


def test_several_at_once_create_one_table(few: Project) -> None:
    few.rows("auth_db", "DROP TABLE alembic_version")
    results = at_once(*[lambda: few.alembic("ensure_version")] * 4)
    assert [result.code for result in results] == [0] * 4, results
    assert few.rows("auth_db", "SELECT count(*) FROM alembic_version") == [(0,)]


def test_lines_that_end_otherwise_in_another_checkout_are_no_change(few: Project) -> None:
    path = few.add_revision("auth_db", 2, "pass")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    few.done("upgrade", "heads")
    assert few.multidb("verify").code == 0
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    assert few.multidb("verify").code == 0
    recorded = few.rows("auth_db", "SELECT revisions::json -> 0 ->> 'sha256' FROM multidb_journal ORDER BY id DESC")[0]
    assert recorded[0] == subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout[:64]
    path.write_text(path.read_text().replace("pass", "print()"))
    assert "its file has changed since" in few.multidb("verify").out
