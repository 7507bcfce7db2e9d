"""What the table shows where a server is slow, and that the run does not notice the session that watches."""

import re
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tests.support.delayed import delayed
from tests.support.project import Postgres, Project
from tests.support.terminal import on_terminal

pytestmark = pytest.mark.slow

SLEEP = 'op.execute("SELECT pg_sleep(4)")'
OUTSIDE = "depends_on = None\noutside_transaction = True"


def test_a_commit_that_waits_for_a_standby_says_so(fragile: Project, another: Postgres) -> None:
    fragile.add_revision("auth_db", 2, SLEEP)
    with on_terminal(fragile, "upgrade", "auth_db@head") as terminal:
        terminal.until("s: SELECT pg_sleep(4)")
        another.as_admin("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        another.as_admin("SELECT pg_reload_conf()")
        terminal.until("committing", "waits for a synchronous standby")
        another.as_admin("ALTER SYSTEM RESET synchronous_standby_names")
        another.as_admin("SELECT pg_reload_conf()")
        assert terminal.end() == 0
    assert "committed in 1 database" in terminal.text


def test_an_index_that_is_built_concurrently_names_the_transaction_that_it_waits_for(few: Project) -> None:
    path = few.add_revision("auth_db", 2, 'op.execute("CREATE INDEX CONCURRENTLY i ON users (email)")')
    path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"], application_name="a backup")) as backup:
        backup.cursor().execute("INSERT INTO users SELECT * FROM users WHERE false")
        with on_terminal(few, "upgrade", "auth_db@head") as terminal:
            terminal.until(
                f"waits for pid {backup.info.backend_pid} (a backup)", "waiting for writers before build 0 %"
            )
            assert re.match(r"auth_db +waiting for a lock +auth_0002 .*: CREATE INDEX CONC", terminal.row("auth_db"))
            backup.rollback()
            assert terminal.end() == 0
    assert few.versions()["auth_db"] == ["auth_0002"]


def test_a_server_that_does_not_answer_the_session_that_watches_holds_no_run_up(few: Project) -> None:
    few.add_revision("auth_db", 2, SLEEP)
    with delayed(few.variables["AUTH_DB_URL"], "pg_stat_progress_create_index") as proxy:
        few.variables["AUTH_DB_URL"] = proxy.url
        with on_terminal(few, "upgrade", "auth_db@head") as terminal:
            terminal.until_row("auth_db", "migrating +auth_0002 +[34] s")  # no statement is known
            assert proxy.asked.is_set()
            terminal.until("committed")
            assert terminal.row("auth_db").endswith(" s  committed")
            committed = time.monotonic()
            assert terminal.end() == 0
        assert time.monotonic() - committed < 2
    assert re.search(r"auth_db +auth_0001 +auth_0002 +1 +4\.\d\d s +committed", terminal.text)


@pytest.fixture
def login(few: Project, postgres: Postgres) -> Iterator[str]:
    """A login that is a member of the databases' owner, and owns nothing."""
    name = few.variables["AUTH_DB_URL"].rpartition("/")[2] + "_login"
    postgres.as_admin(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE neighbor")
    yield name
    postgres.as_admin(f"DROP ROLE {name}")


def test_the_statement_of_a_login_that_takes_on_a_role_is_shown(few: Project, login: str) -> None:
    few.edit("databases.yaml", "databases:", "role: neighbor\n\ndatabases:")
    url = make_url(few.variables["AUTH_DB_URL"]).set(username=login, password="x")
    few.variables["AUTH_DB_URL"] = url.render_as_string(hide_password=False)
    few.add_revision("auth_db", 2, SLEEP)
    with on_terminal(few, "upgrade", "auth_db@head") as terminal:
        terminal.until_row("auth_db", r"migrating +auth_0002 +\d s +\d s: SELECT pg_sleep\(4\)")
        assert terminal.end() == 0


def test_a_database_on_sqlite_shows_its_revision_and_its_time(few: Project) -> None:
    few.add_revision("investment_db", 2, "import time; time.sleep(4)")
    with on_terminal(few, "upgrade", "investment_db@head") as terminal:
        terminal.until_row("investment_db", "migrating +investment_0002 +[1-4] s")
        assert terminal.end() == 0
