"""An SQLite file that is missing is an error, as a missing PostgreSQL database is; `create` makes a new one."""

import signal

import pytest

from tests.support.project import Project
from tests.support.runs import interrupt, prepared, started, until

COMMANDS = ["alembic upgrade heads", "alembic current", "alembic stamp heads", "alembic ensure_version",
            "multidb log", "multidb ready investment_db", "multidb adopt", "multidb rollback --yes"]  # fmt: skip


@pytest.fixture
def unmounted(few: Project) -> Project:
    """A checkout at head, whose volume with the SQLite file is not mounted."""
    few.done("downgrade", "investment_db@base")
    (few.root / "investment.db").unlink()
    return few


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_missing_file_for_an_empty_database(unmounted: Project, command: str) -> None:
    unmounted.add_revision("auth_db", 2, "pass")
    before = unmounted.versions()
    (unmounted.root / "investment.db").unlink()  # which the question has created
    program, *arguments = command.split()
    result = getattr(unmounted, program)(*arguments)
    assert result.code == 1, result
    assert f"there is no file {unmounted.root}/investment.db: correct the path, mount its volume, or " in str(result)
    assert not (unmounted.root / "investment.db").exists()
    assert unmounted.versions() == before


def test_status_shows_the_other_databases(unmounted: Project) -> None:
    result = unmounted.multidb("status")
    assert result.code == 1
    assert "there is no file" in result.out + result.err
    assert "auth_0001" in result.out


def test_create_makes_a_file_that_no_journal_knows(few: Project) -> None:
    for name in few.names[:-1]:
        few.rows(name, "DELETE FROM multidb_journal")
    (few.root / "investment.db").unlink()
    result = few.multidb("create", "--files")
    assert (result.out, result.code) == (f"investment_db: created {few.root}/investment.db\n", 0)
    few.done("upgrade", "heads")
    assert few.versions() == few.at(1)
    assert few.multidb("create").out == "nothing to create\n"
    assert few.multidb("create", "--files").out == ""


def test_create_refuses_a_file_that_has_been_migrated_with_another_database(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    few.add_revision("investment_db", 2, "pass")
    few.done("upgrade", "heads")
    (few.root / "investment.db").unlink()
    error = few.multidb("create").error
    assert error.startswith("error: investment_db: its file is missing, and the journal of auth_db has run ")
    assert error.endswith(", which changed both: mount its volume, or restore the file from a backup")
    assert not (few.root / "investment.db").exists()


def test_create_refuses_a_file_that_has_the_decision_on_a_prepared_transaction(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    few.add_revision("investment_db", 2, "pass")
    how = ["SIGKILL:coordinator", "before", "commit", "investment_db"]
    assert interrupt(few, how, "alembic", "upgrade", "heads").code == -signal.SIGKILL
    assert prepared(few)
    for name in few.names[:-1]:
        few.rows(name, "DELETE FROM multidb_journal")
    file = (few.root / "investment.db").rename(few.root / "kept.db")
    assert "its file is missing, and the journal of auth_db has run " in few.multidb("create").error
    file.rename(few.root / "investment.db")
    assert few.multidb("recover").code == 0


def test_create_refuses_while_another_journal_cannot_be_read(unmounted: Project) -> None:
    unmounted.variables["AUTH_DB_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/auth_db"
    error = unmounted.multidb("create", "--files").error
    assert "investment_db: its file is missing, and whether there was one can't be found out: auth_db: conn" in error
    assert not (unmounted.root / "investment.db").exists()


def test_create_makes_no_folder(few: Project) -> None:
    few.variables["INVESTMENT_DB_URL"] = f"sqlite:///{few.root}/volume/investment.db"
    for name in few.names[:-1]:
        few.rows(name, "DELETE FROM multidb_journal")
    assert "investment.db can't be created: No such file or directory" in few.multidb("create", "--files").error


def test_a_run_waits_for_the_file_as_for_any_database(few: Project) -> None:
    (few.root / "investment.db").unlink()
    with started(few, "-x", "wait=20s", "upgrade", "heads") as process:
        until(process, "waiting for the server, at most 20 s: there is no file")
        (few.root / "investment.db").touch()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert few.versions() == few.at(1)
