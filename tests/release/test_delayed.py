"""Statements of the commit that reach the server late, or that the server does not execute."""

from tests.support.delayed import delayed
from tests.support.project import Project
from tests.support.runs import prepared, started, until

PREPARE = "PREPARE TRANSACTION"


def test_a_prepare_that_arrives_after_its_session_broke_is_waited_for_and_rolled_back(pair: Project) -> None:
    with delayed(pair.variables["AUTH_DB_URL"], PREPARE) as server:
        pair.variables["AUTH_DB_URL"] = server.url
        with started(pair, "-x", "jobs=1", "upgrade", "heads") as process:
            assert server.asked.wait(30)
            server.cut()
            until(process, "waiting for pid")  # the lock that the session still holds
            server.go_on.set()
            _, err = process.communicate(timeout=30)
        assert process.returncode == 1, err
        assert "error: auth_db: server closed the connection unexpectedly" in err
        assert prepared(pair) == []
        assert pair.versions() == pair.at(1)


def test_a_transaction_that_was_aborted_before_it_is_prepared_fails_the_run(pair: Project) -> None:
    """PREPARE TRANSACTION of an aborted transaction answers ROLLBACK, and no error."""
    pair.add_revision("auth_db", 3, "import builtins; builtins.kept = op.get_bind().connection.driver_connection")
    fail = "with contextlib.suppress(Exception): builtins.kept.cursor().execute('SELECT 1/0')"
    pair.add_revision("user_db", 3, f"import builtins, contextlib\n    {fail}")
    error = pair.alembic("-x", "jobs=1", "upgrade", "heads").reason
    assert error == "error: auth_db: the server answered ROLLBACK to PREPARE TRANSACTION: its log has the reason"
    assert prepared(pair) == []
    assert pair.versions() == pair.at(1)
